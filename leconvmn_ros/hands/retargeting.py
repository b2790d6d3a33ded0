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

"""From human joint angles to the commands of a robot hand, as its profile has it.

This is the last place before a motor, so whatever comes in: no command leaves the limits, none
asks for more than the speed allowed, the first one is where the hand already is, and there is one
for the joints of the profile alone.
"""

from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple

from leconvmn_ros.errors import MalformedMessageError
from leconvmn_ros.hands.calibration import Calibration, UNCALIBRATED
from leconvmn_ros.hands.profile import follow, HandProfile, RobotJoint
from leconvmn_ros.joints import LARGEST_ANGLE

# A step that comes late moves on by no more than so many periods: a stall is no jump.
LONGEST_STEP = 2


class Command(NamedTuple):
    """What is really sent, after all limits.

    Attributes:
        positions: angles (rad), in the order of the profile's joints.
        values: the same in the unit of the hand.
    """

    positions: list[float]
    values: list[float]


class Retargeter:
    """Drives one hand; the caller has the clock (s, of any origin, never going back).

    Attributes:
        profile: of the hand.
        clipped: for each joint, how many commands would have left its limits.
        missing: the human joints that the hand follows and the last input did not have; what
            follows them is at rest.
        stale: whether the last step had no fresh input.
    """

    def __init__(self, profile: HandProfile, calibration: Calibration | None = None) -> None:
        """Take over the profile.

        Args:
            profile: of the hand.
            calibration: of the wearer, None for the usual range of every joint.
        """
        self.profile = profile
        self.clipped = {joint.name: 0 for joint in profile.joints}
        self.missing: tuple[str, ...] = ()
        self.stale = False
        self._human: dict[str, float] = {}
        self._first_heard: float | None = None
        self._last_heard = 0.0
        self._observed: dict[str, float] = {}
        # Where the hand has been told to be; before that, and after silence, a guess.
        self._pose = dict(profile.rest_pose)
        self._driving = False
        self._last_step = 0.0
        self.calibrate(calibration)

    def calibrate(self, calibration: Calibration | None) -> None:
        """Use another calibration from now on; the hand goes there at its usual speed."""
        measured = calibration.joints if calibration else {}
        self._ranges = UNCALIBRATED.joints | measured

    def listen(self, angles: Mapping[str, float], now: float) -> bool:
        """Take the newest pose of the human hand.

        Args:
            angles: joint angles by name (rad); names that no human joint has are left out.
            now: when it came (s).

        Returns:
            Whether the hand follows any of these joints; if not, it was no input.

        Raises:
            MalformedMessageError: an angle is not finite or no angle of a hand.
        """
        human = {name: angles[name] for name in self.profile.human_joints if name in angles}
        for name, angle in human.items():
            if not (isfinite(angle) and abs(angle) <= LARGEST_ANGLE):
                raise MalformedMessageError(
                    f'{name} is {angle}; allowed are finite radians up to {LARGEST_ANGLE:.2f}'
                )
        if not human:
            return False
        self._human = human
        self.missing = tuple(name for name in self.profile.human_joints if name not in human)
        if self._first_heard is None:
            self._first_heard = now
        self._last_heard = now
        return True

    def observe(self, pose: Mapping[str, float]) -> None:
        """Take the pose that the robot hand reports, by joint name (rad)."""
        for joint in self.profile.joints:
            position = pose.get(joint.name)
            if position is not None and isfinite(position):
                self._observed[joint.name] = position

    @property
    def waiting_for_state(self) -> bool:
        """Whether the hand should report its pose and has not yet."""
        return self.profile.state is not None and not self._observed

    def step(self, now: float) -> Command | None:
        """Return the next command, None if nothing is to be published.

        Args:
            now: the time (s); a step is due every period of the profile's command.
        """
        if self._first_heard is None:
            return None
        self.stale = now - self._last_heard > self.profile.stale.after
        if self.stale and self.profile.stale.then == 'stop':
            # Somebody else may move the hand meanwhile: start afresh.
            self._driving = False
            self._first_heard = None
            self._observed = {}
            return None
        if not self._driving:
            if self._must_wait(now - self._first_heard):
                return None
            self._driving = True
            for joint in self.profile.joints:
                here = self._observed.get(joint.name, self._pose[joint.name])
                self._pose[joint.name] = _clip(joint, here)
        elif not (self.stale and self.profile.stale.then == 'hold'):
            most = LONGEST_STEP * self.profile.command.period
            self._move(min(max(now - self._last_step, 0.0), most))
        self._last_step = now
        positions = [self._pose[joint.name] for joint in self.profile.joints]
        return Command(positions, self.profile.in_unit(positions))

    def _must_wait(self, waited: float) -> bool:
        state = self.profile.state
        return state is not None and self.waiting_for_state and waited < state.wait

    def _move(self, seconds: float) -> None:
        """Go towards the target for so long; what is coupled comes last."""
        target = self.profile.rest_pose if self.stale else self._target()
        for joint in sorted(self.profile.joints, key=lambda joint: joint.coupled is not None):
            wanted = target[joint.name]
            if joint.coupled and not self.stale:
                wanted = follow(joint.coupled, self._pose)
            reached = _clip(joint, wanted)
            self.clipped[joint.name] += reached != wanted
            here = self._pose[joint.name]
            reach = self.profile.speed_of(joint) * seconds
            self._pose[joint.name] = min(max(reached, here - reach), here + reach)

    def _target(self) -> dict[str, float]:
        target = dict(self.profile.rest_pose)
        for joint in self.profile.joints:
            if joint.follows and not set(self.missing) & set(joint.follows):
                target[joint.name] = self._followed(joint)
        return target

    def _followed(self, joint: RobotJoint) -> float:
        """Return where the human hand takes a joint (rad), limits aside."""
        closing = sum(
            weight * self._ranges[name].closing(self._human[name])
            for name, weight in (joint.follows or {}).items()
        )
        opened, closed = joint.open or 0.0, joint.closed or 0.0
        return opened + closing * (closed - opened)


def _clip(joint: RobotJoint, position: float) -> float:
    lower, upper = joint.limits
    return min(max(position, lower), upper)
