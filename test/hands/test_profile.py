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

"""Profiles of robot hands: the shipped ones, and the errors for invalid files."""

from contextlib import suppress
from copy import deepcopy
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.cli import EXIT_FAILED, main
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.yaml_file import LARGEST_FILE, parse_yaml, read_yaml
from leconvmn_ros.hands.profile import (
    HandProfile,
    load_profile,
    SHIPPED_PROFILES,
    shipped_profiles,
)
from pydantic import ValidationError
import pytest

SMALL = """
hand: small
command: {topic: cmd, type: sensor_msgs/msg/JointState, rate: 50}
stale: {after: 0.5, then: hold}
speed: 2.0
joints:
  - {name: a, limits: [-0.5, 1.5], follows: index_mcp, open: 0.0, closed: 1.2}
  - {name: b, limits: [-1.0, 1.0], coupled: {joint: a, ratio: -0.5}}
  - {name: c, limits: [0.0, 1.0], fixed: 0.25}
"""


def data():
    return deepcopy(parse_yaml(SMALL))


def write(tmp_path, text):
    path = tmp_path / 'hand.yaml'
    path.write_text(text, encoding='utf-8')
    return str(path)


def test_the_hands_promised_are_there():
    hands = {
        *('allegro_v5', 'allegro_v5_left', 'dg5f_right', 'generic', 'inspire_rh56', 'leap'),
        *('leap_left', 'linkerhand_l10_right', 'linkerhand_l20_right', 'orca_v1_right'),
        'wuji_right',
    }
    sided = {'shadow', 'schunk_svh', 'ability_hand', 'revo2', 'dex3'}
    assert set(shipped_profiles()) == hands | {
        f'{hand}_{side}' for hand in sided for side in ('left', 'right')
    }


@pytest.mark.parametrize('name', shipped_profiles())
def test_a_shipped_hand_closes_all_the_fingers_it_has(name):
    profile = load_profile(name)
    opened, fist = profile.pose(0.0), profile.pose(1.0)
    moved = {joint for joint in opened if opened[joint] != fist[joint]}
    assert moved == {joint.name for joint in profile.joints if joint.fixed is None}
    fingers = {joint.partition('_')[0] for joint in profile.human_joints}
    # LEAP and Allegro have no little finger, Dex3-1 has two fingers.
    assert fingers >= {'thumb', 'index', 'middle', *(() if 'dex3' in name else ('ring',))}
    for joint in profile.joints:
        lower, upper = joint.limits
        for pose in (opened, fist, profile.rest_pose):
            assert lower <= pose[joint.name] <= upper


@pytest.mark.parametrize('hand', ['shadow', 'schunk_svh', 'ability_hand'])
def test_left_and_right_differ_by_their_names_alone(hand):
    right, left = (
        (SHIPPED_PROFILES / f'{hand}_{side}.yaml').read_text(encoding='utf-8').partition('\n')[2]
        for side in ('right', 'left')
    )
    # Not every maker's left model was found.
    right, left = (re.sub(r'(?m)^checked: .*\n', '', text) for text in (right, left))
    for names in (('rh_', 'lh_'), ('Right_Hand', 'Left_Hand'), ('right', 'left')):
        right = right.replace(*names)
    assert left == right


@pytest.mark.parametrize('name', shipped_profiles())
def test_a_shipped_hand_names_its_sources(name):
    head = (SHIPPED_PROFILES / f'{name}.yaml').read_text(encoding='utf-8').partition('hand:')[0]
    assert 'https://' in head or name == 'generic'


def test_units():
    profile = HandProfile.model_validate(data())
    assert profile.in_unit([1.0, 0.5, 0.25]) == [1.0, 0.5, 0.25]
    content = data()
    content['command']['unit'] = 'deg'
    degrees = HandProfile.model_validate(content).in_unit([1.0, 0.5, 0.25])
    assert degrees == pytest.approx([57.29578, 28.64789, 14.32394])
    content['command']['unit'] = {'lower': 1000, 'upper': 0}
    scaled = HandProfile.model_validate(content).in_unit([-0.5, 1.0, 0.25])
    assert scaled == pytest.approx([1000, 0, 750])


def test_a_joint_may_have_a_unit_of_its_own():
    content = data()
    content['command']['unit'] = {'lower': 255, 'upper': 0}
    content['joints'][1]['unit'] = {'lower': 0, 'upper': 255}
    profile = HandProfile.model_validate(content)
    values = profile.in_unit([-0.5, -1.0, 1.0])
    assert values == pytest.approx([255, 0, 0])
    names = [joint.name for joint in profile.joints]
    angles = profile.in_radians_by_name(dict(zip(names, values, strict=True)) | {'wheel': 7.0})
    assert angles == pytest.approx({'a': -0.5, 'b': -1.0, 'c': 1.0})


def test_constants_of_elements_are_for_each_joint_or_for_all():
    content = data()
    content['command'] |= {
        'type': 'unitree_hg/msg/HandCmd',
        'field': 'motor_cmd[].q',
        'element': {'mode': [16, 17, 18], 'kp': 1.5},
    }
    assert HandProfile.model_validate(content).command.element['mode'] == [16, 17, 18]
    content['command']['element']['mode'] = [16, 17]
    with pytest.raises(ValidationError, match='mode has 2 values; each of 3 joints needs one'):
        HandProfile.model_validate(content)


def test_rest_is_the_open_hand_unless_said():
    assert HandProfile.model_validate(data()).rest_pose == {'a': 0.0, 'b': 0.0, 'c': 0.25}
    content = data()
    content['joints'][0]['rest'] = 0.4
    assert HandProfile.model_validate(content).rest_pose == {'a': 0.4, 'b': -0.2, 'c': 0.25}


WRONG = {
    'topic': ('command.topic', '9 lives', 'command.topic'),
    'type': ('command.type', 'JointState', 'command.type'),
    'rate': ('command.rate', 0, 'command.rate'),
    'rate_text': ('command.rate', '50', 'command.rate'),
    'unit': ('command.unit', 'grad', "'rad' or 'deg'"),
    'unit_flat': ('command.unit', {'lower': 3, 'upper': 3}, 'both 3'),
    'field': ('command.field', 'data', 'field does not go with'),
    'arrival': ('command.arrival', 0.1, 'arrival does not go with'),
    'unknown': ('command.frequency', 50, 'command.frequency'),
    'element': ('command.element', {'kp': 1.5}, 'element does not go with'),
    'field_state': ('state', {'topic': 's', 'field': 'data'}, 'field does not go'),
    'acceleration': ('acceleration', 0, 'acceleration'),
    'stale': ('stale.then', 'panic', "'hold', 'rest' or 'stop'"),
    'stale_after': ('stale.after', -1, 'stale.after'),
    'speed': ('speed', 0, 'speed'),
    'speed_true': ('speed', True, 'speed'),
    'infinite': ('speed', float('inf'), 'speed'),
    'no_joints': ('joints', [], 'joints'),
    'twice': ('joints.1.name', 'a', 'joint a is there more than once'),
    'blank': ('joints.0.name', 'a b', 'joints.0.name'),
    'limits': ('joints.0.limits', [1.5, -0.5], 'the lower comes first'),
    'three_limits': ('joints.0.limits', [0, 1, 2], 'joints.0.limits'),
    'nobody': ('joints.0.follows', 'index_dip', 'allowed are thumb_mcp'),
    'weights': ('joints.0.follows', {'index_mcp': 0.5, 'index_pip': 0.3}, 'add up to 0.8'),
    'negative': ('joints.0.follows', {'index_mcp': 1.5, 'index_pip': -0.5}, 'joints.0.follows'),
    'no_weights': ('joints.0.follows', {}, 'joints.0.follows'),
    'closed_outside': ('joints.0.closed', 1.6, 'a: closed is 1.6; its limits are -0.5 to 1.5 rad'),
    'no_motion': ('joints.0.closed', 0.0, 'open and closed are both 0'),
    'rest_outside': ('joints.0.rest', 2.0, 'rest is 2'),
    'not_closed': ('joints.0.closed', None, 'needs open and closed'),
    'two_sources': ('joints.0.fixed', 0.1, 'follows and fixed'),
    'fixed_outside': ('joints.2.fixed', 1.1, 'fixed is 1.1'),
    'open_fixed': ('joints.2.open', 0.0, 'needs open and closed'),
    'no_source': ('joints.2.fixed', None, 'nothing that moves it'),
    'coupled_nowhere': ('joints.1.coupled.joint', 'z', 'coupled to z; allowed'),
    'coupled_itself': ('joints.1.coupled.joint', 'b', 'coupled to b; allowed'),
    'coupled_outside': ('joints.1.coupled.ratio', -2.0, 'b: where a takes it is -2'),
}


@pytest.mark.parametrize(('place', 'value', 'told'), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_named(tmp_path, place, value, told):
    content = data()
    *path, last = [int(part) if part.isdigit() else part for part in place.split('.')]
    part = content
    for key in path:
        part = part[key]
    part[last] = value
    with pytest.raises(ConfigurationError) as caught:
        load_profile(write(tmp_path, _as_yaml(content)))
    message = str(caught.value)
    assert 'hand.yaml' in message
    assert told in message
    assert len(message) < 500


def _as_yaml(value):
    """Write flow style, which needs no layout."""
    if isinstance(value, dict):
        return '{' + ', '.join(f'{key}: {_as_yaml(part)}' for key, part in value.items()) + '}'
    if isinstance(value, list):
        return '[' + ', '.join(map(_as_yaml, value)) + ']'
    if value is None or isinstance(value, bool):
        return {None: 'null', True: 'true', False: 'false'}[value]
    if isinstance(value, str):
        return f"'{value}'"
    return '.inf' if value == float('inf') else repr(value)


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('a: &x [1]\nb: *x', 'alias'),
        ('[' * 100, 'within one another'),
        ('a: 1\na: 2', 'a'),
        ('!!python/object/apply:os.system [ls]', 'tag'),
        ('a: 1\n---\nb: 2', 'document'),
        ('a: [1', 'line 1'),
        ('9' * 5000, 'digits'),
        ('a: \x00', 'not YAML'),
        ('0x' + 'f' * 5000, 'dictionary'),
        ('hand: 0x' + 'f' * 5000, 'too many digits'),
        ('a: {[[b]]: 1}', 'not YAML'),
        ('a: 2001-02-31', 'not YAML'),
        ('', 'dictionary'),
        ('- 1', 'dictionary'),
        ('x' * (LARGEST_FILE + 1), 'too large'),
    ],
)
def test_what_is_no_profile_is_refused(tmp_path, text, reason):
    with pytest.raises(ConfigurationError, match=reason):
        load_profile(write(tmp_path, text))


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / 'hand.yaml').write_bytes(b'\xff\xfe\x00hand')
    with pytest.raises(ConfigurationError, match='UTF-8'):
        read_yaml(tmp_path / 'hand.yaml')


@pytest.mark.parametrize('name', ['', 'nobody', '../leap', 'x' * 5000, 'a\0b'])
def test_an_unknown_hand_is_told_the_known_ones(name):
    with pytest.raises(ConfigurationError, match='leap'):
        load_profile(name)


@pytest.mark.parametrize('name', ['none.yaml', 'x' * 5000 + '.yaml', 'a\0b.yaml', '/'])
def test_a_file_that_cannot_be_read_is_named(name):
    with pytest.raises(ConfigurationError, match=r'cannot read|no hand profile'):
        load_profile(name)


# Pieces of profiles and of YAML, in an order that nobody wrote.
PIECES = st.sampled_from([
    *SMALL.split(), *'{}[],:-?|>&*!%@`"\'#~', ' ', '\n', '\n  ', '\t', '<<', '.nan', '.inf',
    '1e999', '0x7f', '2001-02-31', '!!binary', '!!set', '---', '...', '%YAML 9.9\n', 'null',
    'true', '\u2028', '\ufeff', '\x85', '9' * 4400, *JOINT_NAMES,
])  # fmt: skip


@given(st.lists(PIECES, max_size=40).map(''.join) | st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_text_is_read_or_refused(text):
    with suppress(ConfigurationError):
        parse_yaml(text)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_change_of_a_profile_is_read_or_refused(tmp_path_factory, data):
    lines = SMALL.splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 1))
    start = data.draw(st.integers(0, len(lines[at])))
    lines[at] = lines[at][:start] + data.draw(PIECES) + lines[at][start + 1 :]
    path = tmp_path_factory.getbasetemp() / 'changed.yaml'
    path.write_text(''.join(lines), encoding='utf-8')
    try:
        profile = load_profile(str(path))
    except ConfigurationError:
        return
    for joint in profile.joints:
        assert joint.limits[0] <= profile.rest_pose[joint.name] <= joint.limits[1]


def test_command_shows_a_profile(capsys, tmp_path):
    content = data()
    content['command']['unit'] = 'deg'
    assert main(['hand', write(tmp_path, _as_yaml(content))]) == 0
    output = capsys.readouterr().out
    row = next(line.split() for line in output.splitlines() if 'index_mcp' in line)
    assert ' '.join(row) == '│ a │ index_mcp │ 0 │ 68.75 │ 0 │ -28.65 to 85.94 │ 2 │'
    assert '-0.5 a' in output
    assert 'cmd, 50 a second' in output


def test_command_lists_the_profiles(capsys):
    assert main(['hand']) == 0
    output = capsys.readouterr().out
    assert all(name in output for name in shipped_profiles())


def test_command_says_what_is_wrong(capsys, tmp_path):
    assert main(['hand', write(tmp_path, SMALL.replace('2.0', '-2.0'))]) == EXIT_FAILED
    assert 'speed' in capsys.readouterr().err
