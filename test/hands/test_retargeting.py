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

"""The commands of a hand for any input: limits, speed, start, silence."""

from math import inf, nan, pi

from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.core.errors import MalformedMessageError
from leconvmn_ros.core.joints import JOINT_NAMES, JOINTS
from leconvmn_ros.hands.calibration import Calibration, HumanRange
from leconvmn_ros.hands.profile import HandProfile, load_profile, shipped_profiles
from leconvmn_ros.hands.retargeting import Retargeter
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
WITH_STATE = {'state': {'topic': 'state', 'bound': 0.3}}


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
        """Return the final pose (rad), by joint."""
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
    clock = Clock(Retargeter(profile, blind=True))
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
    opened = Clock(Retargeter(profile, blind=True)).settle(OPEN)
    leaders = {
        joint.name: set(joint.follows) for joint in profile.joints if joint.follows is not None
    }
    for finger in ('thumb', 'index', 'middle', 'ring', 'little'):
        bent = OPEN | {joint: FIST[joint] for joint in FIST if joint.startswith(finger)}
        pose = Clock(Retargeter(profile, blind=True)).settle(bent)
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
    retargeter = Retargeter(profile, blind=True)
    now, last, last_time = 0.0, None, 0.0
    for event, angles, passed in events:
        now += passed
        if event == 'listen':
            try:
                retargeter.listen(angles, now)
            except MalformedMessageError:
                continue
        elif event == 'observe':
            try:
                retargeter.observe(angles, now)
            except MalformedMessageError:
                continue
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


POSES = st.lists(
    st.tuples(
        st.dictionaries(
            st.sampled_from([joint['name'] for joint in SMALL['joints']]),
            st.floats(-2.0, 2.0) | st.sampled_from([nan, inf, 90.0]),
        ),
        st.dictionaries(
            st.sampled_from(['index_mcp', 'ring_pip']), st.floats(-1.0, 3.0), max_size=2
        ),
        st.floats(0, 0.3),
    ),
    min_size=10,
    max_size=60,
)


@given(POSES, st.sampled_from(['hold', 'rest', 'stop']))
@settings(max_examples=100, deadline=None)
def test_no_command_is_ever_far_from_a_known_recent_pose(events, then):
    profile = small(**WITH_STATE, stale={'after': 0.5, 'then': then})
    retargeter = Retargeter(profile, state_age=0.5)
    now, known = 0.0, {}
    for pose, angles, passed in events:
        now += passed
        try:
            retargeter.observe(pose, now)
            known |= {name: (position, now) for name, position in pose.items()}
        except MalformedMessageError:
            assert pose
        retargeter.listen(angles, now)
        command = retargeter.step(now)
        if command is None:
            continue
        for joint, position in zip(profile.joints, command.positions, strict=True):
            reported, when = known[joint.name]
            assert now - when <= 0.5
            assert joint.limits[0] <= position <= joint.limits[1]
            assert abs(position - np.clip(reported, *joint.limits)) <= 0.3 + 1e-9


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
    retargeter.observe({'a': 1.0}, 0.0)
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


SOMEWHERE = {'a': 1.1, 'b': 0.3, 'c': -0.9, 'd': 0.2}


class Robot(Clock):
    """A hand that reports its pose and follows its commands, unless it is held."""

    def __init__(self, pose=SOMEWHERE, then='hold', after=0.5, **options):
        profile = small(**WITH_STATE, stale={'after': after, 'then': then})
        super().__init__(Retargeter(profile, **options))
        self.pose = dict(pose)

    def drive(self, angles, steps=1, *, held=False, reports=True):
        """Return the commands sent meanwhile."""
        commands = []
        for _ in range(steps):
            if reports:
                self.retargeter.observe(self.pose, self.now + 0.01)
            (command,) = self.run(angles)
            commands.append(command)
            if command is not None and not held:
                names = [joint.name for joint in self.retargeter.profile.joints]
                self.pose = dict(zip(names, command.positions, strict=True))
        return commands


def test_starts_from_where_the_hand_is():
    commands = Robot().drive(OPEN, 3)
    assert commands[0].positions == [1.1, 0.3, -0.9, 0.2]
    assert commands[1].positions == pytest.approx([1.06, 0.26, -0.86, 0.24])
    assert commands[2].positions == pytest.approx([1.02, 0.22, -0.82, 0.28])


def test_no_command_before_every_joint_of_the_hand_is_known():
    robot = Robot()
    for known in ({}, {'a': 1.1}, {'b': 0.3, 'c': -0.9}):
        robot.retargeter.observe(known, robot.now)
        assert robot.run(FIST, 5) == [None] * 5
    assert robot.retargeter.unknown == ('d',)
    # Reported in parts, the pose is put together joint by joint.
    robot.retargeter.observe({'d': 0.2}, robot.now)
    assert robot.run(FIST)[0].positions == [1.1, 0.3, -0.9, 0.2]
    assert robot.retargeter.unknown == ()


def test_a_pose_that_was_reported_long_ago_is_not_known():
    robot = Robot(state_age=0.5)
    robot.retargeter.observe(SOMEWHERE, robot.now - 0.6)
    assert robot.run(FIST, 100) == [None] * 100
    # One joint that is reported again is not the whole hand.
    robot.retargeter.observe({'a': 0.4}, robot.now)
    assert robot.run(FIST, 5) == [None] * 5
    assert robot.retargeter.unknown == ('b', 'c', 'd')


def test_no_commands_while_the_hand_does_not_report_and_then_from_where_it_is():
    robot = Robot(state_age=0.2)
    assert None not in robot.drive(FIST, 5)
    silent = robot.drive(FIST, 20, reports=False)
    assert silent[-1] is None
    # Somebody moved it meanwhile.
    robot.pose = {'a': -0.4, 'b': 0.5, 'c': -0.1, 'd': 0.9}
    assert robot.drive(FIST)[0].positions == [-0.4, 0.5, -0.1, 0.9]


def test_a_hand_that_is_held_is_not_run_away_from():
    robot = Robot()
    held = robot.drive(OPEN, 150, held=True)
    for command in held:
        ahead = np.array(command.positions) - list(SOMEWHERE.values())
        assert np.abs(ahead).max() <= 0.3 + 1e-9
    assert robot.retargeter.not_following(robot.now) == ('a', 'b', 'c')
    # Released, it goes on with the speed that is allowed.
    free = np.array([command.positions for command in robot.drive(OPEN, 100)])
    assert np.abs(np.diff(free, axis=0)).max() <= 0.04 + 1e-9
    assert free[-1] == pytest.approx([0.0, 0.0, 0.0, 0.5])
    assert robot.retargeter.not_following(robot.now) == ()


def test_a_hand_that_was_moved_by_others_starts_from_its_real_pose():
    robot = Robot()
    robot.drive(OPEN, 100)
    assert robot.retargeter.fresh_starts == 0
    robot.pose = robot.pose | {'a': 1.2}
    first, second = robot.drive(OPEN, 2)
    assert robot.retargeter.fresh_starts == 1
    assert first.positions[0] == 1.2
    assert second.positions[0] == pytest.approx(1.16)


def test_a_hand_that_holds_its_pose_gives_way_when_it_is_moved():
    robot = Robot()
    robot.drive(FIST, 100)
    for _ in range(60):  # without input, pulled open little by little
        robot.pose['a'] -= 0.01
        (command,) = robot.drive(None, held=True)
        assert command.positions[0] - robot.pose['a'] <= 0.3 + 1e-9


@pytest.mark.parametrize(
    ('pose', 'reason'),
    [
        (SOMEWHERE | {'a': nan}, 'a is at nan rad'),
        (SOMEWHERE | {'c': 0.5}, 'c is at 0.5 rad; its limits are -1 to 0 rad'),
        ({'a': 55.0, 'b': -28.0, 'c': -40.0, 'd': 30.0}, 'looks like degrees'),
        ({'a': 1e300}, 'a is at 1e'),
    ],
)
def test_a_pose_that_cannot_be_is_refused_as_a_whole(pose, reason):
    robot = Robot()
    with pytest.raises(MalformedMessageError, match=reason):
        robot.retargeter.observe(pose, robot.now)
    assert robot.run(FIST, 5) == [None] * 5
    assert robot.retargeter.unknown == ('a', 'b', 'c', 'd')


def test_a_pose_a_little_beyond_its_limits_is_where_the_hand_is():
    robot = Robot(pose=SOMEWHERE | {'c': 0.1})
    assert robot.drive(FIST)[0].positions == [1.1, 0.3, 0.0, 0.2]


def test_a_state_of_other_joints_is_none():
    robot = Robot()
    assert not robot.retargeter.observe({'wheel': nan}, robot.now)
    assert robot.retargeter.observe(SOMEWHERE | {'wheel': nan}, robot.now)


def test_driven_blind_it_starts_from_the_rest_pose():
    robot = Robot(blind=True)
    robot.retargeter.observe({'a': 1e9}, robot.now)
    assert robot.run(FIST)[0].positions == REST
    assert robot.retargeter.unknown == ()


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
    robot = Robot(then='stop')
    robot.drive(FIST, 50)
    assert robot.drive(None, 60)[-1] is None
    robot.pose = {'a': 0.1, 'b': 0.2, 'c': -0.3, 'd': 0.4}
    assert robot.drive(OPEN)[0].positions == [0.1, 0.2, -0.3, 0.4]


def test_what_the_decoder_does_not_give_stays_at_rest():
    clock = Clock(Retargeter(small()))
    clock.run({'ring_pip': FIST['ring_pip']}, 100)
    assert clock.retargeter.missing == ('index_mcp',)
    (command,) = clock.run({'ring_pip': FIST['ring_pip']})
    assert command.positions == pytest.approx([0.25, -0.125, -1.0, 0.5])
    clock.run(FIST)
    assert clock.retargeter.missing == ()


def test_joints_that_come_in_turns_are_put_together():
    """Two halves of a hand in separate messages: no finger trembles."""
    clock = Clock(Retargeter(small()))
    halves = [{'index_mcp': FIST['index_mcp']}, {'ring_pip': FIST['ring_pip']}]
    commands = [clock.run(halves[step % 2])[0].positions for step in range(100)]
    assert (np.diff([command[0] for command in commands]) >= 0).all()
    assert (np.diff([command[2] for command in commands]) <= 0).all()
    assert commands[-1] == pytest.approx([1.0, -0.5, -1.0, 0.5])
    assert clock.retargeter.missing == ()


@pytest.mark.parametrize(('then', 'index'), [('hold', 1.0), ('stop', 1.0), ('rest', 0.25)])
def test_a_joint_that_falls_silent_alone_is_treated_as_silence_is(then, index):
    clock = Clock(Retargeter(small(stale={'after': 0.5, 'then': then})))
    clock.run(FIST, 100)
    commands = clock.run({'ring_pip': FIST['ring_pip']}, 100)
    assert clock.retargeter.missing == ('index_mcp',)
    assert commands[-1].positions[0] == pytest.approx(index)


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
    assert Clock(Retargeter(profile, blind=True)).settle(
        OPEN | {'index_pip': FIST['index_pip']}
    ) == (pytest.approx({'a': 0.75}))
    assert Clock(Retargeter(profile, blind=True)).settle({'index_pip': FIST['index_pip']}) == {
        'a': 0.0
    }


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
