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

"""A profile's hand in its maker's model: poses by name, fingertips, overlaps.

Connects the joints of profile.py to robot_model.py.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.hands.human_tips import FINGER_NAMES
from leconvmn_ros.hands.model_builder import Array
from leconvmn_ros.hands.profile import HandProfile
from leconvmn_ros.hands.robot_model import match_joints, RobotModel
import numpy as np

# A frame of the URDF this near to the end of a finger's shapes is its tip (m).
TIP_FRAME_WITHIN = 0.03


class Tip(NamedTuple):
    """The end of a finger.

    Attributes:
        link: its link.
        point: position in the frame of the link (m).
    """

    link: str
    point: Array


class ModelledHand:
    """A profile and the model of its hand.

    Attributes:
        profile: profile of the hand.
        model: model of its maker.
        tips: tips of the fingers that the robot has, by human finger.
        thumb_joints: joints of the profile that move the thumb.
        palm_folds: whether one of them moves other fingers, too.
    """

    def __init__(self, profile: HandProfile, model: RobotModel) -> None:
        """Find the joints of the profile in the model, and the fingers.

        Raises:
            ConfigurationError: a joint of the profile is not in the model.
        """
        self.profile, self.model = profile, model
        there = list(model.joints)
        # A joint with a fixed number does not move and may be absent from the model.
        self.names = match_joints([j.name for j in profile.joints if j.fixed is None], there)
        for joint in profile.joints:
            if joint.fixed is not None:
                with suppress(ConfigurationError):
                    self.names |= match_joints([joint.name], there)
        self._moved = {
            joint.name: set(model.moved_by(self.names[joint.name]))
            if joint.name in self.names
            else set()
            for joint in profile.joints
        }
        self._ends: dict[str, str] = {}
        for finger in FINGER_NAMES:
            link = self._last_link(finger)
            # A robot finger that follows two human fingers counts as the first of them.
            if link is not None and link not in self._ends.values():
                self._ends[finger] = link
        if 'thumb' not in self._ends or len(self._ends) < 2:
            raise ConfigurationError(
                f'{profile.hand}: joints that follow the thumb and one finger are needed; '
                f'there are {", ".join(self._ends) or "none"}'
            )
        # A joint for opposition may fold the palm, and so move the little finger with the thumb.
        first = next(link for finger, link in self._ends.items() if finger != 'thumb')
        self.thumb_joints = [
            joint.name
            for joint in profile.joints
            if self._ends['thumb'] in self._moved[joint.name]
            and first not in self._moved[joint.name]
        ]
        self.palm_folds = any(
            self._moved[joint] & {*self._ends.values()} - {self._ends['thumb']}
            for joint in self.thumb_joints
        )
        self.tips = {finger: self._tip(link) for finger, link in self._ends.items()}
        self._group = {link: self._finger_of(link) for link in self._links()}

    def _links(self) -> list[str]:
        model = self.model.model
        return [model.body(body).name for body in range(1, model.nbody)]

    def _last_link(self, finger: str) -> str | None:
        """Return the last link that moves with joints that follow a finger."""
        links: set[str] = set()
        for joint in self.profile.joints:
            leader = joint
            if joint.coupled:
                leader = next(j for j in self.profile.joints if j.name == joint.coupled.joint)
            if any(name.startswith(finger) for name in leader.follows or ()):
                links |= self._moved[joint.name]
        return max(links, key=self.model.depth_of) if links else None

    def _tip(self, link: str) -> Tip:
        """Return the tip: a frame with that name, or the corner farthest from the last joint."""
        model = self.model.model
        body = int(model.body(link).id)
        while not model.body_jntnum[body]:
            body = int(model.body_parentid[body])
        last = self.model.origin(model.body(body).name)
        below = [name for name in self._links() if body in self._way(name)]
        corners = np.concatenate(
            [
                np.empty((0, 3)),
                *(
                    np.array([self.model.place(name, point) for point in points])
                    for name in below
                    if len(points := self.model.shape_points(name))
                ),
            ]
        )
        frames = [name for name in below if 'tip' in name.lower() and not self._has_joint(name)]
        if not len(corners):
            return Tip(frames[-1] if frames else link, np.zeros(3))
        end = corners[np.argmax(np.linalg.norm(corners - last, axis=1))]
        near = {name: float(np.linalg.norm(self.model.origin(name) - end)) for name in frames}
        if near and min(near.values()) < TIP_FRAME_WITHIN:
            frame = min(near, key=lambda name: near[name])
            return Tip(frame, np.zeros(3))
        data = self.model.data.body(link)
        return Tip(link, data.xmat.reshape(3, 3).T @ (end - data.xpos))

    def _has_joint(self, link: str) -> bool:
        return bool(self.model.model.body(link).jntnum[0])

    def _way(self, link: str) -> list[int]:
        model = self.model.model
        way = [int(model.body(link).id)]
        while way[-1]:
            way.append(int(model.body_parentid[way[-1]]))
        return way

    def _finger_of(self, link: str) -> str:
        """Return the finger that a link belongs to, or `palm`."""
        for finger, end in self._ends.items():
            others = {other for name, other in self._ends.items() if name != finger}
            for moved in self._moved.values():
                if link in moved and end in moved and not others & moved:
                    return finger
        return 'palm'

    def thumb_middle(self) -> Array:
        """Return the middle of the joints of the thumb (m)."""
        links = [self.model.joints[self.names[name]].child for name in self.thumb_joints]
        middle: Array = np.mean([self.model.origin(link) for link in links], axis=0)
        return middle

    def take(self, pose: Mapping[str, float]) -> None:
        """Move to a pose, by joint names of the profile (rad)."""
        self.model.move_to(
            {self.names[name]: position for name, position in pose.items() if name in self.names}
        )

    def tip(self, finger: str) -> Array:
        """Return the position of a fingertip (m)."""
        tip = self.tips[finger]
        return self.model.place(tip.link, tip.point)

    def pinch_distance(self, finger: str) -> float:
        """Return the distance between the tips of the thumb and of a finger (m).

        Many makers mark the middle of a fingertip, so it is not 0 at the touch; see `gap`.
        """
        return float(np.linalg.norm(self.tip('thumb') - self.tip(finger)))

    def gap(self, finger: str) -> float:
        """Return the gap between the last links of the thumb and of a finger (m)."""
        return self.model.gap(self.tips['thumb'].link, self.tips[finger].link)

    def overlaps(self) -> dict[tuple[str, str], float]:
        """Return the deepest overlap of each pair of fingers or palm (m), each pair sorted."""
        deepest: dict[tuple[str, str], float] = {}
        for links, depth in self.model.overlaps().items():
            first, second = sorted(self._group[link] for link in links)
            deepest[first, second] = max(depth, deepest.get((first, second), 0.0))
        return deepest

    def deepest(self) -> float:
        """Return the deepest overlap (m)."""
        return max(self.overlaps().values(), default=0.0)

    def thumb_overlap(self, others: Sequence[str]) -> float:
        """Return the depth of the thumb in any of these fingers, or `palm` (m)."""
        return max(
            (
                depth
                for pair, depth in self.overlaps().items()
                if 'thumb' in pair and any(other in pair for other in others)
            ),
            default=0.0,
        )

    @property
    def fingers(self) -> list[str]:
        """The fingers that the thumb may pinch with."""
        return [finger for finger in self.tips if finger != 'thumb']
