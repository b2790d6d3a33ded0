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

"""Our own human hand as a robot hand with collision shapes, to be moved by the generic profile."""

from leconvmn_ros.hands.urdf import hand_urdf


def solid_hand(side: str = 'right', *, prefix: str = '') -> str:
    """Return the URDF of a hand whose joints are those of the generic profile.

    Args:
        side: 'right' or 'left'.
        prefix: put before the names of all joints.
    """
    text = hand_urdf(side).replace('<visual>', '<collision>').replace('</visual>', '</collision>')
    return text.replace('<joint name="', f'<joint name="{prefix}').replace(
        '<mimic joint="', f'<mimic joint="{prefix}'
    )
