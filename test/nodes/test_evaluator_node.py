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

"""The evaluator node, fed by the test instead of a replay and a decoder."""

import json
import signal
import time

from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.emg.message import fill_message
from leconvmn_ros.evaluation.tables import read_estimates
from leconvmn_ros.msg import EmgArray
from node_harness import LATCHED
import numpy as np
import pytest
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

RATE, CHUNK = 200.0, 4
PERIOD_NS = round(CHUNK / RATE * NANOSECONDS)
START_NS = NANOSECONDS
OFFSET = 0.1  # rad, of the estimates


def joint_state(stamp_ns, names, positions):
    message = JointState(name=list(names), position=[float(value) for value in positions])
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, NANOSECONDS)
    return message


def stamp_and_truth(number):
    stamp_ns = START_NS + number * PERIOD_NS + round((CHUNK - 1) / RATE * NANOSECONDS)
    return stamp_ns, 0.5 + 0.3 * np.sin(number / 10 + np.arange(10))


class Source:
    """What replay and decoder would publish."""

    def __init__(self, ros):
        self._ros = ros
        self._estimate = ros.publisher('/joint_states', JointState)
        self._reference = ros.publisher('/joint_states_reference', JointState)
        # The evaluator takes the EMG only when it has found the others.
        self._emg = ros.publisher('/emg', EmgArray)
        self._over = ros.publisher('/replay_done', Bool, LATCHED)
        ros.spin(0.5)

    def estimate(self, number):
        stamp_ns, truth = stamp_and_truth(number)
        self._estimate.publish(joint_state(stamp_ns, JOINT_NAMES, truth + OFFSET))

    def reference(self, number):
        stamp_ns, truth = stamp_and_truth(number)
        self._reference.publish(joint_state(stamp_ns, JOINT_NAMES, truth))

    def emg(self, number):
        chunk = EmgChunk(
            START_NS + number * PERIOD_NS, RATE, number * CHUNK, np.zeros((CHUNK, 2), np.float32)
        )
        self._emg.publish(fill_message(EmgArray(), chunk))

    def play(self, messages, without=(), late_ns=0):
        """Publish EMG, except some messages, and an estimate and a reference for each."""
        for number in range(messages):
            stamp_ns = START_NS + number * PERIOD_NS
            chunk = EmgChunk(stamp_ns, RATE, number * CHUNK, np.zeros((CHUNK, 2), np.float32))
            if number not in without:
                self._emg.publish(fill_message(EmgArray(), chunk))
            last_ns = stamp_ns + round((CHUNK - 1) / RATE * NANOSECONDS)
            truth = 0.5 + 0.3 * np.sin(number / 10 + np.arange(10))
            # Matched by name: the reference comes in another order.
            self._reference.publish(joint_state(last_ns + late_ns, JOINT_NAMES[::-1], truth[::-1]))
            self._estimate.publish(joint_state(last_ns, JOINT_NAMES, truth + OFFSET))
            self._ros.spin(0.005)

    def end(self):
        self._over.publish(Bool(data=True))
        self._ros.spin(0.2)


def test_writes_scores_estimates_and_plot(ros, start, tmp_path):
    output = tmp_path / 'deep' / 'results'
    node = start('evaluator', parameters={'output': output, 'report_period': 0.2})
    source = Source(ros)
    source.play(100, without=(50, 51))
    source.end()
    assert node.wait() == 0, node.text
    report = json.loads((output / 'scores.json').read_text())
    assert report['count'] == report['estimates'] == 100
    assert report['emg_messages'] == 98
    assert report['lost_emg_samples'] == 2 * CHUNK
    assert report['missing_estimates'] == report['refused_messages'] == 0
    assert set(report['joints']) == set(JOINT_NAMES)
    assert report['mean']['cc'] == pytest.approx(1)
    assert report['mean']['rmse'] == pytest.approx(np.degrees(OFFSET))
    assert report['mean']['mae'] == pytest.approx(np.degrees(OFFSET))
    latency = report['latency_ms']
    assert latency['count'] >= 90
    assert 0 < latency['median'] <= latency['p99'] < 5000
    estimates = read_estimates(output / 'estimates.csv')
    assert estimates.names == JOINT_NAMES
    assert len(estimates.stamps_ns) == 100
    assert (output / 'estimates.png').read_bytes().startswith(b'\x89PNG')
    assert node.text.count('CC 1.000') >= 2
    assert 'results in' in node.text.splitlines()[-1]


def test_a_late_reference_is_scored_where_it_was_true(ros, start, tmp_path):
    node = start('evaluator', parameters={'output': tmp_path / 'results', 'reference_lag': 1.5})
    source = Source(ros)
    source.play(40, late_ns=1_500_000_000)
    source.end()
    assert node.wait() == 0, node.text
    report = json.loads((tmp_path / 'results' / 'scores.json').read_text())
    assert report['count'] == 40
    assert report['mean']['rmse'] == pytest.approx(np.degrees(OFFSET))


def test_every_estimate_with_a_reference_is_scored_however_late_that_comes(ros, start, tmp_path):
    """The reference is behind, stalls for longer than usual, and comes after the replay's end."""
    node = start('evaluator', parameters={'output': tmp_path / 'results', 'lossless': True})
    source = Source(ros)
    for number in range(400):
        source.emg(number)
        source.estimate(number)
    source.end()
    for number in range(400):
        source.reference(number)
        if number in {100, 399 - 50}:
            ros.spin(2.0)
    assert node.wait() == 0, node.text
    report = json.loads((tmp_path / 'results' / 'scores.json').read_text())
    assert report['count'] == report['estimates'] == 400
    assert report['unscored_estimates'] == 0
    assert report['lost_messages'] == {'estimates': 0, 'reference': 0}


def test_estimates_whose_reference_was_lost_are_counted_and_are_an_error(ros, start, tmp_path):
    parameters = {
        'output': tmp_path / 'results',
        'qos_overrides./joint_states_reference.subscription.depth': 1,
    }
    node = start('evaluator', parameters=parameters)
    source = Source(ros)
    for number in range(300):
        source.emg(number)
        source.estimate(number)
        ros.spin(0.002)
    for number in range(300):  # all at once: a reader that keeps one message loses most
        source.reference(number)
    source.end()
    assert node.wait() == 1, node.text
    report = json.loads((tmp_path / 'results' / 'scores.json').read_text())
    assert report['lost_messages']['reference'] > 0
    assert report['count'] + report['unscored_estimates'] == 300
    assert report['unscored_estimates'] > 0
    assert f'{report["unscored_estimates"]} estimates have no reference' in node.text


def test_states_that_contradict_themselves_are_refused_as_a_whole(ros, start, tmp_path):
    node = start('evaluator', parameters={'output': tmp_path / 'results', 'lossless': True})
    source = Source(ros)
    source.play(40)
    for number in range(40):
        stamp_ns, truth = stamp_and_truth(number)
        for publisher in (source._estimate, source._reference):
            short = joint_state(stamp_ns, JOINT_NAMES, truth[:-1] + 9)
            publisher.publish(short)
            publisher.publish(joint_state(stamp_ns, [*JOINT_NAMES, 'index_mcp'], [*truth, 5.0]))
            publisher.publish(joint_state(stamp_ns, ['shoulder', 'elbow'], [9.0, 9.0]))
    source.end()
    assert node.wait() == 0, node.text
    report = json.loads((tmp_path / 'results' / 'scores.json').read_text())
    assert report['count'] == report['estimates'] == 40
    assert report['refused_messages'] == 160
    assert report['mean']['rmse'] == pytest.approx(np.degrees(OFFSET))
    refusals = node.text.count('message rejected')
    assert 2 <= refusals <= 8


def test_nothing_to_score_is_an_error_with_a_reason(ros, start, tmp_path):
    node = start('evaluator', parameters={'output': tmp_path / 'results'})
    over = ros.publisher('/replay_done', Bool, LATCHED)
    over.publish(Bool(data=True))
    ros.spin(0.5)
    assert node.wait() == 1
    assert 'nothing to score: 0 estimates' in node.text
    assert (
        'nothing to score' in json.loads((tmp_path / 'results/scores.json').read_text())['reason']
    )
    assert not (tmp_path / 'results' / 'estimates.csv').exists()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_what_there_is(ros, start, tmp_path, number):
    # With a clock that stands still: its own timers must not depend on it.
    node = start(
        'evaluator',
        parameters={'output': tmp_path / 'results', 'use_sim_time': True, 'report_period': 0.2},
    )
    Source(ros).play(20)
    node.wait_for_text('CC 1.000')
    node.end(number)
    assert json.loads((tmp_path / 'results' / 'scores.json').read_text())['count'] == 20
    assert (tmp_path / 'results' / 'estimates.png').exists()
    assert 'Traceback' not in node.text


def test_several_publishers_of_a_topic_are_reported_once(ros, start, tmp_path):
    node = start('evaluator', parameters={'output': tmp_path / 'results'})
    Source(ros)
    for topic in ('/joint_states', '/joint_states_reference'):
        ros.publisher(topic, JointState)
    for topic in ('joint_states', 'joint_states_reference'):
        node.wait_for_text(f'several nodes publish {topic}: ')
    ros.spin(0.5)
    assert node.text.count('several nodes publish') == 2


def test_goes_on_if_asked_to(ros, start, tmp_path):
    parameters = {'output': tmp_path / 'results', 'exit_when_done': False}
    node = start('evaluator', parameters=parameters)
    source = Source(ros)
    source.play(5)
    source.end()
    time.sleep(1.5)
    assert node.process.poll() is None
    node.end()
    assert (tmp_path / 'results' / 'scores.json').exists()


def test_wrong_parameters_and_places_end_it_with_a_reason(start, tmp_path):
    (tmp_path / 'file').write_text('in the way')
    reasons = {
        'allowed: float from 0.1 to 3600': {'report_period': 0.0},
        'nowhere is not a checkpoint': {'checkpoint': 'nowhere'},
        'allowed: float from -10 to 10': {'reference_lag': 11.0},
        'file/results': {'output': tmp_path / 'file' / 'results'},
    }
    nodes = [start('evaluator', parameters=parameters) for parameters in reasons.values()]
    for node, reason in zip(nodes, reasons, strict=True):
        assert node.wait() == 1
        assert reason in node.text
        assert 'Traceback' not in node.text
