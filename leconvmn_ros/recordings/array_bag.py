# Copyright 2026 The leconvmn_ros authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Makes bags from arrays, and from recordings in other formats."""

from collections.abc import Callable, Iterator, Sequence
import heapq
from operator import itemgetter
from pathlib import Path
from typing import Any

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import (
    EmgChunk,
    JointTrack,
    LabelTrack,
    NANOSECONDS,
    Recording,
    SampledSubject,
)
from leconvmn_ros.emg.kind import EMG_KIND, EmgKind
from leconvmn_ros.recordings.bag_writer import BagWriter
from leconvmn_ros.recordings.bags import FIRST_STAMP_NS
from leconvmn_ros.recordings.subject_check import check_subject, first_non_finite
import numpy as np
from numpy.typing import ArrayLike, NDArray

CHUNK_SECONDS = 0.02
_REFERENCE_RATE = 100.0
_PROGRESS_STEPS = 200


def write_arrays(
    path: str | Path,
    emg: ArrayLike,
    rate: float,
    angles: ArrayLike | None = None,
    *,
    joint_names: Sequence[str] = JOINT_NAMES,
    angle_times: ArrayLike | None = None,
    movement: ArrayLike | None = None,
    repetition: ArrayLike | None = None,
    kind: EmgKind | None = None,
    overwrite: bool = False,
) -> None:
    """Write EMG and angles as a bag that `leconvmn_ros train` can read.

    Args:
        path: bag folder to make.
        emg: amplitudes (V), shape (samples, channels).
        rate: samples per second (Hz).
        angles: joint angles (rad), shape (times, joints).
        joint_names: names of the joints, in the order of the columns.
        angle_times: time of each row of angles after the first EMG sample (s); None = one row
            per sample.
        movement: movement number of each sample, 0 = rest, shape (samples,).
        repetition: repetition number of each sample, shape (samples,).
        kind: whether the EMG is raw or an envelope (already rectified and smoothed); None =
            readers of the bag must find out.
        overwrite: replace an existing bag.

    Raises:
        RecordingError: the arrays do not fit together, or hold NaN or infinity.
        OutputError: the target exists, or cannot be written. Nothing is left behind.
    """
    samples = np.asarray(emg, np.float32)
    name = Path(path).name
    if samples.ndim != 2 or 0 in samples.shape or not 0 < rate < float('inf'):
        raise RecordingError(
            f'{name}: EMG of shape {samples.shape} at {rate} Hz; (samples, channels) at a rate '
            'above 0 are needed'
        )
    if place := first_non_finite(samples):
        raise RecordingError(
            f'{name}: EMG of channel {place[1]} is not finite at sample {place[0]}'
        )
    recording = Recording(
        name,
        regular_chunks(samples, rate),
        None if angles is None else _track(name, angles, joint_names, angle_times, rate),
        _labels(name, movement, repetition, len(samples), rate),
        {'emg_unit': 'V', 'joint_unit': 'rad'} | ({} if kind is None else {EMG_KIND: kind}),
    )
    write_recording(recording, path, overwrite=overwrite)


def write_recording(
    recording: Recording,
    path: str | Path,
    *,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write a recording as a bag, in order of time.

    Args:
        recording: the recording to write.
        path: bag folder to make.
        overwrite: replace an existing bag once the new one is complete.
        progress: called now and then with the written fraction, 0 to 1.

    Raises:
        OutputError: the target exists, or cannot be written. Nothing is left behind.
    """
    stride = max(1, len(recording.chunks) // _PROGRESS_STEPS)
    with BagWriter(path, information=recording.information, overwrite=overwrite) as writer:
        events = heapq.merge(
            _label_events(recording.labels),
            _reference_events(recording.reference),
            _emg_events(recording.chunks),
            key=itemgetter(0),
        )
        for _, number, write, values in events:
            getattr(writer, write)(*values)
            if progress is not None and number % stride == 0:
                progress(number / len(recording.chunks))
    if progress is not None:
        progress(1.0)


def regular_chunks(
    emg: NDArray[np.float32], rate: float, chunk_duration: float = CHUNK_SECONDS
) -> list[EmgChunk]:
    """Cut EMG without gaps into chunks.

    Args:
        emg: amplitudes (V), shape (samples, channels).
        rate: samples per second (Hz).
        chunk_duration: duration of a chunk (s), at least one sample.
    """
    size = max(1, round(min(chunk_duration * rate, len(emg))))
    return [
        EmgChunk(
            FIRST_STAMP_NS + round(start * NANOSECONDS / rate),
            rate,
            start,
            emg[start : start + size],
        )
        for start in range(0, len(emg), size)
    ]


def recording_of_subject(
    subject: SampledSubject, chunk_duration: float = CHUNK_SECONDS
) -> Recording:
    """Return the recording of a subject whose signals have one time base.

    Raises:
        RecordingError: see `check_subject`.
    """
    check_subject(subject)
    return Recording(
        subject.name,
        regular_chunks(subject.emg, subject.sampling_rate, chunk_duration),
        _track(subject.name, subject.positions, JOINT_NAMES, None, subject.sampling_rate),
        _labels(
            subject.name,
            subject.movement,
            subject.repetition,
            len(subject.emg),
            subject.sampling_rate,
        ),
        subject.information,
    )


def _track(
    name: str,
    angles: ArrayLike,
    joint_names: Sequence[str],
    angle_times: ArrayLike | None,
    rate: float,
) -> JointTrack:
    positions = np.asarray(angles, np.float64)
    rows = len(positions)
    times = np.arange(rows) / rate if angle_times is None else np.asarray(angle_times, np.float64)
    if positions.shape != (rows, len(joint_names)) or times.shape != (rows,):
        raise RecordingError(
            f'{name}: angles of shape {positions.shape} for {len(joint_names)} joints and '
            f'{times.shape} times'
        )
    if not np.isfinite(positions).all() or not np.isfinite(times).all():
        raise RecordingError(f'{name}: angles or their times are not finite')
    if np.any(np.diff(times) < 0) or (rows and times[0] < 0):
        raise RecordingError(f'{name}: times of the angles must not fall, nor be below 0')
    slots = np.floor(times * _REFERENCE_RATE + 1e-6)
    picked = np.diff(slots, prepend=-1) > 0
    stamps = FIRST_STAMP_NS + np.rint(times[picked] * NANOSECONDS).astype(np.int64)
    return JointTrack(stamps, tuple(joint_names), positions[picked])


def _labels(
    name: str,
    movement: ArrayLike | None,
    repetition: ArrayLike | None,
    samples: int,
    rate: float,
) -> LabelTrack | None:
    if movement is None:
        return None
    movements = np.asarray(movement, np.int64)
    repetitions = np.zeros_like(movements) if repetition is None else np.asarray(repetition)
    if movements.shape != (samples,) or repetitions.shape != (samples,):
        raise RecordingError(
            f'{name}: labels of shape {movements.shape} and {repetitions.shape} beside {samples} '
            'samples of EMG'
        )
    pairs = np.stack([movements, repetitions.astype(np.int64)], axis=1)
    changes = np.flatnonzero(np.any(np.diff(pairs, axis=0, prepend=pairs[:1] - 1) != 0, axis=1))
    stamps = FIRST_STAMP_NS + np.rint(changes * NANOSECONDS / rate).astype(np.int64)
    return LabelTrack(stamps, pairs[changes, 0], pairs[changes, 1])


_Event = tuple[int, int, str, tuple[Any, ...]]


def _emg_events(chunks: Sequence[EmgChunk]) -> Iterator[_Event]:
    for number, chunk in enumerate(chunks):
        last = round((len(chunk.samples) - 1) / chunk.sampling_rate * NANOSECONDS)
        yield chunk.stamp_ns + last, number, 'write_emg', (chunk,)


def _reference_events(track: JointTrack | None) -> Iterator[_Event]:
    if track is not None:
        for stamp_ns, row in zip(track.stamps_ns.tolist(), track.positions, strict=True):
            yield stamp_ns, -1, 'write_reference', (stamp_ns, track.names, row)


def _label_events(track: LabelTrack | None) -> Iterator[_Event]:
    if track is not None:
        for values in zip(
            track.stamps_ns.tolist(),
            track.movement.tolist(),
            track.repetition.tolist(),
            strict=True,
        ):
            yield values[0], -1, 'write_label', values
