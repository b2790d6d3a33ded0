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

"""Writes estimates as CSV, and formats scores as tables."""

import csv
import io
from pathlib import Path
from typing import Any

from leconvmn_ros.core.errors import printable
from leconvmn_ros.core.files import open_input, write_text
from leconvmn_ros.core.recording import JointTrack
from leconvmn_ros.evaluation.metrics import METRICS
import numpy as np
from rich.table import Table
from rich.text import Text

METRIC_TITLES = {
    'cc': 'CC',
    'rmse': 'RMSE (deg)',
    'nrmse': 'NRMSE',
    'r2': 'R2',
    'mae': 'MAE (deg)',
}
# Title and number of digits of each figure of `behaviour.Behaviour`.
BEHAVIOUR_TITLES = {
    'delay': ('delay at best correlation (s)', 2),
    'right_movements': ('share of repetitions with the right movement', 2),
    'reference_right_movements': ('the same of the measured hand', 2),
    'unrest': ('unrest at rest (deg)', 2),
    'reference_unrest': ('the same of the measured hand (deg)', 2),
    'false_movements': ('false movements per minute of rest', 2),
}
# Titles for a table with a row for each model.
USE_TITLES = {
    'shuffled_cc': 'CC, shuffled order',
    'gap': 'gap to own order',
    'right_movements': 'right movements',
    'delay': 'delay (s)',
    'unrest': 'unrest at rest (deg)',
    'false_movements': 'false movements per min',
}
USE_DIGITS = {name: 3 if name in {'shuffled_cc', 'gap'} else 2 for name in USE_TITLES}
METRIC_DIGITS = {'cc': 3, 'rmse': 2, 'nrmse': 3, 'r2': 3, 'mae': 2}


def write_estimates(path: Path, track: JointTrack) -> None:
    """Write joint angles as CSV: stamp (ns), then each joint (rad), without loss of precision.

    Raises:
        OutputError: the place cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['stamp_ns', *track.names])
    for stamp_ns, positions in zip(
        track.stamps_ns.tolist(), track.positions.tolist(), strict=True
    ):
        writer.writerow([stamp_ns, *positions])
    write_text(path, text.getvalue())


def read_estimates(path: Path) -> JointTrack:
    """Read the CSV of `write_estimates`.

    Raises:
        OSError: as `open_input`.
    """
    with io.TextIOWrapper(open_input(path), encoding='utf-8', newline='') as file:
        header, *rows = csv.reader(file)
    stamps_ns = np.array([int(row[0]) for row in rows], dtype=np.int64)
    positions = np.array([[float(value) for value in row[1:]] for row in rows])
    return JointTrack(stamps_ns, tuple(header[1:]), positions.reshape(-1, len(header) - 1))


def score_table_text(report: dict[str, Any], title: str) -> Table:
    """Format the `joints` and `mean` of a report (see `evaluation.as_json`) as a table."""
    # A Text, so that brackets in a name are not interpreted as markup.
    table = Table(title=Text(printable(title)), title_justify='left')
    table.add_column('joint')
    for metric in METRICS:
        table.add_column(METRIC_TITLES[metric], justify='right')
    for name, score in report['joints'].items():
        table.add_row(Text(printable(name)), *_cells(score))
    table.add_section()
    table.add_row('mean', *_cells(report['mean']))
    return table


def behaviour_table(report: dict[str, Any], title: str) -> Table:
    """Format the figures of `behaviour.Behaviour` in both orders, and the overlap in context.

    Args:
        report: see `recording_scores.evaluation_report`.
        title: title of the table.
    """
    shuffled = report['shuffled_order']
    columns = [] if shuffled is None else [('shuffled order', shuffled['behaviour'])]
    columns.append(("recording's order", report['behaviour']))
    table = Table(title=Text(printable(title)), title_justify='left')
    table.add_column('figure')
    for name, _ in columns:
        table.add_column(name, justify='right')
    for name, (words, digits) in BEHAVIOUR_TITLES.items():
        table.add_row(words, *(_digits(figures[name], digits) for _, figures in columns))
    if (overlap := report['context_overlap']) is not None:
        keys = ['same_before'] if shuffled is None else ['same_before_shuffled', 'same_before']
        table.add_row(
            'same movement before as in training', *(_digits(overlap[key], 2) for key in keys)
        )
    return table


def _digits(value: float | None, digits: int) -> str:
    return '-' if value is None else f'{value:.{digits}f}'


def _cells(score: dict[str, Any]) -> list[str]:
    return ['-' if score[m] is None else f'{score[m]:.{METRIC_DIGITS[m]}f}' for m in METRICS]
