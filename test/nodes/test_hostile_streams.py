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

"""Faults between processes over real DDS: what was lost is what was counted, and life goes on."""

import json
import os
from pathlib import Path
import resource
import shutil
import sys

from diagnostic_msgs.msg import DiagnosticArray
from emg_accounts import CHUNK, IMAGE, message_at, sample_of, totals_of
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.msg import EmgArray
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from node_harness import LATCHED, lossless, RunningNode
import pytest
from rclpy.qos import qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import JointState
from small_recordings import RATE, untrained_checkpoint
from std_msgs.msg import Bool

SUPPORT = Path(__file__).parents[1] / 'support'


@pytest.fixture
def checkpoint(tmp_path):
    return untrained_checkpoint(tmp_path)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Start sources of EMG as processes; all have ended afterwards."""
    monkeypatch.setenv('PYTHONPATH', f'{SUPPORT}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
    running = []

    def start(first, last, pause):
        script = SUPPORT / 'emg_source.py'
        command = [sys.executable, *map(str, (script, first, last, pause))]
        running.append(RunningNode(tmp_path / f'source_{len(running)}.log', command))
        return running[-1]

    yield start
    for process in running:
        process.kill()


class Decoder:
    """A decoder process, its estimates and its own account of what came in."""

    def __init__(self, ros, start, checkpoint, **parameters):
        self._ros = ros
        self.node = start(
            'decoder', parameters={'checkpoint': checkpoint, 'longest_wait': 0.0, **parameters}
        )
        self.states = ros.collect('/joint_states', JointState)
        self._reports = ros.collect('/diagnostics', DiagnosticArray, QoSProfile(depth=100))
        self.node.wait_for_text('Hz out')

    def totals(self):
        """Return the newest account, by name of the counter."""
        return totals_of(self._reports[-1].message) if self._reports else {}

    def wait_for(self, condition):
        """Wait for an account of which something holds, and return it."""
        assert self._ros.spin_until(lambda: self.totals() and condition(self.totals())), (
            self.totals(),
            self.node.text,
        )
        return self.totals()


def test_a_source_that_is_killed_and_started_again(ros, start, checkpoint, source):
    decoder = Decoder(ros, start, checkpoint, **lossless('emg'))
    first = source(0, 1_000_000, 0.005)
    decoder.wait_for(lambda totals: totals['samples'] > 200)
    first.kill()
    # Its counter ran on meanwhile, as that of an amplifier does.
    begin, end = 100_000, 100_400
    second = source(begin, end, 0.001)
    assert second.wait() == 0, second.text
    totals = decoder.wait_for(lambda totals: totals['samples'] + totals['lost samples'] >= end)
    # Not one sample more or less than from the first of the first to the last of the second.
    assert totals['samples'] + totals['lost samples'] == end
    assert totals['lost samples'] > 0
    assert totals['restarts'] == 1
    assert 'lost samples' in decoder.node.text
    assert ros.spin_until(lambda: sample_of(decoder.states[-1].message) == end - 1)
    decoder.node.end()


def test_a_source_that_slows_down_and_stalls(ros, start, checkpoint, source):
    """A counter that goes on as it was: nothing is lost, and the silence is told."""
    decoder = Decoder(ros, start, checkpoint, **lossless('emg'))
    usual, half, after = 400, 800, 1000
    period = CHUNK / RATE
    for first, last, pause in ((0, usual, period), (usual, half, 2 * period)):
        process = source(first, last, pause)
        assert process.wait() == 0, process.text
        totals = decoder.wait_for(lambda totals, last=last: totals['samples'] >= last)
        assert (totals['samples'], totals['lost samples']) == (last, 0)
    decoder.node.wait_for_text('no EMG')
    process = source(half, after, period)
    assert process.wait() == 0, process.text
    totals = decoder.wait_for(lambda totals: totals['samples'] >= after)
    assert (totals['samples'], totals['lost samples']) == (after, 0)
    assert totals['late samples'] == totals['restarts'] == 0
    decoder.node.wait_for_text('EMG is back')
    assert ros.spin_until(lambda: sample_of(decoder.states[-1].message) == after - 1)
    decoder.node.end()


def test_a_source_that_stalls_and_loses_what_it_took_meanwhile(ros, start, checkpoint, source):
    decoder = Decoder(ros, start, checkpoint, **lossless('emg'))
    stalled, again, end = 400, 700, 1100
    for first, last in ((0, stalled), (again, end)):
        process = source(first, last, CHUNK / RATE)
        assert process.wait() == 0, process.text
        totals = decoder.wait_for(
            lambda totals, last=last: totals['samples'] + totals['lost samples'] >= last
        )
    assert totals['lost samples'] == again - stalled
    assert totals['samples'] == stalled + end - again
    decoder.node.wait_for_text(f'{again - stalled} lost samples')
    decoder.node.end()


def test_two_sources_on_one_topic(ros, start, checkpoint, source):
    decoder = Decoder(ros, start, checkpoint, **lossless('emg'))
    publisher = ros.publisher('/emg', EmgArray)
    length = 160  # within the second in which samples that come again are late, not a new start
    other = source(0, length, 0.05)
    other.wait_for_text('sending')
    for sample in range(0, length, CHUNK):
        publisher.publish(message_at(sample))
    assert other.wait() == 0, other.text
    totals = decoder.wait_for(lambda totals: totals['messages'] >= 2 * length // CHUNK)
    # Each sample came twice: one is decoded, one is late.
    assert totals['messages'] == 2 * length // CHUNK
    assert totals['samples'] == length + totals['lost samples'] == length
    assert totals['late samples'] == length
    decoder.node.wait_for_text('2 nodes publish /emg')


def test_bursts_beyond_what_the_decoder_holds(ros, start, checkpoint):
    """Best effort, as an armband sends: what overflows is counted, and the newest goes on."""
    decoder = Decoder(ros, start, checkpoint)
    publisher = ros.publisher('/emg', EmgArray, qos_profile_sensor_data)
    sent = 0
    while not decoder.states:
        publisher.publish(message_at(sent))
        sent += CHUNK
        ros.spin(0.02)
    # The first message that came through began the image that ends with the first estimate.
    begin = sample_of(decoder.states[0].message) - IMAGE + 1
    for _ in range(3):
        for _ in range(3000):
            publisher.publish(message_at(sent))
            sent += CHUNK
        ros.spin(1.0)
    for _ in range(50):  # in peace: what was lost before is found out
        publisher.publish(message_at(sent))
        sent += CHUNK
        ros.spin(0.02)
    totals = decoder.wait_for(
        lambda totals: totals['samples'] + totals['lost samples'] >= sent - begin
    )
    assert sent - begin == totals['samples'] + totals['lost samples']
    assert totals['lost samples'] > 0


def test_the_checkpoint_is_replaced_while_the_decoder_runs(ros, start, checkpoint, tmp_path):
    decoder = Decoder(ros, start, checkpoint)
    publisher = ros.publisher('/emg', EmgArray)
    good = tmp_path / 'good'
    shutil.copytree(checkpoint, good)
    for file in checkpoint.iterdir():
        file.write_bytes(b'nonsense')

    def feed(first, count):
        for sample in range(first, first + count, CHUNK):
            publisher.publish(message_at(sample))
            ros.spin(0.002)

    feed(0, 200)
    assert ros.spin_until(lambda: decoder.states), decoder.node.text
    # It keeps what it has loaded; what is there now is refused, and can be put right.
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
        assert change_state(ros, transition)
    assert not change_state(ros, Transition.TRANSITION_CONFIGURE)
    assert state_of(ros) == State.PRIMARY_STATE_UNCONFIGURED
    decoder.node.wait_for_text('is not a checkpoint of this package')
    shutil.rmtree(checkpoint)
    good.rename(checkpoint)
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert change_state(ros, transition)
    decoder.states.clear()
    ros.spin_until(lambda: ros.node.count_subscribers('/emg'))
    feed(1000, 200)
    assert ros.spin_until(lambda: decoder.states)
    decoder.node.end()


def test_a_disk_that_is_full_when_the_evaluator_writes(ros, start, tmp_path):
    output = tmp_path / 'results'
    node = start('evaluator', parameters={'output': output, 'report_period': 3600.0})
    estimate = ros.publisher('/joint_states', JointState)
    reference = ros.publisher('/joint_states_reference', JointState)
    over = ros.publisher('/replay_done', Bool, LATCHED)
    # A limit on the size of files is met like a full disk: write() fails.
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (6000, 6000))
    message = JointState(name=JOINT_NAMES)
    for number in range(200):
        message.header.stamp.sec = number
        message.position = [number / 1000 + joint / 10 for joint in range(10)]
        for publisher in (estimate, reference):
            publisher.publish(message)
        ros.spin(0.002)
    over.publish(Bool(data=True))
    ros.spin(0.5)
    assert node.wait() == 1, node.text
    assert 'cannot write' in node.text
    assert 'File too large' in node.text
    assert 'Traceback' not in node.text
    # What did fit is whole, and nothing half written lies about.
    names = {path.name for path in output.iterdir()}
    assert names <= {'scores.json'}
    for name in names:
        json.loads((output / name).read_text())


def change_state(ros, transition):
    request = ChangeState.Request(transition=Transition(id=transition))
    return ros.call('/decoder/change_state', ChangeState, request).success


def state_of(ros):
    return ros.call('/decoder/get_state', GetState, GetState.Request()).current_state.id
