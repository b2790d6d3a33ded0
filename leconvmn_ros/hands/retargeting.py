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

"""Turns human joint angles into the commands of a robot hand, as its profile describes.

This is the last stage before the motors. Whatever comes in, every command is within the limits
and the speed allowed, the first one is the present position of the hand, and only joints of the
profile are commanded. A hand that reports its pose is commanded only while the whole pose is
known, and no command leads it by more than the profile allows.
"""

from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple

from leconvmn_ros.core.errors import MalformedMessageError
from leconvmn_ros.core.joints import LARGEST_ANGLE
from leconvmn_ros.hands.anchors import Anchors
from leconvmn_ros.hands.calibration import Calibration, UNCALIBRATED
from leconvmn_ros.hands.motion import clip, Motion
from leconvmn_ros.hands.profile import HandProfile
from leconvmn_ros.hands.robot_state import DEFAULT_STATE_AGE, RobotState

# A late step advances by this many periods at most, so that a stall causes no jump.
LONGEST_STEP = 2
# A joint that is held back for longer is reported as not following (s).
FOLLOWING_PATIENCE = 0.5


class Command(NamedTuple):
    """A command, after all limits.

    Attributes:
        positions: angles (rad), in the order of the profile's joints.
        values: the same positions in the unit of the hand.
    """

    positions: list[float]
    values: list[float]


class Start(NamedTuple):
    """The pose at which commands began, and the pose they go to (rad, by joint)."""

    pose: dict[str, float]
    goal: dict[str, float]
    reported: bool


class Retargeter:
    """Drives one hand; the caller keeps the time (s, any origin, never decreasing).

    Attributes:
        profile: profile of the hand.
        clipped: for each joint, the number of commands that would have left its limits.
        missing: the human joints that the hand follows but that were not received within the
            timeout for stale input. The robot joints that follow them are at rest; if input had
            come before and the profile holds on stale input, they keep their position.
        stale: whether the last step had no fresh input.
        unknown: the robot joints whose position is unknown, for which the last step waited.
        started: the start of the present commands, None while there are none.
        fresh_starts: how often the hand was found away from its commanded pose, and commands
            started again from its real pose.
    """

    def __init__(
        self,
        profile: HandProfile,
        calibration: Calibration | None = None,
        anchors: Anchors | None = None,
        *,
        state_age: float = DEFAULT_STATE_AGE,
        blind: bool = False,
    ) -> None:
        """Prepare for a profile.

        Args:
            profile: profile of the hand.
            calibration: calibration of the wearer, None for the usual range of every joint.
            anchors: anchors of the hand; None for the joint map alone.
            state_age: age beyond which a reported position no longer counts (s).
            blind: ignore the reports of the hand and start from the rest pose, as for a hand that
                reports nothing.
        """
        self.profile = profile
        self.clipped = {joint.name: 0 for joint in profile.joints}
        self.missing: tuple[str, ...] = ()
        self.stale = False
        self.unknown: tuple[str, ...] = ()
        self.fresh_starts = 0
        self.started: Start | None = None
        self._human: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        self._first_heard: float | None = None
        self._last_heard = 0.0
        self._state = (
            RobotState(profile.joints, state_age) if profile.state and not blind else None
        )
        self._bound = profile.state.bound if profile.state else 0.0
        self._held_back_since: dict[str, float] = {}
        # Commanded position; before the first command and after silence it is a guess.
        self._motion = Motion(profile, anchors)
        self._pose = dict(self._motion.rest_pose)
        self._driving = False
        self._last_step = 0.0
        self.calibrate(calibration)

    def calibrate(self, calibration: Calibration | None) -> None:
        """Use another calibration from now on; the hand adjusts at its usual speed."""
        measured = calibration.joints if calibration else {}
        self._ranges = UNCALIBRATED.joints | measured

    def listen(self, angles: Mapping[str, float], now: float) -> bool:
        """Take the newest pose of the human hand.

        Args:
            angles: joint angles by name (rad); other names are ignored.
            now: when it came (s).

        Returns:
            Whether the hand follows any of these joints; if not, the message does not count.

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
        # Merge, because a source may send its joints in several messages.
        self._human |= human
        self._heard |= dict.fromkeys(human, now)
        if self._first_heard is None:
            self._first_heard = now
        self._last_heard = now
        return True

    def observe(self, pose: Mapping[str, float], now: float) -> bool:
        """Take the pose that the robot hand reports.

        Args:
            pose: positions by joint name (rad); it may cover a part of the hand only.
            now: when it came (s).

        Returns:
            Whether any of these joints belongs to this hand; if not, the message does not count.

        Raises:
            MalformedMessageError: a position is not finite or beyond its limits; the whole
                message is rejected.
        """
        return self._state is not None and self._state.observe(pose, now)

    def not_following(self, now: float) -> tuple[str, ...]:
        """Return the joints that have held the commands back for some time."""
        return tuple(
            name
            for name, since in self._held_back_since.items()
            if now - since > FOLLOWING_PATIENCE
        )

    def pause(self) -> None:
        """Stop commanding until the next step, which starts from the hand's pose at that time."""
        self._driving = False
        self.started = None
        self._held_back_since = {}

    def step(self, now: float) -> Command | None:
        """Return the next command, None if nothing is to be published.

        Args:
            now: the time (s); a step is due every period of the profile's command.
        """
        if self._first_heard is None:
            return None
        self.missing = self._not_heard(now)
        self.stale = now - self._last_heard > self.profile.stale.after
        if self.stale and self.profile.stale.then == 'stop':
            # Another controller may move the hand meanwhile: start afresh when input returns.
            self.pause()
            self._first_heard = None
            self._human, self._heard = {}, {}
            return None
        here = self._state.pose(now) if self._state else None
        self.unknown = self._state.unknown(now) if self._state else ()
        if self.unknown:
            # The present position is unknown: stand still.
            self.pause()
            return None
        if not self._driving:
            self._start(here)
        elif here and self._is_elsewhere(here):
            self.fresh_starts += 1
            self._start(here)
        else:
            most = LONGEST_STEP * self.profile.command.period
            passed = min(max(now - self._last_step, 0.0), most)
            if self.stale and self.profile.stale.then == 'hold':
                self._pose = self._motion.hold(self._pose, passed)
            else:
                self._move(passed)
            if here:
                self._keep_near(here, now)
        self._last_step = now
        positions = [self._pose[joint.name] for joint in self.profile.joints]
        return Command(positions, self.profile.in_unit(positions))

    def _not_heard(self, now: float) -> tuple[str, ...]:
        first, after = self._first_heard or now, self.profile.stale.after
        return tuple(
            name
            for name in self.profile.human_joints
            if now - self._heard.get(name, first) > after
        )

    def _start(self, here: Mapping[str, float] | None) -> None:
        """Start at the hand's reported pose, or without a report at its last command."""
        self._driving = True
        self._held_back_since = {}
        self._motion.start()
        for joint in self.profile.joints:
            self._pose[joint.name] = clip(joint, (here or self._pose)[joint.name])
        closings = None if self.stale else self._closings()
        goal = self._motion.destination(closings)
        self.started = Start(dict(self._pose), goal, here is not None)

    def _is_elsewhere(self, here: Mapping[str, float]) -> bool:
        """Whether another controller moved the hand: one held back stays within the bound."""
        return any(
            abs(clip(joint, here[joint.name]) - self._pose[joint.name]) > 2 * self._bound
            for joint in self.profile.joints
        )

    def _keep_near(self, here: Mapping[str, float], now: float) -> None:
        """Keep every command within the allowed lead over its joint."""
        for joint in self.profile.joints:
            name, at = joint.name, clip(joint, here[joint.name])
            held = min(max(self._pose[name], at - self._bound), at + self._bound)
            if held == self._pose[name]:
                self._held_back_since.pop(name, None)
            else:
                self._held_back_since.setdefault(name, now)
                self._pose[name] = held

    def _move(self, seconds: float) -> None:
        """Move towards the human hand, or to rest, for that time (s)."""
        goal = self._motion.advance(self._pose, None if self.stale else self._closings(), seconds)
        self._pose = goal.pose
        for name in goal.clipped:
            self.clipped[name] += 1

    def _closings(self) -> dict[str, float]:
        """Return the closings of the human joints that are known."""
        known = set(self._human)
        if self.profile.stale.then == 'rest':
            known -= set(self.missing)
        return {name: self._ranges[name].closing(self._human[name]) for name in known}
