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

"""What is sent to a hand, whatever comes in: limits, speed, start, silence."""

from math import inf, nan, pi

from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.errors import MalformedMessageError
from leconvmn_ros.hands.calibration import Calibration, HumanRange
from leconvmn_ros.hands.profile import HandProfile, load_profile, shipped_profiles
from leconvmn_ros.hands.retargeting import Retargeter
from leconvmn_ros.joints import JOINT_NAMES, JOINTS
import numpy as np
import pytest

OPEN = dict.fromkeys(JOINT_NAMES, 0.0)
FIST = {joint.name: joint.upper for joint in JOINTS}
PROFILES = {name: load_profile(name) for name in shipped_profiles()}

# index_mcp from 0 to 90 degrees moves `a` by 1 rad, and by no more than 0.04 rad in a period.
SMALL = {
    'hand': 'small',
    'command': {'topic': 'cmd', 'type': 'sensor_msgs/msg/JointState', 'rate': 50},
    'stale': {'after': 0.5, 'then': 'hold'},
    'speed': 2.0,
    'joints': [
        {
            'name': 'a',
            'limits': [-0.5, 1.5],
            'follows': 'index_mcp',
            'open': 0.0,
            'closed': 1.0,
            'rest': 0.25,
        },
        {'name': 'b', 'limits': [-1.0, 1.0], 'coupled': {'joint': 'a', 'ratio': -0.5}},
        {'name': 'c', 'limits': [-1.0, 0.0], 'follows': 'ring_pip', 'open': 0.0, 'closed': -1.0},
        {'name': 'd', 'limits': [0.0, 1.0], 'fixed': 0.5},
    ],
}
REST = [0.25, -0.125, 0.0, 0.5]


def small(**changes):
    return HandProfile.model_validate(SMALL | changes)


class Clock:
    """Runs a retargeter in steps of its period."""

    def __init__(self, retargeter, now=100.0):
        self.retargeter, self.now = retargeter, now

    def run(self, angles=None, steps=1):
        """Step with the same input every time, without one for None; return the commands."""
        commands = []
        for _ in range(steps):
            self.now += self.retargeter.profile.command.period
            if angles is not None:
                self.retargeter.listen(angles, self.now)
            commands.append(self.retargeter.step(self.now))
        return commands

    def settle(self, angles):
        """Return where the hand comes to (rad), by joint."""
        seconds = 4 * pi / min(map(self.retargeter.profile.speed_of, self._joints))
        steps = int(seconds / self.retargeter.profile.command.period)
        command = self.run(angles, steps)[-1]
        return {
            joint.name: position
            for joint, position in zip(self._joints, command.positions, strict=True)
        }

    @property
    def _joints(self):
        return self.retargeter.profile.joints


@pytest.mark.parametrize('name', PROFILES)
def test_every_hand_closes_with_the_human_hand(name):
    profile = PROFILES[name]
    clock = Clock(Retargeter(profile))
    poses = [
        clock.settle({joint: part * angle for joint, angle in FIST.items()})
        for part in np.linspace(0, 1, 4)
    ]
    assert poses[0] == pytest.approx(profile.pose(0.0))
    assert poses[-1] == pytest.approx(profile.pose(1.0))
    for joint in profile.joints:
        way = np.diff([pose[joint.name] for pose in poses])
        if joint.fixed is None:
            towards = np.sign(profile.pose(1.0)[joint.name] - profile.pose(0.0)[joint.name])
            assert (towards * way > 0).all()
        else:
            assert (way == 0).all()


@pytest.mark.parametrize('name', PROFILES)
def test_each_finger_moves_its_own_joints_alone(name):
    profile = PROFILES[name]
    opened = Clock(Retargeter(profile)).settle(OPEN)
    leaders = {
        joint.name: set(joint.follows) for joint in profile.joints if joint.follows is not None
    }
    for finger in ('thumb', 'index', 'middle', 'ring', 'little'):
        bent = OPEN | {joint: FIST[joint] for joint in FIST if joint.startswith(finger)}
        pose = Clock(Retargeter(profile)).settle(bent)
        for joint in profile.joints:
            followed = leaders.get(joint.coupled.joint if joint.coupled else joint.name, set())
            moves = any(human.startswith(finger) for human in followed)
            assert (pose[joint.name] != opened[joint.name]) == moves


ANGLES = st.dictionaries(
    st.sampled_from([*JOINT_NAMES, 'index_dip', 'rh_FFJ3', 'a']),
    st.floats(-2 * pi, 2 * pi) | st.sampled_from([nan, inf, -inf, 1e308, -1e308, 45.0]),
)
EVENTS = st.lists(
    st.tuples(st.sampled_from(['listen', 'observe', 'step']), ANGLES, st.floats(0, 2)),
    max_size=30,
)


@given(st.sampled_from(sorted(PROFILES)), EVENTS, st.sampled_from(['hold', 'rest', 'stop']))
@settings(max_examples=60, deadline=None)
def test_nothing_leaves_limits_or_speed(name, events, then):
    profile = PROFILES[name]
    profile = profile.model_copy(update={'stale': profile.stale.model_copy(update={'then': then})})
    retargeter = Retargeter(profile)
    now, last, last_time = 0.0, None, 0.0
    for event, angles, passed in events:
        now += passed
        if event == 'listen':
            try:
                retargeter.listen(angles, now)
            except MalformedMessageError:
                continue
        elif event == 'observe':
            retargeter.observe(angles)
        else:
            command = retargeter.step(now)
            if command is None:
                last = None
                continue
            assert len(command.positions) == len(command.values) == len(profile.joints)
            assert np.isfinite(command.values).all()
            for at, joint in enumerate(profile.joints):
                assert joint.limits[0] <= command.positions[at] <= joint.limits[1]
                if last is not None:
                    moved = abs(command.positions[at] - last[at])
                    assert moved <= profile.speed_of(joint) * (now - last_time) + 1e-9
            last, last_time = command.positions, now


@pytest.mark.parametrize('angle', [nan, inf, -inf, 45.0, -7.0])
def test_what_is_no_angle_is_refused_and_changes_nothing(angle):
    clock = Clock(Retargeter(small()))
    clock.run(OPEN, 50)
    with pytest.raises(MalformedMessageError, match='index_mcp'):
        clock.retargeter.listen(FIST | {'index_mcp': angle}, clock.now)
    (command,) = clock.run()
    assert command.positions[2] == 0.0


def test_a_joint_of_others_may_be_anything():
    retargeter = Retargeter(small())
    assert not retargeter.listen({'wheel': nan, 'little_mcp': inf}, 0.0)
    assert retargeter.step(0.0) is None
    assert retargeter.listen(OPEN | {'wheel': nan, 'little_mcp': inf}, 0.0)


def test_nothing_is_sent_before_there_is_input():
    retargeter = Retargeter(small())
    retargeter.observe({'a': 1.0})
    assert [retargeter.step(t) for t in (0.0, 1.0, 100.0)] == [None] * 3


def test_starts_from_the_rest_pose_and_keeps_to_the_speed():
    clock = Clock(Retargeter(small()))
    commands = np.array([command.positions for command in clock.run(FIST, 40)])
    assert commands[0].tolist() == REST
    step = np.diff(commands, axis=0)
    assert step[:18, 0] == pytest.approx(0.04)
    assert commands[-1] == pytest.approx([1.0, -0.5, -1.0, 0.5])
    # The coupled joint goes with what the other was told, not with what it shall be told.
    assert commands[:, 1] == pytest.approx(-0.5 * commands[:, 0])


def test_starts_from_where_the_hand_is():
    clock = Clock(Retargeter(small(state={'topic': 'state'})))
    clock.retargeter.observe({'a': 1.1, 'b': 0.3, 'c': -2.0, 'd': nan, 'x': 3.0})
    commands = clock.run(OPEN, 3)
    # c is at its limit, d is unknown: at rest.
    assert commands[0].positions == [1.1, 0.3, -1.0, 0.5]
    assert commands[1].positions == pytest.approx([1.06, 0.26, -0.96, 0.5])
    assert commands[2].positions == pytest.approx([1.02, 0.22, -0.92, 0.5])


def test_waits_for_the_state_of_the_hand_but_not_for_ever():
    clock = Clock(Retargeter(small(state={'topic': 'state', 'wait': 1.0})))
    commands = clock.run(FIST, 60)
    waited = commands.index(next(command for command in commands if command))
    assert waited == pytest.approx(50, abs=1)
    assert clock.retargeter.waiting_for_state
    assert commands[waited].positions == REST
    prompt = Clock(Retargeter(small(state={'topic': 'state', 'wait': 1.0})))
    assert prompt.run(FIST, 5) == [None] * 5
    prompt.retargeter.observe({'a': 0.7})
    assert prompt.run(FIST)[0].positions == [0.7, *REST[1:]]


def test_a_late_step_is_no_jump():
    clock = Clock(Retargeter(small()))
    clock.run(OPEN, 50)
    clock.now += 0.4
    (command,) = clock.run(FIST)
    assert command.positions[0] == pytest.approx(0.08)


def test_real_time_counts():
    retargeter = Retargeter(small())
    retargeter.listen(FIST, 0.0)
    positions = [retargeter.step(t).positions[0] for t in (0.0, 0.005, 0.02, 0.015, 0.025)]
    assert np.diff(positions) == pytest.approx([0.01, 0.03, 0.0, 0.02])


def stale_after(then, **changes):
    """Close the hand, then leave it without input for 1.5 s; return clock and commands."""
    clock = Clock(Retargeter(small(stale={'after': 0.5, 'then': then}, **changes)))
    clock.run(FIST, 100)
    return clock, clock.run(None, 75)


def test_without_input_the_hand_holds():
    clock, commands = stale_after('hold')
    assert all(command == commands[0] for command in commands)
    assert clock.retargeter.stale
    # And goes on from there.
    back = clock.run(OPEN, 2)
    assert not clock.retargeter.stale
    assert back[0].positions[0] == pytest.approx(0.96)


def test_a_hand_on_its_way_holds_where_it_is():
    clock = Clock(Retargeter(small(stale={'after': 0.1, 'then': 'hold'}, speed=0.1)))
    clock.run(FIST, 3)
    commands = clock.run(None, 100)
    assert commands[-1].positions[0] < 0.3
    assert commands[-1] == commands[10]


def test_without_input_the_hand_goes_to_rest():
    _, commands = stale_after('rest')
    positions = np.array([command.positions for command in commands])
    assert (positions[:24] == positions[0]).all()
    assert np.abs(np.diff(positions, axis=0)).max() == pytest.approx(0.04)
    assert positions[-1] == pytest.approx(REST)


def test_without_input_the_hand_is_left_alone():
    clock, commands = stale_after('stop')
    assert commands[20] is not None
    assert commands[30:] == [None] * 45
    # Without a state the last command is the best guess of where the hand is.
    assert clock.run(OPEN)[0].positions == pytest.approx([1.0, -0.5, -1.0, 0.5])


def test_after_silence_it_starts_from_where_the_hand_is_now():
    clock, _ = stale_after('stop', state={'topic': 'state', 'wait': 0.0})
    clock.retargeter.observe({'a': 0.1, 'b': 0.2, 'c': -0.3, 'd': 0.4})
    assert clock.run(OPEN)[0].positions == [0.1, 0.2, -0.3, 0.4]


def test_what_the_decoder_does_not_give_stays_at_rest():
    clock = Clock(Retargeter(small()))
    clock.run({'ring_pip': FIST['ring_pip']}, 100)
    assert clock.retargeter.missing == ('index_mcp',)
    (command,) = clock.run({'ring_pip': FIST['ring_pip']})
    assert command.positions == pytest.approx([0.25, -0.125, -1.0, 0.5])
    clock.run(FIST)
    assert clock.retargeter.missing == ()


def test_a_coupling_of_several_needs_them_all():
    joints = [
        {
            'name': 'a',
            'limits': [0.0, 1.0],
            'follows': {'index_mcp': 0.25, 'index_pip': 0.75},
            'open': 0.0,
            'closed': 1.0,
        }
    ]
    profile = small(joints=joints)
    assert Clock(Retargeter(profile)).settle(OPEN | {'index_pip': FIST['index_pip']}) == (
        pytest.approx({'a': 0.75})
    )
    assert Clock(Retargeter(profile)).settle({'index_pip': FIST['index_pip']}) == {'a': 0.0}


def test_clipping_is_counted_by_joint():
    clock = Clock(Retargeter(small()))
    clock.run(OPEN, 20)
    assert not any(clock.retargeter.clipped.values())
    clock.run(FIST | {'index_mcp': 3.0}, 10)
    assert clock.retargeter.clipped == {'a': 10, 'b': 0, 'c': 0, 'd': 0}
    assert Clock(Retargeter(small())).settle(OPEN | {'index_mcp': -3.0})['a'] == -0.5


def test_a_calibrated_wearer_reaches_both_ends():
    calibration = Calibration(joints={'index_mcp': HumanRange(open=0.2, fist=0.7)})
    retargeter = Retargeter(small(), calibration)
    assert Clock(retargeter).settle(FIST | {'index_mcp': 0.7})['a'] == pytest.approx(1.0)
    assert Clock(retargeter).settle(FIST | {'index_mcp': 0.2})['a'] == pytest.approx(0.0)
    # The others keep the usual range.
    assert Clock(retargeter).settle(FIST | {'index_mcp': 0.2})['c'] == pytest.approx(-1.0)


def test_a_new_calibration_is_no_jump():
    clock = Clock(Retargeter(small()))
    before = clock.run(OPEN | {'index_mcp': 0.7}, 100)[-1]
    clock.retargeter.calibrate(Calibration(joints={'index_mcp': HumanRange(open=0.2, fist=0.7)}))
    after = clock.run(OPEN | {'index_mcp': 0.7}, 2)
    assert after[0].positions[0] == pytest.approx(before.positions[0] + 0.04)


def test_values_are_in_the_unit_of_the_hand():
    command = SMALL['command'] | {'unit': {'lower': 1000, 'upper': 0}}
    clock = Clock(Retargeter(small(command=command)))
    (first,) = clock.run(OPEN)
    assert first.values == pytest.approx([625, 562.5, 0, 500])
