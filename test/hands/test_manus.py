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

"""Manus gloves: their names and degrees become our joints and radians."""

from math import nan, radians

from leconvmn_ros.core.errors import MalformedMessageError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.hands.manus import angles_from_manus, ERGONOMICS
import pytest

DEGREES = {name: 10.0 + place for place, name in enumerate(ERGONOMICS.values())}


@pytest.mark.parametrize('prefix', ['', 'LeftFinger', 'RightFinger'])
def test_every_joint_gets_its_angle(prefix):
    values = {prefix + name: value for name, value in DEGREES.items()}
    angles = angles_from_manus(values | {f'{prefix}IndexSpread': 5.0})
    assert tuple(angles) == JOINT_NAMES
    assert angles['thumb_mcp'] == pytest.approx(radians(DEGREES['ThumbPIPStretch']))
    assert angles['little_pip'] == pytest.approx(radians(DEGREES['PinkyPIPStretch']))


@pytest.mark.parametrize('wrong', [{'IndexPIPStretch': nan}, {'IndexPIPStretch': 200.0}, {}])
def test_what_is_missing_or_no_angle_is_refused(wrong):
    values = {name: value for name, value in DEGREES.items() if name != 'IndexPIPStretch'}
    with pytest.raises(MalformedMessageError, match='IndexPIPStretch'):
        angles_from_manus(values | wrong)
