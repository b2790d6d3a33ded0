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

"""The results of a benchmark as CSV and JSON files and as tables on a terminal."""

from collections.abc import Sequence
import csv
import io
from pathlib import Path
from typing import Any

from leconvmn_ros.benchmark.plan import Plan
from leconvmn_ros.benchmark.results import Failed, Figures, RunResult, Scored, UseFigures
from leconvmn_ros.benchmark.summary import Group, Spread, Summary
from leconvmn_ros.core.errors import printable
from leconvmn_ros.core.files import write_json, write_text
from leconvmn_ros.core.strict_model import StrictModel
from leconvmn_ros.evaluation.tables import METRIC_DIGITS, METRIC_TITLES, USE_DIGITS, USE_TITLES
from rich.table import Table
from rich.text import Text

RUN_COLUMNS = ('preset', 'bag', 'seed')
FIGURE_COLUMNS = tuple(Figures.model_fields)
USE_COLUMNS = tuple(UseFigures.model_fields)
COST_COLUMNS = ('best_epoch', 'parameters', 'training_seconds', 'step_seconds')


def write_results(
    folder: Path, plan: StrictModel, results: Sequence[RunResult], summary: StrictModel
) -> None:
    """Write results.json: everything there is.

    Raises:
        OutputError: the place cannot be written.
    """
    write_json(
        folder / 'results.json',
        {
            'plan': plan.model_dump(mode='json'),
            'summary': summary.model_dump(mode='json'),
            'runs': [result.model_dump(mode='json') for result in results],
        },
    )


def write_tables(folder: Path, plan: Plan, results: Sequence[RunResult], summary: Summary) -> None:
    """Write results.json, and CSV files by run, joint and movement; RMSE and MAE are in degrees.

    Raises:
        OutputError: the place cannot be written.
    """
    write_results(folder, plan, results, summary)
    information = ('database', 'subject', 'joint_unit')
    by_run, by_joint, by_movement = [], [], []
    for result in results:
        run = [result.preset, result.bag, result.seed]
        scored = result.outcome
        if isinstance(scored, Failed):
            columns = (*information, *USE_COLUMNS, *FIGURE_COLUMNS, *COST_COLUMNS)
            # And their count, the processor and the device.
            empty = [''] * (len(columns) + 3)
            by_run.append([*run, 'failed', scored.error, *empty, result.key])
            continue
        if not isinstance(scored, Scored):  # another protocol has its own tables
            continue
        by_run.append(
            [
                *(*run, 'scored', ''),
                *(scored.information.get(name, '') for name in information),
                *(getattr(scored.in_use, name) for name in USE_COLUMNS),
                *(scored.scores.count, *_figures(scored.scores.mean)),
                *(getattr(scored, name) for name in COST_COLUMNS),
                *(scored.environment.processor, scored.environment.device, result.key),
            ]
        )
        by_joint += [[*run, j, *_figures(row)] for j, row in scored.scores.joints.items()]
        by_movement += [
            [*run, m, row.count, *_figures(row.mean)] for m, row in scored.movements.items()
        ]
    outcome = ('outcome', 'error', *information, *USE_COLUMNS)
    figures = ('count', *FIGURE_COLUMNS, *COST_COLUMNS)
    ending = ('processor', 'device', 'key')
    write_csv(folder / 'results.csv', (*RUN_COLUMNS, *outcome, *figures, *ending), by_run)
    write_csv(folder / 'results_by_joint.csv', (*RUN_COLUMNS, 'joint', *FIGURE_COLUMNS), by_joint)
    write_csv(
        folder / 'results_by_movement.csv',
        (*RUN_COLUMNS, 'movement', 'count', *FIGURE_COLUMNS),
        by_movement,
    )


def _figures(figures: Figures) -> list[Any]:
    return [getattr(figures, name) for name in FIGURE_COLUMNS]


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table.

    Raises:
        OutputError: the place cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerows([header, *rows])
    write_text(path, text.getvalue())


def group_table(group: Group) -> Table:
    """Lay out the scores of the models in one group of subjects, for a terminal."""
    unit = f' [{group.joint_unit}]' if 'nominal' in group.joint_unit else ''
    # Text, so that brackets are not taken for markup.
    table = Table(title=Text(printable(f'{group.title}{unit}')), title_justify='left')
    table.add_column('model')
    table.add_column('subjects', justify='right')
    # The scores to expect in use come first.
    table.add_column(USE_TITLES['shuffled_cc'], justify='right')
    for metric in group.metrics:
        table.add_column(METRIC_TITLES[metric], justify='right')
    for name, model in group.models.items():
        cells = [
            spread_text(model.mean[metric], METRIC_DIGITS[metric]) for metric in group.metrics
        ]
        in_use = spread_text(model.in_use['shuffled_cc'], USE_DIGITS['shuffled_cc'])
        table.add_row(Text(printable(name)), str(len(model.subjects)), in_use, *cells)
    return table


def spread_text(spread: Spread, digits: int) -> str:
    """Return mean and standard deviation over subjects with this many decimals."""
    if spread.mean is None:
        return '-'
    text = f'{spread.mean:.{digits}f}'
    return text if spread.sd is None else f'{text} \N{PLUS-MINUS SIGN} {spread.sd:.{digits}f}'
