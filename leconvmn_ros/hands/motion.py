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

"""From where a robot hand is to where the human hand takes it, command by command.

Limits, speed and acceleration hold for whatever comes in. With anchors, all poses on the way are
poses that the anchors allow, so that fingers and thumb wait for one another rather than meet: the
speed is limited before the pose is made, not joint by joint after it.
"""

from collections.abc import Iterable, Mapping
from math import sqrt
from typing import NamedTuple

from leconvmn_ros.hands.anchors import AnchoredMap, Anchors, AT_REST, finger_joints, HandShape
from leconvmn_ros.hands.profile import follow, HandProfile, RobotJoint

Pose = dict[str, float]

# Steps are halved so often to keep to the speed; then fingers or thumb wait.
HALVINGS = 6
# A joint is where it should be within this (rad).
ARRIVED = 1e-6


class Goal(NamedTuple):
    """Where the human hand takes the robot hand.

    Attributes:
        pose: angles (rad), within the limits.
        clipped: joints that would have left their limits.
    """

    pose: Pose
    clipped: tuple[str, ...]


class Motion:
    """Moves the commands of one hand.

    Attributes:
        profile: of the hand.
        rest_pose: where it goes without a human hand (rad), by joint.
    """

    def __init__(self, profile: HandProfile, anchors: Anchors | None = None) -> None:
        """Take over the profile, and what was fitted to the hand if anything."""
        self.profile = profile
        self._anchored = AnchoredMap(anchors) if anchors else None
        self._thumb = tuple(anchors.thumb_joints) if anchors else ()
        # Leaders before those that go with them.
        self._joints = sorted(profile.joints, key=lambda joint: joint.coupled is not None)
        self.rest_pose = self._at_rest()
        self._speeds: dict[str, float] = {}
        self._left: Pose = {}
        self._shape: HandShape | None = None

    def start(self) -> None:
        """Begin from wherever the next pose is, at rest."""
        self._speeds = {}
        self._left = {}
        self._shape = None

    def destination(self, closings: Mapping[str, float] | None) -> Pose:
        """Return where a human hand takes the robot hand in the end; see `advance`."""
        if self._anchored is None:
            return self._joint_map(closings).pose
        wanted = AT_REST if closings is None else self._anchored.shape(closings)
        return self._of_shape(self._anchored, wanted).pose

    def advance(
        self, pose: Mapping[str, float], closings: Mapping[str, float] | None, seconds: float
    ) -> Goal:
        """Move on.

        Args:
            pose: what was commanded last (rad), by joint.
            closings: how far the human joints are closed, 0 open to 1 fist, as far as they are
                known; None to go to rest.
            seconds: since then.

        Returns:
            The pose to command now, and what the human hand asked for beyond the limits.
        """
        if self._anchored is None:
            goal = self._joint_map(closings)
        else:
            goal = self._anchored_goal(self._anchored, pose, closings, seconds)
        follows = closings is not None or self._anchored is not None
        return Goal(self._track(pose, goal.pose, seconds, coupled=follows), goal.clipped)

    def hold(self, pose: Mapping[str, float], seconds: float) -> Pose:
        """Stop: at once, or within what acceleration allows."""
        stops = {
            joint.name: pose[joint.name] + self._stopping(joint, pose) for joint in self._joints
        }
        return self._track(pose, stops, seconds, coupled=False)

    def _stopping(self, joint: RobotJoint, pose: Mapping[str, float]) -> float:
        limit = self.profile.acceleration_of(joint)
        speed = self._speed(joint.name, pose)
        return speed * abs(speed) / (2 * limit) if limit else 0.0

    def _speed(self, name: str, pose: Mapping[str, float]) -> float:
        """Return how fast a joint is commanded to move; one that was held back stands."""
        return self._speeds.get(name, 0.0) if self._left.get(name) == pose[name] else 0.0

    def _track(
        self,
        pose: Mapping[str, float],
        goal: Mapping[str, float],
        seconds: float,
        *,
        coupled: bool,
    ) -> Pose:
        """Take each joint towards its goal, within limits, speed and acceleration.

        Where `coupled`, joints go with where their leaders are, not with where these go to.
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
        self._shape = self._next_shape(anchored, self._shape, wanted, seconds)
        clipped = self._of_shape(anchored, wanted).clipped
        return Goal(self._of_shape(anchored, self._shape).pose, clipped)

    def _joining(
        self, anchored: AnchoredMap, pose: Mapping[str, float], wanted: HandShape
    ) -> Goal:
        """Go from any pose to one of the anchors: thumb out of the way, then the fingers."""
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
        """Go from one shape towards another as far as all joints may move in that time."""
        here = self._of_shape(anchored, shape).pose

        def fits(there: HandShape) -> bool:
            pose = self._of_shape(anchored, there).pose
            return all(
                abs(pose[joint.name] - here[joint.name])
                <= self.profile.speed_of(joint) * seconds + ARRIVED
                for joint in self._joints
            )

        # Each finger by itself, then all of them at the pace that lets the thumb give way.
        bends = dict(shape.bends)
        for finger in _fingers(shape):
            for part in _parts():
                tried = bends | _between(shape, wanted, part, finger_joints(finger))
                if fits(shape._replace(bends=tried)):
                    bends = tried
                    break
        for finger_part in (*_parts(), 0.0):
            some = _between(shape, shape._replace(bends=bends), finger_part, bends)
            for part in _parts():
                turn = shape.turn + part * (wanted.turn - shape.turn)
                closing = shape.closing + part * (wanted.closing - shape.closing)
                there = HandShape(some, turn, min(closing, anchored.clearance(some, turn)))
                if fits(there):
                    return there
        return shape


def _parts() -> Iterable[float]:
    return (0.5**number for number in range(HALVINGS))


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
    """Return where the human hand takes a joint (rad), limits aside; None where it does not."""
    if joint.follows is None or not all(name in closings for name in joint.follows):
        return None
    closing = sum(weight * closings[name] for name, weight in joint.follows.items())
    opened, closed = joint.open or 0.0, joint.closed or 0.0
    return opened + closing * (closed - opened)


def _accelerated(step: float, speed: float, limit: float, seconds: float) -> float:
    """Return the step (rad) nearest to one wanted that acceleration allows.

    It is never so fast that the joint could not stop at its goal.
    """
    change = limit * seconds
    # The speed from which the joint stops within the way, in steps of this time.
    stopping = sqrt((change / 2) ** 2 + 2 * limit * abs(step)) - change / 2
    wanted = min(abs(step) / seconds, stopping) * (1 if step > 0 else -1)
    return min(max(wanted, speed - change), speed + change) * seconds


def clip(joint: RobotJoint, position: float) -> float:
    """Return a position within the limits of a joint (rad)."""
    lower, upper = joint.limits
    return min(max(position, lower), upper)
