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

"""Results as files and as text: each file appears whole or not at all."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from leconvmn_ros.errors import OutputError
from leconvmn_ros.evaluation.metrics import METRICS
from leconvmn_ros.recording import JointTrack
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
METRIC_DIGITS = {'cc': 3, 'rmse': 2, 'nrmse': 3, 'r2': 3, 'mae': 2}


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and move it into place.

    Raises:
        OutputError: the place cannot be written.
    """
    # Not made by tempfile: that would hide the results from all other users.
    scratch = path.parent / f'.{path.name[:50]}.{os.getpid()}.partial'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            scratch.write_bytes(content)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f'cannot write {path}: {error.strerror or error}') from error


def write_text(path: Path, text: str) -> None:
    """Write a text file; see `write_bytes` for what is raised."""
    write_bytes(path, text.encode())


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write a report; see `write_text` for what is raised."""
    write_text(path, json.dumps(report, indent=2, allow_nan=False) + '\n')


def write_estimates(path: Path, track: JointTrack) -> None:
    """Write joint angles as CSV: stamp (ns), then each joint (rad), without loss of precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['stamp_ns', *track.names])
    for stamp_ns, positions in zip(
        track.stamps_ns.tolist(), track.positions.tolist(), strict=True
    ):
        writer.writerow([stamp_ns, *positions])
    write_text(path, text.getvalue())


def read_estimates(path: Path) -> JointTrack:
    """Read what `write_estimates` wrote."""
    with path.open(encoding='utf-8', newline='') as file:
        header, *rows = csv.reader(file)
    stamps_ns = np.array([int(row[0]) for row in rows], dtype=np.int64)
    positions = np.array([[float(value) for value in row[1:]] for row in rows])
    return JointTrack(stamps_ns, tuple(header[1:]), positions.reshape(-1, len(header) - 1))


def score_table_text(report: dict[str, Any], title: str) -> Table:
    """Lay out the `joints` and `mean` of a report (see `evaluation.as_json`) as a table."""
    # Text, so that brackets in a name are not taken for markup.
    table = Table(title=Text(title), title_justify='left')
    table.add_column('joint')
    for metric in METRICS:
        table.add_column(METRIC_TITLES[metric], justify='right')
    for name, score in report['joints'].items():
        table.add_row(Text(name), *_cells(score))
    table.add_section()
    table.add_row('mean', *_cells(report['mean']))
    return table


def _cells(score: dict[str, Any]) -> list[str]:
    return ['-' if score[m] is None else f'{score[m]:.{METRIC_DIGITS[m]}f}' for m in METRICS]
