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

"""No message on any topic ends a node: weird stamps, sizes, numbers, names and raw bytes."""

from array import array
from contextlib import suppress
import math
import random

from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.msg import EmgArray, MovementLabel
from node_harness import LATCHED
import pytest
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from small_recordings import CHANNELS, RATE, small_bag, untrained_checkpoint
from std_msgs.msg import Bool

SECONDS = [-(2**31), -1, 0, 1, 1_700_000_000, 2**31 - 1]
NANOSECONDS = [0, 1, 999_999_999, 10**9, 2**32 - 1]
NUMBERS = [math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, 1e308, -1e308, 57.3, 1.0]
TEXTS = [
    *('', ' ', '\x1b[2J\x07', '\n[FATAL] [decoder]: all is well', '{}%s%n', 'x' * 10_000),
    *('\u202egnp.exe', '\U0001f590', '../../etc/passwd', 'index_mcp\n', 'index_mcp'),
]
BYTES = [b'', b'\x00', b'\x00\x01\x00\x00', b'\x00\x01\x00\x00' + b'\xff' * 64, bytes(200)]
MESSAGES = 150


def stamp(chance, time):
    time.sec, time.nanosec = chance.choice(SECONDS), chance.choice(NANOSECONDS)


def clock(chance):
    message = Clock()
    stamp(chance, message.clock)
    return message


def joint_state(chance):
    names = chance.choice([[], list(JOINT_NAMES), ['index_mcp'] * 3, chance.sample(TEXTS, 4)])
    message = JointState(name=names)
    wanted = chance.choice([len(names), len(names), 0, 1, len(names) + 1, 5000])
    message.position = [chance.choice(NUMBERS) for _ in range(wanted)]
    message.header.frame_id = chance.choice(TEXTS)
    stamp(chance, message.header.stamp)
    return message


def emg(chance):
    message = EmgArray()
    message.channels = chance.choice([0, 1, CHANNELS, CHANNELS, 65535])
    message.sampling_rate = chance.choice([RATE, RATE, *map(abs, NUMBERS[:2]), 0.0, 1e-3, 1e6])
    message.first_sample = chance.choice([0, 1, 2**31, 2**63, 2**64 - 1])
    size = chance.choice([0, 1, CHANNELS, 40 * CHANNELS, 65535])
    numbers = [min(max(value, -3e38), 3e38) for value in NUMBERS]
    message.samples = array('f', [chance.choice(numbers) for _ in range(size)])
    stamp(chance, message.header.stamp)
    return message


def label(chance):
    message = MovementLabel(movement=chance.choice([0, 65535]), repetition=chance.choice([0, 9]))
    stamp(chance, message.header.stamp)
    return message


def done(chance):
    return Bool(data=chance.random() < 0.5)


CLOCK = ('/clock', Clock, clock, qos_profile_sensor_data)
STATES = ('/joint_states', JointState, joint_state, 100)
REFERENCE = ('/joint_states_reference', JointState, joint_state, 100)
HAND = ('/joint_states_ah', JointState, joint_state, qos_profile_sensor_data)
EMG = ('/emg', EmgArray, emg, qos_profile_sensor_data)
LABEL = ('/movement_label', MovementLabel, label, LATCHED)

TOPICS = {
    'decoder': (CLOCK, EMG),
    'evaluator': (CLOCK, STATES, REFERENCE, LABEL, EMG),
    'retarget': (CLOCK, STATES, ('/hand/joint_states', *HAND[1:])),
    'viewer': (CLOCK, STATES, REFERENCE, EMG),
    'replay': (CLOCK,),
}


@pytest.fixture
def parameters(tmp_path):
    """Return the parameters of a node by its name."""

    def of(name):
        return {
            'decoder': lambda: {'checkpoint': untrained_checkpoint(tmp_path)},
            'evaluator': lambda: {'output': tmp_path / 'results', 'exit_when_done': False},
            'retarget': lambda: {'profile': 'generic', 'state_age': 60.0},
            'viewer': dict,
            'replay': lambda: {'bag': small_bag(tmp_path, 2.0), 'loop': True},
        }[name]() | {'use_sim_time': True}

    return of


@pytest.mark.parametrize('name', TOPICS)
def test_no_message_ends_a_node(ros, start, parameters, name):
    node = start(name, parameters=parameters(name))
    assert ros.spin_until(lambda: name in ros.node.get_node_names()), node.text
    publishers = [
        (ros.node.create_publisher(kind, topic, profile), make)
        for topic, kind, make, profile in TOPICS[name]
    ]
    try:
        assert ros.spin_until(
            lambda: all(publisher.get_subscription_count() for publisher, _ in publishers[:2])
        ), node.text
        chance = random.Random(name)
        for number in range(MESSAGES):
            for publisher, make in publishers:
                if number % 10 == 0:
                    # Bytes that are no message of this type, as a broken writer sends them; of
                    # some types the middleware sends none that are too long.
                    with suppress(RuntimeError):
                        publisher.publish(chance.choice(BYTES))
                else:
                    publisher.publish(make(chance))
            ros.spin(0.005)
            assert node.process.poll() is None, node.text
        # It still answers, within what any service call takes.
        assert ros.get_parameter(f'/{name}', 'use_sim_time') is True
    finally:
        for publisher, _ in publishers:
            ros.node.destroy_publisher(publisher)
    text = node.text
    assert 'Traceback' not in text
    assert '\x1b[2J' not in text
    assert '\n[FATAL] [decoder]: all is well' not in text
    node.end()


def test_a_clock_that_is_refused_is_said_once_a_second(ros, start):
    node = start('retarget', parameters={'profile': 'leap', 'use_sim_time': True})
    publisher = ros.publisher('/clock', Clock, qos_profile_sensor_data)
    message = Clock()
    message.clock.sec = -5
    for _ in range(200):
        publisher.publish(message)
        ros.spin(0.01)
    assert 'Seconds value must not be negative' in node.text
    assert 2 <= node.text.count('a callback failed and was skipped') <= 12
