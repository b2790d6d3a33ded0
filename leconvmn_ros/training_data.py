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
nothing of a held-out repetition, not even the tail of an RMS window, reaches the training data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from leconvmn_ros.alignment import angles_at
from leconvmn_ros.errors import RecordingError
from leconvmn_ros.intake import Intake
from leconvmn_ros.protocol import HoldOut, Role
from leconvmn_ros.recording import NANOSECONDS, Recording
from leconvmn_ros.signal_path import columns_of, FeatureStatistics, SignalPath, SignalPathConfig
import numpy as np
from numpy.typing import NDArray


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


def cut_segments(recording: Recording, names: Sequence[str], hold_out: HoldOut) -> list[Segment]:
    """Cut a recording into segments, in time order; what has no reference angle is left out.

    Args:
        recording: EMG and reference.
        names: joints wanted from the reference.
        hold_out: which part plays which role.

    Raises:
        RecordingError: no EMG, no reference, or none at the same times.
    """
    if not recording.chunks:
        raise RecordingError(f'{recording.name} has no EMG')
    if recording.reference is None:
        raise RecordingError(f'{recording.name} has no reference angles to learn from')
    segments = []
    for samples, stamps_ns in _runs(recording):
        angles, known = angles_at(recording.reference, names, stamps_ns)
        roles = np.where(known, hold_out.roles(stamps_ns, recording.labels, recording.span_ns), -1)
        edges = np.flatnonzero(np.diff(roles)) + 1
        for first, last in pairwise([0, *edges.tolist(), len(roles)]):
            if roles[first] >= 0:
                segments.append(
                    Segment(Role(roles[first]), samples[first:last], angles[first:last])
                )
    if not segments:
        raise RecordingError(f'{recording.name}: the reference angles and the EMG share no time')
    return segments


def _runs(recording: Recording) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Return gapless runs of samples with their times (ns), as the decoder's intake has them."""
    first = recording.chunks[0]
    intake = Intake(first.samples.shape[1], first.sampling_rate)
    runs: list[list[tuple[NDArray[np.float32], NDArray[np.int64]]]] = []
    for chunk in recording.chunks:
        for piece in intake.accept(chunk):
            if piece.restart:
                runs.append([])
            offsets = np.round(np.arange(len(piece.samples)) * NANOSECONDS / first.sampling_rate)
            runs[-1].append((piece.samples, piece.stamp_ns + offsets.astype(np.int64)))
    return [
        (np.concatenate([p[0] for p in run]), np.concatenate([p[1] for p in run])) for run in runs
    ]


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
