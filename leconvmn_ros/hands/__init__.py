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

"""The human hand, and the robot hands that follow it."""

from typing import TYPE_CHECKING

from leconvmn_ros.core.public_names import public_names

if TYPE_CHECKING:
    from leconvmn_ros.hands.profile import load_profile
    from leconvmn_ros.hands.retargeting import Retargeter
    from leconvmn_ros.hands.urdf import hand_urdf

__all__ = ['Retargeter', 'hand_urdf', 'load_profile']

__getattr__ = public_names(
    __name__,
    {
        'Retargeter': 'retargeting.Retargeter',
        'hand_urdf': 'urdf.hand_urdf',
        'load_profile': 'profile.load_profile',
    },
)
