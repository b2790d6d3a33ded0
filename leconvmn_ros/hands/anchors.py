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

"""Anchors: poses of a robot hand fitted to its maker's model, for pinches and a safe thumb.

They refine the joint map of the profile. `leconvmn_ros hand NAME --fit URDF` writes them into a
file beside the profile, which is all that is needed while the hand is driven.

The robot's thumb moves between two poses by its *closing*: at 0 no finger can meet it, at 1 it
touches the tip of the finger it pinches with. The decoder does not estimate the base of the human
thumb, so the positions of the human fingertips select that finger. `tip` and `thumb_tip` hold the
positions of the robot's fingertips, so that they come as near to each other as the wearer's.
`clearance` limits the closing of the thumb, so that it never meets a finger in any pose. Both are
tables over the bend of one finger: the thumb meets each finger independently, so they hold in all
poses of the hand.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
import datetime as dt
import hashlib
import json
from math import inf
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.files import read_input
from leconvmn_ros.core.joints import JOINTS
from leconvmn_ros.core.strict_model import first_problem, StrictModel
from leconvmn_ros.hands.human_tips import OPPOSED, thumb_distances
from leconvmn_ros.hands.profile import HandProfile
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator, ValidationError

Array = NDArray[np.float64]

LARGEST_FILE = 2**20  # bytes
# Nodes of the tables over the bend of a finger joint, as fractions of the way from open to pinch
# and from pinch to fist. They are denser around the pinch.
BELOW, ABOVE = (0.0, 0.25, 0.5, 0.7, 0.85, 0.96, 1.0), (0.04, 0.12, 0.28, 0.5, 0.75, 1.0)
BEND_NODES = len(BELOW) + len(ABOVE)
PINCH_NODE = len(BELOW) - 1
AROUND = (0.0, *ABOVE)
# Nodes over the closing of the thumb.
CLOSING_NODES = 21
# Nodes over the closing of all fingers together.
POWER_NODES = 21
# The fingers make a fist together where the least bent one has this share of the bend of the most
# bent one (fully above, not at all below), unless the fingertips touch (fully below, not at all
# above; m).
TOGETHER, APART = 0.85, 0.5
TOUCHING, NOT_TOUCHING = 0.002, 0.0035
# The thumb turns towards a finger nearer than this (m). In a fist the human thumb comes within
# 31 mm of the ring finger and 47 mm of the little finger, hence their thresholds.
TURNS_WITHIN = {'index': 0.040, 'middle': 0.040, 'ring': 0.033, 'little': 0.048}
# A finger nearer than this (m) has full weight; the first finger has at least this weight.
NEAR, LEAST_ENGAGED = 0.006, 0.003
# Below this distance of the human fingertips (m) the thumb closes by that distance; from twice
# the distance on, by the bend of the thumb.
MEASURED_WITHIN = 0.025
# A finger begins to bend towards its pinch at the first distance and is there at the second (m).
DRAWN_WITHIN, DRAWN = 0.030, 0.0015
# Allowed error of the distance between the robot's fingertips, at the touch and at 20 mm (m).
LEAST_ERROR, ERROR_AT_20_MM = 0.001, 0.004
# Bend of the human thumb in a pinch, as a fraction of its range; beyond it the thumb is closed.
THUMB_CLOSED = 0.6

UPPER = {joint.name: joint.upper for joint in JOINTS}
THUMB = ('thumb_mcp', 'thumb_ip')
Part = Annotated[float, Field(strict=True, ge=0, le=1)]
Percent = Annotated[int, Field(strict=True, ge=0, le=100)]
# Whole tenths of a millimetre keep the tables small.
Tenths = Annotated[int, Field(strict=True, ge=-10000, le=10000)]
Place = Annotated[list[Tenths], Field(min_length=3, max_length=3)]
Row = Annotated[list[Percent], Field(min_length=BEND_NODES, max_length=BEND_NODES)]
Square = Annotated[list[Row], Field(min_length=BEND_NODES, max_length=BEND_NODES)]
Places = Annotated[list[Place], Field(min_length=BEND_NODES, max_length=BEND_NODES)]
Way = Annotated[list[Place], Field(min_length=CLOSING_NODES, max_length=CLOSING_NODES)]


class Pinch(StrictModel):
    """The thumb touching the tip of one finger."""

    human: tuple[Part, Part] = Field(
        description='closing of MCP and PIP of the human finger: 0 open, 1 fist'
    )
    nearest: float = Field(
        strict=True, ge=0, le=0.1, description='smallest distance of the human fingertips (m)'
    )
    robot: tuple[Part, Part] = Field(description='closing of the robot finger in the pinch')
    fist: tuple[Part, Part] = Field(
        description='largest closing of the robot finger; beyond, it meets the palm'
    )
    thumb: list[float] = Field(description='pose of the thumb in the pinch (rad)')
    tip: Annotated[list[Places], Field(min_length=BEND_NODES, max_length=BEND_NODES)] = Field(
        description='position of the fingertip (0.1 mm), by MCP and PIP'
    )
    touch: float = Field(
        strict=True,
        ge=0,
        le=0.1,
        description='distance of the marked tips when the fingers touch (m): many makers mark '
        'the middle of a fingertip',
    )
    clearance: list[Square] = Field(
        description='largest closing of the thumb (percent), by its turn, MCP and PIP'
    )


class Anchors(StrictModel):
    """The anchors of one hand."""

    format: Literal[1] = Field(default=1, description='of this file')
    model: str = Field(max_length=300, description="the maker's model")
    fitted: dt.date
    profile: str = Field(description='fingerprint of the joints of the profile')
    scale: float = Field(
        strict=True, gt=0, le=5, description='size of the robot hand, 1 is the human hand'
    )
    thumb_joints: list[str] = Field(min_length=1, description='joints that move the thumb')
    thumb_out: list[float] = Field(description='pose of the thumb that no finger can meet (rad)')
    thumb_tip: list[Way] = Field(
        description='position of the tip of the thumb (0.1 mm), by its turn and closing'
    )
    power: list[Percent] = Field(
        min_length=POWER_NODES,
        max_length=POWER_NODES,
        description='closing of the thumb (percent) while all fingers make a fist',
    )
    pinches: dict[str, Pinch] = Field(min_length=1, description='by finger, from the index on')

    @model_validator(mode='after')
    def _consistent(self) -> 'Anchors':
        if tuple(self.pinches) != tuple(name for name in OPPOSED if name in self.pinches):
            raise ValueError(f'pinches are {list(self.pinches)}; allowed, in order: {OPPOSED}')
        turns = turn_nodes(len(self.pinches))
        if len(self.thumb_tip) != turns:
            raise ValueError(f'thumb_tip has {len(self.thumb_tip)} ways; {turns} are needed')
        for name, pinch in self.pinches.items():
            if len(pinch.clearance) != turns:
                raise ValueError(
                    f'{name}: clearance has {len(pinch.clearance)} squares; {turns} are needed'
                )
            if not all(0 < part < 1 for part in pinch.human):
                raise ValueError(f'{name}: human is {pinch.human}; it must be between 0 and 1')
        for pose in (self.thumb_out, *(pinch.thumb for pinch in self.pinches.values())):
            if len(pose) != len(self.thumb_joints):
                raise ValueError(
                    f'a pose of the thumb has {len(pose)} angles; it has '
                    f'{len(self.thumb_joints)} joints'
                )
        return self


def joint_fingerprint(profile: HandProfile) -> str:
    """Return a fingerprint of the joints that anchors are fitted to; speeds are left out."""
    kept = {'name', 'limits', 'follows', 'open', 'closed', 'coupled', 'fixed'}
    text = json.dumps([joint.model_dump(mode='json', include=kept) for joint in profile.joints])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class HandShape(NamedTuple):
    """The pose of a hand as the anchors describe it.

    Attributes:
        bends: bend of each joint of the human fingers, by name; near a pinch, drawn towards it.
        turn: number of the finger that the thumb is turned to, 0 the first; fractions lie between
            two fingers.
        closing: closing of the thumb, 0 to 1.
    """

    bends: dict[str, float]
    turn: float
    closing: float


# Fingers straight, thumb out of their way.
AT_REST = HandShape({name: 0.0 for name in UPPER if name not in THUMB}, 0.0, 0.0)


def turn_nodes(fingers: int) -> int:
    """Return the number of thumb directions in the tables: each finger, and between neighbours."""
    return 2 * fingers - 1


class AnchoredMap:
    """Maps the closings of the human joints to those of a robot hand with anchors."""

    def __init__(self, anchors: Anchors) -> None:
        """Prepare the tables of the anchors."""
        self.anchors = anchors
        self.thumb_joints = anchors.thumb_joints
        self._fingers = tuple(anchors.pinches)
        self._pinches = tuple(anchors.pinches.values())
        self._out = np.array(anchors.thumb_out)
        self._touching = np.array([pinch.thumb for pinch in self._pinches])
        self._bends = {
            joint: ends
            for name, pinch in anchors.pinches.items()
            for joint, *ends in zip(
                finger_joints(name), pinch.human, pinch.robot, pinch.fist, strict=True
            )
        }
        self._tips = [np.array(pinch.tip) / 1e4 for pinch in self._pinches]
        self._thumb_tip = np.array(anchors.thumb_tip) / 1e4
        self._clearance = [np.array(pinch.clearance) / 100 for pinch in self._pinches]
        self._closings = np.linspace(0, 1, CLOSING_NODES)

    def shape(self, closings: Mapping[str, float]) -> HandShape:
        """Return the shape of the robot hand for a human hand.

        Args:
            closings: closing of each human joint: 0 open, 1 fist; a missing joint counts as
                open.
        """
        human = {name: min(closings.get(name, 0.0), 1.0) for name in UPPER}
        distances = thumb_distances({name: part * UPPER[name] for name, part in human.items()})
        near = [
            _beyond(distances[name], pinch.nearest) for name, pinch in self.anchors.pinches.items()
        ]
        bends = {name: part for name, part in human.items() if name not in THUMB}
        for name, pinch, distance in zip(self._fingers, self._pinches, near, strict=True):
            within = min(DRAWN_WITHIN, TURNS_WITHIN[name])
            drawn = min(max((within - distance) / (within - DRAWN), 0.0), 1.0)
            for joint, touching in zip(finger_joints(name), pinch.human, strict=True):
                bends[joint] = human[joint] + drawn * (touching - human[joint])
        turn, shares = self._turn(near)
        bent = max((human['thumb_mcp'] + human['thumb_ip']) / 2, 0.0) / THUMB_CLOSED
        closing = sum(
            share * self._closing(number, near[number], bends, turn, min(bent, 1.0))
            for number, share in enumerate(shares)
            if share
        )
        closing = min(closing, self._power_closing(human, min(near), closing))
        return HandShape(bends, turn, min(closing, self.clearance(bends, turn)))

    def _power_closing(self, human: Mapping[str, float], distance: float, closing: float) -> float:
        """Return the closing of the thumb while all fingers make a fist.

        The fingertips pass the thumb on their way. It waits, so that it need not give way, and
        then closes over them.
        """
        bends = [sum(human[joint] for joint in finger_joints(name)) / 2 for name in self._fingers]
        least = max(min(bends), 0.0)
        together = (least / max(*bends, 0.05) - APART) / (TOGETHER - APART)
        parted = (distance - TOUCHING) / (NOT_TOUCHING - TOUCHING)
        share = min(max(together, 0.0), 1.0) * min(max(parted, 0.0), 1.0)
        at = min(least, 1.0) * (POWER_NODES - 1)
        node = min(int(at), POWER_NODES - 2)
        low, high = self.anchors.power[node], self.anchors.power[node + 1]
        waiting = (low + (at - node) * (high - low)) / 100
        return closing + share * (min(waiting, closing) - closing)

    def _turn(self, near: Sequence[float]) -> tuple[float, list[float]]:
        """Return the direction that the thumb turns to, and the weight of each finger in it."""
        engaged = [
            (max(1 - distance / TURNS_WITHIN[name], 0.0) * NEAR / (distance + NEAR)) ** 2
            for name, distance in zip(self._fingers, near, strict=True)
        ]
        # With no finger near, the thumb turns to the first.
        engaged[0] += LEAST_ENGAGED
        total = sum(engaged)
        shares = [part / total for part in engaged]
        return sum(number * share for number, share in enumerate(shares)), shares

    def _closing(
        self, number: int, distance: float, bends: Mapping[str, float], turn: float, bent: float
    ) -> float:
        """Return the closing of the thumb for the finger of that number, before clearance."""
        measured = min(max(2 - distance / MEASURED_WITHIN, 0.0), 1.0)
        if not measured:
            return bent
        reach = self._reach(number, bends, turn)
        wanted = self.anchors.scale * distance
        error = LEAST_ERROR + ERROR_AT_20_MM * distance / 0.02
        lowest = self._first_within(reach, wanted + error)
        highest = self._first_within(reach, wanted - error)
        by_distance = min(max(bent, lowest), highest)
        return bent + measured * (by_distance - bent)

    def _reach(self, number: int, bends: Mapping[str, float], turn: float) -> list[float]:
        """Return the distance of the fingertips (m) at the nodes of closing."""
        x, y = self._place(number, bends)
        away = self._between_turns(self._thumb_tip, turn) - bilinear(self._tips[number], x, y)
        touch = self._pinches[number].touch
        return [max(between - touch, 0.0) for between in np.sqrt((away * away).sum(1)).tolist()]

    def _between_turns(self, table: Array, turn: float) -> Array:
        low = min(int(2 * turn), len(table) - 1)
        value: Array = table[low]
        if low + 1 < len(table):
            value = value + (2 * turn - low) * (table[low + 1] - value)
        return value

    def _first_within(self, reach: Sequence[float], distance: float) -> float:
        """Return the least closing that brings the fingertips so near; 1 if none does."""
        last = min(range(CLOSING_NODES), key=reach.__getitem__)
        before = inf
        for node, here in enumerate(reach[: last + 1]):
            if here <= distance:
                if not node:
                    return 0.0
                part = (before - distance) / (before - here)
                return float(self._closings[node - 1] + part / (CLOSING_NODES - 1))
            before = here
        return float(self._closings[last]) if distance > 0 else 1.0

    def _place(self, number: int, bends: Mapping[str, float]) -> tuple[float, float]:
        first, second = finger_joints(self._fingers[number])
        at = self._pinches[number].human
        return table_place(bends[first], at[0]), table_place(bends[second], at[1])

    def nodes(self, finger: str, shape: HandShape) -> tuple[float, float, float]:
        """Return the place of a shape in the clearance table of a finger."""
        return (2 * shape.turn, *self._place(self._fingers.index(finger), shape.bends))

    def clearance(self, bends: Mapping[str, float], turn: float) -> float:
        """Return the largest closing of the thumb that meets no finger."""
        least = 1.0
        for number, table in enumerate(self._clearance):
            x, y = self._place(number, bends)
            least = min(least, float(bilinear(self._between_turns(table, turn), x, y)))
        return least

    def finger_closings(self, shape: HandShape) -> dict[str, float]:
        """Return the closings of the robot's fingers, by human joint, without the thumb."""
        return {name: self.joint_closing(name, part) for name, part in shape.bends.items()}

    def joint_closing(self, name: str, part: float) -> float:
        """Return the closing of the robot's finger joint for the bend of a human joint."""
        ends = self._bends.get(name)
        return bend(part, *ends) if ends else part

    def thumb(self, turn: float, closing: float) -> Array:
        """Return the pose of the thumb (rad), in the order of its joints."""
        low = min(int(turn), len(self._touching) - 1)
        touching = self._touching[low]
        if low + 1 < len(self._touching):
            touching = touching + (turn - low) * (self._touching[low + 1] - touching)
        pose: Array = self._out + closing * (touching - self._out)
        return pose


def _beyond(distance: float, nearest: float) -> float:
    """Return a distance of fingertips (m) shifted so that the nearest possible one becomes 0.

    From 20 mm, or 10 mm beyond the nearest, it is unchanged.
    """
    end = max(0.020, nearest + 0.010)
    if distance >= end:
        return distance
    return max(distance - nearest, 0.0) * end / (end - nearest)


def finger_joints(finger: str) -> tuple[str, str]:
    """Return the names of the two human joints of a finger."""
    return f'{finger}_mcp', f'{finger}_pip'


def bend(part: float, human: float, robot: float, fist: float) -> float:
    """Return the closing of a robot joint: `robot` at the human pinch, `fist` in the fist."""
    if part <= 0:
        return part
    if part <= human:
        return part / human * robot
    return robot + (part - human) / (1 - human) * (fist - robot)


def table_place(part: float, human: float) -> float:
    """Return the place of a bend among the nodes of the tables; one node is the pinch."""
    part = min(max(part, 0.0), 1.0)
    steps, part = (
        (BELOW, part / human) if part <= human else (AROUND, (part - human) / (1 - human))
    )
    node = min(bisect_right(steps, part), len(steps) - 1)
    place = node - 1 + (part - steps[node - 1]) / (steps[node] - steps[node - 1])
    return place if steps is BELOW else place + PINCH_NODE


def node_bend(node: int, human: float) -> float:
    """Return the bend at a node of the tables."""
    if node <= PINCH_NODE:
        return BELOW[node] * human
    return human + AROUND[node - PINCH_NODE] * (1 - human)


def node_bend_between(place: float, human: float) -> float:
    """Return the bend at a place between the nodes of the tables; undoes `table_place`."""
    place = min(max(place, 0.0), BEND_NODES - 1.0)
    node = min(int(place), BEND_NODES - 2)
    low, high = node_bend(node, human), node_bend(node + 1, human)
    return low + (place - node) * (high - low)


def bilinear(table: Array, x: float, y: float) -> Array:
    """Interpolate between the four nodes around a place."""
    i, j = min(int(x), BEND_NODES - 2), min(int(y), BEND_NODES - 2)
    x, y = x - i, y - j
    left = table[i, j] + y * (table[i, j + 1] - table[i, j])
    right = table[i + 1, j] + y * (table[i + 1, j + 1] - table[i + 1, j])
    between: Array = left + x * (right - left)
    return between


def anchors_path(profile: Path) -> Path:
    """Return the path of the anchors that belong to a profile, in the same folder."""
    return profile.with_suffix('.anchors.json')


def load_anchors(path: Path, profile: HandProfile) -> Anchors | None:
    """Read the anchors of a profile.

    Args:
        path: path of the profile.
        profile: its content.

    Returns:
        The anchors, None if there is no such file.

    Raises:
        ConfigurationError: the file cannot be read, is invalid, or was fitted to other joints.
    """
    file = anchors_path(path)
    if not file.exists():
        return None
    try:
        content = read_input(file, LARGEST_FILE)
    except OSError as error:
        raise ConfigurationError(f'cannot read {file}: {error.strerror or error}') from error
    try:
        anchors = Anchors.model_validate_json(content)
    except ValidationError as error:
        raise ConfigurationError(f'{file}: {first_problem(error)}') from error
    if anchors.profile != joint_fingerprint(profile):
        raise ConfigurationError(
            f'{file} was fitted to other joints than those of {path.name}: fit it again with '
            '`leconvmn_ros hand NAME --fit URDF`, or remove it'
        )
    limits = {joint.name: joint.limits for joint in profile.joints}
    for pose in (anchors.thumb_out, *(pinch.thumb for pinch in anchors.pinches.values())):
        for name, angle in zip(anchors.thumb_joints, pose, strict=True):
            lower, upper = limits.get(name, (0.0, 0.0))
            if name not in limits or not lower <= angle <= upper:
                raise ConfigurationError(f'{file}: {name} at {angle:g} is outside its limits')
    return anchors
