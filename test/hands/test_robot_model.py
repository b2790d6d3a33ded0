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

"""Robot hands in MuJoCo: URDFs read, profiles compared, drafted and fitted, hands measured."""

import re

from leconvmn_ros.cli import EXIT_FAILED, main
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.joints import JOINTS
from leconvmn_ros.hands import fitting, pose_search
from leconvmn_ros.hands.anchors import AnchoredMap, Anchors, joint_fingerprint, load_anchors
from leconvmn_ros.hands.human_tips import FINGER_NAMES, fingertip, thumb_distances
from leconvmn_ros.hands.model_comparison import compare, draft
from leconvmn_ros.hands.modelled_hand import ModelledHand
from leconvmn_ros.hands.profile import HandProfile, load_profile, profile_path
from leconvmn_ros.hands.robot_model import match_joints, RobotModel
from leconvmn_ros.hands.simulation import measure, pinch_pose
from leconvmn_ros.hands.urdf import hand_urdf
import numpy as np
import pytest
from solid_hand import solid_hand

GENERIC = load_profile('generic')  # its joints are those of our own hand


@pytest.fixture
def urdf(tmp_path):
    """Writes a URDF and returns its path."""

    def write(text=None):
        path = tmp_path / 'hand.urdf'
        path.write_text(text or solid_hand(), encoding='utf-8')
        return path

    return write


def test_human_fingertips_are_those_of_the_urdf(urdf):
    model = RobotModel(urdf(hand_urdf('right')))
    rng = np.random.default_rng(0)
    for _ in range(5):
        pose = {joint.name: float(rng.uniform(joint.lower, joint.upper)) for joint in JOINTS}
        model.move_to(pose)
        palm = model.origin('palm')
        for finger in FINGER_NAMES:
            expected = model.origin(f'{finger}_tip_link') - palm
            assert fingertip(finger, pose) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('distance', [0.0, 0.02])
def test_a_human_pinch_has_its_distance(distance):
    assert thumb_distances(pinch_pose('index', distance))['index'] == pytest.approx(
        distance, abs=4e-4
    )


def test_what_mimics_follows_through_several_joints(urdf):
    text = solid_hand().replace('<mimic joint="index_pip"', '<mimic joint="middle_dip"', 1)
    model = RobotModel(urdf(text))
    pose = model.complete({'middle_pip': 0.9})
    assert pose['middle_dip'] == pytest.approx(0.6)
    assert pose['index_dip'] == pytest.approx(0.4)


def test_links_in_one_another_are_measured(urdf):
    model = RobotModel(urdf())
    assert not model.overlaps()
    model.move_to({'index_mcp': 1.5, 'index_pip': 1.7, 'thumb_mcp': 0.8, 'thumb_ip': 1.3})
    assert model.deepest().depth > 0.002
    assert 'thumb' in ' '.join(model.deepest().links)


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (lambda text: text[:300], 'is not XML'),
        (
            lambda text: text.replace('<robot', '<robots').replace('</robot', '</robots'),
            'is not a URDF',
        ),
        (lambda text: text.replace('<?xml version="1.0"?>', '<!DOCTYPE a []>'), 'entities'),
        (lambda text: text.replace('upper="', 'upper="${pi}', 1), 'xacro'),
        (lambda text: text.replace('lower="0"', 'lower="zero"', 1), "'zero' where 1 numbers"),
        (lambda text: text.replace('<mimic joint="index_pip"', '<mimic joint="x"'), 'mimics x'),
        (lambda text: text.replace('<parent link="palm"', '<parent link="x"', 1), 'both must be'),
    ],
)
def test_what_is_no_urdf_is_refused_in_one_line(urdf, change, reason):
    with pytest.raises(ConfigurationError, match=re.escape(reason)) as caught:
        RobotModel(urdf(change(solid_hand())))
    assert '\n' not in str(caught.value)


def test_masses_that_cannot_be_do_not_matter(urdf):
    inertial = (
        '<inertial><mass value="-1"/><inertia ixx="0" ixy="9" ixz="0" iyy="0" iyz="0" izz="0"/>'
        '</inertial>'
    )
    text = solid_hand().replace('<link name="palm">', f'<link name="palm">{inertial}')
    assert RobotModel(urdf(text)).joints.keys() >= {'thumb_mcp'}


def test_a_mesh_that_is_not_there_is_named(urdf):
    mesh = '<collision><geometry><mesh filename="package://x/a.stl"/></geometry></collision>'
    text = solid_hand().replace('<link name="palm">', f'<link name="palm">{mesh}')
    assert RobotModel(urdf(text)).missing == ['package://x/a.stl']


def test_joints_are_found_with_and_without_a_prefix():
    there = ['rh_FFJ1', 'rh_FFJ2', 'joint_1.0', 'Thumb']
    assert match_joints(['FFJ1', 'joint_1_0', 'right_thumb'], there) == {
        'FFJ1': 'rh_FFJ1',
        'joint_1_0': 'joint_1.0',
        'right_thumb': 'Thumb',
    }
    with pytest.raises(ConfigurationError, match='FFJ3 is not in the URDF; the URDF has rh_FFJ1'):
        match_joints(['FFJ3'], there)
    with pytest.raises(ConfigurationError, match='could be a_x or b_x'):
        match_joints(['x'], ['a_x', 'b_x'])


def changed(**changes):
    """Return the generic profile with other values for the joint index_mcp."""
    joints = [joint.model_dump() for joint in GENERIC.joints]
    joints[2] |= changes
    return HandProfile.model_validate(GENERIC.model_dump() | {'joints': joints})


def three_fingers():
    """Return the text of the generic profile without ring and little finger."""
    lines = profile_path('generic').read_text(encoding='utf-8').splitlines()
    return '\n'.join(line for line in lines if 'ring_' not in line and 'little_' not in line)


@pytest.mark.parametrize('side', ['left', 'right'])
def test_a_profile_that_is_right_agrees_with_its_model(urdf, side):
    assert not compare(GENERIC, RobotModel(urdf(solid_hand(side, prefix='x_'))))


@pytest.mark.parametrize(
    ('profile', 'serious', 'text'),
    [
        (changed(limits=(-0.785, 1.9)), True, 'limits are -0.785 to 1.9, the URDF has'),
        (changed(limits=(-0.3, 1.571)), False, 'the profile stays within'),
        (changed(name='index_abd'), True, 'index_abd is not in the URDF'),
        (
            GENERIC.model_copy(update={'complete': True, 'joints': GENERIC.joints[:-1]}),
            True,
            'does not drive little_pip; complete is true',
        ),
        (changed(open=1.5, closed=-0.7), True, 'index: as it bends'),
    ],
)
def test_what_does_not_agree_is_told(urdf, profile, serious, text):
    found = [f for f in compare(profile, RobotModel(urdf())) if f.serious == serious]
    assert any(text in finding.text for finding in found), found


@pytest.mark.parametrize('named', [True, False])
def test_a_draft_bends_each_finger_the_right_way(urdf, tmp_path, named):
    text = solid_hand()
    if not named:
        for number, joint in enumerate(JOINTS):
            text = text.replace(joint.name, f'j{number}')
    model = RobotModel(urdf(text))
    path = tmp_path / 'draft.yaml'
    path.write_text(draft(model, 'hand.urdf'), encoding='utf-8')
    profile = load_profile(str(path))
    assert not compare(profile, model)
    for joint in profile.joints:
        assert joint.open == 0.0
        assert joint.closed > 0.5
    follows = {joint.name: next(iter(joint.follows)) for joint in profile.joints}
    wanted = {
        joint.name if named else f'j{number}': joint.name for number, joint in enumerate(JOINTS)
    }
    assert follows == wanted


@pytest.fixture(scope='module')
def fitted(tmp_path_factory):
    """Our own hand with anchors, fitted in a second instead of a minute."""
    path = tmp_path_factory.mktemp('model') / 'hand.urdf'
    path.write_text(solid_hand(), encoding='utf-8')
    # Thumb, index and middle finger.
    profile = GENERIC.model_copy(update={'joints': GENERIC.joints[:6]})
    hand = ModelledHand(profile, RobotModel(path))
    patch = pytest.MonkeyPatch()
    quick = {
        pose_search: {'RANDOM_STARTS': 300, 'REFINED': 2, 'RANDOM_OUT': 100},
        fitting: {'REPAIR_POSES': 300, 'REPAIRS': 2, 'HUMAN_REPAIRS': 1, 'FINE_STEPS': 10},
    }
    for module, values in quick.items():
        for name, value in values.items():
            patch.setattr(module, name, value)
    anchors = fitting.fit(hand, 'hand.urdf')
    patch.undo()
    return path, hand, anchors


def test_a_fitted_hand_pinches_and_its_fist_does_not_overlap(fitted):
    _, hand, anchors = fitted
    assert tuple(anchors.pinches) == ('index', 'middle')
    before, after = measure(hand, None, 60), measure(hand, anchors, 60)
    assert before.anywhere > 0.003 > after.anywhere
    assert after.fist < 0.0015
    touching = after.pinches[0]
    assert (touching.finger, touching.gap) == ('index', pytest.approx(0.0, abs=0.003))
    assert after.turns_back[0] == 0.0


def test_anchors_are_refused_for_other_joints(fitted, tmp_path):
    _, hand, anchors = fitted
    path, profile = tmp_path / 'hand.yaml', hand.profile
    assert load_anchors(path, profile) is None
    file = tmp_path / 'hand.anchors.json'
    file.write_text(anchors.model_dump_json(), encoding='utf-8')
    assert load_anchors(path, profile) == anchors
    with pytest.raises(ConfigurationError, match='fitted to other joints'):
        load_anchors(path, GENERIC)
    file.write_text('{}', encoding='utf-8')
    with pytest.raises(ConfigurationError, match=r'hand\.anchors\.json: model: Field required'):
        load_anchors(path, profile)


def test_commands_show_what_was_measured(fitted, tmp_path, capsys):
    urdf, _, anchors = fitted
    profile = tmp_path / 'hand.yaml'
    profile.write_text(three_fingers(), encoding='utf-8')
    (tmp_path / 'hand.anchors.json').write_text(anchors.model_dump_json(), encoding='utf-8')
    assert main(['hand', str(profile)]) == 0
    assert 'pinches fitted to hand.urdf' in capsys.readouterr().out
    assert main(['hand', str(profile), '--check', str(urdf)]) == 0
    assert 'hand.urdf: agrees' in capsys.readouterr().out
    assert main(['hand', str(profile), '--simulate', str(urdf), '--poses', '20']) == 0
    output = capsys.readouterr().out
    assert 'fist: deepest overlap' in output
    # Every line has a figure of both.
    cells = [line.split('│')[2:4] for line in output.splitlines() if 'index pinch' in line]
    assert len(cells) == 2
    assert all('tips' in cell for row in cells for cell in row)
    assert main(['hand', 'leap', '--check', str(urdf)]) == EXIT_FAILED
    assert 'wrong: joint 1 is not in the URDF' in capsys.readouterr().out
    assert main(['hand', '--check', str(urdf)]) == EXIT_FAILED
    assert main(['hand', '--from', str(urdf), '--output', str(tmp_path / 'new.yaml')]) == 0
    assert load_profile(str(tmp_path / 'new.yaml')).human_joints == GENERIC.human_joints


def test_pictures_are_drawn(fitted, tmp_path):
    from PIL import Image

    urdf, _, _ = fitted
    picture, video = tmp_path / 'poses.png', tmp_path / 'poses.gif'
    profile = tmp_path / 'hand.yaml'
    profile.write_text(three_fingers(), encoding='utf-8')
    arguments = ['hand', str(profile), '--simulate', str(urdf), '--poses', '2']
    try:
        code = main([*arguments, '--picture', str(picture), '--video', str(video)])
    except ImportError as error:
        pytest.skip(f'nothing can be drawn here: {error}')
    assert code == 0
    drawn = np.asarray(Image.open(picture).convert('L'))
    # Each pose shows a hand on white.
    for part in np.array_split(drawn, 5, axis=1):
        assert 0.03 < (part < 250).mean() < 0.7
    assert Image.open(video).n_frames > 100


def test_shipped_anchors_are_of_their_profiles():
    from leconvmn_ros.hands.profile import shipped_profiles

    fitted = 0
    for name in shipped_profiles():
        profile = load_profile(name)
        anchors = load_anchors(profile_path(name), profile)
        if anchors is not None:
            fitted += 1
            assert anchors.profile == joint_fingerprint(profile)
            AnchoredMap(anchors)
            assert isinstance(anchors, Anchors)
    assert fitted >= 1
