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

"""A wearer's range of motion: the decoder's angles for the open hand and for the fist."""

from collections.abc import Mapping, Sequence
from math import nan, radians
from pathlib import Path
from typing import Annotated, Literal

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.files import read_input, write_text
from leconvmn_ros.core.joints import JOINT_NAMES, JOINTS, LARGEST_ANGLE
from leconvmn_ros.core.strict_model import first_problem, StrictModel
import numpy as np
from pydantic import Field, model_validator, ValidationError

# Less movement than this between open hand and fist (rad) is indistinguishable from decoder noise.
LEAST_RANGE = radians(10)
# The share of joints whose range must be measured; otherwise the hand made no fist.
LEAST_SHARE = 0.5
# The median of fewer poses is not robust.
LEAST_POSES = 10
LARGEST_FILE = 2**16  # bytes

Angle = Annotated[float, Field(strict=True, ge=-LARGEST_ANGLE, le=LARGEST_ANGLE)]


class HumanRange(StrictModel):
    """The angles of one joint of the wearer with the hand open and in a fist (rad)."""

    open: Angle
    fist: Angle

    @model_validator(mode='after')
    def _apart(self) -> 'HumanRange':
        if self.fist - self.open < LEAST_RANGE:
            raise ValueError(
                f'open is {self.open:g} and fist {self.fist:g}; '
                f'the fist must be {LEAST_RANGE:.3f} rad further'
            )
        return self

    def closing(self, angle: float) -> float:
        """Return how far closed the joint is: 0 = as the open hand, 1 = as the fist."""
        return (angle - self.open) / (self.fist - self.open)


class Calibration(StrictModel):
    """The ranges of a wearer's joints; joints not listed have the usual range."""

    format: Literal[1] = Field(default=1, description='of this file')
    joints: dict[str, HumanRange] = Field(min_length=1)

    @model_validator(mode='after')
    def _human(self) -> 'Calibration':
        if foreign := sorted(set(self.joints) - set(JOINT_NAMES)):
            raise ValueError(
                f'{foreign[0]} is not a human joint; allowed are {", ".join(JOINT_NAMES)}'
            )
        return self

    def save(self, path: Path) -> None:
        """Write it as JSON, atomically.

        Raises:
            OutputError: the place cannot be written.
        """
        write_text(path, self.model_dump_json(indent=2) + '\n')


# From straight fingers to the limit of active motion.
UNCALIBRATED = Calibration(
    joints={joint.name: HumanRange(open=0.0, fist=joint.upper) for joint in JOINTS}
)


def load_calibration(path: Path) -> Calibration:
    """Read what `Calibration.save` wrote.

    Raises:
        ConfigurationError: the file cannot be read or is not a calibration.
    """
    try:
        content = read_input(path, LARGEST_FILE)
    except OSError as error:
        raise ConfigurationError(f'cannot read calibration {path}: {error.strerror}') from error
    try:
        return Calibration.model_validate_json(content)
    except ValidationError as error:
        raise ConfigurationError(f'{path} is not a calibration: {first_problem(error)}') from error


def median_pose(poses: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median angle of every human joint in the poses recorded (rad).

    The median, because the wearer arrives late and the decoder errs now and then. Values that are
    no angle of a joint (`LARGEST_ANGLE`) are left out.

    Raises:
        ConfigurationError: there are too few poses.
    """
    seen = [
        {name: a for name in JOINT_NAMES if abs(a := pose.get(name, nan)) <= LARGEST_ANGLE}
        for pose in poses
    ]
    seen = [pose for pose in seen if pose]
    if len(seen) < LEAST_POSES:
        raise ConfigurationError(
            f'{len(seen)} poses came in; at least {LEAST_POSES} are needed: does the decoder run?'
        )
    names = [name for name in JOINT_NAMES if all(name in pose for pose in seen)]
    return {name: float(np.median([pose[name] for pose in seen])) for name in names}


def calibrate(opened: Mapping[str, float], fist: Mapping[str, float]) -> Calibration:
    """Make a calibration from an open hand and a fist (rad, by joint).

    A joint that hardly moves between them keeps its usual range.

    Raises:
        ConfigurationError: the two hardly differ.
    """
    names = [name for name in JOINT_NAMES if name in opened and name in fist]
    moved = {name: fist[name] - opened[name] for name in names}
    ranges = {
        name: HumanRange(open=opened[name], fist=fist[name])
        for name, difference in moved.items()
        if difference >= LEAST_RANGE
    }
    if not names or len(ranges) < LEAST_SHARE * len(names):
        told = ', '.join(
            f'{name} {np.degrees(difference):.0f}' for name, difference in moved.items()
        )
        raise ConfigurationError(
            f'open hand and fist hardly differ: {len(ranges)} of {len(names)} joints close by '
            f'{np.degrees(LEAST_RANGE):.0f} degrees or more, at least half of them must; '
            f'they differ by {told or "nothing"} (degrees). Record both again'
        )
    return Calibration(joints=ranges)
