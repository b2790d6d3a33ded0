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

"""The EMG source node: signal, description, faults of the device, over DDS."""

from pathlib import Path
import time

from diagnostic_msgs.msg import DiagnosticArray
from emulated_cyton import EmulatedCyton
from leconvmn_ros.emg.description import parse_description
from leconvmn_ros.emg.message import chunk_from_message, stamp_to_ns
from leconvmn_ros.msg import EmgArray
from lsl_outlet import outlet, stay_on_this_machine
from node_harness import LATCHED
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from std_msgs.msg import String

# A machine that runs other tests takes its time (s).
SLACK = 2.0
OK, WARN, ERROR = b'\x00', b'\x01', b'\x02'


@pytest.fixture(scope='module', autouse=True)
def lsl(tmp_path_factory):
    stay_on_this_machine(tmp_path_factory.mktemp('lsl'))


class Watcher:
    """What a node publishes."""

    def __init__(self, ros):
        self._ros = ros
        self.emg = ros.collect('/emg', EmgArray)
        self.descriptions = ros.collect('/emg_description', String, LATCHED)
        self.reports = ros.collect('/diagnostics', DiagnosticArray, QoSProfile(depth=10))

    def wait_for_samples(self, count=50):
        before = len(self.emg)
        assert self._ros.spin_until(
            lambda: (
                sum(len(a.message.samples) // a.message.channels for a in self.emg[before:])
                >= count
            )
        )

    @property
    def status(self):
        return self.reports[-1].message.status[0]

    def wait_for_level(self, level, text='', timeout=20.0):
        """Wait for a report of this level; return when it came (s, monotonic)."""
        assert self._ros.spin_until(
            lambda: self.reports and self.status.level == level and text in self.status.message,
            timeout,
        ), self.reports[-1:]
        return self.reports[-1].time


@pytest.fixture
def watcher(ros):
    return Watcher(ros)


def test_a_source_becomes_messages_in_volts_with_a_description(start, watcher):
    start(
        'emg_source',
        parameters={
            'source': 'synthetic',
            'options': 'channels=4 rate=500 movements=1 repetitions=1',
            'channels': '3, 0-2',
            'ring': '[[0..1], [2..3]]',
            'ring_offset': '0.5',
            'arm': 'left',
        },
    )
    watcher.wait_for_samples(200)
    chunks = [chunk_from_message(arrival.message) for arrival in watcher.emg]
    assert {chunk.samples.shape[1] for chunk in chunks} == {4}
    assert all(chunk.sampling_rate == 500 for chunk in chunks)
    ends = [chunk.first_sample + len(chunk.samples) for chunk in chunks]
    assert [chunk.first_sample for chunk in chunks[1:]] == ends[:-1]
    assert abs(stamp_to_ns(watcher.emg[-1].message.header.stamp) / 1e9 - time.time()) < 10
    description = parse_description(watcher.descriptions[-1].message.data)
    assert description.channels == ('3', '0', '1', '2')
    assert description.rings == ((0, 1), (2, 3))
    assert description.offset == (0.5,)
    assert description.arm == 'left'
    assert description.source == 'synthetic'
    watcher.wait_for_level(OK, 'streaming')


def test_silence_is_reported_within_a_second_and_the_device_comes_back(start, watcher):
    with EmulatedCyton() as board:
        node = start(
            'emg_source',
            parameters={
                'source': 'brainflow',
                'options': f'board=CYTON serial_port={board.port}',
            },
        )
        watcher.wait_for_samples(100)
        watcher.wait_for_level(OK)
        board.muted.set()
        muted = time.monotonic()
        assert watcher.wait_for_level(ERROR, 'no samples for') - muted < 1.0 + SLACK
        node.wait_for_text('has sent nothing for 0.')
        board.muted.clear()
        watcher.wait_for_level(OK)
        node.wait_for_text('is back after')
        age = time.time() - stamp_to_ns(watcher.emg[-1].message.header.stamp) / 1e9
        assert age < 5
        assert int(dict(values(watcher.status))['lost samples, total']) > 50


def values(status):
    return [(entry.key, entry.value) for entry in status.values]


def test_a_board_that_is_plugged_in_later_is_found(start, watcher, tmp_path):
    port = tmp_path / 'ttyUSB0'
    node = start(
        'emg_source',
        parameters={'source': 'brainflow', 'options': f'board=CYTON serial_port={port}'},
    )
    watcher.wait_for_level(ERROR, 'plug in the dongle')
    node.wait_for_text(f'{port} is not there: plug in the dongle')
    with EmulatedCyton() as board:
        Path(port).symlink_to(board.port)
        watcher.wait_for_level(OK)
        watcher.wait_for_samples(50)
    assert node.text.count('plug in the dongle') == 1


def test_an_outlet_that_starts_again_is_read_again(start, watcher):
    with outlet():
        node = start('emg_source', parameters={'source': 'lsl'})
        watcher.wait_for_samples(100)
    watcher.wait_for_level(ERROR, 'no samples for')
    with outlet(first=10_000):
        watcher.wait_for_level(OK)
        watcher.wait_for_samples(50)
        node.wait_for_text('is back after')
    chunks = [chunk_from_message(arrival.message) for arrival in watcher.emg]
    # One counter from the first sample to the last: what was lost meanwhile is missing in it.
    firsts = np.array([chunk.first_sample for chunk in chunks])
    assert np.all(np.diff(firsts) > 0)
    assert chunks[-1].samples[0, 0] * 1e6 >= 10_000


def test_a_wrong_unit_is_refused_and_a_scale_mends_it(start, watcher):
    with outlet(unit='counts'):
        node = start('emg_source', parameters={'source': 'lsl'})
        assert node.wait() == 1
        assert "its unit is 'counts'; allowed are V, mV, uV, nV" in node.text
        start('emg_source', parameters={'source': 'lsl', 'scale': 2e-6})
        watcher.wait_for_samples(20)
    chunk = chunk_from_message(watcher.emg[-1].message)
    assert np.allclose(chunk.samples[:, 3], 6e-6)


def test_the_end_of_a_bag_ends_the_node(start, watcher, tmp_path):
    from small_recordings import small_bag

    bag = small_bag(tmp_path / 'bag', 10)
    node = start('emg_source', parameters={'source': 'bag', 'options': f'path={bag} speed=5'})
    assert node.wait() == 0
    assert watcher.emg or watcher.wait_for_samples(10) is None


@pytest.mark.parametrize(
    ('parameters', 'complaint'),
    [
        ({}, 'parameter source is empty; `leconvmn_ros sources` lists'),
        ({'source': 'brainflow', 'options': 'board=MYO'}, "board='MYO' is not a board"),
        ({'source': 'synthetic', 'channels': '8'}, 'there is no channel 8'),
        ({'source': 'synthetic', 'arm': 'up'}, 'arm'),
    ],
)
def test_what_cannot_work_ends_the_node_with_one_line(start, parameters, complaint):
    node = start('emg_source', parameters=parameters)
    assert node.wait() == 1
    assert complaint in node.text
    assert 'Traceback' not in node.text


def test_a_node_without_a_device_ends_at_once(start):
    node = start('emg_source', parameters={'source': 'brainflow', 'options': 'board=CYTON'})
    node.wait_for_text('no serial_port is given')
    assert node.end() < 5


def test_sources_are_listed(capsys):
    from cli_harness import run

    code, output, _ = run(capsys, 'sources', 'brainflow')
    assert code == 0
    assert 'brainflow: A board supported by BrainFlow' in output
    assert 'CYTON (8 channels, 250 Hz)' in output
    code, output, _ = run(capsys, 'sources', 'synthetic')
    assert 'seed=  which subject (default 0)' in output
    code, _, error = run(capsys, 'sources', 'none')
    assert code == 1
    assert "there is no source 'none'" in error
