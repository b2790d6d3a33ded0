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

"""The prompts of a recording: the movement asked for at each time, and its target angles.

The target of a repetition is the template of its movement from the training, stretched from the
onset to the end of the repetition in the EMG.
"""

from typing import NamedTuple

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import NANOSECONDS, Recording
from leconvmn_ros.dataset.cue_timing import attempts
from leconvmn_ros.dataset.movement_timing import made_movements, MadeMovement
from leconvmn_ros.dataset.repetitions import repetitions_of
from leconvmn_ros.dataset.segments import gapless_runs
from leconvmn_ros.decoding.movement_templates import MovementTemplates, PHASES
import numpy as np
from numpy.typing import NDArray

# Time in which the hand comes to rest after the last point of a template (s).
SETTLING = 0.5


class Prompts(NamedTuple):
    """The repetitions of a recording.

    Attributes:
        made: the valid ones, in time order.
        withdrawn_ns: start and end of the withdrawn ones (ns).
    """

    made: tuple[MadeMovement, ...]
    withdrawn_ns: tuple[tuple[int, int], ...]

    def movements_at(self, stamps_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the movement at each time, 0 = rest, -1 = withdrawn, shape (times,)."""
        movements = np.zeros(len(stamps_ns), dtype=np.int64)
        for each in self.made:
            inside = (stamps_ns >= each.start_ns) & (stamps_ns < each.end_ns)
            movements[inside] = each.label.movement
        movements[self.withdrawn(stamps_ns)] = -1
        return movements

    def withdrawn(self, stamps_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which times are withdrawn, shape (times,)."""
        gone = np.zeros(len(stamps_ns), dtype=np.bool_)
        for first, last in self.withdrawn_ns:
            gone |= (stamps_ns >= first) & (stamps_ns < last)
        return gone

    def angles_at(
        self, stamps_ns: NDArray[np.int64], templates: MovementTemplates
    ) -> NDArray[np.float64]:
        """Return the target angles at each time (rad), shape (times, joints)."""
        by_number = templates.by_number()
        times = stamps_ns.astype(np.float64)
        rest = np.array(templates.rest)
        angles = np.tile(rest, (len(times), 1))
        for place, each in enumerate(self.made):
            length = float(each.end_ns - each.start_ns)
            first, last = each.start_ns + PHASES[0] * length, each.start_ns + PHASES[-1] * length
            if place:
                # The return of the previous repetition counts until this one begins.
                first = max(first, float(self.made[place - 1].end_ns))
            settled = last + SETTLING * NANOSECONDS
            here = (times >= first) & (times < settled)
            points = each.start_ns + PHASES * length
            curve = np.array(by_number[each.label.movement].angles)
            shown = np.stack([np.interp(times[here], points, c) for c in curve.T], axis=1)
            away = np.clip((settled - times[here]) / (settled - last), 0, 1)[:, None]
            angles[here] = rest + away * (shown - rest)
        return angles


def prompts_of(recording: Recording, known: frozenset[int]) -> Prompts:
    """Find the prompted repetitions of a recording, and when each was made.

    Args:
        recording: EMG and movement labels.
        known: numbers of the movements that the decoder knows.

    Raises:
        RecordingError: it has no usable EMG, no labels, or none of the movements.
    """
    if recording.labels is None or not recording.chunks:
        missing = 'EMG' if not recording.chunks else 'movement labels'
        raise RecordingError(
            f'{recording.name} has no {missing}; a prompted adaptation needs a guided session'
        )
    end_ns = recording.span_ns[1]
    withdrawn = {
        (each.start_ns, each.next_ns)
        for each in attempts(recording.labels, end_ns)
        if each.withdrawn
    }
    gone = {start_ns for start_ns, _ in withdrawn}
    asked = [
        each for each in repetitions_of(recording.labels, end_ns) if each.rest_ns > each.start_ns
    ]
    unknown = [each for each in asked if each.movement not in known]
    withdrawn |= {(each.start_ns, each.end_ns) for each in unknown}
    counted = [each for each in asked if each.start_ns not in gone and each.movement in known]
    if not counted:
        raise RecordingError(
            f'{recording.name} asks for movements {sorted({each.movement for each in asked})}; '
            f'the decoder knows {sorted(known)}'
        )
    rate = recording.chunks[0].sampling_rate
    made = made_movements(gapless_runs(recording), rate, counted)
    return Prompts(tuple(made), tuple(sorted(withdrawn)))
