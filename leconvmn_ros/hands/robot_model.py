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

"""A robot hand of a maker's URDF as a MuJoCo model: positions of fingertips, contacts.

For checks and for fitting a profile; it is not used while a hand is driven. MuJoCo replaces each
collision mesh by its convex hull, so overlaps are upper bounds. Only poses are computed, no
forces, so masses and inertias in the file do not matter.
"""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
import re
from typing import Any, NamedTuple
import warnings

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.hands.model_builder import (
    Array,
    ModelBuilder,
    ModelJoint,
    movable_joints,
    read_urdf,
)
import mujoco
import numpy as np

FARTHEST = 0.5  # m


class Overlap(NamedTuple):
    """The depth of two links in one another (m), 0 where nothing touches."""

    depth: float
    links: tuple[str, str]


class RobotModel:
    """The kinematics and the collision shapes of one hand.

    Attributes:
        name: name of the robot in the URDF.
        joints: the movable joints, by name, in the order of the file.
        missing: shapes whose mesh is missing or unreadable; they touch nothing.
        ignored: pairs of links that overlap in every pose; they are not counted.
        model: MuJoCo's model.
        data: MuJoCo's data, for the last pose set.
    """

    def __init__(self, urdf: Path, *, drawn: bool = False) -> None:
        """Read a URDF.

        Args:
            urdf: the file; meshes are searched relative to it and in the folders above.
            drawn: whether to keep the visual shapes.

        Raises:
            ConfigurationError: it cannot be read or is not the URDF of a hand.
        """
        root = read_urdf(urdf)
        self.name = root.get('name', urdf.stem)
        self.joints = {joint.name: joint for joint in movable_joints(root, urdf)}
        self._followers = _in_order(self.joints, urdf)
        builder = ModelBuilder(root, urdf, drawn=drawn)
        try:
            with warnings.catch_warnings():
                # MuJoCo warns of missing textures, which are not needed here.
                warnings.simplefilter('ignore')
                self.model = builder.spec.compile()
        except ValueError as error:
            raise ConfigurationError(f'{urdf}: MuJoCo refuses it: {_one_line(error)}') from error
        self.missing: list[str] = builder.missing
        self.data = mujoco.MjData(self.model)
        self._address = {name: int(self.model.joint(name).qposadr[0]) for name in self.joints}
        self.ignored: list[tuple[str, str]] = []
        self._body_of = {body: _weld(self.model, body) for body in range(self.model.nbody)}
        self._skipped = self._adjacent()
        self.move_to({})
        self._ignore_what_always_overlaps()

    def neutral(self) -> dict[str, float]:
        """Return all joints at 0, or at the limit nearest to it."""
        return {
            name: min(max(0.0, joint.lower), joint.upper) for name, joint in self.joints.items()
        }

    def complete(self, pose: Mapping[str, float]) -> dict[str, float]:
        """Complete a pose: missing joints follow their leader, or are neutral."""
        full = self.neutral() | dict(pose)
        for name in self._followers:
            if name not in pose:
                mimic = self.joints[name].mimic
                assert mimic is not None  # noqa: S101 - for the type checker
                full[name] = mimic.ratio * full[mimic.leader] + mimic.offset
        return full

    def move_to(self, pose: Mapping[str, float]) -> None:
        """Move to a pose (rad), by names of the URDF."""
        for name, position in self.complete(pose).items():
            self.data.qpos[self._address[name]] = position
        mujoco.mj_kinematics(self.model, self.data)

    def overlaps(self) -> dict[tuple[str, str], float]:
        """Return the depth of links in one another in the present pose (m), by pair."""
        mujoco.mj_collision(self.model, self.data)
        found: dict[tuple[str, str], float] = {}
        for geoms, distance in zip(self.data.contact.geom, self.data.contact.dist, strict=True):
            first, second = sorted(self._body_of[int(self.model.geom_bodyid[g])] for g in geoms)
            if distance < 0 and (first, second) not in self._skipped:
                pair = (self.model.body(first).name, self.model.body(second).name)
                found[pair] = max(found.get(pair, 0.0), -float(distance))
        return found

    def deepest(self) -> Overlap:
        """Return the deepest overlap in the present pose."""
        found = self.overlaps()
        if not found:
            return Overlap(0.0, ('', ''))
        pair = max(found, key=lambda pair: found[pair])
        return Overlap(found[pair], pair)

    def place(self, link: str, point: Array) -> Array:
        """Return the position of a point of a link in the frame of the hand's root (m)."""
        body = self.data.body(link)
        place: Array = body.xpos + body.xmat.reshape(3, 3) @ point
        return place

    def moved_by(self, joint: str) -> list[str]:
        """Return the links that a joint moves, directly or through joints that mimic it."""
        names = [joint]
        for name in self._followers:
            mimic = self.joints[name].mimic
            if mimic is not None and mimic.leader in names:
                names.append(name)
        bodies = {int(self.model.joint(name).bodyid[0]) for name in names}
        return [
            self.model.body(body).name
            for body in range(1, self.model.nbody)
            if bodies & set(_way(self.model, body))
        ]

    def depth_of(self, link: str) -> int:
        """Return how many joints there are between the root and a link."""
        return sum(
            int(self.model.body_jntnum[body]) for body in _way(self.model, self._body(link))
        )

    def origin(self, link: str) -> Array:
        """Return the origin of a link's frame (m)."""
        place: Array = self.data.xpos[self._body(link)].copy()
        return place

    def axis(self, joint: str) -> Array:
        """Return the axis of a joint in the present pose, a unit vector."""
        axis: Array = self.data.xaxis[int(self.model.joint(joint).id)].copy()
        return axis

    def gap(self, first: str, second: str) -> float:
        """Return the gap between the shapes of two links (m), 0 where they touch."""
        geoms = [
            [g for g in range(self.model.ngeom) if self._moves_with(g, link)]
            for link in (first, second)
        ]
        between = [
            mujoco.mj_geomDistance(self.model, self.data, one, other, FARTHEST, None)
            for one, other in product(*geoms)
        ]
        return max(0.0, min(between, default=FARTHEST))

    def _moves_with(self, geom: int, link: str) -> bool:
        same = self._body_of[int(self.model.geom_bodyid[geom])] == self._body_of[self._body(link)]
        return same and bool(self.model.geom_contype[geom])

    def shape_points(self, link: str) -> Array:
        """Return corners of the shapes of a link, in its frame (m), shape (points, 3)."""
        body = self._body(link)
        return np.concatenate(
            [
                np.empty((0, 3)),
                *(self._corners(g) for g in range(self.model.ngeom) if self._is_of(g, body)),
            ]
        )

    def _is_of(self, geom: int, body: int) -> bool:
        return bool(self.model.geom_bodyid[geom] == body and self.model.geom_contype[geom])

    def _corners(self, geom: int) -> Array:
        model = self.model
        mesh = int(model.geom_dataid[geom])
        if mesh >= 0:
            start, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
            corners = model.mesh_vert[start : start + count].astype(float)
        else:
            signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).T.reshape(-1, 3)
            corners = signs * model.geom_rbound[geom] / np.sqrt(3)
            if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX:
                corners = signs * model.geom_size[geom]
        turn = np.empty(9)
        mujoco.mju_quat2Mat(turn, model.geom_quat[geom])
        placed: Array = corners @ turn.reshape(3, 3).T + model.geom_pos[geom]
        return placed

    def _body(self, link: str) -> int:
        return int(self.model.body(link).id)

    def _adjacent(self) -> set[tuple[int, int]]:
        """Return the pairs connected by a joint: their shapes overlap by construction."""
        pairs = set()
        for body in range(1, self.model.nbody):
            parent = self._body_of[int(self.model.body_parentid[body])]
            first, second = sorted((self._body_of[body], parent))
            pairs.add((first, second))
        return pairs

    def _ignore_what_always_overlaps(self) -> None:
        """Ignore pairs that already overlap in the neutral pose, as simplified shapes do."""
        for first, second in self.overlaps():
            self._skipped.add((self._body(first), self._body(second)))
            self.ignored.append((first, second))


def _in_order(joints: Mapping[str, ModelJoint], urdf: Path) -> list[str]:
    """Return the joints that mimic others, each after its leader."""
    order: list[str] = []
    waiting = {name: joint.mimic.leader for name, joint in joints.items() if joint.mimic}
    if lost := {leader for leader in waiting.values() if leader not in joints}:
        raise ConfigurationError(f'{urdf}: a joint mimics {min(lost)}, which is not there')
    while waiting:
        ready = [name for name, leader in waiting.items() if leader not in waiting]
        if not ready:
            raise ConfigurationError(f'{urdf}: joints mimic one another: {", ".join(waiting)}')
        order += ready
        for name in ready:
            del waiting[name]
    return order


def match_joints(wanted: list[str], there: list[str]) -> dict[str, str]:
    """Return the joint of the URDF for each joint of a profile.

    Names may differ by case, by `.` for `_`, and by a prefix such as `rh_` on either side.

    Raises:
        ConfigurationError: a joint is missing, or several match.
    """
    plain = {name: re.sub(r'[^a-z0-9]+', '_', name.lower()) for name in (*wanted, *there)}
    found = {}
    for name in wanted:
        same = [other for other in there if other == name]
        same = same or [other for other in there if plain[other] == plain[name]]
        same = same or [
            other
            for other in there
            if plain[other].endswith(f'_{plain[name]}') or plain[name].endswith(f'_{plain[other]}')
        ]
        if len(same) != 1:
            what = f'could be {" or ".join(same)}' if same else 'is not in the URDF'
            raise ConfigurationError(f'joint {name} {what}; the URDF has {", ".join(there)}')
        found[name] = same[0]
    return found


def _weld(model: Any, body: int) -> int:
    """Return the body that a body is fixed to, the same one for all that move together."""
    return int(model.body_weldid[body]) or min(body, 1)


def _way(model: Any, body: int) -> list[int]:
    """Return the bodies from one up to the world."""
    way = [body]
    while way[-1]:
        way.append(int(model.body_parentid[way[-1]]))
    return way


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())
