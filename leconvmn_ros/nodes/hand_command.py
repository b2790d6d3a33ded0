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

"""Builds the command message of a robot hand."""

from collections.abc import Callable, Sequence
import re
from typing import Any

from builtin_interfaces.msg import Time
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.hands.profile import HandProfile, JOINT_STATE, JOINT_TRAJECTORY
from leconvmn_ros.nodes.message_types import find_message_class
from rclpy.duration import Duration

# Fills a message from values in the unit of the hand, and the present time.
FillMessage = Callable[[Sequence[float], Time], Any]


def command_message(profile: HandProfile) -> tuple[Any, FillMessage]:
    """Return the class of the command message, and a function that fills one.

    Raises:
        ConfigurationError: the message type is not installed, or has no such fields.
    """
    name = profile.command.type
    kind = find_message_class(name)
    if kind is None:
        package = name.partition('/')[0]
        raise ConfigurationError(
            f'{profile.hand} takes {name}, which is not installed here: install the ROS 2 package '
            f'{package} or source the workspace that has it'
        )
    fillers = {JOINT_STATE: _joint_state, JOINT_TRAJECTORY: _joint_trajectory}
    fill = fillers.get(name, _array)(profile, kind)
    try:
        fill(profile.in_unit(list(profile.rest_pose.values())), Time())
    except (AssertionError, AttributeError, OverflowError) as error:
        raise ConfigurationError(f'{profile.hand}: {name} cannot be filled: {error}') from error
    return kind, fill


def _joint_state(profile: HandProfile, kind: Any) -> FillMessage:
    names = [joint.name for joint in profile.joints]

    def fill(values: Sequence[float], now: Time) -> Any:
        message = kind(name=names, position=values)
        message.header.stamp = now
        return message

    return fill


def _joint_trajectory(profile: HandProfile, kind: Any) -> FillMessage:
    from trajectory_msgs.msg import JointTrajectoryPoint  # noqa: PLC0415 - where it is needed

    names = [joint.name for joint in profile.joints]
    command = profile.command
    seconds = 2 * command.period if command.arrival is None else command.arrival
    arrival = Duration(seconds=seconds).to_msg()

    def fill(values: Sequence[float], _: Time) -> Any:
        # No stamp: execute at once, whatever the clock of the hand's computer.
        point = JointTrajectoryPoint(positions=values, time_from_start=arrival)
        return kind(joint_names=names, points=[point])

    return fill


def _array(profile: HandProfile, kind: Any) -> FillMessage:
    field = profile.command.field or 'data'
    if '[].' in field:
        return _elements(profile, kind)
    types = kind.get_fields_and_field_types()
    numbers = re.search(r'^(?:sequence<)?(float|double|u?int)\d*[\[>,]', types.get(field, ''))
    if numbers is None:
        have = ', '.join(f'{name} ({what})' for name, what in types.items())
        raise ConfigurationError(
            f'{profile.hand}: {field} of {profile.command.type} is not an array of numbers; '
            f'it has {have}'
        )
    whole = numbers[1].endswith('int')
    constants = profile.command.constants

    def fill(values: Sequence[float], _: Time) -> Any:
        # Check, since rclpy publishes 0 for values of the wrong type.
        message = kind(check_fields=True, **constants)
        setattr(message, field, [round(value) for value in values] if whole else list(values))
        return message

    return fill


def _elements(profile: HandProfile, kind: Any) -> FillMessage:
    """Fill an array of messages, one for each joint."""
    command = profile.command
    array, _, field = (command.field or '').partition('[].')
    part, whole = element_of(kind, array, field)
    constants = [
        {
            name: value[number] if isinstance(value, list) else value
            for name, value in command.element.items()
        }
        for number in range(len(profile.joints))
    ]

    def fill(values: Sequence[float], _: Time) -> Any:
        message = kind(check_fields=True, **command.constants)
        elements = [
            part(check_fields=True, **fixed, **{field: round(value) if whole else value})
            for fixed, value in zip(constants, values, strict=True)
        ]
        there = getattr(message, array)
        if isinstance(there, list) and len(there) > len(elements):
            # In an array of fixed length, elements after ours keep their values.
            elements += there[len(elements) :]
        setattr(message, array, elements)
        return message

    return fill


def element_of(kind: Any, array: str, field: str) -> tuple[Any, bool]:
    """Return the class of the elements of an array, and whether a field in them is an integer.

    Raises:
        ConfigurationError: there is no such array, or no such number in its elements.
    """
    types = kind.get_fields_and_field_types()
    element = re.search(r'^(?:sequence<)?([a-z][a-z0-9_]*)/(\w+)[\[>,]', types.get(array, ''))
    part = element and find_message_class(f'{element[1]}/msg/{element[2]}')
    fields = part.get_fields_and_field_types() if part else {}
    number = re.fullmatch(r'(float|double|u?int)\d*', fields.get(field, ''))
    if number is None:
        have = ', '.join(f'{name} ({what})' for name, what in (fields or types).items())
        where = f'{array}[]' if part else 'it'
        raise ConfigurationError(
            f'{array}[].{field} of {kind.__name__} is not a number in each element; '
            f'{where} has {have}'
        )
    return part, number[1].endswith('int')
