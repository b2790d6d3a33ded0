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

"""The pose of the cue at each time of a trial, as pure functions of time.

The cue moves from the resting hand to the pose and back with minimum jerk, like an unhurried
hand.
"""

from enum import Enum
from typing import NamedTuple

from leconvmn_ros.core.recording import NANOSECONDS
from leconvmn_ros.synthetic.motion import minimum_jerk
from leconvmn_ros.wearing.poses import REST_POSE
from leconvmn_ros.wearing.session import Movement, Session
import numpy as np
from numpy.typing import ArrayLike, NDArray

PERIOD = 0.02  # s, from one published cue to the next


class Phase(Enum):
    """The phases of a trial."""

    GO = 'go'
    HOLD = 'hold'
    RETURN = 'return'
    REST = 'rest'


class Moment(NamedTuple):
    """A time of a trial.

    Attributes:
        phase: phase of the trial.
        left: time until that ends (s).
    """

    phase: Phase
    left: float


def moment(session: Session, since_cue: float) -> Moment:
    """Return the phase at a time since the cue of a trial (s); before the cue it is rest."""
    if since_cue < 0:
        return Moment(Phase.REST, -since_cue)
    for phase, end in (
        (Phase.GO, session.ramp),
        (Phase.HOLD, session.ramp + session.hold),
        (Phase.RETURN, session.moving),
    ):
        if since_cue < end:
            return Moment(phase, end - since_cue)
    return Moment(Phase.REST, max(0.0, session.period - since_cue))


def bend(ramp: float, hold: float, since_cue: ArrayLike) -> NDArray[np.float64]:
    """Return how far the cue is from rest to pose: 0 to 1.

    Args:
        ramp: time to go there, and to come back (s).
        hold: time to stay there (s).
        since_cue: times since the cue (s), any shape.
    """
    times = np.asarray(since_cue, dtype=np.float64)
    zero, length = np.zeros(()), np.asarray(ramp)
    return minimum_jerk(times, zero, length) - minimum_jerk(times, zero + ramp + hold, length)


def cue_pose(session: Session, movement: Movement, since_cue: float) -> NDArray[np.float64]:
    """Return the ten angles that the cue shows (rad), shape (10,)."""
    share = float(bend(session.ramp, session.hold, since_cue))
    return REST_POSE + share * (movement.pose() - REST_POSE)


def to_ns(seconds: float) -> int:
    """Return seconds in whole nanoseconds."""
    return round(seconds * NANOSECONDS)
