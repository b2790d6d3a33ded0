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

"""The range of motion of a wearer: measured, refused, saved and read."""

from math import inf, nan

from leconvmn_ros.core.errors import ConfigurationError, OutputError
from leconvmn_ros.core.joints import JOINT_NAMES, JOINTS
from leconvmn_ros.hands.calibration import (
    calibrate,
    Calibration,
    HumanRange,
    LARGEST_FILE,
    LEAST_POSES,
    LEAST_RANGE,
    load_calibration,
    median_pose,
    UNCALIBRATED,
)
import numpy as np
import pytest

OPEN = dict.fromkeys(JOINT_NAMES, 0.1)
FIST = {joint.name: 0.7 * joint.upper for joint in JOINTS}


def test_a_pose_is_the_median_whatever_else_happens():
    rng = np.random.default_rng(0)
    steady = [{name: 0.5 + 0.01 * rng.standard_normal() for name in FIST} for _ in range(100)]
    wild = [dict.fromkeys(FIST, angle) for angle in (-3.0, 3.0, 2.0, nan, inf, -11.0) * 4]
    pose = median_pose([*steady[:50], *wild, *steady[50:], {'wheel': 1.0}, {}])
    assert pose == pytest.approx(dict.fromkeys(JOINT_NAMES, 0.5), abs=0.01)


def test_a_pose_of_a_decoder_of_fewer_joints():
    poses = [{'index_mcp': 0.1, 'index_pip': 0.2}] * LEAST_POSES
    assert median_pose(poses) == {'index_mcp': 0.1, 'index_pip': 0.2}
    assert median_pose([*poses, {'index_mcp': 0.1}]) == {'index_mcp': 0.1}


def test_a_joint_that_gives_no_angles_is_left_out():
    # In degrees, by a decoder of somebody else, say: no joint of the profile need follow it.
    pose = median_pose([FIST | {'thumb_ip': 80.0}] * LEAST_POSES)
    assert set(pose) == set(JOINT_NAMES) - {'thumb_ip'}
    assert calibrate(OPEN, pose).joints


@pytest.mark.parametrize('pose', [{'index_mcp': 0.1}, {'wheel': 0.1}, {'index_mcp': nan}])
def test_too_few_poses_are_refused(pose):
    with pytest.raises(ConfigurationError, match='at least 10 are needed'):
        median_pose([pose] * (LEAST_POSES - 1))


def test_open_and_fist_become_ranges():
    calibration = calibrate(OPEN, FIST)
    assert set(calibration.joints) == set(JOINT_NAMES)
    assert calibration.joints['index_mcp'].closing(OPEN['index_mcp']) == 0
    assert calibration.joints['index_mcp'].closing(FIST['index_mcp']) == 1
    halfway = (OPEN['ring_pip'] + FIST['ring_pip']) / 2
    assert calibration.joints['ring_pip'].closing(halfway) == pytest.approx(0.5)


def test_a_joint_that_hardly_moves_keeps_its_usual_range():
    fist = FIST | {'thumb_mcp': OPEN['thumb_mcp'] + 0.9 * LEAST_RANGE, 'thumb_ip': -1.0}
    assert set(calibrate(OPEN, fist).joints) == set(JOINT_NAMES) - {'thumb_mcp', 'thumb_ip'}


@pytest.mark.parametrize(
    ('opened', 'fist'),
    [(OPEN, OPEN), (FIST, OPEN), (OPEN, {}), ({}, {}), (OPEN, OPEN | {'index_mcp': 1.5})],
    ids=['same', 'swapped', 'nothing', 'nothing at all', 'one finger'],
)
def test_open_and_fist_that_hardly_differ_are_refused(opened, fist):
    with pytest.raises(ConfigurationError, match='hardly differ'):
        calibrate(opened, fist)


def test_saved_and_read(tmp_path):
    calibration = calibrate(OPEN, FIST)
    calibration.save(tmp_path / 'new' / 'wearer.json')
    assert load_calibration(tmp_path / 'new' / 'wearer.json') == calibration


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match=r'cannot write .*wearer\.json'):
        UNCALIBRATED.save(tmp_path / 'file' / 'wearer.json')


RANGE = '{"open": 0.0, "fist": 1.0}'


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('', 'not a calibration'),
        ('[]', 'not a calibration'),
        ('{"joints": {}}', 'joints'),
        (f'{{"format": 2, "joints": {{"index_mcp": {RANGE}}}}}', 'format'),
        (f'{{"joints": {{"index_dip": {RANGE}}}}}', 'allowed are thumb_mcp'),
        ('{"joints": {"index_mcp": {"open": 1.0, "fist": 0.0}}}', 'further'),
        ('{"joints": {"index_mcp": {"open": 0.0, "fist": NaN}}}', 'fist'),
        ('{"joints": {"index_mcp": {"open": 0.0, "fist": 90}}}', 'fist'),
        ('{"joints": {"index_mcp": {"open": true, "fist": 1}}}', 'open'),
        ('{"joints": {"index_mcp": {"open": 0.0}}}', 'fist'),
        (f'{{"joints": {{"index_mcp": {RANGE}}}, "more": 1}}', 'more'),
        (' ' * (LARGEST_FILE + 1), 'too large'),
        ('[' * 10_000, 'not a calibration'),
    ],
)
def test_a_wrong_file_is_named(tmp_path, text, reason):
    path = tmp_path / 'wearer.json'
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=reason) as caught:
        load_calibration(path)
    assert 'wearer.json' in str(caught.value)


def test_no_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r'cannot read .*none\.json'):
        load_calibration(tmp_path / 'none.json')


def test_the_usual_range_is_from_straight_to_the_end_of_motion():
    assert UNCALIBRATED.joints['index_mcp'] == HumanRange(open=0.0, fist=np.pi / 2)
    assert set(Calibration.model_validate(UNCALIBRATED.model_dump()).joints) == set(JOINT_NAMES)
