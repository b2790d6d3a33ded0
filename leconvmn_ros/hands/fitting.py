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

from collections.abc import Callable, Iterator, Mapping
import datetime as dt
from itertools import product
from typing import Any

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
from leconvmn_ros.hands.human_tips import fingertip
from leconvmn_ros.hands.model_builder import Array
from leconvmn_ros.hands.modelled_hand import ModelledHand
from leconvmn_ros.hands.pose_search import PINCHED, PoseSearch, REPAIRED_FROM, take_shape
import numpy as np
from numpy.typing import NDArray

# Most rounds of repairs, and random poses in each.
REPAIRS, REPAIR_POSES = 12, 10000
HUMAN_REPAIRS = 3
TURNED_TO_A_FINGER = 0.4
# Steps of the thumb from out to pinch.
FINE_STEPS = 40

Progress = Callable[[str], None]
Shapes = Callable[[AnchoredMap, bool, int], Iterator[tuple[list[str], HandShape]]]


def fit(hand: ModelledHand, model: str, progress: Progress = lambda _: None) -> Anchors:
    """Return the anchors of a hand.

    Args:
        hand: profile and model.
        model: description of the model for people.
        progress: called with a line of progress now and then.

    Raises:
        ConfigurationError: the thumb has no joint of its own, or is in the way everywhere.
    """
    search = PoseSearch(hand)
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
    search: PoseSearch,
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


def _touch(search: PoseSearch, finger: str, pose: Array) -> float:
    """Return the distance of the marked tips less the gap between the fingers (m)."""
    count = len(search.thumb_joints)
    search.take(search.bends({finger: pose[count:]}), pose[:count])
    return round(max(search.hand.pinch_distance(finger) - search.hand.gap(finger), 0.0), 5)


def _scale(search: PoseSearch) -> float:
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


def _with_tables(search: PoseSearch, anchors: Anchors) -> Anchors:
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
    search: PoseSearch, anchored: AnchoredMap, bends: dict[str, float], turn: float
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
    search: PoseSearch, anchors: Anchors, shapes: Shapes, seed: int
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


def _met(search: PoseSearch, depth: float) -> dict[str, float]:
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
