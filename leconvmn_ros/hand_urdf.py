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

"""Writes the hand of hand_model.py as URDF.

Its joints are called as in joints.py, so `robot_state_publisher` takes `joint_states` as it is.
What the decoder does not estimate stands still (wrist, metacarpals, spread of the fingers) or
follows (the last joint of each finger, as a `mimic`). The limits are those of joints.py; neither
robot_state_publisher nor RViz holds a joint within them, so a hand whose wearer bends further, or
an estimate that is off, is shown as it is. There are no masses and no collision shapes: this hand
is to be looked at.
"""

from math import pi, radians
from typing import get_args, Literal
from xml.etree import ElementTree as ET

from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.hand_model import DIP_OVER_PIP, Finger, FINGERS, Phalanx
from leconvmn_ros.joints import Joint, JOINTS

Side = Literal['left', 'right']
Vector = tuple[float, float, float]
Colour = tuple[float, float, float, float]

# Red, green, blue, opacity: as in the plots, estimated is red and measured is grey.
ESTIMATE = (0.85, 0.33, 0.25, 1.0)
GHOST = (0.6, 0.6, 0.6, 0.4)

ROOT = 'palm'
STILL = (0.0, 0.0, 0.0)
ALONG_X = (0.0, pi / 2, 0.0)  # a cylinder of URDF stands along z
# URDF asks for both; nothing here uses them (N m, rad/s).
EFFORT, VELOCITY = 1.0, 20.0


def hand_urdf(side: Side, colour: Colour = ESTIMATE) -> str:
    """Return the URDF of a hand; the root link is the palm, with its frame in the wrist.

    Args:
        side: 'left' or 'right'.
        colour: red, green, blue and opacity of all links, each 0 to 1.

    Raises:
        ConfigurationError: there is no such side or colour.
    """
    if side not in get_args(Side):
        raise ConfigurationError(f'side is {side!r}; allowed are {" and ".join(get_args(Side))}')
    if len(colour) != len(ESTIMATE) or not all(0 <= part <= 1 for part in colour):
        raise ConfigurationError(f'colour is {colour!r}; allowed are four numbers from 0 to 1')
    robot = ET.Element('robot', name=f'{side}_hand')
    material = ET.SubElement(robot, 'material', name='skin')
    ET.SubElement(material, 'color', rgba=_numbers(colour))
    palm = ET.SubElement(robot, 'link', name=ROOT)
    _capsule(palm, Phalanx(0.034, 0.040), STILL)
    for finger in FINGERS:
        _add_finger(robot, finger, mirrored=side == 'left')
    ET.indent(robot)
    return ET.tostring(robot, encoding='unicode', xml_declaration=True) + '\n'


def finger_joints(finger: Finger) -> list[tuple[Joint, str | None]]:
    """Return the joints of a finger from the knuckle on, each with the name of the one it follows.

    The names and limits are those of joints.py; the last joint of a finger is not among them.
    """
    own: list[tuple[Joint, str | None]] = [
        (joint, None) for joint in JOINTS if joint.name.startswith(f'{finger.name}_')
    ]
    if len(own) < len(finger.phalanges):
        leader = own[-1][0]
        limits = (DIP_OVER_PIP * leader.lower, DIP_OVER_PIP * leader.upper)
        own.append((Joint(f'{finger.name}_dip', *limits), leader.name))
    return own


def _add_finger(robot: ET.Element, finger: Finger, *, mirrored: bool) -> None:
    """Add the links and joints of one ray to the palm."""
    link = ET.SubElement(robot, 'link', name=f'{finger.name}_metacarpal')
    _capsule(link, finger.metacarpal, STILL)
    base, turn, fan = finger.base, finger.turn, finger.fan
    if mirrored:  # at the plane y = 0
        base, turn, fan = (base[0], -base[1], base[2]), (-turn[0], turn[1], -turn[2]), -fan
    roll, pitch, yaw = map(radians, turn)
    joint = _joint(robot, f'{finger.name}_cmc', 'fixed', ROOT, link.get('name', ''))
    _origin(joint, base, (roll, pitch, yaw))
    at, bent = (finger.metacarpal.length, 0.0, 0.0), (0.0, 0.0, radians(fan))
    for (hinge, leader), phalanx in zip(finger_joints(finger), finger.phalanges, strict=True):
        parent = link.get('name', '')
        link = ET.SubElement(robot, 'link', name=f'{hinge.name}_link')
        joint = _joint(robot, hinge.name, 'revolute', parent, link.get('name', ''))
        _origin(joint, at, bent)
        _bending(joint, hinge, leader)
        last = phalanx is finger.phalanges[-1]
        _capsule(link, phalanx, STILL, ends_at_surface=last)
        at, bent = (phalanx.length, 0.0, 0.0), STILL
    tip = ET.SubElement(robot, 'link', name=f'{finger.name}_tip')
    joint = _joint(
        robot, f'{tip.get("name")}_joint', 'fixed', link.get('name', ''), tip.get('name', '')
    )
    _origin(joint, at, STILL)


def _joint(robot: ET.Element, name: str, kind: str, parent: str, child: str) -> ET.Element:
    joint = ET.SubElement(robot, 'joint', name=name, type=kind)
    ET.SubElement(joint, 'parent', link=parent)
    ET.SubElement(joint, 'child', link=child)
    return joint


def _bending(joint: ET.Element, hinge: Joint, leader: str | None) -> None:
    """Make a joint turn about y, which carries the x of a finger towards the palm, -z."""
    ET.SubElement(joint, 'axis', xyz=_numbers((0.0, 1.0, 0.0)))
    ET.SubElement(
        joint,
        'limit',
        lower=_number(hinge.lower),
        upper=_number(hinge.upper),
        effort=_number(EFFORT),
        velocity=_number(VELOCITY),
    )
    if leader:
        ET.SubElement(joint, 'mimic', joint=leader, multiplier=_number(DIP_OVER_PIP))


def _capsule(
    link: ET.Element, bone: Phalanx, start: Vector, *, ends_at_surface: bool = False
) -> None:
    """Add a cylinder along x with a ball at either end, from `start` on."""
    radius = bone.breadth / 2
    length = bone.length - radius if ends_at_surface else bone.length
    x, y, z = start
    cylinder = _visual(link, (x + length / 2, y, z), ALONG_X)
    ET.SubElement(cylinder, 'cylinder', radius=_number(radius), length=_number(length))
    for end in (x, x + length):
        ball = _visual(link, (end, y, z), STILL)
        ET.SubElement(ball, 'sphere', radius=_number(radius))


def _visual(link: ET.Element, xyz: Vector, rpy: Vector) -> ET.Element:
    visual = ET.SubElement(link, 'visual')
    _origin(visual, xyz, rpy)
    geometry = ET.SubElement(visual, 'geometry')
    ET.SubElement(visual, 'material', name='skin')
    return geometry


def _origin(of: ET.Element, xyz: Vector, rpy: Vector) -> None:
    ET.SubElement(of, 'origin', xyz=_numbers(xyz), rpy=_numbers(rpy))


def _numbers(values: tuple[float, ...]) -> str:
    return ' '.join(map(_number, values))


def _number(value: float) -> str:
    # Nanometres; + 0.0 turns -0.0 into 0.0.
    return f'{round(value, 9) + 0.0:.12g}'
