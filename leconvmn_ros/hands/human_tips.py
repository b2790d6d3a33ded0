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

"""The positions of the human fingertips for ten joint angles.

The forward kinematics of the hand in human_model.py, in closed form: a finger bends in one plane.
"""

from collections.abc import Mapping
from math import cos, dist, radians, sin
from typing import NamedTuple

from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.hands.human_model import DIP_OVER_PIP, Finger, FINGERS, Vector

FINGER_NAMES = tuple(finger.name for finger in FINGERS)
# The fingers that the thumb can touch.
OPPOSED = FINGER_NAMES[1:]


class _Plane(NamedTuple):
    """The plane in which a finger bends, in the frame of the palm of a right hand (m)."""

    knuckle: Vector
    straight: Vector  # direction of the straight finger
    bent: Vector  # direction of a phalanx that is bent by 90 degrees
    lengths: tuple[float, ...]
    joints: tuple[str, ...]


def _axes(turn: Vector) -> tuple[Vector, Vector]:
    """Return x and -z of a frame turned by roll, pitch and yaw (rad), as in URDF."""
    roll, pitch, yaw = turn
    cr, sr, cp, sp, cy, sy = cos(roll), sin(roll), cos(pitch), sin(pitch), cos(yaw), sin(yaw)
    x = (cy * cp, sy * cp, -sp)
    z = (cy * sp * cr + sy * sr, sy * sp * cr - cy * sr, cp * cr)
    return x, (-z[0], -z[1], -z[2])


def _across(x: Vector, down: Vector) -> Vector:
    """Return y of the frame: the cross product of z and x, where `down` is -z."""
    (a, b, c), (d, e, f) = down, x
    return (-(b * f - c * e), -(c * d - a * f), -(a * e - b * d))


def _plane(finger: Finger) -> _Plane:
    along, down = _axes(
        (radians(finger.turn[0]), radians(finger.turn[1]), radians(finger.turn[2]))
    )
    y = _across(along, down)
    knuckle = _sum(finger.base, along, finger.metacarpal.length)
    fan = radians(finger.fan)
    straight = _sum((along[0] * cos(fan), along[1] * cos(fan), along[2] * cos(fan)), y, sin(fan))
    joints = tuple(name for name in JOINT_NAMES if name.startswith(finger.name))
    return _Plane(knuckle, straight, down, tuple(b.length for b in finger.phalanges), joints)


def _sum(start: Vector, direction: Vector, length: float) -> Vector:
    x, y, z = (s + length * d for s, d in zip(start, direction, strict=True))
    return x, y, z


_PLANES = {finger.name: _plane(finger) for finger in FINGERS}


def fingertip(finger: str, angles: Mapping[str, float]) -> Vector:
    """Return the tip of a finger in the frame of the palm of a right hand (m).

    Args:
        finger: a name in FINGER_NAMES.
        angles: angles of its two joints (rad), by name; a missing joint is straight.
    """
    plane = _PLANES[finger]
    first, second = (angles.get(name, 0.0) for name in plane.joints)
    bends = (first, second, DIP_OVER_PIP * second)
    point, bend = plane.knuckle, 0.0
    for length, more in zip(plane.lengths, bends, strict=False):
        bend += more
        point = _sum(point, plane.straight, length * cos(bend))
        point = _sum(point, plane.bent, length * sin(bend))
    return point


def thumb_distances(angles: Mapping[str, float]) -> dict[str, float]:
    """Return the distance of each fingertip from the tip of the thumb (m), by finger."""
    thumb = fingertip('thumb', angles)
    return {finger: dist(thumb, fingertip(finger, angles)) for finger in OPPOSED}
