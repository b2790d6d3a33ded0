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

"""The replay node as its users meet it: a process, parameters, services, topics, signals."""

from pathlib import Path
import re
import signal
import time

from leconvmn_ros.core.machine_info import cpu_seconds
from leconvmn_ros.core.recording import NANOSECONDS
from leconvmn_ros.emg.message import stamp_to_ns
from leconvmn_ros.msg import EmgArray, MovementLabel
from leconvmn_ros.recordings.bag_reader import open_bag
from node_harness import LATCHED, lossless, wait_until
import numpy as np
import pytest
import rclpy
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from small_recordings import RATE, small_bag
from std_msgs.msg import Bool
from std_srvs.srv import SetBool

SECONDS = 3.0
KINDS = {
    '/emg': EmgArray,
    '/joint_states_reference': JointState,
    '/movement_label': MovementLabel,
}


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return small_bag(tmp_path_factory.mktemp('recorded'), SECONDS)


def play(start, bag, **parameters):
    """Start a replay that waits for its reader."""
    values = {'bag': bag, 'subscribers': 1, 'subscriber_timeout': 30.0} | parameters
    return start('replay', parameters=values)


def contents(bag, topic):
    with open_bag(bag) as opened:
        return [
            (message.log_ns, deserialize_message(message.data, KINDS[topic]))
            for message in opened.messages(topics=[topic])
        ]


def stamps(arrivals):
    return [stamp_to_ns(arrival.message.header.stamp) for arrival in arrivals]


def finish(ros, node):
    """Wait until the replay has ended by itself, taking what comes in."""
    assert ros.spin_until(lambda: node.process.poll() is not None), node.text
    assert node.process.returncode == 0, node.text
    ros.spin(0.3)


def test_keeps_real_time_and_loses_nothing(ros, start, bag):
    emg = ros.collect('/emg', EmgArray)
    reference = ros.collect('/joint_states_reference', JointState)
    labels = ros.collect('/movement_label', MovementLabel, LATCHED)
    clock = ros.collect('/clock', Clock, 10)
    over = ros.collect('/replay_done', Bool, LATCHED)
    node = play(start, bag)
    finish(ros, node)
    for arrivals, topic in zip((emg, reference, labels), KINDS, strict=True):
        assert [arrival.message for arrival in arrivals] == [m for _, m in contents(bag, topic)]
    assert [arrival.message.data for arrival in over] == [True]
    assert over[0].time >= emg[-1].time
    # Time from message to message is that of the bag, as far as a busy machine lets a test see it.
    log = np.array([log_ns for log_ns, _ in contents(bag, '/emg')]) / NANOSECONDS
    came = np.array([arrival.time for arrival in emg])
    slope, _ = np.polyfit(log, came, 1)
    assert slope == pytest.approx(1, abs=0.15)
    lag = (came - came[0]) - (log - log[0])
    assert abs(np.median(lag[-30:]) - np.median(lag[:30])) < 0.5
    times = [stamp_to_ns(arrival.message.clock) for arrival in clock]
    assert times == sorted(times)
    assert len(times) > 0.5 * SECONDS * 100
    assert times[-1] <= stamps(emg)[-1] + 20_000_000
    messages = sum(len(contents(bag, topic)) for topic in KINDS)
    assert f'done: {messages} messages' in node.text


def test_plays_faster(ros, start, bag):
    emg = ros.collect('/emg', EmgArray)
    finish(ros, play(start, bag, rate=4.0, publish_clock=False))
    assert len(emg) == len(contents(bag, '/emg'))
    # Neither at the speed of the recording nor at once, however busy the machine is.
    assert SECONDS / 8 < emg[-1].time - emg[0].time < 0.9 * SECONDS
    assert not ros.node.count_publishers('/clock')


@pytest.mark.slow
def test_as_fast_as_a_slow_reader_takes_it(ros, start, tmp_path):
    # More messages than the middleware holds on both sides (5000 each), and a reader that stops
    # for longer than it waits for room (0.1 s).
    messages = 12_000
    bag = small_bag(tmp_path, messages / RATE, chunk_duration=1 / RATE)
    emg = ros.collect('/emg', EmgArray)
    node = play(start, bag, rate=0.0, publish_clock=False, **lossless('emg'))
    assert ros.spin_until(lambda: emg)
    pid = node.process.pid  # without room for more it waits, and takes next to no processor time

    def rests():
        before = cpu_seconds(pid)
        time.sleep(0.5)
        return cpu_seconds(pid) - before < 0.1

    assert wait_until(rests)
    assert node.process.poll() is None
    finish(ros, node)
    ros.spin_until(lambda: len(emg) >= messages, 10)
    assert [arrival.message.first_sample for arrival in emg] == list(range(messages))


def test_it_waits_for_nodes_by_name(ros, start, bag):
    """Others that subscribe the EMG, such as a viewer, are not those that it waits for."""
    emg = ros.collect('/emg', EmgArray)
    node = play(start, bag, rate=0.0, wait_for='late, test_peer', subscriber_timeout=60.0)
    assert ros.spin_until(lambda: ros.node.count_publishers('/emg'))
    ros.spin(1.0)
    assert not emg
    late = rclpy.create_node('late', context=ros.context)
    try:
        late.create_subscription(EmgArray, '/emg', lambda _: None, 10)
        assert ros.spin_until(lambda: emg)
    finally:
        late.destroy_node()
    finish(ros, node)


def test_it_says_whom_it_waited_for_in_vain(ros, start, bag):
    node = play(start, bag, rate=0.0, subscribers=0, wait_for='decoder', subscriber_timeout=0.2)
    finish(ros, node)
    assert 'no subscription of decoder after 0.2 s, playing anyway' in node.text


def test_it_says_how_far_it_is(ros, start, bag):
    node = play(start, bag, rate=4.0, subscribers=0, progress_period=0.1)
    finish(ros, node)
    played = [float(line) for line in re.findall(r'([\d.]+) of [\d.]+ s played', node.text)]
    assert len(played) >= 2
    assert played == sorted(played)


def test_offset_and_duration(ros, start, bag):
    emg = ros.collect('/emg', EmgArray)
    labels = ros.collect('/movement_label', MovementLabel, LATCHED)
    finish(ros, play(start, bag, start_offset=1.5, duration=0.5, rate=2.0))
    recorded = contents(bag, '/emg')
    with open_bag(bag) as opened:
        first_ns = opened.start_ns + 3 * NANOSECONDS // 2
    wanted = [m for ns, m in recorded if first_ns <= ns <= first_ns + NANOSECONDS // 2]
    assert [arrival.message for arrival in emg] == wanted
    # The label of second 1 holds at the start, that of second 2 begins at the end: a late start
    # knows its repetition.
    repetitions = [(m.message.movement, m.message.repetition) for m in labels]
    assert repetitions[0] == (1, 1)
    assert len(repetitions) <= 2


def test_loops_until_stopped(ros, start, bag):
    emg = ros.collect('/emg', EmgArray)
    node = play(start, bag, loop=True, start_offset=2.8, rate=2.0)
    assert ros.spin_until(lambda: len(emg) >= 35)
    assert node.end(signal.SIGINT) < 3
    laps = np.flatnonzero(np.diff(stamps(emg)) < 0) + 1
    assert len(laps) >= 3
    assert set(np.diff(laps).tolist()) == {laps[0]}


def test_pauses_and_goes_on(ros, start, bag):
    emg = ros.collect('/emg', EmgArray)
    node = play(start, bag, start_paused=True, rate=2.0)
    ros.spin_until(lambda: ros.node.count_publishers('/emg'))
    ros.spin(0.5)
    assert not emg
    assert ros.call('/replay/pause', SetBool, SetBool.Request(data=False)).message == 'playing'
    assert ros.spin_until(lambda: len(emg) > 20)
    assert ros.call('/replay/pause', SetBool, SetBool.Request(data=True)).message == 'paused'
    ros.spin(0.2)
    count = len(emg)
    ros.spin(0.7)
    assert len(emg) == count
    assert ros.call('/replay/pause', SetBool, SetBool.Request(data=False)).success
    finish(ros, node)
    assert len(emg) == len(contents(bag, '/emg'))
    assert max(np.diff([arrival.time for arrival in emg])) > 0.7


def test_stamps_can_be_shifted_to_now(ros, start, bag):
    emg = ros.collect('/emg', EmgArray)
    clock = ros.collect('/clock', Clock, 10)
    node = play(start, bag, stamps='now', duration=1.0)
    finish(ros, node)
    now_ns = time.time_ns()
    shifts = {
        new - stamp_to_ns(old.header.stamp)
        for new, (_, old) in zip(stamps(emg), contents(bag, '/emg'), strict=False)
    }
    assert len(shifts) == 1
    assert 0 < now_ns - stamps(emg)[-1] < 10 * NANOSECONDS
    assert 0 < now_ns - stamp_to_ns(clock[-1].message.clock) < 10 * NANOSECONDS


def test_nodes_can_follow_its_clock(ros, start, bag):
    node = play(start, bag, subscribers=0, start_offset=1.0, start_paused=True)
    ros.node.set_parameters([Parameter('use_sim_time', value=True)])
    try:
        assert ros.spin_until(lambda: ros.node.count_publishers('/clock'))
        ros.call('/replay/pause', SetBool, SetBool.Request(data=False))
        assert ros.spin_until(lambda: ros.node.get_clock().now().nanoseconds > 0)
        begin, started = ros.node.get_clock().now().nanoseconds, time.monotonic()
        ros.spin(0.8)
        passed = (ros.node.get_clock().now().nanoseconds - begin) / NANOSECONDS
        assert 0.3 < passed / (time.monotonic() - started) < 1.7
        assert 2 * NANOSECONDS <= begin < 5 * NANOSECONDS
    finally:
        ros.node.set_parameters([Parameter('use_sim_time', value=False)])
    node.end()


def write_foreign_bag(path: Path, plugin: StoragePlugin) -> None:
    """Write what another recorder could have: unknown types, texts, a clock of its own."""
    store = get_typestore(Stores.ROS2_JAZZY)
    text = store.types['std_msgs/msg/String']
    clock = store.types['rosgraph_msgs/msg/Clock']
    moment = store.types['builtin_interfaces/msg/Time']
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        chatter = writer.add_connection('/chatter', 'std_msgs/msg/String', typestore=store)
        ticks = writer.add_connection('/clock', 'rosgraph_msgs/msg/Clock', typestore=store)
        unknown = writer.add_connection(
            '/unknown', 'foreign_msgs/msg/Thing', msgdef='int8 x\n', rihs01='RIHS01_0'
        )
        for at in range(1, 6):
            data = store.serialize_cdr(text(data=f'message {at}'), 'std_msgs/msg/String')
            writer.write(chatter, at * 100_000_000, data)
            data = store.serialize_cdr(clock(clock=moment(7, 7)), 'rosgraph_msgs/msg/Clock')
            writer.write(ticks, at * 100_000_000, data)
            writer.write(unknown, at * 100_000_000, b'\0\1\0\0\1')


@pytest.mark.parametrize('plugin', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_plays_bags_of_others(ros, start, tmp_path, plugin):
    from std_msgs.msg import String

    write_foreign_bag(tmp_path / 'bag', plugin)
    heard = ros.collect('/left/chatter', String, 10)
    clock = ros.collect('/clock', Clock, 10)
    node = start(
        'replay',
        *('-r', '__ns:=/left'),
        parameters={'bag': tmp_path / 'bag', 'start_paused': True},
    )
    assert ros.spin_until(lambda: ros.node.count_publishers('/left/chatter'))
    ros.spin(1.0)
    ros.call('/left/replay/pause', SetBool, SetBool.Request(data=False))
    finish(ros, node)
    assert [arrival.message.data for arrival in heard] == [f'message {n}' for n in range(1, 6)]
    assert '/unknown is left out: its type foreign_msgs/msg/Thing is not installed' in node.text
    assert all(arrival.message.clock.sec == 0 for arrival in clock)


def test_signals_end_it_whatever_it_does(ros, start, bag):
    works = ({'start_paused': True}, {'subscribers': 5}, {'rate': 0.0, 'loop': True})
    for number in (signal.SIGINT, signal.SIGTERM):
        nodes = [start('replay', parameters={'bag': bag, **work}) for work in works]
        assert ros.spin_until(lambda: ros.node.get_node_names().count('replay') == len(works))
        for node in nodes:
            node.end(number)
            assert 'Traceback' not in node.text


def test_wrong_parameters_end_it_with_one_line(start, bag):
    reasons = {
        'parameter bag is empty': {'bag': ''},
        'nowhere does not exist': {'bag': 'nowhere'},
        'start_offset 100.0 s is beyond the end of the bag': {'start_offset': 100.0},
        'expecting type': {'rate': 4},
        'allowed: float from 0 to 1000': {'rate': -1.0},
        "allowed are 'original', 'now'": {'stamps': 'later'},
    }
    nodes = [start('replay', parameters={'bag': bag, **values}) for values in reasons.values()]
    for node, reason in zip(nodes, reasons, strict=True):
        assert node.wait() == 1
        assert reason in node.text
        assert len(node.text.splitlines()) == 1


def test_a_reader_that_comes_too_late_is_not_waited_for_for_ever(start, bag):
    node = start(
        'replay',
        parameters={'bag': bag, 'subscribers': 1, 'subscriber_timeout': 0.2, 'rate': 100.0},
    )
    assert node.wait() == 0
    assert 'fewer than 1 subscribers after 0.2 s' in node.text


def test_a_message_that_is_damaged_ends_the_replay_with_a_reason(start, tmp_path):
    """Found by fuzzing: the middleware refuses it, and the replay died of that."""
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(
            '/hand', 'sensor_msgs/msg/JointState', typestore=get_typestore(Stores.ROS2_JAZZY)
        )
        for number in range(3):
            writer.write(connection, 10**9 + number, b'\0\1\0\0' + b'\xff' * 40)
    node = start('replay', parameters={'bag': tmp_path / 'bag'})
    assert node.wait() == 1
    assert 'a message on /hand is not a sensor_msgs/msg/JointState' in node.text
    assert 'Traceback' not in node.text
