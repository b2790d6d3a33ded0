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

"""Guided sessions: what ships, what a file may say, and where the cue is."""

from itertools import pairwise

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.joints import JOINT_NAMES, JOINTS
from leconvmn_ros.wearing.poses import MOVEMENTS, pose, REST_POSE
from leconvmn_ros.wearing.session import load_session, session_names, Trial
from leconvmn_ros.wearing.timeline import bend, cue_pose, moment, Phase
import numpy as np
import pytest


def write(tmp_path, text):
    path = tmp_path / 'mine.yaml'
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(('name', 'minutes'), [('quick', 2), ('standard', 4), ('full', 10)])
def test_a_session_that_ships_takes_as_long_as_it_says_and_names_the_wrist(name, minutes):
    session = load_session(name)
    assert session.duration / 60 == pytest.approx(minutes, rel=0.02)
    assert 'wrist is not included' in session.note
    assert session.order == 'shuffled'
    assert session.ramp == 2
    assert session.repetitions >= 3  # so that a repetition can be held out


def test_sessions_are_listed_from_the_shortest():
    assert session_names() == ('quick', 'standard', 'full')


def test_every_pose_lies_within_the_limits_and_moves_only_its_fingers():
    for fingers in MOVEMENTS.values():
        angles = pose(fingers)
        for joint, angle, rest in zip(JOINTS, angles, REST_POSE, strict=True):
            assert joint.lower <= angle <= joint.upper
            bent = fingers.get(joint.name.partition('_')[0], 0)
            assert np.sign(angle - rest) == np.sign(bent)


def test_poses_are_in_the_order_of_the_joints():
    changed = np.flatnonzero(pose({'ring': 1}) != REST_POSE)
    assert [JOINT_NAMES[k] for k in changed] == ['ring_mcp', 'ring_pip']


@pytest.mark.parametrize('seed', range(20))
def test_a_shuffled_session_has_every_movement_in_each_repetition_and_none_twice_in_a_row(seed):
    session = load_session('quick')
    trials = session.trials(seed)
    assert len(set(trials)) == len(trials) == 15
    for repetition in range(3):
        block = trials[5 * repetition : 5 * repetition + 5]
        assert {trial.repetition for trial in block} == {repetition + 1}
        assert {trial.movement for trial in block} == {1, 2, 3, 4, 5}
    assert all(one.movement != other.movement for one, other in pairwise(trials))
    assert trials == session.trials(seed)


def test_seeds_give_different_orders_and_a_fixed_order_stays(tmp_path):
    session = load_session('quick')
    assert len({session.trials(seed) for seed in range(10)}) == 10
    fixed = load_session(
        write(tmp_path, 'name: A\nmovements: [fist, pinch]\nrepetitions: 2\norder: fixed\n')
    )
    assert (
        fixed.trials(0)
        == fixed.trials(1)
        == (
            Trial(1, 1),
            Trial(2, 1),
            Trial(1, 2),
            Trial(2, 2),
        )
    )


def test_one_movement_alone_is_no_endless_search_for_an_order(tmp_path):
    session = load_session(write(tmp_path, 'name: A\nmovements: [fist]\nrepetitions: 3\n'))
    assert [trial.repetition for trial in session.trials(0)] == [1, 2, 3]


def test_a_movement_of_ones_own(tmp_path):
    text = 'name: Mine\nmovements:\n  - {name: claw, fingers: {index: 0.5, middle: 0.5}}\n'
    session = load_session(write(tmp_path, text))
    np.testing.assert_allclose(
        session.movements[0].pose()[2:6], (REST_POSE + pose({'index': 1, 'middle': 1}))[2:6] / 2
    )


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        (
            'name: A\nmovements: [wave]\n',
            "'wave' is not a known movement; known are index flexion",
        ),
        ('name: A\nmovements: []\n', 'at least 1'),
        ('name: A\nmovements: [fist, fist]\n', r"movements \['fist'\] appear twice"),
        ('name: A\nmovements: [fist]\nramp: 0\n', 'ramp'),
        ('name: A\nmovements: [fist]\nrest: .nan\n', 'rest'),
        ('name: A\nmovements: [fist]\nrepetitions: 21\n', 'repetitions'),
        ('name: A\nmovements: [fist]\nspeed: 2\n', 'speed'),
        ('name: A\nmovements: [{name: b, fingers: {index: 2}}]\n', 'fingers.index'),
        ('name: A\nmovements: [{name: b, fingers: {toe: 1}}]\n', 'fingers.toe'),
        ('name: "<b>A</b>"\nmovements: [fist]\n', 'name'),
        ('name: "A\\e[2J"\nmovements: [fist]\n', 'name'),
        ('movements: [fist]\n', 'name'),
        ('name: A\nmovements: fist\n', 'movements'),
        ('[1, 2]\n', 'dictionary'),
        ('name: [\n', 'not YAML'),
        (
            'name: A\nrepetitions: 20\nhold: 30\nrest: 60\nmovements: [fist, pinch]\n',
            'at most 3600 s',
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_named_in_one_line(tmp_path, text, reason):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        load_session(write(tmp_path, text))
    assert '\n' not in str(caught.value)
    assert '\x1b' not in str(caught.value)


@pytest.mark.parametrize('name', ['none', '../sessions/quick', '', 'quick\n', '/etc/passwd'])
def test_a_session_that_does_not_ship_is_refused_with_the_allowed_names(name):
    with pytest.raises(ConfigurationError, match='allowed are full, quick, standard'):
        load_session(name)


def test_the_cue_goes_to_the_pose_in_its_ramp_holds_it_and_comes_back():
    session = load_session('standard')
    fist = session.movements[5]
    np.testing.assert_array_equal(cue_pose(session, fist, -1.0), REST_POSE)
    np.testing.assert_array_equal(cue_pose(session, fist, 0.0), REST_POSE)
    np.testing.assert_allclose(cue_pose(session, fist, 1.0), (REST_POSE + fist.pose()) / 2)
    for held in (2.0, 2.7, 3.5):
        np.testing.assert_allclose(cue_pose(session, fist, held), fist.pose(), atol=1e-12)
    np.testing.assert_allclose(cue_pose(session, fist, 4.5), (REST_POSE + fist.pose()) / 2)
    np.testing.assert_allclose(cue_pose(session, fist, 5.5), REST_POSE, atol=1e-12)
    np.testing.assert_allclose(cue_pose(session, fist, 99.0), REST_POSE, atol=1e-12)


def test_the_cue_never_jumps():
    shares = bend(2.0, 1.5, np.arange(-1, 8, 0.02))
    assert np.abs(np.diff(shares)).max() < 0.02 * 1.9 / 2.0
    assert shares.min() >= 0
    assert shares.max() <= 1


def test_what_is_on_and_how_long_it_lasts():
    session = load_session('standard')
    expected = {
        -0.5: (Phase.REST, 0.5),
        0.0: (Phase.GO, 2.0),
        1.5: (Phase.GO, 0.5),
        2.0: (Phase.HOLD, 1.5),
        3.5: (Phase.RETURN, 2.0),
        5.5: (Phase.REST, 2.0),
        7.0: (Phase.REST, 0.5),
        9.0: (Phase.REST, 0.0),
    }
    for time, (phase, left) in expected.items():
        assert moment(session, time) == (phase, pytest.approx(left))
