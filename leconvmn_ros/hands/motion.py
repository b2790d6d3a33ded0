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

"""Moves a robot hand from where it is to where the human hand takes it, command by command.

Limits, speed and acceleration hold for any input. With anchors, every pose on the way is one that
the anchors allow, so fingers and thumb wait for one another instead of colliding: the speed is
limited before the pose is computed, not joint by joint afterwards.
"""

from collections.abc import Callable, Iterable, Mapping
from math import sqrt
from typing import NamedTuple

from leconvmn_ros.hands.anchors import AnchoredMap, Anchors, AT_REST, HandShape
from leconvmn_ros.hands.profile import follow, HandProfile, RobotJoint

Pose = dict[str, float]

# Fractions of the remaining way at which the thumb is checked for room.
LOOK_AHEAD = (0.1, 0.25, 0.5, 0.75, 1.0)
# Shares of their pace at which the fingers move while the thumb gives way; after these they wait.
SLOWED = (1.0, 0.5, 0.25, 0.125)
SMALL_TURN = 0.1
# Attempts to find a feasible share of a way, each smaller than the last by this factor or less.
TRIES, SHRINK = 16, 0.75
FASTEST = 1.0 + 1e-6
# Under a limit of acceleration, a joint this far behind (rad) makes the others wait.
LAG = 0.015
# Within this distance (rad) a joint has arrived.
ARRIVED = 1e-6


class Goal(NamedTuple):
    """The pose that the human hand asks of the robot hand.

    Attributes:
        pose: angles (rad), within the limits.
        clipped: joints that would have left their limits.
    """

    pose: Pose
    clipped: tuple[str, ...]


class Motion:
    """Computes the commands of one hand.

    Attributes:
        profile: profile of the hand.
        rest_pose: the pose it takes without a human hand (rad), by joint.
    """

    def __init__(self, profile: HandProfile, anchors: Anchors | None = None) -> None:
        """Prepare for a profile, and for the anchors of the hand if there are any."""
        self.profile = profile
        self._anchored = AnchoredMap(anchors) if anchors else None
        self._thumb = tuple(anchors.thumb_joints) if anchors else ()
        # Leaders before the joints coupled to them.
        self._joints = sorted(profile.joints, key=lambda joint: joint.coupled is not None)
        self.rest_pose = self._at_rest()
        self._speeds: dict[str, float] = {}
        self._left: Pose = {}
        self._shape: HandShape | None = None

    def start(self) -> None:
        """Start at rest from the next pose given."""
        self._speeds = {}
        self._left = {}
        self._shape = None

    def destination(self, closings: Mapping[str, float] | None) -> Pose:
        """Return the final pose of the robot hand for a human hand; see `advance`."""
        if self._anchored is None:
            return self._joint_map(closings).pose
        wanted = AT_REST if closings is None else self._anchored.shape(closings)
        return self._of_shape(self._anchored, wanted).pose

    def advance(
        self, pose: Mapping[str, float], closings: Mapping[str, float] | None, seconds: float
    ) -> Goal:
        """Return the next command.

        Args:
            pose: the last command (rad), by joint.
            closings: known closings of the human joints, 0 open to 1 fist; None to go to
                the rest pose.
            seconds: time since the last command.

        Returns:
            The pose to command now, and the joints that the human hand asks beyond their limits.
        """
        if self._anchored is None:
            goal = self._joint_map(closings)
        else:
            goal = self._anchored_goal(self._anchored, pose, closings, seconds)
        follows = closings is not None or self._anchored is not None
        return Goal(self._track(pose, goal.pose, seconds, coupled=follows), goal.clipped)

    def hold(self, pose: Mapping[str, float], seconds: float) -> Pose:
        """Stop at once, or as fast as the limit of acceleration allows."""
        stops = {
            joint.name: pose[joint.name] + self._stopping(joint, pose) for joint in self._joints
        }
        return self._track(pose, stops, seconds, coupled=False)

    def _stopping(self, joint: RobotJoint, pose: Mapping[str, float]) -> float:
        limit = self.profile.acceleration_of(joint)
        speed = self._speed(joint.name, pose)
        return speed * abs(speed) / (2 * limit) if limit else 0.0

    def _speed(self, name: str, pose: Mapping[str, float]) -> float:
        """Return the commanded speed of a joint; a joint that is held back has speed 0."""
        return self._speeds.get(name, 0.0) if self._left.get(name) == pose[name] else 0.0

    def _track(
        self,
        pose: Mapping[str, float],
        goal: Mapping[str, float],
        seconds: float,
        *,
        coupled: bool,
    ) -> Pose:
        """Move each joint towards its goal, within limits, speed and acceleration.

        Where `coupled`, joints follow the present position of their leaders, not their goal.
        """
        moved: Pose = {}
        for joint in self._joints:
            name, here = joint.name, pose[joint.name]
            wanted = goal[name]
            if coupled and joint.coupled:
                wanted = follow(joint.coupled, moved)
            step = clip(joint, wanted) - here
            reach = self.profile.speed_of(joint) * seconds
            limit = self.profile.acceleration_of(joint)
            step = min(max(step, -reach), reach)
            if limit and seconds > 0:
                step = _accelerated(step, self._speed(name, pose), limit, seconds)
            moved[name] = clip(joint, here + step)
            if seconds > 0:
                self._speeds[name] = (moved[name] - here) / seconds
        self._left = moved
        return {joint.name: moved[joint.name] for joint in self.profile.joints}

    def _at_rest(self) -> Pose:
        if self._anchored is None:
            return dict(self.profile.rest_pose)
        return self._of_shape(self._anchored, AT_REST).pose

    def _joint_map(self, closings: Mapping[str, float] | None) -> Goal:
        goal, clipped = dict(self.profile.rest_pose), []
        if closings is not None:
            for joint in self._joints:
                wanted = _followed(joint, closings)
                if joint.coupled:
                    wanted = follow(joint.coupled, goal)
                if wanted is not None:
                    goal[joint.name] = clip(joint, wanted)
                    if goal[joint.name] != wanted:
                        clipped.append(joint.name)
        return Goal(goal, tuple(clipped))

    def _of_shape(self, anchored: AnchoredMap, shape: HandShape) -> Goal:
        goal = self._joint_map(anchored.finger_closings(shape))
        thumb = anchored.thumb(shape.turn, shape.closing)
        pose = goal.pose | dict(zip(self._thumb, map(float, thumb), strict=True))
        for joint in self._joints:
            if joint.coupled and joint.coupled.joint in self._thumb:
                pose[joint.name] = clip(joint, follow(joint.coupled, pose))
        return Goal(pose, goal.clipped)

    def _anchored_goal(
        self,
        anchored: AnchoredMap,
        pose: Mapping[str, float],
        closings: Mapping[str, float] | None,
        seconds: float,
    ) -> Goal:
        wanted = AT_REST if closings is None else anchored.shape(closings)
        if self._shape is None:
            return self._joining(anchored, pose, wanted)
        if not self._lags(anchored, self._shape, pose):
            self._shape = self._next_shape(anchored, self._shape, wanted, seconds)
        clipped = self._of_shape(anchored, wanted).clipped
        return Goal(self._of_shape(anchored, self._shape).pose, clipped)

    def _lags(self, anchored: AnchoredMap, shape: HandShape, pose: Mapping[str, float]) -> bool:
        """Whether acceleration keeps a joint behind; one that is held back does not count."""
        goal = self._of_shape(anchored, shape).pose
        return any(
            abs(goal[joint.name] - pose[joint.name]) > LAG
            for joint in self._joints
            if self.profile.acceleration_of(joint)
            and self._left.get(joint.name) == pose[joint.name]
        )

    def _joining(
        self, anchored: AnchoredMap, pose: Mapping[str, float], wanted: HandShape
    ) -> Goal:
        """Go from any pose to one that the anchors allow: first the thumb, then the fingers."""
        joined = wanted._replace(closing=0.0)
        goal = self._of_shape(anchored, joined)
        if all(abs(pose[name] - angle) <= ARRIVED for name, angle in goal.pose.items()):
            self._shape = joined
            return goal
        if all(abs(pose[name] - goal.pose[name]) <= ARRIVED for name in self._thumb):
            return goal
        return goal._replace(pose=dict(pose) | {name: goal.pose[name] for name in self._thumb})

    def _next_shape(
        self, anchored: AnchoredMap, shape: HandShape, wanted: HandShape, seconds: float
    ) -> HandShape:
        """Go from one shape towards another as far as all joints may move in that time.

        Each finger has its own pace. Fingers wait where the thumb has to give way first.
        """
        here = self._of_shape(anchored, shape).pose
        bends = dict(shape.bends)
        for finger in _fingers(shape):
            names = [name for name in bends if name.startswith(finger)]

            def finger_pace(part: float, names: list[str] = names) -> float:
                end = _between(shape, wanted, part, names)
                return self._finger_pace(anchored, shape.bends, end, seconds)

            bends |= _between(shape, wanted, self._share(finger_pace), names)
        open_way = min(
            anchored.clearance(_between(shape, wanted, part, bends), _turned(shape, wanted, part))
            for part in LOOK_AHEAD
        )
        goal = wanted._replace(closing=min(wanted.closing, open_way))

        def pace(there: HandShape) -> float:
            pose = self._of_shape(anchored, there).pose
            return (
                max(
                    abs(pose[joint.name] - here[joint.name]) / self.profile.speed_of(joint)
                    for joint in self._joints
                )
                / seconds
            )

        def thumb(some: dict[str, float], part: float) -> HandShape:
            turn = _turned(shape, goal, part)
            closing = shape.closing + part * (goal.closing - shape.closing)
            return HandShape(some, turn, min(closing, anchored.clearance(some, turn)))

        for slowed in SLOWED:
            some = _between(shape, shape._replace(bends=bends), slowed, bends)
            if pace(thumb(some, 0.0)) > FASTEST:
                continue

            def thumb_pace(part: float, some: dict[str, float] = some) -> float:
                return pace(thumb(some, part))

            part = self._share(thumb_pace)
            if part or some != shape.bends:
                return thumb(some, part)
        return self._give_way(anchored, shape, goal._replace(bends=bends), pace)

    def _give_way(
        self,
        anchored: AnchoredMap,
        shape: HandShape,
        wanted: HandShape,
        pace: Callable[[HandShape], float],
    ) -> HandShape:
        """Open the thumb until it leaves room for the next move of the fingers."""
        turn = shape.turn + min(max(wanted.turn - shape.turn, -SMALL_TURN), SMALL_TURN)
        room = min(anchored.clearance(wanted.bends, at) for at in (shape.turn, turn))
        way = min(room - shape.closing, 0.0)
        part = self._share(lambda part: pace(shape._replace(closing=shape.closing + part * way)))
        return shape._replace(closing=shape.closing + part * way)

    def _share(self, pace: Callable[[float], float]) -> float:
        """Return the largest share of a way, 0 to 1, that keeps the pace allowed."""
        share = 1.0
        for _ in range(TRIES):
            too_fast = pace(share)
            if too_fast <= FASTEST:
                return share
            share *= min(1 / too_fast, SHRINK)
        return 0.0

    def _finger_pace(
        self,
        anchored: AnchoredMap,
        start: Mapping[str, float],
        end: Mapping[str, float],
        seconds: float,
    ) -> float:
        """Return the speed of a finger's joints relative to the speed allowed."""
        before = {name: anchored.joint_closing(name, start[name]) for name in start}
        after = before | {name: anchored.joint_closing(name, part) for name, part in end.items()}
        paces = [0.0]
        for joint in self._joints:
            if joint.follows and not end.keys().isdisjoint(joint.follows):
                ends = [_followed(joint, closings) for closings in (before, after)]
                if None not in ends:
                    way = clip(joint, ends[1] or 0.0) - clip(joint, ends[0] or 0.0)
                    paces.append(abs(way) / (self.profile.speed_of(joint) * seconds))
        return max(paces)


def _turned(shape: HandShape, wanted: HandShape, part: float) -> float:
    return shape.turn + part * (wanted.turn - shape.turn)


def _fingers(shape: HandShape) -> list[str]:
    return list(dict.fromkeys(name.partition('_')[0] for name in shape.bends))


def _between(
    shape: HandShape, wanted: HandShape, part: float, joints: Iterable[str]
) -> dict[str, float]:
    return {
        name: shape.bends[name] + part * (wanted.bends[name] - shape.bends[name])
        for name in joints
    }


def _followed(joint: RobotJoint, closings: Mapping[str, float]) -> float | None:
    """Return the position that the human hand asks of a joint (rad), before limits, or None."""
    if joint.follows is None or not all(name in closings for name in joint.follows):
        return None
    closing = sum(weight * closings[name] for name, weight in joint.follows.items())
    opened, closed = joint.open or 0.0, joint.closed or 0.0
    return opened + closing * (closed - opened)


def _accelerated(step: float, speed: float, limit: float, seconds: float) -> float:
    """Return the step (rad) nearest to the wanted one that acceleration allows.

    The joint is never too fast to stop at its goal.
    """
    change = limit * seconds
    # The speed from which the joint stops within `room`, in steps of this time: v^2 / 2a + vt / 2,
    # and up to at^2 / 8 more, as v need not be a whole number of steps. One step's change stops.
    room = max(abs(step) - change * seconds / 8, 0.0)
    stopping = sqrt((change / 2) ** 2 + 2 * limit * room) - change / 2
    fastest = max(stopping, min(abs(step) / seconds, change))
    wanted = min(abs(step) / seconds, fastest) * (1 if step > 0 else -1)
    return min(max(wanted, speed - change), speed + change) * seconds


def clip(joint: RobotJoint, position: float) -> float:
    """Return a position within the limits of a joint (rad)."""
    lower, upper = joint.limits
    return min(max(position, lower), upper)
