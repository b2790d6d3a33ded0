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

"""The recorder node and the command `record`: any topics to a bag, however the recorder ends."""

import signal
import time

from cli_harness import run
from emg_accounts import CHUNK, message_at
from leconvmn_ros.msg import EmgArray
from leconvmn_ros.recordings.bag_reader import open_bag
from node_harness import LATCHED, wait_until
import pytest
from rclpy.duration import Duration
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import String


def messages_of(folder):
    """Return the number of messages of each topic of a bag."""
    with open_bag(folder) as bag:
        return {topic: info.message_count for topic, info in bag.topics.items()}


@pytest.fixture
def recorder(start, tmp_path):
    """Starts a recorder and returns it with its bag."""

    def begin(**parameters):
        folder = tmp_path / 'bag'
        node = start('recorder', parameters={'bag': folder, **parameters})
        node.wait_for_text('recording to')
        return node, folder

    return begin


def test_topics_are_recorded_whatever_their_type_and_quality_of_service(ros, recorder):
    node, folder = recorder(topics='emg,imu,/state,note')
    note = ros.node.create_publisher(String, '/note', LATCHED)
    note.publish(String(data='said before anybody listened'))
    emg = ros.publisher('/emg', EmgArray, qos_profile_sensor_data)
    imu, state = ros.publisher('/imu', Imu), ros.publisher('/state', JointState)
    other = ros.node.create_publisher(String, '/other', 10)
    assert ros.spin_until(note.get_subscription_count)
    for number in range(10):
        emg.publish(message_at(number * CHUNK))
        imu.publish(Imu())
        state.publish(JointState(name=['a'], position=[0.1 * number]))
        other.publish(String())
    for publisher in (imu, state, note):
        assert publisher.wait_for_all_acked(Duration(seconds=10))
    node.end()
    assert messages_of(folder) == {'/emg': 10, '/imu': 10, '/state': 10, '/note': 1}
    with open_bag(folder) as bag:
        stamps = [message.log_ns for message in bag.messages(topics=['/emg'])]
    assert all(abs(stamp - time.time_ns()) < 60e9 for stamp in stamps)
    assert '/emg: 10 messages, none lost' in node.text
    ros.node.destroy_publisher(note)
    ros.node.destroy_publisher(other)


def test_missing_samples_are_counted(ros, recorder):
    node, folder = recorder()
    emg = ros.publisher('/emg', EmgArray)
    for number in (0, 1, 4, 5):
        emg.publish(message_at(number * CHUNK))
    assert emg.wait_for_all_acked(Duration(seconds=10))
    node.end(signal.SIGINT)
    assert f'/emg: 4 messages, {2 * CHUNK} samples missing by their counter' in node.text
    assert messages_of(folder) == {'/emg': 4}


def test_a_killed_recorder_leaves_what_it_recorded(ros, recorder, capsys):
    node, folder = recorder(all_topics=True)
    state = ros.publisher('/state', JointState)
    for _ in range(20):
        state.publish(JointState())
    file = folder / 'bag.mcap'
    size = file.stat().st_size
    assert wait_until(lambda: file.stat().st_size > size)
    node.kill()
    node.process.wait()
    assert run(capsys, 'record', '--recover', folder)[0] == 0
    assert messages_of(folder)['/state'] == 20


def test_a_recording_of_some_seconds_ends_by_itself(recorder):
    node, folder = recorder(duration=0.5)
    assert node.wait() == 0
    assert messages_of(folder) == {}


@pytest.mark.parametrize(
    ('parameters', 'complaint'),
    [({}, 'parameter bag is empty'), ({'bag': '/dev/null'}, 'exists already')],
)
def test_a_recorder_that_cannot_record_says_why(start, parameters, complaint):
    node = start('recorder', parameters=parameters)
    assert node.wait() == 1
    assert complaint in node.text


def test_the_command_asks_for_a_bag(capsys):
    code, _, error = run(capsys, 'record')
    assert code == 2
    assert 'one of the arguments --output --recover is required' in error
