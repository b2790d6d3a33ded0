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

"""The retarget node as its users meet it: a process, topics, services, files."""

import math
import time

from leconvmn_ros.core.joints import JOINT_NAMES, JOINTS
from leconvmn_ros.hands.anchors import load_anchors
from leconvmn_ros.hands.calibration import load_calibration
from leconvmn_ros.hands.motion import Motion
from leconvmn_ros.hands.profile import load_profile, profile_path
import numpy as np
import pytest
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState, JoyFeedback, JoyFeedbackArray
from std_msgs.msg import Bool, Float64MultiArray, Int16MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

OPEN = dict.fromkeys(JOINT_NAMES, 0.0)
FIST = {joint.name: joint.upper for joint in JOINTS}

SMALL = """
hand: small
command: {{topic: cmd, type: {type}, rate: 50{more}}}
{state}
stale: {{after: {after}, then: {then}}}
speed: 20.0
joints:
  - {{name: a, limits: [-0.5, 1.5], follows: index_mcp, open: 0.0, closed: 1.0, rest: 0.25}}
  - {{name: b, limits: [-1.0, 0.0], follows: ring_pip, open: 0.0, closed: -0.8}}
"""


@pytest.fixture
def small(tmp_path):
    """Writes a profile and returns its path."""

    def write(**changes):
        parts = {
            'type': 'sensor_msgs/msg/JointState',
            'more': '',
            'state': '',
            'after': 5.0,
            'then': 'hold',
        }
        path = tmp_path / 'small.yaml'
        path.write_text(SMALL.format_map(parts | changes))
        return path

    return write


def joint_state(pose):
    return JointState(name=list(pose), position=list(pose.values()))


class Human:
    """The other end: poses in, commands out."""

    def __init__(self, ros, node, topic, kind):
        node.wait_for_text('joints at')
        self.ros, self.node = ros, node
        self.commands = ros.collect(topic, kind)
        self.publisher = ros.publisher('/joint_states', JointState, qos_profile_sensor_data)
        ros.spin_until(lambda: ros.node.count_publishers(topic))

    def show(self, pose, until):
        """Show a pose, or what a function returns, until something comes true."""
        deadline = time.monotonic() + 30
        while not until():
            assert self.node.process.poll() is None, self.node.text
            assert time.monotonic() < deadline, f'it did not come true:\n{self.node.text}'
            self.publisher.publish(joint_state(pose() if callable(pose) else pose))
            self.ros.spin(0.02)

    def newest(self):
        return self.commands[-1].message if self.commands else None


def near(values, expected):
    return values is not None and list(values) == pytest.approx(expected, abs=1e-6)


def test_a_shipped_hand_follows_and_stays_when_the_node_ends(ros, start):
    node = start('retarget', parameters={'profile': 'leap'})
    human = Human(ros, node, '/cmd_allegro', JointState)
    ros.spin(0.3)
    assert not human.commands  # nobody has asked for anything
    profile = load_profile('leap')
    motion = Motion(profile, load_anchors(profile_path('leap'), profile))
    fist = list(motion.destination(dict.fromkeys(JOINT_NAMES, 1.0)).values())
    human.show(FIST, lambda: human.commands and near(human.newest().position, fist))
    assert human.commands[0].message.position.tolist() == list(motion.rest_pose.values())
    for message, _ in human.commands:
        assert message.name == [str(number) for number in range(16)]
        for joint, position in zip(profile.joints, message.position, strict=True):
            assert joint.limits[0] <= position <= joint.limits[1]
    node.end()
    ros.spin(0.3)
    assert near(human.newest().position, fist)
    assert 'Traceback' not in node.text


def test_a_trajectory_starts_from_where_the_hand_is(ros, start, small):
    profile = small(
        type='trajectory_msgs/msg/JointTrajectory',
        more=', arrival: 0.05',
        state='state: {topic: joint_states, wait: 60.0}',
    )
    node = start('retarget', parameters={'profile': profile})
    human = Human(ros, node, '/cmd', JointTrajectory)
    ros.spin(0.2)
    for _ in range(10):
        human.publisher.publish(joint_state(FIST))
        ros.spin(0.02)
    assert not human.commands  # its pose is not known yet
    # The hand reports it on the same topic, under its own names.
    human.show({'b': -0.6, 'a': 0.9, 'wheel': 7.0}, lambda: human.commands)
    first = human.commands[0].message
    assert first.joint_names == ['a', 'b']
    assert first.header.stamp.sec == first.header.stamp.nanosec == 0
    (point,) = first.points
    assert point.positions.tolist() == [0.9, -0.6]
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (0, 50_000_000)
    human.show(
        lambda: FIST | dict(zip('ab', human.newest().points[0].positions, strict=True)),
        lambda: near(human.newest().points[0].positions, [1.0, -0.8]),
    )
    assert 'several nodes' not in node.text
    assert node.text.count('interpolate_from_desired_state') == 1


STATE = 'state: {topic: hand_state, wait: 0.0, bound: 0.3}'


class Robot:
    """A hand that reports where it is; `follows`: it goes where it is commanded."""

    def __init__(self, human, start):
        self._human = human
        self.pose = dict(start)
        self.follows = True
        self._publisher = human.ros.publisher('/hand_state', JointState, qos_profile_sensor_data)

    def __call__(self):
        """Report the pose; return that of the human hand, for `Human.show`."""
        newest = self._human.newest()
        if self.follows and newest is not None:
            self.pose = dict(zip(newest.name, newest.position, strict=True))
        self._publisher.publish(joint_state(self.pose))
        return FIST


def test_a_hand_that_falls_silent_or_is_moved_gets_no_command_from_afar(ros, start, small):
    node = start('retarget', parameters={'profile': small(state=STATE), 'state_age': 0.3})
    human = Human(ros, node, '/cmd', JointState)
    robot = Robot(human, {'a': -0.4, 'b': -0.9})
    human.show(robot, lambda: human.commands and near(human.newest().position, [1.0, -0.8]))
    assert human.commands[0].message.position.tolist() == [-0.4, -0.9]
    # It reports no more, is moved, and reports again.
    human.show(FIST, lambda: 'no commands: the pose of the hand is not known' in node.text)
    assert 'no recent position of a, b on /hand_state' in node.text
    human.commands.clear()
    human.show(FIST, lambda: ros.spin(0.5) or True)
    assert not human.commands
    robot.pose = {'a': -0.3, 'b': -0.1}
    human.show(robot, lambda: human.commands)
    assert human.commands[0].message.position.tolist() == [-0.3, -0.1]
    assert 'Traceback' not in node.text


def test_a_hand_that_is_held_is_reported_and_not_run_away_from(ros, start, small):
    node = start('retarget', parameters={'profile': small(state=STATE)})
    human = Human(ros, node, '/cmd', JointState)
    robot = Robot(human, {'a': 0.0, 'b': -0.5})
    robot.follows = False
    human.show(robot, lambda: 'a does not follow: commands wait 0.3 rad ahead' in node.text)
    assert max(command.position[0] for command, _ in human.commands) == pytest.approx(0.3)
    robot.follows = True
    human.show(robot, lambda: near(human.newest().position, [1.0, -0.8]))


def test_a_pose_of_one_joint_or_in_degrees_moves_nothing(ros, start, small):
    node = start('retarget', parameters={'profile': small(state=STATE)})
    human = Human(ros, node, '/cmd', JointState)
    robot = Robot(human, {'a': 0.9})
    human.show(robot, lambda: 'no recent position of b on /hand_state' in node.text)
    robot.pose = {'a': 45.0, 'b': -30.0}
    human.show(robot, lambda: 'the state looks like degrees' in node.text)
    human.show(robot, lambda: 'a is at 45 rad' in node.text)
    assert not human.commands


def test_a_hand_can_be_driven_blind_if_that_is_asked_for(ros, start, small):
    parameters = {'profile': small(state=STATE), 'blind': True}
    node = start('retarget', parameters=parameters)
    human = Human(ros, node, '/cmd', JointState)
    assert 'driven blind' in node.text
    human.show(FIST, lambda: human.commands and near(human.newest().position, [1.0, -0.8]))
    assert human.commands[0].message.position.tolist() == [0.25, 0.0]


def test_halves_of_the_hand_in_turn_neither_tremble_nor_fill_the_log(ros, start, small):
    node = start('retarget', parameters={'profile': small(after=0.5)})
    human = Human(ros, node, '/cmd', JointState)
    halves = [{'index_mcp': FIST['index_mcp']}, {'ring_pip': FIST['ring_pip']}] * 1000
    human.show(halves.pop, lambda: human.commands and near(human.newest().position, [1.0, -0.8]))
    human.commands.clear()
    human.show(halves.pop, lambda: len(human.commands) > 100)
    assert all(near(command.position, [1.0, -0.8]) for command, _ in human.commands)
    assert node.text.count('[WARN]') == 1  # that it is driven blind


def test_messages_that_contradict_themselves_are_refused_once_a_second(ros, start, small):
    node = start('retarget', parameters={'profile': small(after=60.0)})
    human = Human(ros, node, '/cmd', JointState)
    human.show(OPEN, lambda: human.commands and near(human.newest().position, [0.0, 0.0]))
    for number in range(300):
        position = list(FIST.values())
        if number % 2:
            human.publisher.publish(JointState(name=list(FIST), position=position[:-1]))
        else:
            human.publisher.publish(JointState(name=[*FIST, 'index_mcp'], position=[*position, 1]))
        ros.spin(0.01)
    node.wait_for_text('10 names and 9 positions; each name needs one position')
    assert near(human.newest().position, [0.0, 0.0])
    assert 2 <= node.text.count('input rejected') <= 12


def test_another_publisher_of_the_command_is_reported(ros, start, small):
    node = start('retarget', parameters={'profile': small()})
    other = ros.node.create_publisher(JointState, '/cmd', 1)
    try:
        node.wait_for_text('1 more publish /cmd: the hand gets commands of both')
    finally:
        ros.node.destroy_publisher(other)


def test_an_array_of_numbers_in_the_order_of_the_joints(ros, start, small):
    node = start(
        'retarget',
        parameters={
            'profile': small(type='std_msgs/msg/Float64MultiArray'),
            'command_topic': 'controller/commands',
        },
    )
    human = Human(ros, node, '/controller/commands', Float64MultiArray)
    human.show(FIST, lambda: human.commands and near(human.newest().data, [1.0, -0.8]))


def test_a_number_in_each_element_of_an_array(ros, start, small):
    more = (
        ", field: 'array[].intensity', element: {id: [3, 4], type: 1}, "
        'unit: {lower: 0.0, upper: 1.0}'
    )
    state = (
        'state: {topic: state, type: sensor_msgs/msg/JoyFeedbackArray, '
        "field: 'array[].intensity', unit: hand}"
    )
    profile = small(type='sensor_msgs/msg/JoyFeedbackArray', more=more, state=state)
    node = start('retarget', parameters={'profile': profile})
    human = Human(ros, node, '/cmd', JoyFeedbackArray)
    report = ros.publisher('/state', JoyFeedbackArray, qos_profile_sensor_data)

    def show(pose, until):
        def reported():
            values = [0.75, 0.25] if not human.commands else numbers(human.newest())
            elements = [JoyFeedback(intensity=value) for value in values]
            report.publish(JoyFeedbackArray(array=elements))
            return pose

        human.show(reported, until)

    def numbers(message):
        return [element.intensity for element in message.array]

    show(FIST, lambda: human.commands)
    # Of limits -0.5 to 1.5 and -1 to 0.
    assert numbers(human.commands[0].message) == [0.75, 0.25]
    assert [(e.id, e.type) for e in human.commands[0].message.array] == [(3, 1), (4, 1)]
    show(FIST, lambda: near(numbers(human.newest()), [0.75, 0.2]))
    start_lines = [line for line in node.text.splitlines() if 'commands start from' in line]
    assert 'a +1.00, b -0.75 rad' in start_lines[0]
    assert 'b -0.05 rad' in node.text.partition('on the way to the human hand')[2]


def test_no_commands_while_the_dead_mans_switch_is_not_held(ros, start, small):
    parameters = {'profile': small(), 'dead_man_topic': 'held', 'dead_man_age': 0.4}
    node = start('retarget', parameters=parameters)
    human = Human(ros, node, '/cmd', JointState)
    switch = ros.publisher('/held', Bool, 10)
    held = True

    def hold():
        switch.publish(Bool(data=held))
        return FIST

    shown = time.monotonic()
    human.show(FIST, lambda: time.monotonic() - shown > 0.5)
    assert not human.commands
    assert 'no commands: held is not true' in node.text
    human.show(hold, lambda: human.commands and near(human.newest().position, [1.0, -0.8]))
    # Let go, and then silent: either stops it.
    held = False
    human.show(hold, lambda: time.monotonic() - human.commands[-1].time > 0.3)
    held = True
    count = len(human.commands)
    human.show(hold, lambda: len(human.commands) > count)
    human.show(FIST, lambda: time.monotonic() - human.commands[-1].time > 0.6)


def test_acceleration_is_limited_where_it_is_asked_for(ros, start, small):
    node = start('retarget', parameters={'profile': small(), 'acceleration': 5.0})
    human = Human(ros, node, '/cmd', JointState)
    human.show(FIST, lambda: human.commands and near(human.newest().position, [1.0, -0.8]))
    steps = np.diff([message.position[0] for message, _ in human.commands])
    # At 50 Hz, with a step that may come one period late.
    assert steps[0] <= 3 * 5.0 * 0.02**2
    assert steps.max() < 0.1


def test_whole_numbers_that_stand_for_the_limits(ros, start, small):
    more = ', unit: {lower: 1000, upper: 0}'
    node = start(
        'retarget', parameters={'profile': small(type='std_msgs/msg/Int16MultiArray', more=more)}
    )
    human = Human(ros, node, '/cmd', Int16MultiArray)
    # 1.0 of -0.5 to 1.5, -0.8 of -1 to 0.
    human.show(FIST, lambda: human.commands and near(human.newest().data, [250, 800]))


def test_faulty_input_is_told_and_harmless(ros, start, small):
    node = start('retarget', parameters={'profile': small()})
    human = Human(ros, node, '/cmd', JointState)
    human.show(OPEN, lambda: human.commands and near(human.newest().position, [0.0, 0.0]))
    for pose in (FIST | {'index_mcp': math.nan}, FIST | {'index_mcp': 45.0}):
        human.publisher.publish(joint_state(pose))
        ros.spin(0.1)
    human.publisher.publish(JointState(name=['index_mcp', 'ring_pip'], position=[]))
    node.wait_for_text('input rejected: index_mcp is nan')
    ros.spin(0.2)
    assert near(human.newest().position, [0.0, 0.0])
    human.show(FIST | {'index_mcp': 3.0}, lambda: near(human.newest().position, [1.5, -0.8]))
    node.end()
    assert 'a ' in node.text.partition('clipped to the limits')[2].splitlines()[0]


def test_a_decoder_of_fewer_joints_is_told_once(ros, start, small):
    node = start('retarget', parameters={'profile': small(after=0.3)})
    human = Human(ros, node, '/cmd', JointState)
    human.show(
        {'ring_pip': FIST['ring_pip']},
        lambda: (
            'no index_mcp in the input' in node.text
            and near(human.newest().position, [0.25, -0.8])
        ),
    )
    assert node.text.count('no index_mcp in the input') == 1


def test_without_input_it_falls_silent_and_comes_back(ros, start, small):
    node = start('retarget', parameters={'profile': small(after=0.3, then='stop')})
    human = Human(ros, node, '/cmd', JointState)
    human.show(FIST, lambda: human.commands and near(human.newest().position, [1.0, -0.8]))
    assert ros.spin_until(lambda: 'gets no commands' in node.text)
    assert ros.spin_until(lambda: time.monotonic() - human.commands[-1].time > 0.5)
    count = len(human.commands)
    human.show(OPEN, lambda: near(human.newest().position, [0.0, 0.0]))
    assert near(human.commands[count].message.position, [1.0, -0.8])


def test_without_input_it_returns_to_rest(ros, start, small):
    node = start('retarget', parameters={'profile': small(after=0.3, then='rest')})
    human = Human(ros, node, '/cmd', JointState)
    human.show(FIST, lambda: human.commands and near(human.newest().position, [1.0, -0.8]))
    assert ros.spin_until(lambda: near(human.newest().position, [0.25, 0.0]))


def call(ros, human, name, pose):
    """Hold a pose while a service is at work; return its response."""
    client = ros.node.create_client(Trigger, f'/retarget/{name}')
    try:
        assert ros.spin_until(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        human.show(pose, future.done)
        return future.result()
    finally:
        ros.node.destroy_client(client)


def test_calibration_of_the_wearer(ros, start, small, tmp_path):
    file = tmp_path / 'wearer.json'
    parameters = {'profile': small(), 'calibration': file, 'calibration_seconds': 1.5}
    node = start('retarget', parameters=parameters)
    human = Human(ros, node, '/cmd', JointState)
    opened, fist = dict.fromkeys(JOINT_NAMES, 0.1), dict.fromkeys(JOINT_NAMES, 0.6)
    # The hand follows meanwhile.
    human.show(fist, lambda: human.commands and near(human.newest().position[:1], [0.381972]))
    assert not call(ros, human, 'calibrate_open', {'wheel': 1.0}).success
    response = call(ros, human, 'calibrate_open', opened)
    assert response.success
    assert 'now ~/calibrate_fist' in response.message
    response = call(ros, human, 'calibrate_fist', opened)
    assert not response.success
    assert 'hardly differ' in response.message
    assert not file.exists()
    assert call(ros, human, 'calibrate_fist', fist).success
    assert load_calibration(file).joints['ring_pip'].fist == pytest.approx(0.6)
    human.show(fist, lambda: near(human.newest().position, [1.0, -0.8]))
    node.end()
    # And it is there the next time.
    human.commands.clear()
    human.node = start('retarget', parameters=parameters)
    human.show(opened, lambda: human.commands and near(human.newest().position, [0.0, 0.0]))


def test_calibration_needs_a_file(ros, start, small):
    node = start('retarget', parameters={'profile': small()})
    human = Human(ros, node, '/cmd', JointState)
    response = call(ros, human, 'calibrate_open', OPEN)
    assert not response.success
    assert 'parameter calibration is empty' in response.message


def test_wrong_parameters_end_it_with_a_reason(start, small, tmp_path):
    (tmp_path / 'wearer.json').write_text('{}')
    foreign = tmp_path / 'foreign.yaml'
    array = 'std_msgs/msg/Float64MultiArray, field: layout'
    foreign.write_text(small(type=array).read_text())
    unset = tmp_path / 'unset.yaml'
    unset.write_text(small(type='std_msgs/msg/Int16MultiArray, constants: {no: 1}').read_text())
    elements = tmp_path / 'elements.yaml'
    array = "sensor_msgs/msg/JoyFeedbackArray, field: 'array[].id2'"
    elements.write_text(small(type=array).read_text())
    good = small()
    reasons = {
        'allowed are ability_hand_left': {'profile': ''},
        'there is no hand profile': {'profile': 'third'},
        'array[].id2 of JoyFeedbackArray is not a number': {'profile': elements},
        'parameter dead_man_topic': {'profile': good, 'dead_man_topic': '9 lives'},
        'install the ROS 2 package ah_messages': {'profile': 'ability_hand_right'},
        'layout of std_msgs/msg/Float64MultiArray is not an array of numbers': {
            'profile': foreign
        },
        'cannot be filled': {'profile': unset},
        'is not a calibration': {'profile': good, 'calibration': tmp_path / 'wearer.json'},
        'parameter command_topic': {'profile': good, 'command_topic': '9 lives'},
        'allowed: float from 0.5 to 60': {'profile': good, 'calibration_seconds': 0.0},
    }
    nodes = [start('retarget', parameters=parameters) for parameters in reasons.values()]
    for node, reason in zip(nodes, reasons, strict=True):
        assert node.wait() == 1, node.text
        assert reason in node.text
        assert 'Traceback' not in node.text
