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

"""The repetitions of a recording: a movement with the rest after it, up to the next movement.

They are the units whose order can be shuffled: a wearer moves in any order, whereas a recording
protocol repeats each movement several times in a row.
"""

from itertools import pairwise
from typing import NamedTuple

from leconvmn_ros.core.recording import LabelTrack, NANOSECONDS, Recording
from leconvmn_ros.dataset.hold_out import HoldOut, Role
from leconvmn_ros.dataset.segments import gapless_runs
import numpy as np
from numpy.typing import NDArray


class Repetition(NamedTuple):
    """One execution of a movement.

    Attributes:
        movement: number of the movement, above 0.
        repetition: number of the repetition.
        start_ns: start of the movement (ns).
        rest_ns: start of the rest after it (ns); `end_ns` if there is none.
        end_ns: start of the next movement or repetition, or end of the recording
            (ns).
    """

    movement: int
    repetition: int
    start_ns: int
    rest_ns: int
    end_ns: int


class RepetitionSamples(NamedTuple):
    """The EMG of a repetition.

    Attributes:
        label: the repetition.
        samples: EMG (V), shape (samples, channels), without a gap.
        stamps_ns: their times (ns), shape (samples,).
    """

    label: Repetition
    samples: NDArray[np.float32]
    stamps_ns: NDArray[np.int64]


def repetitions_of(labels: LabelTrack, end_ns: int) -> list[Repetition]:
    """Return all repetitions in time order.

    Args:
        labels: the movement labels; time before the first movement belongs to none.
        end_ns: end of the recording (ns).
    """
    movement, repetition, stamps = labels.movement, labels.repetition, labels.stamps_ns
    if not len(movement):
        return []
    moving = movement > 0
    changed = np.ones(len(movement), dtype=np.bool_)
    changed[1:] = (movement[1:] != movement[:-1]) | (repetition[1:] != repetition[:-1])
    # A rest with the number of the next repetition does not belong to the movement before.
    ends = np.flatnonzero(changed & (moving | (np.diff(repetition, prepend=0) != 0)))
    found: list[Repetition] = []
    for first, after in pairwise([*ends.tolist(), len(movement)]):
        if not moving[first]:
            continue
        start, end = int(stamps[first]), int(stamps[after]) if after < len(stamps) else end_ns
        rests = np.flatnonzero(~moving[first:after])
        rest = int(stamps[first + rests[0]]) if len(rests) else end
        if start < end:
            number = int(repetition[first])
            found.append(Repetition(int(movement[first]), number, start, min(rest, end), end))
    return found


def held_out_repetitions(
    recording: Recording, hold_out: HoldOut | None
) -> list[RepetitionSamples]:
    """Return the EMG of the test repetitions, in order of time.

    A repetition counts if all of its EMG is held out and recorded without a gap.

    Args:
        recording: EMG and labels.
        hold_out: which part plays which role; None takes every repetition.

    Raises:
        RecordingError: the recording has no usable EMG.
    """
    if recording.labels is None:
        return []
    labels = repetitions_of(recording.labels, recording.span_ns[1])
    period_ns = NANOSECONDS / recording.chunks[0].sampling_rate if recording.chunks else 0
    found: list[RepetitionSamples] = []
    for run in gapless_runs(recording):
        stamps = run.stamps_ns
        is_test = np.ones(len(stamps), dtype=np.bool_)
        if hold_out is not None:
            is_test = hold_out.roles(stamps, recording.labels, recording.span_ns) == Role.TEST
        for label in labels:
            first, last = np.searchsorted(stamps, (label.start_ns, label.end_ns)).tolist()
            if first == last or not is_test[first:last].all():
                continue
            # If the run begins or ends within the repetition, a part is missing.
            late = stamps[first] - label.start_ns
            early = label.end_ns - stamps[last - 1]
            if max(late, early) <= 1.5 * period_ns:
                part = slice(first, last)
                found.append(RepetitionSamples(label, run.samples[part], stamps[part]))
    return sorted(found, key=lambda piece: piece.label.start_ns)
