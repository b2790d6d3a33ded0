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

"""Searches poses of a robot hand in its maker's model: fists, pinches, the thumb out of reach.

This is the first step of fitting anchors, see fitting.py.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.joints import JOINTS
from leconvmn_ros.hands.anchors import AnchoredMap, finger_joints, HandShape, UPPER
from leconvmn_ros.hands.human_tips import thumb_distances
from leconvmn_ros.hands.model_builder import Array
from leconvmn_ros.hands.modelled_hand import ModelledHand
import numpy as np
from scipy.optimize import minimize

# Overlap allowed where a pose is fitted (m): the convex hulls are larger than the shapes.
TOUCH = 0.0005
PINCHED = 0.001
# Deeper overlaps are repaired in the tables (m).
REPAIRED_FROM = 0.0014
RANDOM_STARTS, REFINED = 4000, 24
RANDOM_OUT = 3000
# Least and largest closing of the robot finger in a pinch.
PINCH_BENDS = (0.2, 0.95)


class HumanPinch(NamedTuple):
    """The human hand with the thumb at the tip of a finger, as near as it comes.

    Attributes:
        closings: closings of the two joints of the finger.
        thumb: closings of the two joints of the thumb.
        distance: distance of the fingertips (m).
    """

    closings: tuple[float, float]
    thumb: tuple[float, float]
    distance: float


def human_pinch(finger: str) -> HumanPinch:
    """Return the pinch of the hand in human_model.py that bends all joints most evenly."""
    limits = {joint.name: (joint.lower, joint.upper) for joint in JOINTS}
    names = ('thumb_mcp', 'thumb_ip', *finger_joints(finger))

    def cost(angles: Array) -> float:
        pose = dict(zip(names, map(float, angles), strict=True))
        closings = angles / [UPPER[name] for name in names]
        return thumb_distances(pose)[finger] * 1000 + 0.3 * float(np.square(closings - 0.6).sum())

    bounds = [limits[name] for name in names]
    start = [0.6 * UPPER[name] for name in names]
    found = minimize(cost, start, bounds=bounds, method='Powell', options={'xtol': 1e-6}).x
    pose = dict(zip(names, map(float, found), strict=True))
    mcp, ip, first, second = (pose[name] / UPPER[name] for name in names)
    return HumanPinch((first, second), (mcp, ip), thumb_distances(pose)[finger])


def mapped_pose(hand: ModelledHand, closings: Mapping[str, float]) -> dict[str, float]:
    """Return the pose that the joint map gives, within the limits."""
    profile = hand.profile
    pose = dict(profile.rest_pose)
    for joint in profile.joints:
        if joint.follows:
            part = sum(weight * closings.get(n, 0.0) for n, weight in joint.follows.items())
            pose[joint.name] = (joint.open or 0.0) + part * (
                (joint.closed or 0.0) - (joint.open or 0.0)
            )
    for joint in profile.joints:
        if joint.coupled:
            leader = pose[joint.coupled.joint]
            pose[joint.name] = joint.coupled.ratio * leader + joint.coupled.offset
        lower, upper = joint.limits
        pose[joint.name] = min(max(pose[joint.name], lower), upper)
    return pose


class PoseSearch:
    """Searches the poses of one hand.

    Attributes:
        hand: profile and model.
        rng: source of random poses, with a fixed seed.
        fingers: the fingers that the thumb may pinch with.
        thumb_joints: joints that move the thumb and are not coupled.
        lower: their lower limits (rad), shape (thumb joints,).
        upper: their upper limits (rad), same shape.
        human: pinch of the human hand with each finger.
    """

    def __init__(self, hand: ModelledHand) -> None:
        """Find the joints of the thumb.

        Raises:
            ConfigurationError: the thumb has no joint of its own.
        """
        self.hand = hand
        self.rng = np.random.default_rng(0)
        self.fingers = hand.fingers
        joints = {joint.name: joint for joint in hand.profile.joints}
        self.thumb_joints = [name for name in hand.thumb_joints if not joints[name].coupled]
        if not self.thumb_joints:
            raise ConfigurationError(f'{hand.profile.hand}: no joint moves the thumb alone')
        self.lower, self.upper = np.array([joints[n].limits for n in self.thumb_joints]).T
        self.human = {finger: human_pinch(finger) for finger in self.fingers}

    def take(self, closings: Mapping[str, float], thumb: Array) -> None:
        """Pose the fingers by the joint map, and the thumb as given (rad)."""
        pose = mapped_pose(self.hand, closings)
        pose.update(zip(self.thumb_joints, map(float, thumb), strict=True))
        for joint in self.hand.profile.joints:
            if joint.coupled and joint.coupled.joint in self.thumb_joints:
                pose[joint.name] = joint.coupled.ratio * pose[joint.coupled.joint]
                pose[joint.name] += joint.coupled.offset
        self.hand.take(pose)

    def fists(self) -> dict[str, tuple[float, float]]:
        """Return how far each finger closes before it meets the palm, itself or a neighbour."""
        fists = {}
        away = self.lower + 0.5 * (self.upper - self.lower)
        for finger in self.fingers:
            part = 1.0
            while part > 0.5:
                worst = 0.0
                for bends in product(np.linspace(0, part, 6), repeat=2):
                    self.take(self.bends({finger: bends}), away)
                    worst = max(
                        worst,
                        *(
                            depth
                            for pair, depth in self.hand.overlaps().items()
                            if finger in pair and 'thumb' not in pair
                        ),
                        0.0,
                    )
                if worst <= TOUCH:
                    break
                part -= 0.02
            fists[finger] = (part, part)
        return fists

    def bends(self, bends: Mapping[str, Sequence[float] | Array]) -> dict[str, float]:
        """Return the closings by human joint, given the two of each finger."""
        return {
            joint: float(part)
            for finger, parts in bends.items()
            for joint, part in zip(finger_joints(finger), parts, strict=True)
        }

    def pinch(self, finger: str, fist: tuple[float, float], towards: Array) -> tuple[Array, float]:
        """Return thumb pose and finger bends of a touch, and the gap that remains (m).

        Args:
            finger: the finger to touch.
            fist: its largest closing.
            towards: pose of the thumb to stay near to where several poses touch.
        """
        count = len(self.thumb_joints)
        low = np.array([*self.lower, PINCH_BENDS[0], PINCH_BENDS[0]])
        high = np.array([*self.upper, *(PINCH_BENDS[1] * np.array(fist))])
        wanted = np.array(self.human[finger].closings)
        span = np.where(self.upper > self.lower, self.upper - self.lower, 1.0)

        def cost(x: Array, *, shapes: bool) -> float:
            x = np.clip(x, low, high)
            self.take(self.bends({finger: x[count:]}), x[:count])
            off = self.hand.pinch_distance(finger) / 0.002
            away = 0.3 * float(np.square((x[:count] - towards) / span).sum())
            away += 0.5 * float(np.square((x[count:] - wanted) / 0.3).sum())
            if shapes:
                deep = self.hand.thumb_overlap((finger, 'palm', 'thumb'))
                away += 1e3 * max(deep - PINCHED, 0.0) / 0.001
            return off**2 + away

        starts = self.rng.uniform(low, high, (RANDOM_STARTS, count + 2))
        costs = [cost(x, shapes=False) for x in starts]
        best: tuple[float, Array] = (np.inf, starts[0])
        for at in np.argsort(costs)[:REFINED]:
            rough = minimize(
                lambda x: cost(x, shapes=False),
                starts[at],
                method='Nelder-Mead',
                options={'maxiter': 300},
            ).x
            fine = minimize(
                lambda x: cost(x, shapes=True),
                rough,
                method='Nelder-Mead',
                options={'maxiter': 250, 'xatol': 1e-3, 'fatol': 1e-2},
            )
            if fine.fun < best[0]:
                best = (float(fine.fun), np.clip(fine.x, low, high))
        self.take(self.bends({finger: best[1][count:]}), best[1][:count])
        return best[1], self.hand.gap(finger)

    def _overlap_of_thumb(self) -> float:
        """Return the depth of the thumb in other parts, or of folded fingers in each other (m)."""
        if self.hand.palm_folds:
            return max(self.hand.deepest() - REPAIRED_FROM, 0.0)
        return self.hand.thumb_overlap((*self.fingers, 'palm', 'thumb'))

    def out(
        self, opened: Array, touching: Array, fists: Mapping[str, tuple[float, float]]
    ) -> Array:
        """Return a pose of the thumb out of reach of all fingers, near open hand and pinch."""
        span = np.where(self.upper > self.lower, self.upper - self.lower, 1.0)
        poses = np.vstack(
            [
                opened[None],
                touching[None] + self.rng.uniform(-0.5, 0.5, (RANDOM_OUT, len(span))) * span,
                self.rng.uniform(self.lower, self.upper, (RANDOM_OUT, len(span))),
            ]
        ).clip(self.lower, self.upper)
        costs = np.square((poses - opened) / span).sum(1)
        costs += np.square((poses - touching) / span).sum(1)
        sweep = [
            {finger: np.array(fists[finger]) * bends for finger in self.fingers}
            for bends in product(np.linspace(0, 1, 6), repeat=2)
        ]
        if self.hand.palm_folds:
            sweep += [
                {finger: self.rng.uniform(0, fists[finger]) for finger in self.fingers}
                for _ in range(60)
            ]
        # Try the obstacle that ruled out the last poses first: it most often rules out the next.
        for at in np.argsort(costs):
            for number, bends in enumerate(sweep):
                self.take(self.bends(bends), poses[at])
                if self._overlap_of_thumb() > 0:
                    sweep.insert(0, sweep.pop(number))
                    break
            else:
                return np.array(poses[at])
        raise ConfigurationError(
            f'{self.hand.profile.hand}: in all {len(poses)} poses tried, fingers meet the thumb'
        )


def take_shape(search: PoseSearch, anchored: AnchoredMap, shape: HandShape) -> None:
    """Pose the model as a shape says."""
    search.take(anchored.finger_closings(shape), anchored.thumb(shape.turn, shape.closing))
