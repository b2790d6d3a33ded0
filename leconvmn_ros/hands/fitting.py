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

"""Fits the anchors of a profile to the model of its hand; anchors.py describes them.

The fit searches poses of the maker's model with collision shapes; it simulates no dynamics.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import datetime as dt
from itertools import product
from typing import Any, NamedTuple

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.joints import JOINTS
from leconvmn_ros.hands.anchors import (
    AnchoredMap,
    Anchors,
    BEND_NODES,
    CLOSING_NODES,
    finger_joints,
    HandShape,
    joint_fingerprint,
    node_bend,
    node_bend_between,
    Pinch,
    PINCH_NODE,
    POWER_NODES,
    turn_nodes,
    UPPER,
)
from leconvmn_ros.hands.human_tips import fingertip, thumb_distances
from leconvmn_ros.hands.model_builder import Array
from leconvmn_ros.hands.modelled_hand import ModelledHand
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

# Overlap allowed where a pose is fitted (m): the convex hulls are larger than the shapes.
TOUCH = 0.0005
PINCHED = 0.001
# Overlaps deeper than this between the nodes of the tables are repaired (m), in at most so many
# rounds of so many random poses.
REPAIRED_FROM, REPAIRS, REPAIR_POSES = 0.0014, 12, 10000
HUMAN_REPAIRS = 3
TURNED_TO_A_FINGER = 0.4
# Room around a thumb that counts as out of the way (m).
ROOM = 0.001
RANDOM_STARTS, REFINED = 4000, 24
RANDOM_OUT = 3000
# Steps of the thumb from out to pinch.
FINE_STEPS = 40
# Least and largest closing of the robot finger in a pinch.
PINCH_BENDS = (0.2, 0.95)

Progress = Callable[[str], None]
Shapes = Callable[[AnchoredMap, bool, int], Iterator[tuple[list[str], HandShape]]]


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


class _Fit:
    """The search for the anchors of one hand."""

    def __init__(self, hand: ModelledHand, progress: Progress) -> None:
        self.hand, self._progress = hand, progress
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


def fit(hand: ModelledHand, model: str, progress: Progress = lambda _: None) -> Anchors:
    """Return the anchors of a hand.

    Args:
        hand: profile and model.
        model: description of the model for people.
        progress: called with a line of progress now and then.

    Raises:
        ConfigurationError: the thumb has no joint of its own, or is in the way everywhere.
    """
    search = _Fit(hand, progress)
    opened = np.array([hand.profile.rest_pose[name] for name in search.thumb_joints])
    fists = search.fists()
    progress(f'fists {fists}')
    pinches: dict[str, Array] = {}
    towards = opened
    for finger in search.fingers:
        pinches[finger], left = search.pinch(finger, fists[finger], towards)
        towards = pinches[finger][: len(search.thumb_joints)]
        tips = 1000 * search.hand.pinch_distance(finger)
        progress(
            f'{finger} pinch: {1000 * left:.1f} mm between the fingers, tips {tips:.1f} mm apart'
        )
    count = len(search.thumb_joints)
    out = search.out(opened, pinches[search.fingers[0]][:count], fists)
    progress(f'thumb out of the way: {np.round(out, 2).tolist()}')
    anchors = _without_tables(search, model, pinches, out, fists)
    anchors = _with_tables(search, anchors)
    for shapes, rounds in ((_extreme_shapes, REPAIRS), (_human_shapes, HUMAN_REPAIRS)):
        for number in range(rounds):
            anchors, deepest, repaired = _repaired(search, anchors, shapes, number)
            progress(f'deepest overlap {1000 * deepest:.1f} mm, {repaired} poses repaired')
            if not repaired:
                break
    return anchors.model_copy(update={'power': _power(anchors)})


def _without_tables(
    search: _Fit,
    model: str,
    pinches: Mapping[str, Array],
    out: Array,
    fists: Mapping[str, tuple[float, float]],
) -> Anchors:
    count = len(search.thumb_joints)
    nowhere = [[[0] * 3] * BEND_NODES] * BEND_NODES
    free = [[[100] * BEND_NODES] * BEND_NODES] * turn_nodes(len(pinches))
    found = {}
    for finger, pose in pinches.items():
        first, second = (round(float(part), 4) for part in pose[count:])
        human = search.human[finger]
        found[finger] = Pinch(
            human=(round(human.closings[0], 4), round(human.closings[1], 4)),
            nearest=round(human.distance, 5),
            robot=(first, second),
            fist=fists[finger],
            thumb=[round(float(angle), 4) for angle in pose[:count]],
            tip=nowhere,
            touch=_touch(search, finger, pose),
            clearance=free,
        )
    return Anchors(
        model=model,
        fitted=dt.datetime.now(tz=dt.timezone.utc).date(),
        profile=joint_fingerprint(search.hand.profile),
        scale=round(_scale(search), 3),
        thumb_joints=search.thumb_joints,
        thumb_out=[round(float(angle), 4) for angle in out],
        thumb_tip=[[[0] * 3] * CLOSING_NODES] * turn_nodes(len(pinches)),
        power=[100] * POWER_NODES,
        pinches=found,
    )


def _touch(search: _Fit, finger: str, pose: Array) -> float:
    """Return the distance of the marked tips less the gap between the fingers (m)."""
    count = len(search.thumb_joints)
    search.take(search.bends({finger: pose[count:]}), pose[:count])
    return round(max(search.hand.pinch_distance(finger) - search.hand.gap(finger), 0.0), 5)


def _scale(search: _Fit) -> float:
    """Return the length of the robot's fingers relative to the human ones."""
    search.take({}, 0.5 * (search.lower + search.upper))
    robot, human = [], []
    for finger in search.fingers:
        tip = search.hand.tip(finger)
        search.take(search.bends({finger: (1.0, 1.0)}), 0.5 * (search.lower + search.upper))
        robot.append(float(np.linalg.norm(tip - search.hand.tip(finger))))
        search.take({}, 0.5 * (search.lower + search.upper))
        bent = {name: UPPER[name] for name in finger_joints(finger)}
        human.append(
            float(np.linalg.norm(np.subtract(fingertip(finger, {}), fingertip(finger, bent))))
        )
    return float(np.mean(robot) / np.mean(human))


def take_shape(search: _Fit, anchored: AnchoredMap, shape: HandShape) -> None:
    """Pose the model as a shape says."""
    search.take(anchored.finger_closings(shape), anchored.thumb(shape.turn, shape.closing))


def _with_tables(search: _Fit, anchors: Anchors) -> Anchors:
    anchored = AnchoredMap(anchors)
    tips = {name: np.zeros((BEND_NODES, BEND_NODES, 3)) for name in anchors.pinches}
    turns = turn_nodes(len(anchors.pinches))
    clearance = {name: np.zeros((turns, BEND_NODES, BEND_NODES)) for name in anchors.pinches}
    for first, second in product(range(BEND_NODES), repeat=2):
        bends = {
            joint: node_bend(node, part)
            for name, pinch in anchors.pinches.items()
            for joint, node, part in zip(
                finger_joints(name), (first, second), pinch.human, strict=True
            )
        }
        take_shape(search, anchored, HandShape(bends, 0, 0.0))
        for name in anchors.pinches:
            tips[name][first, second] = search.hand.tip(name)
        for turn in range(turns):
            for name, free in _clear(search, anchored, bends, turn / 2).items():
                clearance[name][turn, first, second] = free
    pinches = {}
    for name, pinch in anchors.pinches.items():
        tables = {
            'tip': tenths(tips[name]),
            'clearance': np.floor(100 * clearance[name] + 1e-6).astype(int).tolist(),
        }
        pinches[name] = pinch.model_copy(update=tables)
    straight = {joint: 0.0 for name in anchors.pinches for joint in finger_joints(name)}
    ways = np.zeros((turns, CLOSING_NODES, 3))
    for turn, (node, closing) in product(
        range(turns), enumerate(np.linspace(0, 1, CLOSING_NODES))
    ):
        take_shape(search, anchored, HandShape(straight, turn / 2, float(closing)))
        ways[turn, node] = search.hand.tip('thumb')
    return anchors.model_copy(update={'pinches': pinches, 'thumb_tip': tenths(ways)})


def tenths(places: Array) -> Any:
    """Return positions (m) as whole tenths of a millimetre."""
    return np.rint(1e4 * places).astype(int).tolist()


def _clear(
    search: _Fit, anchored: AnchoredMap, bends: dict[str, float], turn: float
) -> dict[str, float]:
    """Return the largest closing of the thumb before it meets each finger."""
    clear = dict.fromkeys(search.fingers, 1.0)
    for closing in np.linspace(0, 1, FINE_STEPS + 1)[1:]:
        take_shape(search, anchored, HandShape(bends, turn, float(closing)))
        for finger in _met(search, PINCHED + 0.0002):
            if clear[finger] == 1.0:
                clear[finger] = float(closing) - 1 / FINE_STEPS
        if all(part < 1 for part in clear.values()):
            break
    return clear


def _repaired(
    search: _Fit, anchors: Anchors, shapes: Shapes, seed: int
) -> tuple[Anchors, float, int]:
    """Lower the clearance where the thumb meets a finger between the nodes of the tables.

    Returns:
        The anchors, the deepest overlap before (m), and the number of poses repaired.
    """
    anchored = AnchoredMap(anchors)
    tables = {name: np.array(pinch.clearance) for name, pinch in anchors.pinches.items()}
    deepest, repaired = 0.0, 0
    for fingers, shape in shapes(anchored, search.hand.palm_folds, seed):
        take_shape(search, anchored, shape)
        met = _met(search, REPAIRED_FROM)
        deepest = max(deepest, *met.values(), 0.0)
        repaired += bool(met)
        for other in met if search.hand.palm_folds else set(met) & set(fingers):
            closing = shape.closing
            while closing > 0 and other in _met(search, PINCHED):
                closing = max(closing - 1 / FINE_STEPS, 0.0)
                take_shape(search, anchored, shape._replace(closing=closing))
            lower_around(anchored, tables[other], other, shape, closing)
            take_shape(search, anchored, shape)
    pinches = {
        name: pinch.model_copy(update={'clearance': tables[name].tolist()})
        for name, pinch in anchors.pinches.items()
    }
    return anchors.model_copy(update={'pinches': pinches}), deepest, repaired


def _extreme_shapes(
    anchored: AnchoredMap, others_bend: bool, seed: int
) -> Iterator[tuple[list[str], HandShape]]:
    """Yield a finger and a shape with the thumb closed as far as its table allows, or nearly.

    Shapes cover the table of the finger, denser around the pinch like its nodes. The other
    fingers are straight or bent at random.
    """
    rng = np.random.default_rng(seed)
    fingers = list(anchored.anchors.pinches)
    last = BEND_NODES - 1
    for number in range(REPAIR_POSES):
        finger = fingers[number % len(fingers)]
        bends = {
            # Include the edges, where many human poses are.
            joint: node_bend_between(float(rng.uniform(-0.1 * last, 1.1 * last)), part)
            if name == finger or others_bend
            else 0.0
            for name, pinch in anchored.anchors.pinches.items()
            for joint, part in zip(finger_joints(name), pinch.human, strict=True)
        }
        turn = float(rng.uniform(0, len(fingers) - 1))
        if rng.uniform() < TURNED_TO_A_FINGER:
            turn = float(round(turn))
        most = anchored.clearance(bends, turn)
        yield [finger], HandShape(bends, turn, most * (1 if number % 3 else float(rng.uniform())))


def _human_shapes(
    anchored: AnchoredMap, _: bool, seed: int
) -> Iterator[tuple[list[str], HandShape]]:
    """Yield all fingers together with the shape of a random human pose."""
    for shape in shapes_at_random(anchored, REPAIR_POSES, seed):
        yield list(anchored.anchors.pinches), shape


def _power(anchors: Anchors) -> list[int]:
    """Return the closing of the thumb along a closing fist, so that it never has to give way."""
    anchored = AnchoredMap(anchors)
    parts = np.linspace(0, 1, 4 * POWER_NODES - 3)
    closings = [anchored.shape(dict.fromkeys(UPPER, float(part))).closing for part in parts]
    envelope = np.minimum.accumulate(closings[::-1])[::-1][::4]
    return [int(100 * part) for part in envelope]


def _met(search: _Fit, depth: float) -> dict[str, float]:
    """Return the fingers that overlap the thumb by more than `depth`, and by how much (m).

    The palm and the thumb itself are reported as the first finger. Where the thumb folds the
    palm, so are fingers that meet one another.
    """
    met: dict[str, float] = {}
    for pair, deep in search.hand.overlaps().items():
        if deep <= depth or ('thumb' not in pair and not search.hand.palm_folds):
            continue
        fingers = [finger for finger in search.fingers if finger in pair] or search.fingers[:1]
        for finger in fingers:
            met[finger] = max(deep, met.get(finger, 0.0))
    return met


def lower_around(
    anchored: AnchoredMap, table: NDArray[np.int_], finger: str, shape: HandShape, closing: float
) -> None:
    """Lower the nodes around a shape to a closing, except the node of the finger's own pinch."""
    own = (2 * list(anchored.anchors.pinches).index(finger), PINCH_NODE, PINCH_NODE)
    weights: dict[tuple[int, ...], float] = {}
    places = anchored.nodes(finger, shape)
    for corner in product((0, 1), repeat=3):
        node = tuple(
            min(int(place) + side, size - 1)
            for place, side, size in zip(places, corner, table.shape, strict=True)
        )
        weight = float(
            np.prod(
                [
                    place - int(place) if side else 1 - place + int(place)
                    for place, side in zip(places, corner, strict=True)
                ]
            )
        )
        weights[node] = weights.get(node, 0.0) + weight
    value = sum(weight * table[node] for node, weight in weights.items())
    weights.pop(own, None)
    excess = max(value - 100 * closing, 0.0)
    # The smallest change of the nodes (least squares) that lowers the value so far.
    total = sum(weight**2 for weight in weights.values())
    for node, weight in weights.items():
        less = min(excess * weight / max(total, 0.05), 1.5 * excess)
        table[node] = max(int(table[node] - less), 0)


def shapes_at_random(anchored: AnchoredMap, count: int, seed: int) -> Iterator[HandShape]:
    """Yield the shapes of random human poses, each joint uniform in its range."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield anchored.shape(
            {
                joint.name: float(rng.uniform(joint.lower, joint.upper)) / joint.upper
                for joint in JOINTS
            }
        )
