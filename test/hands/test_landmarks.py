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

"""Landmarks to flexions: exact on our own hand model, in any frame, on both sides."""

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.joints import JOINT_NAMES, JOINTS
from leconvmn_ros.hands.human_model import DIP_OVER_PIP
from leconvmn_ros.hands.landmarks import (
    calibrate_landmarks,
    flexions,
    from_leap,
    from_openxr,
    LandmarkCalibration,
    LANDMARKS,
    load_landmark_calibration,
    OPENXR,
    plausible,
)
from model_landmarks import landmarks_of
import numpy as np
import pytest

SIDES = ('right', 'left')
FLAT = dict.fromkeys(JOINT_NAMES, 0.0)
FIST = {joint.name: joint.upper for joint in JOINTS}


def poses(count, seed=0):
    random = np.random.default_rng(seed)
    return [
        {joint.name: random.uniform(joint.lower, joint.upper) for joint in JOINTS}
        for _ in range(count)
    ]


def calibration(side):
    return calibrate_landmarks([flexions(landmarks_of(FLAT, side), side)] * 5)


@pytest.mark.parametrize('side', SIDES)
def test_angles_are_those_of_our_own_hand(side):
    calibrated, errors = calibration(side), []
    for pose in poses(200):
        found = calibrated.apply(flexions(landmarks_of(pose, side), side))
        errors.append(np.degrees(found - np.array(list(pose.values()))))
    worst = np.abs(errors).max(axis=0)
    assert worst[2:].max() <= 0.5
    assert worst[:2].max() <= 3.0


def test_place_size_and_orientation_of_the_hand_do_not_matter():
    random = np.random.default_rng(1)
    (pose,) = poses(1)
    points = landmarks_of(pose, 'right')
    rotation, _ = np.linalg.qr(random.standard_normal((3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    moved = 1000 * points @ rotation.T + [3, -2, 7]
    np.testing.assert_allclose(flexions(moved, 'right'), flexions(points, 'right'), atol=1e-9)


def test_spreading_the_fingers_is_no_flexion():
    points = landmarks_of(FLAT, 'right')
    for degrees in (-15, 15):
        turn = np.radians(degrees)
        rotation = np.array(
            [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
        )
        spread = points.copy()
        spread[6:9] = (points[6:9] - points[5]) @ rotation.T + points[5]
        change = np.degrees(flexions(spread, 'right') - flexions(points, 'right'))
        assert np.abs(change).max() < 1.5


def test_many_hands_at_once_are_as_one_by_one():
    points = np.array([landmarks_of(pose, 'left') for pose in poses(5)])
    together = flexions(points.reshape(5, 1, LANDMARKS, 3), 'left')
    assert together.shape == (5, 1, 10)
    for one, angles in zip(points, together[:, 0], strict=True):
        np.testing.assert_array_equal(flexions(one, 'left'), angles)


@pytest.mark.parametrize('side', SIDES)
def test_a_hand_of_the_other_side_is_implausible(side):
    other = SIDES[1 - SIDES.index(side)]
    bent = {name: 0.7 if name.endswith('pip') else 0.3 for name in JOINT_NAMES}
    points = landmarks_of(bent, side)
    assert plausible(flexions(points, side))
    assert not plausible(flexions(points, other))


def test_points_that_coincide_are_implausible():
    assert not plausible(flexions(np.zeros((LANDMARKS, 3)), 'right'))


@pytest.mark.parametrize('shape', [(20, 3), (21, 2), (63,), (3,)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r'\(\.\.\., 21, 3\) is needed'):
        flexions(np.zeros(shape), 'right')


def test_two_millimetres_of_noise_cost_some_degrees():
    random = np.random.default_rng(2)
    calibrated, errors = calibration('right'), []
    for pose in poses(100):
        points = landmarks_of(pose, 'right') + random.normal(0, 0.002, (LANDMARKS, 3))
        errors.append(calibrated.apply(flexions(points, 'right')) - np.array(list(pose.values())))
    rms = np.degrees(np.sqrt(np.mean(np.square(errors))))
    assert 2 < rms < 14


def test_a_fist_gives_the_gain_of_the_fingers():
    side = 'right'
    flat, fist = (flexions(landmarks_of(pose, side), side) for pose in (FLAT, FIST))
    # A camera that sees every movement too small.
    shrunk = flat + 0.7 * (fist - flat)
    calibrated = calibrate_landmarks([flat] * 5, [shrunk] * 5)
    np.testing.assert_allclose(np.array(calibrated.gain)[2:], 1 / 0.7, atol=0.02)
    assert calibrated.gain[:2] == (1.0, 1.0)
    found = calibrated.apply(shrunk)
    np.testing.assert_allclose(found[2:], [joint.upper for joint in JOINTS[2:]], atol=0.02)


def test_a_hand_that_did_not_move_changes_no_gain():
    flat = flexions(landmarks_of(FLAT, 'right'), 'right')
    assert calibrate_landmarks([flat] * 5, [flat + 0.1] * 5).gain == (1.0,) * 10


def test_too_few_poses_are_refused():
    with pytest.raises(ConfigurationError, match='at least 5'):
        calibrate_landmarks([np.zeros(10)] * 4)


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    made = calibration('left')
    made.save(tmp_path / 'flat.json')
    assert load_landmark_calibration(tmp_path / 'flat.json') == made
    (tmp_path / 'flat.json').write_text('{"flat": [0]}')
    with pytest.raises(ConfigurationError, match='flat'):
        load_landmark_calibration(tmp_path / 'flat.json')


def test_angles_stay_within_what_a_hand_can_do():
    calibrated = LandmarkCalibration(flat=(0.0,) * 10, gain=(2.0,) * 10)
    found = calibrated.apply(np.full(10, 3.0))
    np.testing.assert_allclose(found, [joint.upper for joint in JOINTS])


def test_joints_of_a_headset_are_found_among_its_26():
    (pose,) = poses(1)
    points = landmarks_of(pose, 'right')
    joints = np.full((26, 3), np.nan)
    joints[list(OPENXR)] = points
    np.testing.assert_array_equal(from_openxr(joints), points)
    # Palm and the metacarpals of the four fingers are not used.
    assert sorted(set(range(26)) - set(OPENXR)) == [0, 6, 11, 16, 21]


def test_bones_of_leap_are_landmarks():
    (pose,) = poses(1)
    points = landmarks_of(pose, 'right')
    digits = np.full((5, 4, 2, 3), np.nan)
    for digit in range(5):
        chain = points[1 + 4 * digit : 5 + 4 * digit]
        for bone in range(3):
            digits[digit, 1 + bone] = chain[bone : bone + 2]
    np.testing.assert_array_equal(from_leap(points[0], digits), points)


def test_the_last_joint_of_our_hand_follows_the_one_before():
    # The landmarks hold the DIP too: no part of the angles, but the picture must be a hand.
    points = landmarks_of({**FLAT, 'index_pip': 0.9}, 'right')
    middle, distal = points[7] - points[6], points[8] - points[7]
    cosine = middle @ distal / np.linalg.norm(middle) / np.linalg.norm(distal)
    assert np.arccos(cosine) == pytest.approx(0.9 * DIP_OVER_PIP, abs=1e-6)
