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

"""The profile of a robot hand: its topics and how the ten human joints drive it, in one YAML file.

Each human joint is at 0 with the hand open and at 1 in a fist (by the wearer's calibration, or by
the ranges in joints.py), and takes a robot joint from `open` to `closed`. These two numbers
determine sign, scale and offset. Angles in the file are radians; `unit` gives the unit of the
messages.

Beside the profile, `leconvmn_ros hand NAME --fit URDF` writes NAME.anchors.json, described in
anchors.py. Without it, the joints of the thumb follow their human joints like all others.
"""

from collections.abc import Mapping, Sequence
import datetime as dt
from functools import cached_property
from math import pi
from pathlib import Path
from typing import Annotated, Any, Literal

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.strict_model import first_problem, StrictModel
from leconvmn_ros.core.yaml_file import read_yaml
import numpy as np
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    model_validator,
    Tag,
    ValidationError,
)

SHIPPED_PROFILES = Path(__file__).with_name('profiles')

JOINT_STATE = 'sensor_msgs/msg/JointState'
JOINT_TRAJECTORY = 'trajectory_msgs/msg/JointTrajectory'
FLOAT64_ARRAY = 'std_msgs/msg/Float64MultiArray'

# Strict: a YAML number is required; true and '1.5' are refused.
Angle = Annotated[float, Field(strict=True, ge=-100.0, le=100.0)]
Speed = Annotated[float, Field(strict=True, gt=0, le=100.0)]
Acceleration = Annotated[float, Field(strict=True, gt=0, le=10000.0)]
Seconds = Annotated[float, Field(strict=True, ge=0, le=60.0)]
Topic = Annotated[
    str,
    Field(max_length=200, pattern=r'^(~/|/)?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*$'),
]


def _human_joint(name: str) -> str:
    if name not in JOINT_NAMES:
        raise ValueError(f'no human joint; allowed are {", ".join(JOINT_NAMES)}')
    return name


def _one_joint_is_all(value: Any) -> Any:
    return {value: 1.0} if isinstance(value, str) else value


HumanJoint = Annotated[str, AfterValidator(_human_joint)]
# Weight of a human joint.
Weight = Annotated[float, Field(strict=True, gt=0, le=1)]


class Coupling(StrictModel):
    """Ties a joint to another joint of the robot: ratio * position + offset."""

    joint: str = Field(description='name of the other joint')
    ratio: Angle = Field(description='rad per rad')
    offset: Angle = Field(default=0.0, description='rad')


class Scale(StrictModel):
    """Numbers that stand for the limits of each joint, whatever its range."""

    lower: float = Field(strict=True, description='number for the lower limit')
    upper: float = Field(strict=True, description='number for the upper limit')

    @model_validator(mode='after')
    def _differing(self) -> 'Scale':
        if self.lower == self.upper:
            raise ValueError(f'lower and upper are both {self.lower:g}; they must differ')
        return self


def _unit_kind(value: Any) -> str:
    return 'scale' if isinstance(value, dict | Scale) else 'name'


# With a discriminator, so that an error concerns only the kind of unit that was meant.
Unit = Annotated[
    Annotated[Literal['rad', 'deg'], Tag('name')] | Annotated[Scale, Tag('scale')],
    Discriminator(_unit_kind),
]


class RobotJoint(StrictModel):
    """A joint of the robot hand: its human joint, limits and speed."""

    name: str = Field(
        min_length=1,
        max_length=100,
        pattern=r'^\S+$',
        description='name on the topics of the hand',
    )
    limits: tuple[Angle, Angle] = Field(description='lower and upper (rad)')
    follows: (
        Annotated[
            dict[HumanJoint, Weight],
            BeforeValidator(_one_joint_is_all),
            Field(min_length=1),
        ]
        | None
    ) = Field(
        default=None,
        description='the human joint, or several with weights whose sum is 1',
    )
    open: Angle | None = Field(default=None, description='position for the open human hand (rad)')
    closed: Angle | None = Field(default=None, description='position for the human fist (rad)')
    coupled: Coupling | None = Field(default=None, description='the robot joint that it follows')
    fixed: Angle | None = Field(default=None, description='constant position (rad)')
    unit: Scale | None = Field(
        default=None,
        description='numbers for its limits, where they differ from those of the hand',
    )
    rest: Angle | None = Field(
        default=None,
        description='position when there is nothing to follow (rad); by default that of the '
        'open hand',
    )
    speed: Speed | None = Field(default=None, description='rad/s; by default that of the hand')
    acceleration: Acceleration | None = Field(
        default=None, description='rad/s^2; by default that of the hand'
    )

    @model_validator(mode='after')
    def _consistent(self) -> 'RobotJoint':
        lower, upper = self.limits
        if lower >= upper:
            raise ValueError(f'{self.name}: limits {lower:g} to {upper:g}; the lower comes first')
        sources = [part for part in ('follows', 'coupled', 'fixed') if self._has(part)]
        if len(sources) != 1:
            raise ValueError(
                f'{self.name} has {" and ".join(sources) or "nothing that moves it"}; '
                'exactly one of follows, coupled and fixed is needed'
            )
        ends = [part for part in ('open', 'closed') if self._has(part)]
        if len(ends) != (2 if self.follows else 0):
            raise ValueError(
                f'{self.name} has {sources[0]} with {" and ".join(ends) or "no open and closed"}; '
                'a joint that follows needs open and closed, other joints have neither'
            )
        if self.follows and not np.isclose(total := sum(self.follows.values()), 1.0):
            raise ValueError(f'{self.name}: the weights add up to {total:g}; 1 is needed')
        if self.follows and self.open == self.closed:
            raise ValueError(f'{self.name}: open and closed are both {self.open:g}')
        for part in ('open', 'closed', 'fixed', 'rest'):
            self.check_within(part, getattr(self, part))
        return self

    def _has(self, part: str) -> bool:
        return getattr(self, part) is not None

    def check_within(self, what: str, position: float | None) -> None:
        """Refuse a position outside the limits (rad).

        Raises:
            ValueError: the position is outside.
        """
        lower, upper = self.limits
        if position is not None and not lower <= position <= upper:
            raise ValueError(
                f'{self.name}: {what} is {position:g}; its limits are {lower:g} to {upper:g} rad'
            )


# A field of numbers, or a field of each element of an array.
ArrayField = Annotated[
    str, Field(max_length=100, pattern=r'^[a-z][a-z0-9_]*(\[\]\.[a-z][a-z0-9_]*)?$')
]
Constant = bool | int | float | str


class CommandOutput(StrictModel):
    """The topic, type and rate of the commands."""

    topic: Topic = Field(description='topic of the commands')
    type: str = Field(
        pattern=r'^[a-z][a-z0-9_]*/msg/[A-Z][A-Za-z0-9]*$',
        description=f'{JOINT_STATE}, {JOINT_TRAJECTORY}, or a message with an array of numbers '
        f'in the order of the joints, such as {FLOAT64_ARRAY}',
    )
    rate: float = Field(strict=True, ge=1, le=1000, description='commands per second (Hz)')
    unit: Unit = Field(default='rad', description='rad, deg, or numbers as in Scale')
    field: ArrayField | None = Field(
        default=None,
        description='the array, by default data; motor_cmd[].q is q in each element of motor_cmd',
    )
    constants: dict[str, Constant] = Field(default={}, description='values of its other fields')
    element: dict[str, Constant | list[Constant]] = Field(
        default={},
        description='values of the other fields of each element: one value for all, or a list '
        'with one for each joint',
    )
    arrival: Seconds | None = Field(
        default=None,
        description='time_from_start of a JointTrajectory (s); by default two periods',
    )

    @model_validator(mode='after')
    def _fitting(self) -> 'CommandOutput':
        fields = [name for name in ('field', 'constants', 'element') if getattr(self, name)]
        if fields and self.type in {JOINT_STATE, JOINT_TRAJECTORY}:
            raise ValueError(f'{fields[0]} does not go with {self.type}: its fields are known')
        if self.element and '[].' not in (self.field or ''):
            raise ValueError('element goes with a field such as motor_cmd[].q only')
        if self.arrival is not None and self.type != JOINT_TRAJECTORY:
            raise ValueError(f'arrival does not go with {self.type}, only with {JOINT_TRAJECTORY}')
        return self

    @property
    def period(self) -> float:
        """Time between two commands (s)."""
        return 1.0 / self.rate


class StateInput(StrictModel):
    """The topic on which the hand reports its own pose."""

    topic: Topic = Field(description='topic of the reports')
    type: str = Field(
        default=JOINT_STATE,
        pattern=r'^[a-z][a-z0-9_]*/msg/[A-Z][A-Za-z0-9]*$',
        description=f'{JOINT_STATE}, or a message with an array of numbers in the order of the '
        'joints',
    )
    field: ArrayField | None = Field(
        default=None, description='the array, as in command; by default data'
    )
    by: Literal['name', 'order'] = Field(
        default='name',
        description='order: take the positions of a JointState in the order of the joints and '
        'ignore its names',
    )
    unit: Literal['rad', 'hand'] = Field(
        default='rad', description='hand: the unit is that of the command, also for each joint'
    )
    wait: Seconds = Field(
        default=2.0,
        description='time without a complete pose after which the log reports it (s); the hand is '
        'not commanded until its whole pose is known',
    )
    bound: float = Field(
        default=0.5,
        strict=True,
        gt=0,
        le=10,
        description='largest lead of a command over the reported position (rad), and so the '
        'largest jump of a joint that is released after being held',
    )

    @model_validator(mode='after')
    def _fitting(self) -> 'StateInput':
        if self.field and self.type == JOINT_STATE:
            raise ValueError(f'field does not go with {JOINT_STATE}: its fields are known')
        return self


class Stale(StrictModel):
    """The reaction to missing input."""

    after: float = Field(strict=True, gt=0, le=60.0, description='age of the last input (s)')
    then: Literal['hold', 'rest', 'stop'] = Field(
        description='hold: repeat the last command; rest: go back to the rest pose; stop: publish '
        'nothing until there is input again',
    )


class Check(StrictModel):
    """The model with which `leconvmn_ros hand NAME --check URDF` found the profile to agree."""

    model: str = Field(max_length=300, description="the maker's file, with its version")
    date: dt.date = Field(description='when it was compared')


class HandProfile(StrictModel):
    """The description of one robot hand; commands have the joints in this order."""

    hand: str = Field(min_length=1, max_length=200, description='maker and model, for people')
    maker: str = Field(default='', max_length=100, description='for the list of hands')
    side: Literal['right', 'left', 'either'] = Field(
        default='either', description='side of the body that the hand is made for'
    )
    checked: Check | None = Field(default=None, description="comparison with the maker's model")
    command: CommandOutput = Field(description='the commands, see CommandOutput')
    state: StateInput | None = Field(
        default=None, description="the hand's reports of its pose, see StateInput"
    )
    stale: Stale = Field(description='the reaction to missing input, see Stale')
    speed: Speed = Field(description='for every joint without its own (rad/s)')
    acceleration: Acceleration | None = Field(
        default=None,
        description='for every joint without its own (rad/s^2); by default there is no limit',
    )
    complete: bool = Field(
        default=False,
        strict=True,
        description='whether each command must have all joints of the hand; --check then '
        'refuses a profile that lacks one',
    )
    joints: tuple[RobotJoint, ...] = Field(
        min_length=1,
        max_length=100,
        description='the joints in the order of the command, see RobotJoint',
    )

    @model_validator(mode='after')
    def _consistent(self) -> 'HandProfile':
        names = [joint.name for joint in self.joints]
        if doubles := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f'joint {doubles[0]} is there more than once')
        for key, value in self.command.element.items():
            if isinstance(value, list) and len(value) != len(names):
                raise ValueError(
                    f'command.element.{key} has {len(value)} values; each of {len(names)} joints '
                    'needs one'
                )
        leaders = [joint.name for joint in self.joints if not joint.coupled]
        followers = [(joint, joint.coupled.joint) for joint in self.joints if joint.coupled]
        for joint, leader in followers:
            if leader not in leaders:
                raise ValueError(
                    f'{joint.name} is coupled to {leader}; allowed are joints of this hand '
                    f'that are not coupled themselves: {", ".join(leaders) or "there is none"}'
                )
        # Only now does every coupled joint have a leader, which a whole pose requires.
        for joint, leader in followers:
            for pose in (self.rest_pose, self.pose(0.0), self.pose(1.0)):
                joint.check_within(f'where {leader} takes it', pose[joint.name])
        return self

    @cached_property
    def rest_pose(self) -> dict[str, float]:
        """Rest position of each joint (rad)."""
        rest = self.pose(0.0) | {
            joint.name: joint.rest for joint in self.joints if joint.rest is not None
        }
        for joint in self.joints:
            if joint.coupled and joint.rest is None:
                rest[joint.name] = follow(joint.coupled, rest)
        return rest

    def pose(self, closing: float) -> dict[str, float]:
        """Return the position of each joint for a hand from open, 0, to fist, 1 (rad)."""
        pose = {}
        for joint in self.joints:
            if joint.open is not None and joint.closed is not None:
                pose[joint.name] = joint.open + closing * (joint.closed - joint.open)
            elif joint.fixed is not None:
                pose[joint.name] = joint.fixed
        for joint in self.joints:
            if joint.coupled:
                pose[joint.name] = follow(joint.coupled, pose)
        return {joint.name: pose[joint.name] for joint in self.joints}

    @cached_property
    def human_joints(self) -> tuple[str, ...]:
        """The human joints that the hand follows, in the order of JOINT_NAMES."""
        followed = {name for joint in self.joints for name in joint.follows or ()}
        return tuple(name for name in JOINT_NAMES if name in followed)

    def speed_of(self, joint: RobotJoint) -> float:
        """Return how fast a joint may be commanded to move (rad/s)."""
        return joint.speed or self.speed

    def acceleration_of(self, joint: RobotJoint) -> float | None:
        """Return how fast the speed of a joint may change (rad/s^2), None for no limit."""
        return joint.acceleration or self.acceleration

    def in_unit(self, positions: Sequence[float]) -> list[float]:
        """Turn angles (rad), in the order of the joints, into the unit of the hand."""
        return [
            self._unit_of(joint)[0] + self._unit_of(joint)[1] * position
            for joint, position in zip(self.joints, positions, strict=True)
        ]

    def in_radians_by_name(self, values: Mapping[str, float]) -> dict[str, float]:
        """Turn numbers in the unit of the hand into angles (rad), by name; others are left out."""
        angles = {}
        for joint in self.joints:
            if joint.name in values:
                zero, ratio = self._unit_of(joint)
                angles[joint.name] = (values[joint.name] - zero) / ratio
        return angles

    def _unit_of(self, joint: RobotJoint) -> tuple[float, float]:
        """Return the number for an angle of 0, and the change per rad."""
        unit = joint.unit or self.command.unit
        if unit == 'rad':
            return 0.0, 1.0
        if unit == 'deg':
            return 0.0, 180 / pi
        lower, upper = joint.limits
        ratio = (unit.upper - unit.lower) / (upper - lower)
        return unit.lower - lower * ratio, ratio


def follow(coupling: Coupling, pose: dict[str, float]) -> float:
    """Return the position that the coupling gives a joint (rad)."""
    return coupling.ratio * pose[coupling.joint] + coupling.offset


def shipped_profiles() -> list[str]:
    """Return the names of the profiles that come with the package."""
    return sorted(path.stem for path in SHIPPED_PROFILES.glob('*.yaml'))


def profile_path(name: str) -> Path:
    """Return the file of a profile: a shipped one by its name, or the path of a .yaml file.

    Raises:
        ConfigurationError: there is none of that name.
    """
    shipped = shipped_profiles()
    if name in shipped:
        return SHIPPED_PROFILES / f'{name}.yaml'
    if name.endswith(('.yaml', '.yml')):
        return Path(name)
    raise ConfigurationError(
        f'there is no hand profile {name!r}; allowed are {", ".join(shipped)}, '
        'or the path of a .yaml file'
    )


def load_profile(name: str) -> HandProfile:
    """Read and check a profile.

    Args:
        name: of a shipped one, or the path of a .yaml file.

    Raises:
        ConfigurationError: there is none, or it is invalid; the message says where.
    """
    path = profile_path(name)
    try:
        return HandProfile.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ConfigurationError(f'{path}: {first_problem(error)}') from error
