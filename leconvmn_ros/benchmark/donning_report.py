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

"""The table of the protocol `redonning`: the gain from each kind of adaptation."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from leconvmn_ros.benchmark.donning_plan import DonningPlan
from leconvmn_ros.benchmark.results import Donned, DonningScore, RunResult
from leconvmn_ros.benchmark.summary import counted, outcomes_of, RunCounts
from leconvmn_ros.benchmark.tables import write_csv, write_results
from leconvmn_ros.core.errors import printable
from leconvmn_ros.core.strict_model import StrictModel
import numpy as np
from pydantic import Field
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

NEW_SESSIONS = 'new sessions'
_COLUMNS = ('preset', 'database', 'person', 'seed', *DonningScore.model_fields)


class DonningRow(StrictModel):
    """One line of the table."""

    group: str = Field(description='the database, and whether its people chose something')
    preset: str
    session: str = Field(description='the change, or all new sessions together')
    trained_on: str
    method: str
    cc: float | None = Field(description='mean over people, of each the mean over all scores')
    worst: float | None = Field(description='the lowest of all scores')
    people: int
    scores: int = Field(description='seeds x draws or sessions')
    refused: int = Field(description='number of them that were not adapted')
    seconds: float = Field(description='of EMG to adapt by, mean')


class DonningSummary(RunCounts):
    """All numbers of a report."""

    rows: tuple[DonningRow, ...]


class _Score(NamedTuple):
    preset: str
    database: str
    person: str
    seed: int
    group: str
    score: DonningScore


def summarise_donnings(plan: DonningPlan, results: Sequence[RunResult]) -> DonningSummary:
    """Summarise the available results."""
    return DonningSummary(
        **counted(outcomes_of(plan, results)),
        rows=tuple(_rows(list(_scores(plan, results)), virtual=bool(plan.options.changes))),
    )


def _scores(plan: DonningPlan, results: Sequence[RunResult]) -> Iterator[_Score]:
    people = {person.slug: person for person in plan.people}
    for result in results:
        person = people[result.bag]
        group = person.database
        if plan.development:
            chose = result.bag in plan.development
            group += ', development people' if chose else ', people who chose nothing'
        if isinstance(result.outcome, Donned):
            for score in result.outcome.scores:
                yield _Score(
                    result.preset, person.database, person.name, result.seed, group, score
                )


def _rows(scores: Sequence[_Score], *, virtual: bool) -> Iterator[DonningRow]:
    lines: dict[tuple[str, ...], list[_Score]] = {}
    for each in scores:
        session = each.score.session if virtual else NEW_SESSIONS
        key = (each.group, each.preset, session, each.score.trained_on, each.score.method)
        lines.setdefault(key, []).append(each)
    for (group, preset, session, trained_on, method), of_it in lines.items():
        by_person: dict[str, list[float]] = {}
        for each in of_it:
            if each.score.cc is not None:
                by_person.setdefault(each.person, []).append(each.score.cc)
        means = [float(np.mean(values)) for values in by_person.values()]
        yield DonningRow(
            group=group,
            preset=preset,
            session=session,
            trained_on=trained_on,
            method=method,
            cc=float(np.mean(means)) if means else None,
            worst=min((min(values) for values in by_person.values()), default=None),
            people=len(by_person),
            scores=len(of_it),
            refused=sum(bool(each.score.refused) for each in of_it),
            seconds=float(np.mean([each.score.seconds for each in of_it])),
        )


def write_donnings(
    folder: Path, plan: DonningPlan, results: Sequence[RunResult], summary: DonningSummary
) -> None:
    """Write results.json, and results.csv with every score.

    Raises:
        OutputError: the place cannot be written.
    """
    write_results(folder, plan, results, summary)
    rows = [
        [each.preset, each.database, each.person, each.seed, *each.score.model_dump().values()]
        for each in _scores(plan, results)
    ]
    write_csv(folder / 'results.csv', _COLUMNS, rows)


def donning_tables(summary: DonningSummary) -> Iterator[Table]:
    """Lay out a table for each group and model, for a terminal."""
    for group, preset in dict.fromkeys((row.group, row.preset) for row in summary.rows):
        # Text, so that brackets are not taken for markup.
        title = Text(printable(f'{group}: {preset}'))
        table = Table(title=title, title_justify='left', box=SIMPLE_HEAD, pad_edge=False)
        for name in ('session', 'trained on', 'adapted'):
            table.add_column(name, no_wrap=True)
        for name in ('CC', 'worst', 'people', 'refused'):
            table.add_column(name, justify='right')
        for row in summary.rows:
            if (row.group, row.preset) == (group, preset):
                names = (row.session, row.trained_on, row.method)
                table.add_row(
                    *(Text(printable(name)) for name in names),
                    *('-' if cc is None else f'{cc:.3f}' for cc in (row.cc, row.worst)),
                    str(row.people),
                    f'{row.refused} of {row.scores}' if row.refused else '',
                )
        yield table
