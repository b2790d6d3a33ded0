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

from collections.abc import Iterator, Mapping
from itertools import product
import os
from pathlib import Path
import re
import sys
from typing import Any, NamedTuple
import warnings
import xml.etree.ElementTree as ET

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.files import open_input
import numpy as np
from numpy.typing import NDArray

if sys.platform == 'linux' and not os.environ.get('DISPLAY'):
    # MuJoCo reads this when it is imported.
    os.environ.setdefault('MUJOCO_GL', 'egl')
try:
    import mujoco
except ImportError as error:  # pragma: no cover - an installation without the extra
    raise ConfigurationError(
        'MuJoCo is not installed: pip install "leconvmn_ros[simulation]"'
    ) from error

Array = NDArray[np.float64]

LARGEST_URDF = 2**23  # bytes
LARGEST_MESH = 2**27  # bytes
MESHES = ('.stl', '.obj', '.msh')
# How many folders above a URDF are searched for package://NAME/...
HIGHEST_FOLDER = 6
FARTHEST = 0.5  # m
# Groups of shapes: visual ones, and those that can touch.
DRAWN, TOUCHABLE = 2, 3
PALE = (0.78, 0.79, 0.82, 1.0)


class Mimic(NamedTuple):
    """Ties a joint to another one: ratio * position + offset."""

    leader: str
    ratio: float
    offset: float


class ModelJoint(NamedTuple):
    """A joint of the URDF that moves.

    Attributes:
        name: in the URDF.
        lower: limit (rad, or m).
        upper: limit (rad, or m).
        velocity: limit (rad/s), 0 where the file has none.
        mimic: the joint that it follows, if any.
        child: name of the link that it moves.
    """

    name: str
    lower: float
    upper: float
    velocity: float
    mimic: Mimic | None
    child: str


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
        root = _read(urdf)
        self.name = root.get('name', urdf.stem)
        self.joints = {joint.name: joint for joint in _joints(root, urdf)}
        self._followers = _in_order(self.joints, urdf)
        builder = _Builder(root, urdf, drawn=drawn)
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


class _Builder:
    """Builds the MuJoCo model, link by link.

    Attributes:
        spec: the specification that MuJoCo compiles.
        missing: shapes that could not be loaded.
    """

    def __init__(self, root: ET.Element, urdf: Path, *, drawn: bool) -> None:
        self.spec = mujoco.MjSpec()
        self.spec.compiler.degree = False
        if drawn:
            sky = self.spec.add_texture(
                type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
                builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
                width=8,
                height=48,
            )
            sky.rgb1 = sky.rgb2 = [1, 1, 1]
            light = self.spec.visual.headlight
            light.ambient, light.diffuse, light.specular = [0.45] * 3, [0.55] * 3, [0.1] * 3
        self.missing: list[str] = []
        self._urdf, self._drawn = urdf, drawn
        self._links = {link.get('name', ''): link for link in root.findall('link')}
        self._below: dict[str, list[ET.Element]] = {name: [] for name in self._links}
        children = set()
        for joint in root.findall('joint'):
            parent, child = (_attribute(joint, part, 'link', urdf) for part in ('parent', 'child'))
            if parent not in self._links or child not in self._links or child in children:
                raise ConfigurationError(
                    f'{urdf}: joint {joint.get("name")} connects {parent} and {child}; '
                    'both must be links, and a link has one parent'
                )
            children.add(child)
            self._below[parent].append(joint)
        tops = [name for name in self._links if name not in children]
        if len(tops) != 1:
            raise ConfigurationError(f'{urdf} has {len(tops)} links without a parent, not one')
        self._meshes: dict[tuple[str, str], str] = {}
        self._add_link(tops[0], self.spec.worldbody, None)

    def _add_link(self, name: str, parent: Any, joint: ET.Element | None) -> None:
        # MuJoCo has its own body named world.
        body = parent.add_body(name=f'{name}_' if name == 'world' else name)
        if joint is not None:
            body.pos, body.quat = _origin(joint)
            if joint.get('type') in {'revolute', 'continuous', 'prismatic'}:
                self._add_joint(body, joint)
        # Only poses matter, so every link has the same mass.
        body.mass, body.inertia, body.explicitinertial = 0.02, [1e-5] * 3, True
        link = self._links[name]
        for number, collision in enumerate(link.findall('collision')):
            self._add_shape(body, collision, f'{name}_{number}', TOUCHABLE)
        if self._drawn:
            for number, visual in enumerate(link.findall('visual')):
                self._add_shape(body, visual, f'{name}_{number}_seen', DRAWN)
        for below in self._below[name]:
            child = below.find('child')
            self._add_link(child.get('link', '') if child is not None else '', body, below)

    def _add_joint(self, body: Any, joint: ET.Element) -> None:
        added = body.add_joint(name=joint.get('name'))
        slides = joint.get('type') == 'prismatic'
        added.type = mujoco.mjtJoint.mjJNT_SLIDE if slides else mujoco.mjtJoint.mjJNT_HINGE
        axis = joint.find('axis')
        added.axis = _numbers(axis.get('xyz', '1 0 0') if axis is not None else '1 0 0', 3)

    def _add_shape(self, body: Any, element: ET.Element, name: str, group: int) -> None:
        geometry = element.find('geometry')
        shape = geometry[0] if geometry is not None and len(geometry) else None
        if shape is None:
            return
        kinds = mujoco.mjtGeom
        settings: dict[str, Any]
        if shape.tag == 'box':
            size = [max(part, 1e-6) / 2 for part in _numbers(shape.get('size', ''), 3)]
            settings = {'type': kinds.mjGEOM_BOX, 'size': size}
        elif shape.tag == 'sphere':
            radius = _numbers(shape.get('radius', ''), 1)[0]
            settings = {'type': kinds.mjGEOM_SPHERE, 'size': [max(radius, 1e-6), 0, 0]}
        elif shape.tag in {'cylinder', 'capsule'}:
            radius, length = (_numbers(shape.get(k, ''), 1)[0] for k in ('radius', 'length'))
            kind = kinds.mjGEOM_CYLINDER if shape.tag == 'cylinder' else kinds.mjGEOM_CAPSULE
            settings = {'type': kind, 'size': [max(radius, 1e-6), max(length, 1e-6) / 2, 0]}
        else:
            mesh = self._mesh(shape, name)
            if mesh is None:
                return
            settings = {'type': kinds.mjGEOM_MESH, 'meshname': mesh}
        pos, quat = _origin(element)
        touches = int(group == TOUCHABLE)
        body.add_geom(
            name=name, pos=pos, quat=quat, group=group, contype=touches, conaffinity=touches,
            rgba=PALE, mass=0, **settings,
        )  # fmt: skip

    def _mesh(self, shape: ET.Element, name: str) -> str | None:
        """Return the name of a mesh, None if it cannot be loaded."""
        reference, scale = shape.get('filename', ''), shape.get('scale', '1 1 1')
        if (reference, scale) in self._meshes:
            return self._meshes[reference, scale]
        path = _find_mesh(reference, self._urdf)
        if path is None:
            self.missing.append(reference)
            return None
        mesh = self.spec.add_mesh(name=f'mesh_{name}', file=str(path), scale=_numbers(scale, 3))
        # Accept hulls of flat or open meshes, too.
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
        self._meshes[reference, scale] = mesh.name
        return str(mesh.name)


def _read(urdf: Path) -> ET.Element:
    try:
        if not urdf.is_file():
            raise ConfigurationError(f'{urdf} is no file; a URDF is wanted')
        with open_input(urdf) as file:
            content = file.read(LARGEST_URDF + 1)
    except OSError as error:
        raise ConfigurationError(f'cannot read {urdf}: {error.strerror}') from error
    if len(content) > LARGEST_URDF:
        raise ConfigurationError(f'{urdf} is larger than {LARGEST_URDF} bytes, too large')
    if b'<!DOCTYPE' in content or b'<!ENTITY' in content:
        raise ConfigurationError(f'{urdf} declares entities; a URDF has none')
    try:
        root = ET.fromstring(content)  # noqa: S314 - without entities
    except (ET.ParseError, ValueError) as error:
        raise ConfigurationError(f'{urdf} is no XML: {error}') from error
    if root.tag != 'robot':
        raise ConfigurationError(f'{urdf} is no URDF: its root is {root.tag}, not robot')
    if any('${' in value for element in root.iter() for value in element.attrib.values()):
        raise ConfigurationError(f'{urdf} is a xacro file; expand it: xacro FILE > FILE.urdf')
    return root


def _joints(root: ET.Element, urdf: Path) -> Iterator[ModelJoint]:
    for joint in root.findall('joint'):
        if joint.get('type') not in {'revolute', 'continuous', 'prismatic'}:
            continue
        limit, mimic = joint.find('limit'), joint.find('mimic')
        read = {} if limit is None else limit.attrib
        lower, upper, velocity = (
            _numbers(read.get(key, default), 1)[0]
            for key, default in (('lower', '-3.1416'), ('upper', '3.1416'), ('velocity', '0'))
        )
        yield ModelJoint(
            joint.get('name', ''),
            lower,
            upper,
            velocity,
            None
            if mimic is None
            else Mimic(
                mimic.get('joint', ''),
                _numbers(mimic.get('multiplier', '1'), 1)[0],
                _numbers(mimic.get('offset', '0'), 1)[0],
            ),
            _attribute(joint, 'child', 'link', urdf),
        )


def _find_mesh(reference: str, urdf: Path) -> Path | None:
    """Return the mesh file that a URDF refers to, None if MuJoCo reads no such file."""
    plain = re.sub(r'^(package|file|model)://', '', reference)
    if Path(plain).suffix.lower() not in MESHES:
        return None
    # The folder of a package may have another name: try with and without the package name.
    tails = [Path(plain), *([Path(*Path(plain).parts[1:])] if plain != reference else [])]
    folder = urdf.resolve().parent
    for above in (folder, *list(folder.parents)[:HIGHEST_FOLDER]):
        for tail in tails:
            path = above / tail
            if path.is_file() and 0 < path.stat().st_size <= LARGEST_MESH:
                return path
    return None


def _origin(element: ET.Element) -> tuple[list[float], Array]:
    """Return position (m) and quaternion of an element's frame."""
    origin = element.find('origin')
    values = {} if origin is None else origin.attrib
    quat = np.empty(4)
    # Rotations about fixed axes: roll, then pitch, then yaw.
    mujoco.mju_euler2Quat(quat, _numbers(values.get('rpy', '0 0 0'), 3), 'XYZ')
    return _numbers(values.get('xyz', '0 0 0'), 3), quat


def _numbers(text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ConfigurationError(f'the URDF has {text[:60]!r} where {count} numbers belong')
    return numbers


def _attribute(element: ET.Element, part: str, key: str, urdf: Path) -> str:
    found = element.find(part)
    if found is None or not found.get(key):
        raise ConfigurationError(f'{urdf}: joint {element.get("name")} has no {part} {key}')
    return found.get(key, '')


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
