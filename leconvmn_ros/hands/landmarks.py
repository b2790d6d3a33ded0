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

"""Turns 21 points of a hand, as a camera or a headset sees them, into the ten flexions.

The points, in MediaPipe's order: 0 wrist; 1 to 4 thumb CMC, MCP, IP and tip; 5 to 8 index MCP,
PIP, DIP and tip; 9 to 12 middle, 13 to 16 ring, 17 to 20 little finger. Their unit, origin and
orientation do not matter, but the frame must be right-handed: MediaPipe's (x to the right, y down,
z away from the camera) and OpenXR's are; Unity's is not (change the sign of one axis).

The geometry, for a right hand (a left one is mirrored first):

- the palm's frame: *forward* from the wrist to the middle MCP, *across* from the little MCP to the
  index MCP, *back* = forward x across, out of the back of the hand;
- a finger's *ray*: in the plane of the palm, halfway between forward and the line from the wrist
  to its MCP; a finger that is neither spread nor closed points this way;
- flexion of a finger's MCP: the angle of the proximal phalanx below the plane of the palm, seen
  along the axis across its ray, so that spread does not matter;
- flexion of a PIP: from the proximal to the middle phalanx, about the axis across the finger,
  which is perpendicular to back and to its ray;
- flexion of the thumb's MCP and IP: from bone to bone, about the axis halfway between those that
  turn the thumb's metacarpal to the base of the little finger and to the wrist.

The points show neither the tilt of the metacarpals nor the arch of the palm, so the zero of a
joint is personal: `LandmarkCalibration` takes it from a flat hand. After that, on our own hand
model, the fingers are exact to 0.1 degrees and the thumb to 1.6.
"""

from collections.abc import Sequence
from math import radians
from pathlib import Path
from typing import Annotated, Any, Literal

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.files import read_input, write_text
from leconvmn_ros.core.joints import JOINT_NAMES, JOINTS, LARGEST_ANGLE
from leconvmn_ros.core.strict_model import first_problem, StrictModel
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, ValidationError

LANDMARKS = 21
_MCPS = (5, 9, 13, 17)
_WRIST, _INDEX, _MIDDLE, _LITTLE = 0, 5, 9, 17
_MIRROR = np.array([1.0, 1.0, -1.0])
# Indices of the landmarks among OpenXR's 26 joints (Quest and others), which add metacarpals.
OPENXR = (1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 14, 15, 17, 18, 19, 20, 22, 23, 24, 25)
# No PIP joint bends back this far (rad): beyond, it is a hand of the other side, or no hand.
_LEAST_PIP = radians(-35)
# The median of fewer poses is not robust.
LEAST_POSES = 5
# Less movement between flat hand and fist (rad) does not determine a joint's gain.
_LEAST_RANGE = radians(20)
_LARGEST_FILE = 2**16  # bytes

Side = Literal['right', 'left']
Array = NDArray[np.float64]


def flexions(landmarks: ArrayLike, side: Side) -> Array:
    """Return the flexions of a hand (rad), before any calibration.

    Args:
        landmarks: points, shape (..., 21, 3), in a right-handed frame.
        side: which hand it is. A wrong side gives wrong angles, see `plausible`.

    Returns:
        In the order of JOINT_NAMES, shape (..., 10); NaN where points coincide.

    Raises:
        ValueError: the shape is not (..., 21, 3).
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.ndim < 2 or points.shape[-2:] != (LANDMARKS, 3):
        raise ValueError(f'landmarks of shape {points.shape}; (..., 21, 3) is needed')
    if side == 'left':
        points = points * _MIRROR
    wrist = points[..., _WRIST, :]
    forward = _unit(points[..., _MIDDLE, :] - wrist)
    across = points[..., _INDEX, :] - points[..., _LITTLE, :]
    back = _unit(np.cross(forward, across))
    angles = np.empty((*points.shape[:-2], len(JOINT_NAMES)))
    angles[..., :2] = _thumb(points)
    for place, knuckle in enumerate(_MCPS):
        mcp, pip, dip = (points[..., knuckle + joint, :] for joint in range(3))
        ray = mcp - wrist
        ray = _unit(_unit(ray - _dot(ray, back)[..., None] * back) + forward)
        proximal = pip - mcp
        angles[..., 2 + 2 * place] = np.arctan2(-_dot(proximal, back), _dot(proximal, ray))
        angles[..., 3 + 2 * place] = _bend(proximal, dip - pip, np.cross(back, ray))
    return angles


def plausible(angles: Array) -> bool:
    """Whether angles are those of a hand of the requested side.

    On a hand of the other side, bent fingers seem to bend backwards.

    Args:
        angles: what `flexions` gave, shape (10,).
    """
    return bool(np.isfinite(angles).all() and angles[3::2].min() > _LEAST_PIP)


def from_openxr(joints: ArrayLike) -> Array:
    """Return the 21 landmarks among the 26 joints of OpenXR, shape (..., 26, 3)."""
    points: Array = np.asarray(joints, dtype=np.float64)[..., OPENXR, :]
    return points


def from_leap(wrist: ArrayLike, digits: ArrayLike) -> Array:
    """Return the 21 landmarks of a Leap Motion (Ultraleap) hand.

    Args:
        wrist: end of the arm (`arm.next_joint`), shape (3,).
        digits: both ends of the four bones of each digit, thumb first, from metacarpal to distal:
            shape (5, 4, 2, 3). There the thumb's metacarpal has zero length, so its anatomical
            bones start with the second.
    """
    bones = np.asarray(digits, dtype=np.float64)
    # Start of the proximal, intermediate and distal bone, and the tip.
    points = [bones[:, 1, 0], bones[:, 2, 0], bones[:, 3, 0], bones[:, 3, 1]]
    return np.vstack([np.asarray(wrist, dtype=np.float64), *np.stack(points, axis=1)])


Angle = Annotated[float, Field(ge=-LARGEST_ANGLE, le=LARGEST_ANGLE)]


class LandmarkCalibration(StrictModel):
    """Turns a wearer's raw flexions into the angles of joints.py.

    Attributes:
        flat: raw flexions of the hand held flat (rad), in the order of JOINT_NAMES.
        gain: factors for the difference from the flat hand, in the same order.
    """

    format: Literal[1] = 1
    flat: tuple[Angle, ...] = Field(min_length=len(JOINT_NAMES), max_length=len(JOINT_NAMES))
    gain: tuple[Annotated[float, Field(ge=0.5, le=2)], ...] = Field(
        min_length=len(JOINT_NAMES), max_length=len(JOINT_NAMES)
    )

    def apply(self, raw: Array) -> Array:
        """Return angles (rad) of raw flexions, shape (..., 10), within the limits of JOINTS."""
        angles = (raw - np.array(self.flat)) * np.array(self.gain)
        lower, upper = np.array([(joint.lower, joint.upper) for joint in JOINTS]).T
        limited: Array = np.clip(angles, lower, upper)
        return limited

    def save(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            OutputError: the place cannot be written.
        """
        write_text(path, self.model_dump_json(indent=2) + '\n')


def load_landmark_calibration(path: Path) -> LandmarkCalibration:
    """Read what `save` wrote.

    Raises:
        ConfigurationError: it cannot be read, or is not a landmark calibration.
    """
    try:
        text = read_input(path, _LARGEST_FILE)
        return LandmarkCalibration.model_validate_json(text)
    except OSError as error:
        raise ConfigurationError(f'cannot read {path}: {error.strerror}') from error
    except ValidationError as error:
        raise ConfigurationError(f'{path}: {first_problem(error)}') from error


def calibrate_landmarks(flat: Sequence[Array], fist: Sequence[Array] = ()) -> LandmarkCalibration:
    """Make a calibration from raw flexions of a flat hand and, optionally, of a fist.

    A fist puts the fingers' joints at the upper limits of JOINTS, which gives their gain: from the
    front, a camera sees a fist too open. The thumb can lie on a fist in many ways, so its gain
    stays 1.

    Args:
        flat: raw flexions of the hand held flat, each of shape (10,).
        fist: raw flexions of the fist, each of shape (10,).

    Raises:
        ConfigurationError: there are too few poses.
    """
    if len(flat) < LEAST_POSES or 0 < len(fist) < LEAST_POSES:
        raise ConfigurationError(
            f'{len(flat)} poses of a flat hand and {len(fist)} of a fist; '
            f'at least {LEAST_POSES} are needed'
        )
    zero = np.median(np.stack(flat), axis=0)
    gain = np.ones(len(JOINT_NAMES))
    if fist:
        reached = np.median(np.stack(fist), axis=0) - zero
        full = np.array([joint.upper for joint in JOINTS])
        moved = reached > _LEAST_RANGE
        gain[moved] = np.clip(full[moved] / reached[moved], 0.5, 2.0)
        gain[:2] = 1.0
    return LandmarkCalibration(flat=tuple(zero.tolist()), gain=tuple(gain.tolist()))


def _thumb(points: Array) -> Array:
    cmc, mcp, joint, tip = (points[..., place, :] for place in range(1, 5))
    towards_little, towards_wrist = (
        _unit(np.cross(mcp - cmc, points[..., base, :] - mcp)) for base in (_LITTLE, _WRIST)
    )
    axis = towards_little + towards_wrist
    return np.stack(
        [_bend(mcp - cmc, joint - mcp, axis), _bend(joint - mcp, tip - joint, axis)], axis=-1
    )


def _bend(first: Array, second: Array, axis: Array) -> Array:
    """Return the angle from a bone to the next about an axis, made perpendicular to the first."""
    first = _unit(first)
    axis = _unit(axis - _dot(axis, first)[..., None] * first)
    angle: Array = np.arctan2(_dot(np.cross(first, second), axis), _dot(first, second))
    return angle


def _unit(vector: Array) -> Array:
    with np.errstate(invalid='ignore', divide='ignore'):
        unit: Array = vector / np.linalg.norm(vector, axis=-1, keepdims=True)
    return unit


def _dot(first: Array, second: Array) -> Any:
    return np.sum(first * second, axis=-1)
