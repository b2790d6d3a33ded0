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

"""Estimates as CSV, scores as a table."""

import csv
import os

from leconvmn_ros.core.recording import JointTrack
from leconvmn_ros.evaluation.comparison import Comparison
from leconvmn_ros.evaluation.metrics import as_json
from leconvmn_ros.evaluation.tables import (
    read_estimates,
    score_table_text,
    write_estimates,
)
import numpy as np
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
