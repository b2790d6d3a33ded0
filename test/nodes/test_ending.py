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

"""SIGINT and SIGTERM: obeyed whatever a node is doing, with exit code 0 and nothing half done."""

import json
import signal
import subprocess
import sys

from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.emg.message import fill_message
from leconvmn_ros.msg import EmgArray
from node_harness import wait_until
import pytest
from sensor_msgs.msg import JointState
from small_recordings import RATE, sampled_subject, small_bag, untrained_checkpoint

SIGNALS = [signal.SIGINT, signal.SIGTERM]

IMPORTING = """
import time
import leconvmn_ros.core.program as program

def import_slowly(name):
    try:
        print('importing', flush=True)
        time.sleep(60)
    except BaseException:  # as some libraries do
        time.sleep(60)

program.import_module = import_slowly
program.run('leconvmn_ros.nodes.decoder')
"""


@pytest.mark.parametrize('number', SIGNALS)
def test_while_libraries_are_imported(number):
    command = [sys.executable, '-c', IMPORTING]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout.readline() == 'importing\n'
        process.send_signal(number)
        assert process.wait(30) == 0
        assert process.stdout.read() == ''


WARMING = """
import time
import leconvmn_ros.nodes.decoder as decoder
from leconvmn_ros.nodes.running import run_node

def load_slowly(node):
    print('loading', flush=True)
    try:
        time.sleep(60)
    except Exception as error:
        raise ImportError('initialisation failed') from error

decoder.load_decoder = load_slowly
run_node(decoder.DecoderNode)
"""


@pytest.mark.parametrize('number', SIGNALS)
def test_while_a_network_is_loaded(ros_domain, number):  # noqa: ARG001
    command = [sys.executable, '-c', WARMING]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout.readline() == 'loading\n'
        process.send_signal(number)
        assert process.wait(30) == 0
        assert process.stdout.read() == ''


@pytest.mark.parametrize('number', SIGNALS)
def test_while_a_message_of_half_a_minute_is_decoded(ros, start, tmp_path, number):
    """It is left where it is, not decoded to its end first."""
    checkpoint = untrained_checkpoint(tmp_path)
    parameters = {'checkpoint': checkpoint, 'output_rate': 200.0, 'lossless': True}
    node = start('decoder', parameters=parameters)
    node.wait_for_text('Hz out')
    states = ros.collect('/joint_states', JointState)
    emg = sampled_subject(120.0).emg
    chunk = EmgChunk(NANOSECONDS, RATE, 0, emg)
    publisher = ros.publisher('/emg', EmgArray)
    publisher.publish(fill_message(EmgArray(), chunk))
    assert ros.spin_until(lambda: states), node.text
    node.end(number)
    ros.spin(0.3)
    assert 0 < len(states) < len(emg) - 20


@pytest.mark.parametrize('name', ['decoder', 'evaluator', 'retarget', 'viewer', 'replay'])
def test_a_second_signal_while_it_ends_changes_nothing(ros, start, tmp_path, name):
    parameters = {
        'decoder': lambda: {'checkpoint': untrained_checkpoint(tmp_path)},
        'evaluator': lambda: {'output': tmp_path / 'results'},
        'retarget': lambda: {'profile': 'leap'},
        'viewer': dict,
        'replay': lambda: {'bag': small_bag(tmp_path, 1.0), 'start_paused': True},
    }
    node = start(name, parameters=parameters[name]())
    assert ros.spin_until(lambda: name in ros.node.get_node_names()), node.text
    ros.spin(0.2)
    node.process.send_signal(signal.SIGINT)
    while not wait_until(lambda: node.process.poll() is not None, 0.005):
        node.process.send_signal(signal.SIGINT)
    assert node.process.returncode == 0, node.text
    assert 'Traceback' not in node.text
    if name == 'evaluator':
        assert 'reason' in json.loads((tmp_path / 'results' / 'scores.json').read_text())
