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

"""Computes movement templates from training data; see `decoding.movement_templates`."""

from collections.abc import Sequence

from leconvmn_ros.core.recording import Recording
from leconvmn_ros.dataset.hold_out import movement_at, Role
from leconvmn_ros.dataset.movement_timing import made_movements, MadeMovement
from leconvmn_ros.dataset.repetitions import Repetition, repetitions_of
from leconvmn_ros.dataset.segments import Run, Segment
from leconvmn_ros.decoding.movement_templates import (
    Course,
    MovementTemplates,
    PHASES,
    templates_of,
)
import numpy as np
from numpy.typing import NDArray


def gathered_templates(
    owned: Sequence[tuple[Segment, Recording]],
) -> MovementTemplates | None:
    """Average the movements of a training; None where they have no labels.

    Args:
        owned: segments with their recordings; only those of the training part count.
    """
    by_recording: dict[int, tuple[Recording, list[Segment]]] = {}
    for segment, recording in owned:
        if segment.role is Role.TRAINING:
            by_recording.setdefault(id(recording), (recording, []))[1].append(segment)
    courses: list[Course] = []
    rests: list[NDArray[np.float64]] = []
    for recording, segments in by_recording.values():
        if recording.labels is None:
            return None
        labels = repetitions_of(recording.labels, recording.span_ns[1])
        homes = [(each, _segment_of(each, segments)) for each in labels]
        learnt = [(each, home) for each, home in homes if home is not None]
        # Held-out EMG must not influence the level.
        runs = [Run(segment.samples, segment.stamps_ns, []) for segment in segments]
        rate = recording.chunks[0].sampling_rate
        made = made_movements(runs, rate, [each for each, _ in learnt])
        courses += [
            _course(one, home, labels) for one, (_, home) in zip(made, learnt, strict=True)
        ]
        rests += [s.angles[movement_at(recording.labels, s.stamps_ns) == 0] for s in segments]
    at_rest = np.concatenate(rests) if rests else np.empty((0, 0))
    if not len(at_rest):
        at_rest = np.concatenate([s.angles for _, own in by_recording.values() for s in own])
    return templates_of(courses, np.median(at_rest, axis=0))


def _segment_of(label: Repetition, segments: Sequence[Segment]) -> Segment | None:
    """Return the segment that contains a movement, without its rest; None if none does."""
    if label.rest_ns <= label.start_ns:
        return None
    for segment in segments:
        stamps = segment.stamps_ns
        if len(stamps) > 1:
            period = stamps[1] - stamps[0]
            inside = stamps[0] - period <= label.start_ns and label.rest_ns <= stamps[-1] + period
            if inside:
                return segment
    return None


def _course(made: MadeMovement, segment: Segment, labels: Sequence[Repetition]) -> Course:
    """Return the angles of a repetition at the points of a template."""
    length = made.end_ns - made.start_ns
    times = made.start_ns + PHASES * length
    stamps = segment.stamps_ns.astype(np.float64)
    angles = np.stack([np.interp(times, stamps, column) for column in segment.angles.T], axis=1)
    unknown = (times < stamps[0]) | (times > stamps[-1])
    for other in labels:
        if other.start_ns != made.label.start_ns:
            # The hand is still, or already, making another movement.
            unknown |= (times > other.start_ns) & (times < other.rest_ns)
    angles[unknown] = np.nan
    return Course(made.label.movement, made.duration, angles)
