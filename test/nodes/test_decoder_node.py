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

"""The decoder node as its users meet it: a process, parameters, services, topics, signals."""

from itertools import count
import re
import signal
import time

from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.decoding.health import FAULTS
from leconvmn_ros.emg.message import fill_message, stamp_to_ns
from leconvmn_ros.msg import EmgArray
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from node_harness import PATIENCE, started_nodes
import numpy as np
import pytest
from rclpy.qos import qos_profile_sensor_data, ReliabilityPolicy
from sensor_msgs.msg import JointState
from small_recordings import CHANNELS, RATE, sampled_subject, untrained_checkpoint

CHUNK = 4  # samples in a message: 20 ms
START_NS = 1_700_000_000 * NANOSECONDS
LIFE_CYCLE = {
    'configure': Transition.TRANSITION_CONFIGURE,
    'cleanup': Transition.TRANSITION_CLEANUP,
    'activate': Transition.TRANSITION_ACTIVATE,
    'deactivate': Transition.TRANSITION_DEACTIVATE,
}


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return untrained_checkpoint(tmp_path_factory.mktemp('trained'))


@pytest.fixture(scope='module')
def decoder(ros_domain, checkpoint, tmp_path_factory):  # noqa: ARG001
    """A decoder that several tests share: it must survive all of them."""
    with started_nodes(tmp_path_factory.mktemp('decoder')) as nodes:
        # A machine that stalls drops nothing.
        parameters = {'checkpoint': checkpoint, 'longest_wait': 0.0}
        node = nodes('decoder', parameters=parameters)
        node.wait_for_text('Hz out')
        yield node
        assert node.process.poll() is None, node.text


def emg_messages(seconds, *, first_sample=0, start_ns=START_NS, channels=CHANNELS):
    emg = sampled_subject(seconds, channels=channels).emg
    return [
        fill_message(
            EmgArray(),
            EmgChunk(
                start_ns + round(at / RATE * NANOSECONDS),
                RATE,
                first_sample + at,
                emg[at : at + CHUNK],
            ),
        )
        for at in range(0, len(emg), CHUNK)
    ]


def connect(ros):
    """Return both ends of the decoder, once messages pass through it."""
    states = ros.collect('/joint_states', JointState)
    publisher = ros.publisher('/emg', EmgArray)
    deadline = time.monotonic() + PATIENCE
    for attempt in count(1):
        for message in emg_messages(0.2, start_ns=attempt * 100 * NANOSECONDS):
            publisher.publish(message)
        if ros.spin_until(lambda: states, 0.5):
            break
        assert time.monotonic() < deadline, 'no joint states'
    ros.spin(0.2)
    states.clear()
    return states, publisher


def change_state(ros, transition, name='/decoder'):
    request = ChangeState.Request(transition=Transition(id=transition))
    return ros.call(f'{name}/change_state', ChangeState, request).success


def state_of(ros, name='/decoder'):
    return ros.call(f'{name}/get_state', GetState, GetState.Request()).current_state.id


def stamps_of(states):
    return [stamp_to_ns(state.message.header.stamp) for state in states]


def newest_faults(node):
    """Add up what the node has warned about so far."""
    faults = {}
    for line in node.text.splitlines():
        if FAULTS in line:
            for number, name in re.findall(r'(\d+) ([a-z ]+?)(?:,|$)', line.rpartition(': ')[2]):
                faults[name] = faults.get(name, 0) + int(number)
    return faults


def test_estimates_are_joint_states(ros, decoder):  # noqa: ARG001
    states, publisher = connect(ros)
    messages = emg_messages(1.0)
    for message in messages:
        publisher.publish(message)
        ros.spin(0.002)
    # 5 streams, each with an image of 100 ms: the first ends after 100 ms, then one every 20 ms.
    assert ros.spin_until(lambda: len(states) >= 46)
    stamps = stamps_of(states)
    last_samples = [round((19 + 4 * k) / RATE * NANOSECONDS) for k in range(46)]
    assert stamps == [START_NS + last for last in last_samples]
    for state, _ in states:
        assert tuple(state.name) == JOINT_NAMES
        assert len(state.position) == 10
        assert len(state.velocity) == len(state.effort) == 0
        assert np.isfinite(state.position).all()
        assert np.abs(state.position).max() < np.pi
    assert np.ptp([list(state.position) for state, _ in states], axis=0).max() > 1e-3


def test_faulty_input_is_counted_and_survived(ros, decoder):
    states, publisher = connect(ros)
    ros.spin(1.2)
    before = newest_faults(decoder)
    start_ns = START_NS + 100 * NANOSECONDS
    good = emg_messages(4.0, first_sample=10_000, start_ns=start_ns)
    wrong_channels = emg_messages(0.1, channels=CHANNELS + 1)
    wrong_rate, not_a_number, ragged, empty = emg_messages(0.08)
    wrong_rate.sampling_rate = 1000.0
    not_a_number.samples[3] = np.nan
    ragged.samples = ragged.samples[:-1]
    empty.samples = []
    no_channels, no_rate, huge, far = emg_messages(0.08)
    no_channels.channels = 0
    no_rate.sampling_rate = np.nan
    huge.first_sample = 2**64 - 1
    far.header.stamp.sec = -(2**31)
    no_time = emg_messages(0.4)
    for message in no_time:
        message.header.stamp.sec, message.header.stamp.nanosec = 2**31 - 1, 2**32 - 1
    lost, late = good.pop(20), good.pop(120)
    stream = good[:30] + wrong_channels + [wrong_rate, not_a_number] + good[30:60]
    stream += [ragged, empty, no_channels, no_rate, *good[60:124]]
    for message in [*stream, late, *good[124:], huge, *no_time, far, *emg_messages(1.0)]:
        publisher.publish(message)
        ros.spin(0.002)
    assert lost.first_sample == 10_080
    assert ros.spin_until(lambda: START_NS + 995_000_000 in stamps_of(states))
    ros.spin(1.2)
    faults = newest_faults(decoder)
    faults = {name: count - before.get(name, 0) for name, count in faults.items()}
    assert faults['wrong channels'] == 5
    assert faults['wrong rate'] == 1
    assert faults['not finite'] == 1
    assert faults['malformed'] == 4 + 20
    assert faults['lost samples'] >= 2 * CHUNK
    assert faults['late samples'] == CHUNK
    assert faults['restarts'] >= 1
    # All of the good stream was decoded, and the decoder goes on afterwards.
    stamps = set(stamps_of(states))
    assert sum(start_ns <= stamp < start_ns + 4 * NANOSECONDS for stamp in stamps) == 196


def test_faults_are_reported_once_a_second(ros, decoder):
    publisher = ros.publisher('/emg', EmgArray)
    ros.spin(1.1)
    before, started = decoder.text.count(FAULTS), time.monotonic()
    (bad,) = emg_messages(CHUNK / RATE, channels=1)
    while time.monotonic() - started < 2.5:
        publisher.publish(bad)
        ros.spin(0.005)
    passed = time.monotonic() - started
    assert 2 <= decoder.text.count(FAULTS) - before <= passed + 1


def test_takes_sensor_data(ros, decoder):  # noqa: ARG001
    assert ros.spin_until(lambda: ros.node.get_subscriptions_info_by_topic('/emg'))
    (subscription,) = ros.node.get_subscriptions_info_by_topic('/emg')
    assert subscription.qos_profile.reliability is ReliabilityPolicy.BEST_EFFORT
    states = ros.collect('/joint_states', JointState, qos_profile_sensor_data)
    publisher = ros.publisher('/emg', EmgArray, qos_profile_sensor_data)
    ros.spin_until(lambda: ros.node.count_publishers('/joint_states'))
    for message in emg_messages(0.5, start_ns=START_NS + 500 * NANOSECONDS):
        publisher.publish(message)
        ros.spin(0.02)
    assert ros.spin_until(lambda: states)


def test_parameters_are_described(ros, decoder):  # noqa: ARG001
    names = ['checkpoint', 'device', 'output_rate', 'threads', 'autostart']
    described = {item.name: item for item in ros.describe_parameters('/decoder', names)}
    assert all(described[name].description for name in names)
    (rate,) = described['output_rate'].floating_point_range
    assert (rate.from_value, rate.to_value) == (0.0, 1000.0)
    (threads,) = described['threads'].integer_range
    assert (threads.from_value, threads.to_value) == (0, 256)
    assert described['autostart'].read_only


def test_parameters_cannot_be_set_while_configured(ros, decoder):  # noqa: ARG001
    result = ros.set_parameter('/decoder', 'output_rate', 10.0)
    assert not result.successful
    assert 'clean it up first' in result.reason


def test_life_cycle(ros, start, checkpoint):
    node = start(
        'decoder',
        *('-r', '__node:=managed', '-r', 'emg:=managed_emg'),
        parameters={'autostart': False, 'checkpoint': 'none'},
    )
    assert state_of(ros, '/managed') == State.PRIMARY_STATE_UNCONFIGURED
    # What cannot work leaves it as it was, with the reason in the log, and can be put right.
    assert not change_state(ros, LIFE_CYCLE['configure'], '/managed')
    assert state_of(ros, '/managed') == State.PRIMARY_STATE_UNCONFIGURED
    node.wait_for_text('none is not a checkpoint')
    assert ros.set_parameter('/managed', 'checkpoint', str(checkpoint)).successful
    assert ros.set_parameter('/managed', 'output_rate', 10.0).successful
    assert not ros.set_parameter('/managed', 'output_rate', -1.0).successful
    # A request that the state does not allow is refused, not fatal.
    assert not change_state(ros, LIFE_CYCLE['activate'], '/managed')
    for _ in range(2):
        for transition, state in (
            ('configure', State.PRIMARY_STATE_INACTIVE),
            ('activate', State.PRIMARY_STATE_ACTIVE),
            ('deactivate', State.PRIMARY_STATE_INACTIVE),
            ('activate', State.PRIMARY_STATE_ACTIVE),
            ('deactivate', State.PRIMARY_STATE_INACTIVE),
            ('cleanup', State.PRIMARY_STATE_UNCONFIGURED),
        ):
            assert change_state(ros, LIFE_CYCLE[transition], '/managed'), transition
            assert state_of(ros, '/managed') == state
            listens = int(state == State.PRIMARY_STATE_ACTIVE)
            assert ros.spin_until(
                lambda n=listens: ros.node.count_subscribers('/managed_emg') == n
            )
    assert change_state(ros, LIFE_CYCLE['configure'], '/managed')
    assert change_state(ros, Transition.TRANSITION_INACTIVE_SHUTDOWN, '/managed')
    assert node.wait() == 0


@pytest.mark.slow
def test_signals_end_an_idle_and_a_busy_node(ros, start, checkpoint):
    signals = (signal.SIGINT, signal.SIGTERM)
    idle = [
        start('decoder', '-r', '__ns:=/idle', parameters={'autostart': False}) for _ in signals
    ]
    busy = [
        start('decoder', '-r', '__ns:=/busy', parameters={'checkpoint': checkpoint})
        for _ in signals
    ]
    for node in busy:
        node.wait_for_text('Hz out')
    assert ros.spin_until(lambda: ros.node.count_publishers('/busy/joint_states') == 2)
    publisher = ros.publisher('/busy/emg', EmgArray)
    messages = [emg_messages(CHUNK / RATE, first_sample=at * CHUNK)[0] for at in range(500)]
    for message in messages:
        publisher.publish(message)
    for nodes in (busy, idle):
        for node, number in zip(nodes, signals, strict=True):
            node.end(number)
            assert 'Traceback' not in node.text


def test_two_signals_in_a_row_are_one(start, checkpoint):
    node = start('decoder', '-r', '__node:=twice', parameters={'checkpoint': checkpoint})
    node.wait_for_text('Hz out')
    node.process.send_signal(signal.SIGINT)
    node.end(signal.SIGINT)
    assert 'Traceback' not in node.text


def test_namespace_remapping_and_reliable_input(ros, start, checkpoint):
    reliable = {'qos_overrides./left/raw.subscription.reliability': 'reliable'}
    start(
        'decoder',
        *('-r', '__ns:=/left', '-r', 'emg:=raw', '-r', 'joint_states:=hand/joint_states'),
        parameters={'checkpoint': checkpoint, **reliable},
    )
    states = ros.collect('/left/hand/joint_states', JointState)
    publisher = ros.publisher('/left/raw', EmgArray)
    (subscription,) = ros.node.get_subscriptions_info_by_topic('/left/raw')
    assert subscription.qos_profile.reliability is ReliabilityPolicy.RELIABLE
    for message in emg_messages(1.0):
        publisher.publish(message)
        ros.spin(0.005)
    assert ros.spin_until(lambda: states)


@pytest.mark.slow
def test_another_publisher_of_its_estimates_is_reported_once(ros, decoder):
    other = ros.node.create_publisher(JointState, '/joint_states', 10)
    try:
        decoder.wait_for_text('2 nodes publish /joint_states: whoever reads it takes them')
        ros.spin(1.5)
        assert decoder.text.count('2 nodes publish /joint_states') == 1
    finally:
        ros.node.destroy_publisher(other)


def test_wrong_parameters_end_it_with_a_reason(start, checkpoint):
    trained = {'checkpoint': checkpoint}
    reasons = {
        'parameter checkpoint is empty': {},
        'nowhere is not a checkpoint': {'checkpoint': 'nowhere'},
        'allowed: float from 0 to 1000': {'output_rate': -1.0},
        'allowed: int from 0 to 256': {'threads': 1000},
        'allowed are auto, cpu': {'device': 'abacus', **trained},
        'allowed are 0 (one estimate per image': {'output_rate': 999.0, **trained},
    }
    nodes = [start('decoder', parameters=parameters) for parameters in reasons.values()]
    for node, reason in zip(nodes, reasons, strict=True):
        assert node.wait() == 1
        assert reason in node.text
        assert 'Traceback' not in node.text
