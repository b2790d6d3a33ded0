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

"""The ten finger joints: their names and ranges are defined here only."""

from math import pi, radians
from typing import NamedTuple


class Joint(NamedTuple):
    """A flexion joint of the hand.

    Attributes:
        name: name in every JointState, bag, checkpoint and report.
        lower: extension limit (rad); negative is hyperextension.
        upper: flexion limit (rad).
    """

    name: str
    lower: float
    upper: float


# Ranges of active motion: American Academy of Orthopaedic Surgeons, The Clinical Measurement of
# Joint Motion (1994).
JOINTS = (
    Joint('thumb_mcp', radians(0), radians(50)),
    Joint('thumb_ip', radians(-20), radians(80)),
    Joint('index_mcp', radians(-45), radians(90)),
    Joint('index_pip', radians(0), radians(100)),
    Joint('middle_mcp', radians(-45), radians(90)),
    Joint('middle_pip', radians(0), radians(100)),
    Joint('ring_mcp', radians(-45), radians(90)),
    Joint('ring_pip', radians(0), radians(100)),
    Joint('little_mcp', radians(-45), radians(90)),
    Joint('little_pip', radians(0), radians(100)),
)

# No joint of a hand turns a full circle (rad): a larger angle is a sensor fault, or in degrees.
LARGEST_ANGLE = 2 * pi

JOINT_NAMES = tuple(joint.name for joint in JOINTS)
