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

"""Files of results: whole or not at all."""

import csv
import errno
import json
import os
from pathlib import Path

from leconvmn_ros.errors import OutputError
from leconvmn_ros.evaluation.comparison import Comparison
from leconvmn_ros.evaluation.metrics import as_json
from leconvmn_ros.evaluation.tables import (
    read_estimates,
    score_table_text,
    write_bytes,
    write_estimates,
    write_json,
    write_text,
)
from leconvmn_ros.recording import JointTrack
import numpy as np
import pytest
from rich.console import Console

TRACK = JointTrack(
    np.array([1_700_000_000_123_456_789, 1_700_000_000_123_456_790]),
    ('thumb', 'a, "b"'),
    np.array([[0.1, 1 / 3], [np.nextafter(0, 1), -1e300]]),
)


def test_estimates_come_back_bit_by_bit(tmp_path):
    write_estimates(tmp_path / 'deep' / 'e.csv', TRACK)
    back = read_estimates(tmp_path / 'deep' / 'e.csv')
    assert back.names == TRACK.names
    np.testing.assert_array_equal(back.stamps_ns, TRACK.stamps_ns)
    np.testing.assert_array_equal(back.positions, TRACK.positions)
    with (tmp_path / 'deep' / 'e.csv').open(newline='') as file:
        assert next(csv.reader(file)) == ['stamp_ns', 'thumb', 'a, "b"']


def test_no_estimates_come_back_too(tmp_path):
    empty = JointTrack(np.zeros(0, np.int64), ('a', 'b'), np.zeros((0, 2)))
    write_estimates(tmp_path / 'e.csv', empty)
    assert read_estimates(tmp_path / 'e.csv').positions.shape == (0, 2)


@pytest.mark.parametrize('there', [False, True])
@pytest.mark.parametrize(
    ('method', 'error'),
    [
        ('write_bytes', OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
        ('write_bytes', KeyboardInterrupt()),
        ('replace', OSError(errno.EIO, 'broken')),
    ],
)
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, there, method, error):
    path = tmp_path / 'report.json'
    if there:
        path.write_text('old')

    def fail(self, *_):
        if method == 'write_bytes':
            with self.open('wb') as file:
                file.write(b'half')
        raise error

    monkeypatch.setattr(Path, method, fail)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_text(path, 'new')
    assert [p.name for p in tmp_path.iterdir()] == (['report.json'] if there else [])
    if there:
        assert path.read_text() == 'old'


@pytest.mark.parametrize('place', ['file/report', 'folder', 'x' * 300, '/proc/nobody/report'])
def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path, place):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'folder').mkdir()
    with pytest.raises(OutputError, match=r'cannot write .*: '):
        write_bytes(tmp_path / place, b'')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['file', 'folder']


def test_results_are_as_readable_as_any_file(tmp_path):
    (tmp_path / 'plain').write_text('')
    write_text(tmp_path / 'report', 'text')
    assert (tmp_path / 'report').stat().st_mode == (tmp_path / 'plain').stat().st_mode


def test_json_is_strict(tmp_path):
    write_json(tmp_path / 'a.json', {'a': None, 'b': 'ä'})
    assert json.loads((tmp_path / 'a.json').read_text()) == {'a': None, 'b': 'ä'}
    with pytest.raises(ValueError, match='Out of range'):
        write_json(tmp_path / 'a.json', {'a': float('nan')})
    assert json.loads((tmp_path / 'a.json').read_text())['a'] is None


def test_table_shows_every_figure_with_its_unit_and_brackets_as_they_are():
    truth = np.array([[0.0, 1], [0.5, 1], [1, 1]])
    comparison = Comparison(np.arange(3), ('mcp[/]', 'still'), truth, truth + 0.1)
    console = Console(width=200, record=True, file=open(os.devnull, 'w'))  # noqa: PTH123, SIM115
    console.print(score_table_text(as_json(comparison.score()), 'run[1] on [bold]bag[/]'))
    text = console.export_text()
    assert 'run[1] on [bold]bag[/]' in text
    assert 'RMSE (deg)' in text
    assert 'MAE (deg)' in text
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for cells in (line.split('│') for line in text.splitlines())
        if len(cells) == 8
    }
    assert rows['mcp[/]'] == ['1.000', '5.73', '0.100', '0.940', '5.73']
    assert rows['still'] == ['-', '5.73', '-', '-', '5.73']
    assert rows['mean'] == ['1.000', '5.73', '0.100', '0.940', '5.73']
