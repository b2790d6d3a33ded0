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

"""What fuzzing found, each as the case that it was."""

from contextlib import closing
from dataclasses import replace
import sqlite3

from builders import HOLD_OUT, make_recording
from fuzz_files import rewrite
from leconvmn_ros.core.errors import ConfigurationError, LeconvmnError, RecordingError
from leconvmn_ros.dataset.reference_lag import _rms
from leconvmn_ros.emg.signal_path import ExposureConfig
from leconvmn_ros.hands.profile import load_profile, SHIPPED_PROFILES
from leconvmn_ros.recordings.bags import read_bag, write_bag
from leconvmn_ros.training.data import gather
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin
from small_recordings import sampled_subject


def test_an_error_is_one_line_whatever_is_in_it():
    assert str(LeconvmnError('a\nb\u202ec')) == 'a\\nb\\u202ec'


@pytest.mark.parametrize('change', ["data = 'text'", 'data = 7', "timestamp = 'then'"])
def test_sqlite_values_of_other_types_are_refused(tmp_path, change):
    write_bag(sampled_subject(0.2), tmp_path / 'ours')
    rewrite(tmp_path / 'ours', tmp_path / 'bag', StoragePlugin.SQLITE3)
    (path,) = (tmp_path / 'bag').glob('*.db3')
    with closing(sqlite3.connect(path)) as database:
        database.execute(f'UPDATE messages SET {change}')  # noqa: S608 - of this file
        database.commit()
    with pytest.raises(RecordingError, match='damaged'):
        read_bag(tmp_path / 'bag')


@pytest.mark.parametrize('angle', [1e300, -1e6, 7.0])
def test_an_angle_that_no_finger_has_spoils_nothing(angle):
    recording = make_recording()
    positions = recording.reference.positions.copy()
    positions[3, 1] = angle
    spoilt = replace(recording, reference=replace(recording.reference, positions=positions))
    right, told = (gather([r], ExposureConfig(), HOLD_OUT).joints[1] for r in (recording, spoilt))
    assert (told.lower, told.upper) == (right.lower, right.upper)
    assert (told.mean, told.scale) == pytest.approx((right.mean, right.scale), rel=0.1)


def test_a_step_longer_than_the_recording_makes_no_room_for_it():
    assert _rms(np.ones((10, 2), np.float32), 10**300, 1).shape == (0, 2)


def test_a_joint_coupled_to_one_that_is_coupled_to_nothing_is_named(tmp_path):
    text = (SHIPPED_PROFILES / 'generic.yaml').read_text(encoding='utf-8')
    joints = (
        'joints:\n'
        '  - {name: a, limits: [0.0, 1.0], fixed: 0.5}\n'
        '  - {name: b, limits: [0.0, 1.0], coupled: {joint: a, ratio: 1.0}}\n'
        '  - {name: c, limits: [0.0, 1.0], coupled: {joint: nowhere, ratio: 1.0}}\n'
    )
    (tmp_path / 'hand.yaml').write_text(text[: text.index('\njoints:') + 1] + joints)
    with pytest.raises(ConfigurationError, match='c is coupled to nowhere'):
        load_profile(str(tmp_path / 'hand.yaml'))
