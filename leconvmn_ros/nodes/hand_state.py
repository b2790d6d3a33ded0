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

"""Reads the pose that a robot hand reports from its message type."""

from collections.abc import Callable, Sequence
from typing import Any

from leconvmn_ros.core.errors import ConfigurationError, MalformedMessageError
from leconvmn_ros.hands.profile import HandProfile, JOINT_STATE
from leconvmn_ros.nodes.hand_command import element_of
from leconvmn_ros.nodes.joint_state import angles_by_name
from leconvmn_ros.nodes.message_types import find_message_class

ReadState = Callable[[Any], dict[str, float]]


def state_message(profile: HandProfile) -> tuple[Any, ReadState]:
    """Return the class of the pose message, and a function that reads its angles (rad).

    The function raises MalformedMessageError if a message does not belong to this hand.

    Raises:
        ConfigurationError: the profile names no state, or a type that is not installed or has no
            such field.
    """
    state = profile.state
    kind = state and find_message_class(state.type)
    if state is None or kind is None:
        raise ConfigurationError(
            f'{profile.hand} reports its pose in {state.type if state else "no message"}, which '
            'is not installed here: install its ROS 2 package or source the workspace that has it'
        )
    names = [joint.name for joint in profile.joints]
    if state.type == JOINT_STATE and state.by == 'name':
        numbers: Callable[[Any], dict[str, float]] = angles_by_name
    else:
        values = _values(state.type, state.field, kind)

        def numbers(message: Any) -> dict[str, float]:
            found = values(message)
            if len(found) < len(names):
                raise MalformedMessageError(
                    f'{len(found)} positions; {profile.hand} has {len(names)} joints'
                )
            return dict(zip(names, map(float, found), strict=False))

    if state.unit == 'rad':
        return kind, numbers

    def read(message: Any) -> dict[str, float]:
        return profile.in_radians_by_name(numbers(message))

    return kind, read


def _values(type_name: str, field: str | None, kind: Any) -> Callable[[Any], Sequence[float]]:
    """Return a function that reads the numbers of a message in the order of the joints."""
    name = field or ('position' if type_name == JOINT_STATE else 'data')
    array, _, part = name.partition('[].')
    if part:
        element_of(kind, array, part)
    elif array not in kind.get_fields_and_field_types():
        raise ConfigurationError(f'{type_name} has no field {array}')

    def read(message: Any) -> Sequence[float]:
        found: Sequence[Any] = getattr(message, array)
        return [getattr(element, part) for element in found] if part else found

    return read
