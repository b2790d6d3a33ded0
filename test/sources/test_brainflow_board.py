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

"""BrainFlow and MindRove: boards of the libraries, and the real Cyton driver on a serial port."""

import subprocess
import sys
import time

from emulated_cyton import EmulatedCyton, VOLTS
from leconvmn_ros.core.errors import ConfigurationError, SourceError
from leconvmn_ros.sources.registry import make_source
from leconvmn_ros.sources.stream import EmgStream
import numpy as np
import pytest

pytest.importorskip('brainflow', reason='BrainFlow is not installed')


@pytest.fixture
def opened():
    """Opens sources, which are closed after the test."""
    sources = []

    def begin(name, options):
        source = make_source(name, options)
        sources.append(source)
        return source, source.open()

    yield begin
    for source in sources:
        source.close()


class Reader:
    """Reads a source as the node does."""

    def __init__(self, source, description):
        self.source = source
        self.stream = EmgStream(
            description, 1e-6, np.arange(len(description.channels)), silence=0.5
        )
        self.chunks = []

    def read_until(self, condition, timeout=20.0):
        """Read until the condition is true; return whether it came true."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                return False
            self.chunks += self.stream.take(self.source.read(), time.time())
            time.sleep(0.02)
        return True

    @property
    def numbers(self):
        return np.concatenate(
            [np.arange(len(chunk.samples)) + chunk.first_sample for chunk in self.chunks]
        )

    @property
    def samples(self):
        return np.concatenate([chunk.samples for chunk in self.chunks])


def has_samples(reader, count):
    return lambda: reader.stream.counts.samples >= count


@pytest.mark.parametrize('name', ['brainflow', 'mindrove'])
def test_the_synthetic_board_of_the_library_is_read(opened, name):
    pytest.importorskip(name)
    reader = Reader(*opened(name, 'board=SYNTHETIC'))
    assert reader.read_until(has_samples(reader, 300))
    assert reader.stream.counts.faults() == {}
    assert np.array_equal(reader.numbers, np.arange(len(reader.numbers)))
    # Tens of microvolts, in volts.
    assert 1e-6 < np.abs(reader.samples).mean() < 1e-3


def test_a_recording_of_a_board_is_played(opened, tmp_path):
    from brainflow.board_shim import BoardIds, BoardShim
    from brainflow.data_filter import DataFilter

    rows = BoardShim.get_board_descr(BoardIds.CYTON_BOARD)
    data = np.zeros((rows['num_rows'], 500))
    data[rows['emg_channels']] = np.arange(500) + 1000.0 * np.arange(8)[:, None]
    data[rows['package_num_channel']] = np.arange(500) % 256
    data[rows['timestamp_channel']] = 1e9 + np.arange(500) / 250
    DataFilter.write_file(data, str(tmp_path / 'cyton.csv'), 'w')
    options = f'board=PLAYBACK_FILE master_board=CYTON file={tmp_path}/cyton.csv'
    reader = Reader(*opened('brainflow', options))
    assert reader.read_until(has_samples(reader, 200))
    assert reader.stream.counts.lost_samples == 0
    values = reader.samples * 1e6
    assert np.allclose(np.diff(values[:, 0]), 1, atol=1e-3)
    assert np.allclose(values[:, 3] - values[:, 0], 3000, atol=1e-2)


def test_a_cyton_loses_nothing_that_is_not_counted(opened):
    dropped = {*range(250, 260), 400, *range(500, 756)}
    with EmulatedCyton(dropped) as board:
        reader = Reader(*opened('brainflow', f'board=CYTON serial_port={board.port}'))
        assert reader.read_until(has_samples(reader, 700))
    # 256 samples are a whole turn of the board's counter: only time tells of them.
    assert reader.stream.counts.lost_samples == len(dropped)
    origin = np.rint(reader.samples[:, 0] * 1e6 / (VOLTS * 1e6)) - 1000
    first = int(origin[0]) - int(reader.numbers[0])
    assert np.array_equal((reader.numbers + first) % 100, origin % 100)
    gaps = reader.numbers[1:][np.diff(reader.numbers) > 1]
    assert len(gaps) == 3


def test_a_pulled_cable_is_silence_and_a_new_one_is_opened(opened):
    with EmulatedCyton() as board:
        source, description = opened('brainflow', f'board=CYTON serial_port={board.port}')
        reader = Reader(source, description)
        assert reader.read_until(has_samples(reader, 100))
        board.pull_the_cable()
        before = reader.stream.counts.samples
        assert not reader.read_until(has_samples(reader, before + 50), timeout=1.0)
    source.close()
    with EmulatedCyton() as board:
        again = make_source('brainflow', f'board=CYTON serial_port={board.port}')
        again.open()
        reader.source = again
        reader.stream.reopened(time.time())
        assert reader.read_until(has_samples(reader, before + 100))
        again.close()
    assert reader.stream.counts.interruptions == 1
    assert np.all(np.diff(reader.numbers) > 0)


def test_what_comes_after_a_silence_is_of_the_present(opened):
    with EmulatedCyton() as board:
        reader = Reader(*opened('brainflow', f'board=CYTON serial_port={board.port}'))
        assert reader.read_until(has_samples(reader, 100))
        board.muted.set()
        before = reader.stream.counts.samples
        assert not reader.read_until(has_samples(reader, before + 50), timeout=0.8)
        board.muted.clear()
        assert reader.read_until(has_samples(reader, before + 50))
    assert abs(time.time() - reader.chunks[-1].stamp_ns / 1e9) < 2
    assert reader.stream.counts.interruptions == 1
    assert reader.stream.counts.lost_samples > 100


def test_a_mindrove_armband_that_is_not_there_is_silent(opened):
    pytest.importorskip('mindrove')
    source, description = opened('mindrove', '')
    assert description.rings == (tuple(range(8)),)
    assert description.sampling_rate == 500
    time.sleep(0.2)
    assert source.read() is None


@pytest.mark.parametrize(
    ('options', 'complaint'),
    [
        ('board=MYO', "board='MYO' is not a board; there are .*CYTON"),
        ('', "board='' is not a board"),
        ('board=CYTON serial_port=/dev/nothing', '/dev/nothing is not there: plug in'),
        ('board=CYTON', 'no serial_port is given, and there is none'),
        ('board=GANGLION_WIFI ip_port=99999', 'ip_port'),
        ('board=MUSE_2', 'MUSE_2 has no channels of EMG'),
        ('board=PLAYBACK_FILE master_board=CYTON file=/none', 'PLAYBACK_FILE: '),
        ('board=CYTON colour=red', 'colour.*there are: board'),
        ('board', "'board' is not of the form name=value"),
        ('board="CYTON', 'No closing quotation'),
    ],
)
def test_what_cannot_work_says_what_to_do(options, complaint, monkeypatch):
    monkeypatch.setattr('leconvmn_ros.sources.brainflow_board._SERIAL_PORTS', ())
    with pytest.raises((ConfigurationError, SourceError), match=complaint):
        make_source('brainflow', options).open()


def test_a_port_without_permission_says_how_to_get_it(monkeypatch):
    # Root may open everything.
    monkeypatch.setattr('leconvmn_ros.sources.brainflow_board._allowed', lambda _: False)
    with EmulatedCyton() as board:
        source = make_source('brainflow', f'board=CYTON serial_port={board.port}')
        with pytest.raises(SourceError, match=r'no permission to open /dev/.*usermod -aG dialout'):
            source.open()


def test_a_board_that_does_not_answer_is_named():
    import os
    import pty

    master, slave = pty.openpty()
    source = make_source('brainflow', f'board=CYTON serial_port={os.ttyname(slave)} timeout=1')
    with pytest.raises(SourceError, match='CYTON: it does not answer: is it switched on'):
        source.open()
    os.close(master)
    os.close(slave)


def test_boards_and_ports_are_listed(monkeypatch):
    from leconvmn_ros.sources.brainflow_board import BrainFlowSource

    assert 'CYTON (8 channels, 250 Hz)' in BrainFlowSource.known()
    with EmulatedCyton() as board:
        monkeypatch.setattr('leconvmn_ros.sources.brainflow_board._SERIAL_PORTS', (board.port,))
        assert BrainFlowSource.find() == [f'serial_port={board.port}']


def test_a_library_that_is_missing_is_named_with_the_way_to_install_it():
    code = (
        'import sys; sys.modules["brainflow"] = None\n'
        'from leconvmn_ros.sources.registry import make_source\n'
        'make_source("brainflow", "board=CYTON").open()'
    )
    child = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=False
    )
    assert 'brainflow is not installed: pip install leconvmn_ros[brainflow]' in child.stderr
