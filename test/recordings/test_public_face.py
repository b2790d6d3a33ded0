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

"""The public names of the room of recordings, as a notebook uses them."""

import subprocess
import sys

from leconvmn_ros import recordings
from leconvmn_ros.core.joints import JOINT_NAMES
import numpy as np
import pytest


def test_anybodys_arrays_become_a_bag_and_come_back(tmp_path):
    random = np.random.default_rng(0)
    emg = random.normal(0, 1e-4, (400, 8)).astype(np.float32)
    angles = random.uniform(0, 1, (400, 10))
    recordings.write_bag(
        tmp_path / 'bag', emg, 200.0, angles, movement=np.arange(400) // 100 % 2, kind='raw'
    )
    recording = recordings.read_bag(tmp_path / 'bag')
    np.testing.assert_array_equal(np.concatenate([c.samples for c in recording.chunks]), emg)
    assert recording.reference.names == JOINT_NAMES
    assert recording.labels.movement.tolist() == [0, 1, 0, 1]
    assert recording.information['emg_kind'] == 'raw'
    assert recording.remarks == ()
    with recordings.open_bag(tmp_path / 'bag') as bag:
        assert set(bag.topics) == {'/emg', '/joint_states_reference', '/movement_label'}


def test_every_public_name_is_there_and_no_other():
    for name in recordings.__all__:
        assert getattr(recordings, name)
    with pytest.raises(AttributeError, match='no attribute'):
        recordings.nothing  # noqa: B018 - it is looked up


def test_the_room_itself_is_cheap_to_import():
    code = 'import sys, leconvmn_ros.recordings; print("numpy" in sys.modules)'
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == 'False'
