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

"""Converts the angles of Manus gloves (their `ergonomics`, in degrees) to those of joints.py.

Manus names the joints of every finger MCP, PIP and DIP. On the thumb, these names stand for CMC,
MCP and IP.
"""

from collections.abc import Mapping
from math import isfinite, radians

from leconvmn_ros.core.errors import MalformedMessageError

# Manus's name of each joint; in the SDK, the side and 'Finger' come before it.
ERGONOMICS = {
    'thumb_mcp': 'ThumbPIPStretch',
    'thumb_ip': 'ThumbDIPStretch',
    'index_mcp': 'IndexMCPStretch',
    'index_pip': 'IndexPIPStretch',
    'middle_mcp': 'MiddleMCPStretch',
    'middle_pip': 'MiddlePIPStretch',
    'ring_mcp': 'RingMCPStretch',
    'ring_pip': 'RingPIPStretch',
    'little_mcp': 'PinkyMCPStretch',
    'little_pip': 'PinkyPIPStretch',
}
# Larger angles are faults of the glove (degrees).
_LARGEST = 180.0


def angles_from_manus(values: Mapping[str, float]) -> dict[str, float]:
    """Return the ten flexions (rad) of a glove.

    Args:
        values: degrees by name, as in the ROS 2 package (`IndexMCPStretch`) or the SDK
            (`LeftFingerIndexMCPStretch`). Other values, such as spread, are left out.

    Raises:
        MalformedMessageError: one of the ten is missing, NaN, or too large to be in degrees.
    """
    short = {
        name.removeprefix('Left').removeprefix('Right').removeprefix('Finger'): value
        for name, value in values.items()
    }
    angles = {}
    for joint, name in ERGONOMICS.items():
        value = short.get(name)
        if value is None or not isfinite(value) or abs(value) > _LARGEST:
            raise MalformedMessageError(
                f'{name} of the glove is {value}; degrees from -{_LARGEST:g} to {_LARGEST:g} '
                'are needed'
            )
        angles[joint] = radians(value)
    return angles
