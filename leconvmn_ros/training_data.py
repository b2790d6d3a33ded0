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

"""Recordings cut into what a model may learn from, arranged for recurrent training.

A segment is cut out of the samples before any feature is computed, and its features start afresh:
nothing of a held-out repetition, not even the tail of an RMS window or the far end of an
interpolated angle, reaches the training data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from leconvmn_ros.alignment import AlignedAngles, angles_at, check_unit, LONGEST_GAP_NS
from leconvmn_ros.errors import RecordingError
from leconvmn_ros.intake import Intake
from leconvmn_ros.protocol import HoldOut, Role
from leconvmn_ros.recording import JointTrack, NANOSECONDS, Recording
from leconvmn_ros.signal_path import columns_of, FeatureStatistics, SignalPath, SignalPathConfig
import numpy as np
from numpy.typing import NDArray

# In place of a Role: of no use.
_NONE = -1


@dataclass(frozen=True, slots=True)
class Segment:
    """An uninterrupted stretch of one role.

    Attributes:
        role: what it may be used for.
        samples: EMG (V), shape (samples, channels).
        angles: reference at each sample (rad), shape (samples, joints).
    """

    role: Role
    samples: NDArray[np.float32]
    angles: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lanes:
    """Sequences of images side by side, as a batch for recurrent training.

    Attributes:
        images: features, shape (steps, lanes, channels, time).
        targets: standardised angles at the last sample of each image, shape (steps, lanes,
            joints).
        fresh: where a segment starts, so the state must be reset before this step, shape (steps,
            lanes).
        used: False where a lane is over and its images are filler, shape (steps, lanes).
    """

    images: NDArray[np.float32]
    targets: NDArray[np.float32]
    fresh: NDArray[np.bool_]
    used: NDArray[np.bool_]


class Run(NamedTuple):
    """A gapless run of samples.

    Attributes:
        samples: EMG (V), shape (samples, channels).
        stamps_ns: their times (ns), shape (samples,).
        bridged: which of them are made up, where a short gap was.
    """

    samples: NDArray[np.float32]
    stamps_ns: NDArray[np.int64]
    bridged: list[range]


class _RunParts(NamedTuple):
    """A run in the making; `bridged` are places in the lists."""

    samples: list[NDArray[np.float32]]
    stamps_ns: list[NDArray[np.int64]]
    bridged: list[int]

    def joined(self) -> Run:
        ends = np.cumsum([len(part) for part in self.samples]).tolist()
        return Run(
            np.concatenate(self.samples),
            np.concatenate(self.stamps_ns),
            [range(ends[i] - len(self.samples[i]), ends[i]) for i in self.bridged],
        )


def cut_segments(recording: Recording, names: Sequence[str], hold_out: HoldOut) -> list[Segment]:
    """Cut a recording into segments, in time order; what has no reference angle is left out.

    Args:
        recording: EMG and reference.
        names: joints wanted from the reference.
        hold_out: which part plays which role.

    Raises:
        RecordingError: no EMG, no reference, none at the same times, or angles in degrees.
    """
    if not recording.chunks:
        raise RecordingError(f'{recording.name} has no EMG')
    reference = recording.reference
    if reference is None:
        raise RecordingError(f'{recording.name} has no reference angles to learn from')
    segments = []
    labels, span_ns = recording.labels, recording.span_ns
    reference_roles = hold_out.roles(reference.stamps_ns, labels, span_ns)
    own = reference_roles == Role.TRAINING
    check_unit(
        JointTrack(reference.stamps_ns[own], reference.names, reference.positions[own]), names
    )
    for samples, stamps_ns, bridged in gapless_runs(recording):
        roles = hold_out.roles(stamps_ns, labels, span_ns)
        _drop_mixed(roles, bridged)
        angles, known = _angles(reference, reference_roles, names, stamps_ns, roles)
        roles = np.where(known, roles, _NONE)
        edges = np.flatnonzero(np.diff(roles)) + 1
        for first, last in pairwise([0, *edges.tolist(), len(roles)]):
            if roles[first] != _NONE:
                segments.append(
                    Segment(Role(roles[first]), samples[first:last], angles[first:last])
                )
    if not segments:
        raise RecordingError(
            f'{recording.name}: the reference angles and the EMG share no time, or the angles are '
            f'all more than {LONGEST_GAP_NS / NANOSECONDS:g} s apart'
        )
    return segments


def gapless_runs(recording: Recording) -> list[Run]:
    """Return gapless runs of samples, as the decoder's intake has them.

    Raises:
        RecordingError: the intake takes none of the EMG.
    """
    first = recording.chunks[0]
    intake = Intake(first.samples.shape[1], first.sampling_rate)
    runs: list[_RunParts] = []
    for chunk in recording.chunks:
        bridged = intake.counts.bridged_samples
        for piece in intake.accept(chunk):
            if piece.restart:
                runs.append(_RunParts([], [], []))
            run, length = runs[-1], len(piece.samples)
            if intake.counts.bridged_samples > bridged:
                bridged = intake.counts.bridged_samples
                run.bridged.append(len(run.samples))
            offsets = np.round(np.arange(length) * NANOSECONDS / first.sampling_rate)
            run.samples.append(piece.samples)
            run.stamps_ns.append(piece.stamp_ns + offsets.astype(np.int64))
    if not runs:
        raise RecordingError(f'{recording.name} has no usable EMG: {intake.counts.faults()}')
    return [run.joined() for run in runs]


def _drop_mixed(roles: NDArray[np.int64], bridged: Sequence[range]) -> None:
    """Leave out bridges between roles: a bridge repeats the measured samples before it."""
    measured = np.ones(len(roles), dtype=np.bool_)
    for bridge in bridged:
        measured[bridge.start : bridge.stop] = False
    places = np.flatnonzero(measured)
    for bridge in bridged:
        source = places[np.searchsorted(places, bridge.start) - len(bridge)]
        if len(set(roles[source : bridge.stop].tolist())) > 1:
            roles[bridge.start : bridge.stop] = _NONE


def _angles(
    track: JointTrack,
    track_roles: NDArray[np.int64],
    names: Sequence[str],
    stamps_ns: NDArray[np.int64],
    roles: NDArray[np.int64],
) -> AlignedAngles:
    """Interpolate the reference at each sample, between angles of the sample's own role alone."""
    angles = AlignedAngles(
        np.full((len(stamps_ns), len(names)), np.nan), np.zeros(len(stamps_ns), dtype=np.bool_)
    )
    for role in Role:
        own, here = track_roles == role, roles == role
        part = JointTrack(track.stamps_ns[own], track.names, track.positions[own])
        angles.positions[here], angles.known[here] = angles_at(part, names, stamps_ns[here])
    return angles


def features_of(
    segments: Sequence[Segment], config: SignalPathConfig, statistics: FeatureStatistics | None
) -> list[NDArray[np.float32]]:
    """Return the features of each segment, shape (samples, channels)."""
    return [SignalPath(config, statistics).push(segment.samples) for segment in segments]


def arrange_lanes(
    features: Sequence[NDArray[np.float32]],
    targets: Sequence[NDArray[np.float32]],
    config: SignalPathConfig,
    lanes: int,
    rng: np.random.Generator | None = None,
) -> Lanes:
    """Cut segments into images and lay them out in parallel lanes of about equal length.

    Args:
        features: features of each segment, shape (samples, channels).
        targets: standardised angles of each segment, shape (samples, joints).
        config: what an image is.
        lanes: number of lanes, fewer if there are fewer segments.
        rng: if given, shuffles the segments and shifts each one's image grid by a random phase
            (augmentation).

    Raises:
        RecordingError: no segment holds a whole image.
    """
    image_length = config.image_length
    order = [i for i, feature in enumerate(features) if len(feature) >= image_length]
    if not order:
        raise RecordingError(
            f'no stretch of the recording holds a whole image of {image_length} samples'
        )
    if rng is not None:
        rng.shuffle(order)
    rows: list[list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = [
        [] for _ in range(min(lanes, len(order)))
    ]
    lengths = [0] * len(rows)
    for index in order:
        spare = len(features[index]) - image_length
        phase = 0 if rng is None else int(rng.integers(0, min(image_length, spare + 1)))
        images, angles = _images(features[index][phase:], targets[index][phase:], config)
        shortest = lengths.index(min(lengths))
        rows[shortest].append((images, angles))
        lengths[shortest] += len(images)
    return _side_by_side(rows, max(lengths))


def _images(
    features: NDArray[np.float32], targets: NDArray[np.float32], config: SignalPathConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    length = config.image_length
    count = len(features) // length
    images = columns_of(features[: count * length].reshape(count, length, -1), config.column_step)
    return images, targets[length - 1 : count * length : length]


def _side_by_side(
    rows: list[list[tuple[NDArray[np.float32], NDArray[np.float32]]]], steps: int
) -> Lanes:
    images, angles = rows[0][0]
    lanes = Lanes(
        images=np.zeros((steps, len(rows), *images.shape[1:]), dtype=np.float32),
        targets=np.zeros((steps, len(rows), angles.shape[1]), dtype=np.float32),
        fresh=np.zeros((steps, len(rows)), dtype=np.bool_),
        used=np.zeros((steps, len(rows)), dtype=np.bool_),
    )
    for lane, row in enumerate(rows):
        step = 0
        for images, angles in row:
            lanes.fresh[step, lane] = True
            lanes.images[step : step + len(images), lane] = images
            lanes.targets[step : step + len(images), lane] = angles
            lanes.used[step : step + len(images), lane] = True
            step += len(images)
    return lanes
