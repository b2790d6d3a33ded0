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

"""A robot hand beside the human one: drawn from a URDF, moved by the commands of its profile."""

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.view.page import LiveView
from leconvmn_ros.view.robot_hand import RobotHand
from leconvmn_ros.view.signals import LiveSignals
import numpy as np
import pytest

pytest.importorskip('viser', reason='viser is not installed')
pytest.importorskip('yourdfpy', reason='yourdfpy is not installed')

URDF = """<robot name="two">
  <link name="base"><visual><geometry><box size="0.05 0.05 0.05"/></geometry></visual></link>
  <link name="a"><visual><geometry><box size="0.02 0.02 0.05"/></geometry></visual></link>
  <link name="b"><visual><geometry><sphere radius="0.01"/></geometry></visual></link>
  <joint name="r_one" type="revolute"><parent link="base"/><child link="a"/>
    <axis xyz="1 0 0"/><limit lower="0.2" upper="1.5" effort="1" velocity="1"/></joint>
  <joint name="r_two" type="revolute"><parent link="a"/><child link="b"/>
    <axis xyz="1 0 0"/><limit lower="-1" upper="1" effort="1" velocity="1"/></joint>
</robot>"""


@pytest.fixture
def view(tmp_path):
    made = []

    def make(text=URDF):
        path = tmp_path / 'hand.urdf'
        path.write_text(text)
        made.append(LiveView('127.0.0.1', 8270, 'right', robot_urdf=path, robot_prefix='r_'))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_it_moves_with_the_commands_by_name(view):
    robot = view()._robot
    assert robot.joints == ('r_one', 'r_two')
    assert robot._angles == {'r_one': 0.2, 'r_two': 0.0}  # zero is not allowed
    before = [np.array(frame.wxyz) for frame in robot._urdf._joint_frames]
    robot.show({'two': 0.5, 'wrist': 3.0})
    after = [np.array(frame.wxyz) for frame in robot._urdf._joint_frames]
    assert np.allclose(before[0], after[0])
    assert not np.allclose(before[1], after[1])


def test_commands_that_are_not_finite_are_left_out():
    signals = LiveSignals()
    assert signals.robot == {}
    signals.add_command({'one': 0.3, 'two': float('nan')})
    assert signals.robot == {'one': 0.3}


@pytest.mark.parametrize('text', ['', '<robot', 'no xml', '<robot name="x"></robot>'])
def test_a_file_that_is_no_urdf_is_one_clear_error(view, text):
    with pytest.raises(ConfigurationError, match=r'cannot draw .*hand\.urdf'):
        view(text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match='is not a file'):
        RobotHand(None, tmp_path / 'none.urdf', '', np.array([1.0, 0, 0, 0]), 0.0)
