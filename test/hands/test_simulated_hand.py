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

"""A hand with mass and servos, driven as a robot hand is: it closes when the human hand does."""

from leconvmn_ros.hands.human_model import FINGERS
from leconvmn_ros.hands.profile import HandProfile, load_profile
from leconvmn_ros.hands.urdf import hand_urdf
import pytest
from simulated_hand import hand_model, move, TOLERANCE

GENERIC = load_profile('generic')  # its joints are those of our own hand


@pytest.mark.parametrize('side', ['left', 'right'])
def test_fingers_close_with_the_human_hand(side):
    motion = move(hand_model(hand_urdf(side), GENERIC), GENERIC)
    assert set(motion.tips) == {f'{finger.name}_tip_link' for finger in FINGERS}
    assert max(motion.follows().values()) < -0.7
    nearer = motion.nearer()
    assert all(nearer[name] > (0.05 if 'thumb' in name else 0.4) for name in nearer), nearer
    assert max(motion.excess.values()) < TOLERANCE


def test_a_finger_that_opens_when_the_human_closes_is_seen():
    joints = [joint.model_dump() for joint in GENERIC.joints]
    for joint in joints:
        if joint['name'].startswith('ring'):
            joint['open'], joint['closed'] = joint['closed'], joint['open']
    turned = HandProfile.model_validate(GENERIC.model_dump() | {'joints': joints})
    follows = move(hand_model(hand_urdf('right'), turned), turned).follows()
    assert follows['ring_tip_link'] > 0.5 > -0.5 > follows['index_tip_link']


def test_a_hand_without_the_joints_of_the_profile_is_refused():
    with pytest.raises(ValueError, match='not in the URDF; it has thumb_mcp'):
        hand_model(hand_urdf('right'), load_profile('leap'))
