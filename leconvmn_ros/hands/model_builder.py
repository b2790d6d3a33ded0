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

"""Reads a maker's URDF and builds the MuJoCo model of its hand.

Meshes are searched beside the URDF and in the folders above. Only poses matter, so masses and
inertias in the file are replaced.
"""

from collections.abc import Iterator
import os
from pathlib import Path
import re
import sys
from typing import Any, NamedTuple
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


class ModelBuilder:
    """Builds the MuJoCo model, link by link.

    Attributes:
        spec: the specification that MuJoCo compiles.
        missing: shapes that could not be loaded.
    """

    def __init__(self, root: ET.Element, urdf: Path, *, drawn: bool) -> None:
        """Build the model.

        Args:
            root: root of the URDF.
            urdf: its path.
            drawn: whether to keep the visual shapes.

        Raises:
            ConfigurationError: links and joints are not one tree, or an attribute is invalid.
        """
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


def read_urdf(urdf: Path) -> ET.Element:
    """Return the root of a URDF.

    Raises:
        ConfigurationError: it cannot be read, is too large, or is not a URDF.
    """
    try:
        if not urdf.is_file():
            raise ConfigurationError(f'{urdf} is not a file; a URDF is wanted')
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
        raise ConfigurationError(f'{urdf} is not XML: {error}') from error
    if root.tag != 'robot':
        raise ConfigurationError(f'{urdf} is not a URDF: its root is {root.tag}, not robot')
    if any('${' in value for element in root.iter() for value in element.attrib.values()):
        raise ConfigurationError(f'{urdf} is a xacro file; expand it: xacro FILE > FILE.urdf')
    return root


def movable_joints(root: ET.Element, urdf: Path) -> Iterator[ModelJoint]:
    """Yield the joints that move, in the order of the file.

    Raises:
        ConfigurationError: an attribute is missing or is not a number.
    """
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
