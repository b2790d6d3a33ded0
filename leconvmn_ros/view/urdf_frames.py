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

"""Reads a URDF as a tree of frames and simple shapes for a viewer.

It supports what our own hand (hands/urdf.py) consists of: boxes, cylinders and spheres on fixed
and revolute joints. A reader of meshes would be a library several times the size of this package.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree as ET

from leconvmn_ros.core.errors import ConfigurationError
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

# Attributes that give the size of each shape (m).
SIZES = {'box': ('size',), 'cylinder': ('radius', 'length'), 'sphere': ('radius',)}


class Shape(NamedTuple):
    """A visible part of a link.

    Attributes:
        kind: box, cylinder (along z) or sphere.
        size: edges of a box, radius and length of a cylinder, radius of a sphere (m).
        position: position of its centre in the frame of the link (m).
        rotation: its rotation in that frame.
    """

    kind: str
    size: tuple[float, ...]
    position: NDArray[np.float64]
    rotation: Rotation


class Frame(NamedTuple):
    """A link and the joint that holds it.

    Attributes:
        path: names of the links from the root to this one, joined by slashes.
        position: position in the frame of the parent (m).
        rotation: rotation in that frame, with the joint at zero.
        joint: the joint that turns this frame, directly or by mimicking; empty if fixed.
        axis: unit vector of the axis, times the multiplier of a mimic joint.
        offset: angle of a mimic joint with its leader at zero (rad).
        shapes: visible shapes of the link.
    """

    path: str
    position: NDArray[np.float64]
    rotation: Rotation
    joint: str
    axis: NDArray[np.float64]
    offset: float
    shapes: tuple[Shape, ...]

    def turned(self, angles: Mapping[str, float]) -> NDArray[np.float64]:
        """Return the rotation at these joint angles (rad) as a quaternion, w first."""
        angle = angles.get(self.joint, 0.0)
        direction = self.axis / (np.linalg.norm(self.axis) or 1.0)
        bend = Rotation.from_rotvec(self.axis * angle + direction * self.offset)
        return wxyz(self.rotation * bend)


def wxyz(rotation: Rotation) -> NDArray[np.float64]:
    """Return a rotation as a quaternion, w first."""
    quaternion: NDArray[np.float64] = np.roll(rotation.as_quat(), 1)
    return quaternion


def read_frames(urdf: str) -> list[Frame]:
    """Return all frames of a URDF, parents before children.

    Raises:
        ConfigurationError: it is not a URDF, or has unsupported shapes or joints.
    """
    try:
        robot = ET.fromstring(urdf)  # noqa: S314 - our own file, without external entities
    except ET.ParseError as error:
        raise ConfigurationError(f'the URDF of the hand is not XML: {error}') from error
    shapes = {link.get('name', ''): _shapes(link) for link in robot.iter('link')}
    children: dict[str, list[ET.Element]] = {}
    for joint in robot.iterfind('joint'):
        children.setdefault(_linked(joint, 'parent'), []).append(joint)
    roots = set(shapes) - {_linked(joint, 'child') for joint in robot.iterfind('joint')}
    if len(roots) != 1:
        raise ConfigurationError(f'a URDF has one root link; this one has {sorted(roots)}')
    (root,) = roots
    still = np.zeros(3)
    frames = [Frame(root, still, Rotation.identity(), '', still, 0.0, shapes[root])]
    for parent in frames:  # grows while it is traversed
        joints = children.get(parent.path.rpartition('/')[2], ())
        frames.extend(_frame(parent.path, joint, shapes) for joint in joints)
    return frames


def _linked(joint: ET.Element, end: str) -> str:
    found = joint.find(end)
    return found.get('link', '') if found is not None else ''


def _frame(parent: str, joint: ET.Element, shapes: Mapping[str, tuple[Shape, ...]]) -> Frame:
    name, kind, link = joint.get('name', ''), joint.get('type'), _linked(joint, 'child')
    position, rotation = _origin(joint)
    if kind not in {'fixed', 'revolute', 'continuous'}:
        raise ConfigurationError(
            f'joint {name} is of type {kind}; allowed are fixed, revolute, continuous'
        )
    axis, offset = np.zeros(3), 0.0
    if kind == 'fixed':
        name = ''
    else:
        axis = _vector(joint.find('axis'), 'xyz', (1.0, 0.0, 0.0))
        axis = axis / np.linalg.norm(axis)
        if (mimic := joint.find('mimic')) is not None:
            name, offset = mimic.get('joint', ''), float(mimic.get('offset', 0.0))
            axis = axis * float(mimic.get('multiplier', 1.0))
    path = f'{parent}/{link}'
    return Frame(path, position, rotation, name, axis, offset, shapes.get(link, ()))


def _shapes(link: ET.Element) -> tuple[Shape, ...]:
    return tuple(
        _shape(geometry, *_origin(visual))
        for visual in link.iterfind('visual')
        for geometry in visual.iterfind('geometry/*')
    )


def _shape(geometry: ET.Element, position: NDArray[np.float64], rotation: Rotation) -> Shape:
    if geometry.tag not in SIZES:
        raise ConfigurationError(
            f'a {geometry.tag} cannot be drawn; allowed are {", ".join(SIZES)}'
        )
    texts = [geometry.get(name, '') for name in SIZES[geometry.tag]]
    return Shape(geometry.tag, tuple(map(float, ' '.join(texts).split())), position, rotation)


def _origin(of: ET.Element) -> tuple[NDArray[np.float64], Rotation]:
    origin = of.find('origin')
    turn = Rotation.from_euler('xyz', _vector(origin, 'rpy', (0.0, 0.0, 0.0)))
    return _vector(origin, 'xyz', (0.0, 0.0, 0.0)), turn


def _vector(
    of: ET.Element | None, attribute: str, default: Sequence[float]
) -> NDArray[np.float64]:
    text = of.get(attribute) if of is not None else None
    return np.array(text.split() if text else default, dtype=np.float64)
