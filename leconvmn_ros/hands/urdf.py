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

"""Writes the hand of human_model.py as URDF.

Its joints have the names of joints.py, so robot_state_publisher accepts `joint_states` directly.
Parts that the decoder does not estimate are fixed (wrist, metacarpals, spread of the fingers) or
follow another joint (the last joint of each finger, by `mimic`). The limits are those of
joints.py, but neither robot_state_publisher nor RViz enforces them: a wearer who bends further, or
a wrong estimate, is shown as it is. There are no masses or collision shapes: this hand is for
display only.
"""

from math import atan2, hypot, radians
from typing import get_args, Literal, NamedTuple
from xml.etree import ElementTree as ET

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.hands.human_model import (
    Bone,
    DIP_OVER_PIP,
    Finger,
    finger_joints,
    FingerJoint,
    FINGERS,
    PALM,
    Vector,
)

Side = Literal['left', 'right']
Colour = tuple[float, float, float, float]


class Look(NamedTuple):
    """How a hand is drawn.

    Attributes:
        colour: red, green, blue and opacity of all links, each 0 to 1.
        girth: scale of the breadth of all links, above 0 to 1.
    """

    colour: Colour
    girth: float = 1.0


# As in the plots, estimated is red and measured is grey. The ghost is thinner than the estimate,
# which hides it where they agree, so the visible part is the error. It is opaque, or the balls in
# its joints would show through.
ESTIMATE = Look((0.82, 0.29, 0.36, 1.0))
GHOST = Look((0.75, 0.77, 0.8, 1.0), girth=0.9)

ROOT = 'palm'
STILL: Vector = (0.0, 0.0, 0.0)
# URDF requires both; nothing here uses them (N m, rad/s).
EFFORT, VELOCITY = 1.0, 20.0


def hand_urdf(side: Side, look: Look = ESTIMATE) -> str:
    """Return the URDF of a hand. Its root is the palm, with the frame in the wrist.

    Args:
        side: 'left' or 'right'.
        look: colour and girth of all links.

    Raises:
        ConfigurationError: there is no such side, colour or girth.
    """
    if side not in get_args(Side):
        raise ConfigurationError(f'side is {side!r}; allowed are {" and ".join(get_args(Side))}')
    colour, girth = look
    if len(colour) != len(ESTIMATE.colour) or not all(0 <= part <= 1 for part in colour):
        raise ConfigurationError(f'colour is {colour!r}; allowed are four numbers from 0 to 1')
    if not 0 < girth <= 1:
        raise ConfigurationError(f'girth is {girth!r}; allowed is a number above 0 to 1')
    mirror = -1 if side == 'left' else 1  # y of the table times this
    robot = ET.Element('robot', name=f'{side}_hand')
    material = ET.SubElement(robot, 'material', name='skin')
    ET.SubElement(material, 'color', rgba=_numbers(colour))
    palm = ET.SubElement(robot, 'link', name=ROOT)
    for (x0, y0, z0), (x1, y1, z1), breadth in PALM:
        _add_capsule(palm, (x0, mirror * y0, z0), (x1, mirror * y1, z1), girth * breadth)
    for finger in FINGERS:
        _add_finger(robot, finger, mirror, girth)
    ET.indent(robot)
    # Name no encoding: lxml refuses a str that declares one.
    return f'<?xml version="1.0"?>\n{ET.tostring(robot, encoding="unicode")}\n'


def _add_finger(robot: ET.Element, finger: Finger, mirror: int, girth: float) -> None:
    """Add a ray of the hand to the palm; each link has the name of the joint before it."""
    (x, y, z), (roll, pitch, yaw) = finger.base, map(radians, finger.turn)
    joint = _add_joint(robot, f'{finger.name}_cmc', 'fixed', ROOT)
    _add_origin(joint, (x, mirror * y, z), (mirror * roll, pitch, mirror * yaw))
    end = _add_bone(robot, joint, finger.metacarpal, girth)
    turn = (0.0, 0.0, mirror * radians(finger.fan))
    for hinge, phalanx in zip(finger_joints(finger), finger.phalanges, strict=True):
        joint = _add_joint(robot, hinge.name, 'revolute', _child(joint))
        _add_origin(joint, end, turn)
        _add_hinge(joint, hinge)
        end = _add_bone(robot, joint, phalanx, girth, tip=phalanx is finger.tip)
        turn = STILL
    # A frame without a body.
    joint = _add_joint(robot, f'{finger.name}_tip', 'fixed', _child(joint))
    _add_origin(joint, end, turn)
    ET.SubElement(robot, 'link', name=_child(joint))


def _add_joint(robot: ET.Element, name: str, kind: str, parent: str) -> ET.Element:
    joint = ET.SubElement(robot, 'joint', name=name, type=kind)
    ET.SubElement(joint, 'parent', link=parent)
    ET.SubElement(joint, 'child', link=f'{name}_link')
    return joint


def _child(joint: ET.Element) -> str:
    return f'{joint.get("name")}_link'


def _add_hinge(joint: ET.Element, hinge: FingerJoint) -> None:
    """Let a joint turn about y, which carries the finger's x towards the palm, -z."""
    ET.SubElement(joint, 'axis', xyz=_numbers((0.0, 1.0, 0.0)))
    limits = {'lower': hinge.lower, 'upper': hinge.upper, 'effort': EFFORT, 'velocity': VELOCITY}
    ET.SubElement(joint, 'limit', {name: _number(value) for name, value in limits.items()})
    if hinge.follows:
        ET.SubElement(joint, 'mimic', joint=hinge.follows, multiplier=_number(DIP_OVER_PIP))


def _add_bone(
    robot: ET.Element, joint: ET.Element, bone: Bone, girth: float, *, tip: bool = False
) -> Vector:
    """Add the link behind a joint, which lies along its x; return where it ends.

    A fingertip ends there with its surface, another bone with the centre of the next joint.
    """
    link = ET.SubElement(robot, 'link', name=_child(joint))
    last = bone.length - bone.breadth / 2 if tip else bone.length
    _add_capsule(link, STILL, (last, 0.0, 0.0), girth * bone.breadth)
    return bone.length, 0.0, 0.0


def _add_capsule(link: ET.Element, start: Vector, end: Vector, breadth: float) -> None:
    """Add a cylinder from `start` to `end` with a ball around either."""
    x, y, z = (last - first for first, last in zip(start, end, strict=True))
    middle = (start[0] + x / 2, start[1] + y / 2, start[2] + z / 2)
    # URDF's cylinders stand along z.
    cylinder = _add_visual(link, middle, (0.0, atan2(hypot(x, y), z), atan2(y, x)))
    radius, length = _number(breadth / 2), _number(hypot(x, y, z))
    ET.SubElement(cylinder, 'cylinder', radius=radius, length=length)
    for centre in (start, end):
        ET.SubElement(_add_visual(link, centre, STILL), 'sphere', radius=radius)


def _add_visual(link: ET.Element, xyz: Vector, rpy: Vector) -> ET.Element:
    """Add a visual element; return the element for its shape."""
    visual = ET.SubElement(link, 'visual')
    _add_origin(visual, xyz, rpy)
    geometry = ET.SubElement(visual, 'geometry')
    ET.SubElement(visual, 'material', name='skin')
    return geometry


def _add_origin(parent: ET.Element, xyz: Vector, rpy: Vector) -> None:
    ET.SubElement(parent, 'origin', xyz=_numbers(xyz), rpy=_numbers(rpy))


def _numbers(values: tuple[float, ...]) -> str:
    return ' '.join(map(_number, values))


def _number(value: float) -> str:
    # To the nanometre; adding 0 turns -0.0 into 0.
    return f'{round(value, 9) + 0.0:.12g}'
