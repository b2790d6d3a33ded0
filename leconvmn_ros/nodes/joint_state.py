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

"""Reads joint states as angles by name, in the same way for all nodes."""

from typing import Any

from leconvmn_ros.core.errors import MalformedMessageError


def angles_by_name(message: Any) -> dict[str, float]:
    """Return the positions of a sensor_msgs/JointState by joint name (rad).

    A message that contradicts itself is rejected as a whole, since the joint of each number is
    unknown.

    Raises:
        MalformedMessageError: there is no position for every name, or a name is there twice.
    """
    names, positions = message.name, message.position
    if len(names) != len(positions):
        raise MalformedMessageError(
            f'a JointState with {len(names)} names and {len(positions)} positions; '
            'each name needs one position'
        )
    angles = dict(zip(names, positions, strict=True))
    if len(angles) != len(names):
        double = next(name for name in angles if list(names).count(name) > 1)
        raise MalformedMessageError(f'a JointState with joint {double[:100]!r} more than once')
    return angles
