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

"""The runs of a benchmark, summed up over subjects: means, spreads and paired tests.

A subject counts once: its runs (seeds, and bags if it has several) are averaged first. RMSE and
MAE are only averaged within a database: the angles of some are not calibrated, so that a degree
of one is not a degree of the other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any, Final, NamedTuple

from leconvmn_ros.benchmark.donning_plan import AnyPlan
from leconvmn_ros.benchmark.plan import Plan
from leconvmn_ros.benchmark.results import Failed, Figures, Outcome, RunResult, Scored, UseFigures
from leconvmn_ros.core.strict_model import StrictModel
from leconvmn_ros.evaluation.metrics import METRICS
from leconvmn_ros.evaluation.paired_tests import compare_methods, PairedTest
import numpy as np
from pydantic import Field

# Metrics that may be averaged over databases whose degrees differ.
WITHOUT_UNIT: Final = tuple(metric for metric in METRICS if metric not in {'rmse', 'mae'})
ALL_DATABASES: Final = 'all databases'
REPORTING: Final = ', people who chose nothing'
DEVELOPMENT: Final = ', development people (something was chosen on them: no claim)'


class Spread(StrictModel):
    """A figure over subjects."""

    mean: float | None = Field(description='None if no subject has the figure')
    sd: float | None = Field(description='standard deviation (n-1); None below two subjects')
    n: int = Field(ge=0, description='subjects that have the figure')


class Cost(StrictModel):
    """The cost of a model, over its runs."""

    parameters: tuple[int, int] = Field(description='least and most trained values')
    best_epoch: float = Field(description='median')
    epochs: float = Field(description='median')
    training_seconds: float = Field(description='median')
    step_seconds: float = Field(
        description='time for one state: the least of the runs, to which other work only adds'
    )


class ModelSummary(StrictModel):
    """The scores of one model in a group of subjects."""

    subjects: dict[str, dict[str, float | None]] = Field(description='figures of each subject')
    joint_subjects: dict[str, dict[str, dict[str, float | None]]] = Field(
        description='the same for each joint'
    )
    mean: dict[str, Spread] = Field(description='by metric, of the mean over joints')
    joints: dict[str, dict[str, Spread]]
    movements: dict[int, dict[str, Spread]]
    use_subjects: dict[str, dict[str, float | None]] = Field(
        description='figures of use of each subject, see `results.UseFigures`'
    )
    in_use: dict[str, Spread]
    cost: Cost


class Group(StrictModel):
    """Subjects whose figures may be averaged."""

    title: str
    joint_unit: str = Field(description='as the bags say; empty for all databases together')
    pooled: bool = Field(description='whether these are all databases together')
    metrics: tuple[str, ...]
    models: dict[str, ModelSummary]
    tests: dict[str, dict[str, PairedTest]] = Field(
        description='by metric and other model; differences are reference minus other'
    )
    use_tests: dict[str, PairedTest] = Field(
        description='of the CC in shuffled order, by other model'
    )


class RunCounts(StrictModel):
    """How far a benchmark is."""

    planned: int
    scored: int
    failed: dict[str, str] = Field(description='error of each run that failed')
    missing: tuple[str, ...] = Field(description='runs that were not done yet')


class Summary(RunCounts):
    """All numbers of a report."""

    undefined: dict[str, str] = Field(description='why a run lacks a figure')
    groups: tuple[Group, ...]


class _Run(NamedTuple):
    preset: str
    subject: str
    database: str
    joint_unit: str
    scored: Scored
    development: bool


def outcomes_of(plan: AnyPlan, results: Sequence[RunResult]) -> dict[str, Outcome | None]:
    """Return the outcome of each run of a plan; None if it was not done yet."""
    found = {result.folder: result.outcome for result in results}
    return {str(job): found.get(job.folder) for job in plan.jobs()}


def counted(outcomes: Mapping[str, Outcome | None]) -> dict[str, Any]:
    """Return the fields of `RunCounts`."""
    failed = {n: each.error for n, each in outcomes.items() if isinstance(each, Failed)}
    missing = tuple(name for name, outcome in outcomes.items() if outcome is None)
    scored = len(outcomes) - len(failed) - len(missing)
    return {'planned': len(outcomes), 'scored': scored, 'failed': failed, 'missing': missing}


def summarise(plan: Plan, results: Sequence[RunResult]) -> Summary:
    """Summarise the available results, in the order of the plan."""
    outcomes = outcomes_of(plan, results)
    runs = _runs(results, plan.development)
    groups = []
    reported = [run for run in runs if not run.development]
    chosen_on = [run for run in runs if run.development]
    for part, remark in ((reported, REPORTING), (chosen_on, DEVELOPMENT)):
        groups += _groups(plan, part, remark if plan.development else '')
    return Summary(
        **counted(outcomes),
        undefined={
            name: outcome.scores.mean.reason
            for name, outcome in outcomes.items()
            if isinstance(outcome, Scored) and outcome.scores.mean.reason
        },
        groups=tuple(groups),
    )


def _groups(plan: Plan, runs: Sequence[_Run], remark: str) -> list[Group]:
    """Return a group for each database, and one for all together."""
    databases = list(dict.fromkeys((run.database, run.joint_unit) for run in runs))
    groups = [
        _group(
            plan,
            database + remark,
            METRICS,
            [r for r in runs if (r.database, r.joint_unit) == (database, unit)],
            joint_unit=unit,
        )
        for database, unit in databases
    ]
    if len(groups) > 1:
        groups.append(_group(plan, ALL_DATABASES + remark, WITHOUT_UNIT, runs))
    return groups


def _runs(results: Sequence[RunResult], development: Sequence[str]) -> list[_Run]:
    """Give each scored run its subject: that of the database, or the bag where none is named."""
    scored = [(result, result.outcome) for result in results if isinstance(result.outcome, Scored)]
    identity: dict[str, tuple[str, ...]] = {}
    for result, outcome in scored:
        database, subject = (outcome.information.get(k, '') for k in ('database', 'subject'))
        known = database and subject not in {'', 'unknown'}
        identity[result.bag] = (database, subject) if known else (result.bag,)
    bags: dict[tuple[str, ...], list[str]] = {}
    for bag, subject_of_it in identity.items():
        bags.setdefault(subject_of_it, []).append(bag)
    return [
        _Run(
            result.preset,
            ' + '.join(bags[identity[result.bag]]),
            outcome.information.get('database', 'unknown database'),
            outcome.information.get('joint_unit', 'rad'),
            outcome,
            result.bag in development,
        )
        for result, outcome in scored
    ]


def _group(
    plan: Plan,
    title: str,
    metrics: tuple[str, ...],
    runs: Sequence[_Run],
    *,
    joint_unit: str | None = None,
) -> Group:
    """Summarise some runs; without a unit they are of several databases."""
    by_preset = {preset: [run for run in runs if run.preset == preset] for preset in plan.presets}
    models = {
        # Movement numbers have other meanings in other databases.
        preset: _model(of_it, metrics, with_movements=joint_unit is not None)
        for preset, of_it in by_preset.items()
        if of_it
    }
    tests, use_tests = {}, {}
    if plan.against in models and len(models) > 1:
        of_subjects = {name: model.subjects for name, model in models.items()}
        tests = {metric: _tests(of_subjects, plan.against, metric) for metric in metrics}
        in_use = {name: model.use_subjects for name, model in models.items()}
        use_tests = _tests(in_use, plan.against, 'shuffled_cc')
    return Group(
        title=title,
        joint_unit=joint_unit or '',
        pooled=joint_unit is None,
        metrics=metrics,
        models=models,
        tests=tests,
        use_tests=use_tests,
    )


def _tests(
    models: dict[str, dict[str, dict[str, float | None]]], against: str, metric: str
) -> dict[str, PairedTest]:
    """Test figures, which come by model, subject and metric."""
    figures = {
        preset: {
            subject: value
            for subject, row in subjects.items()
            if (value := row[metric]) is not None
        }
        for preset, subjects in models.items()
    }
    reference = figures.pop(against)
    return compare_methods(reference, figures)


def _model(
    runs: Sequence[_Run], metrics: tuple[str, ...], *, with_movements: bool
) -> ModelSummary:
    joints = list(dict.fromkeys(name for run in runs for name in run.scored.scores.joints))
    movements = sorted({number for run in runs for number in run.scored.movements})
    means = _by_subject(runs, metrics, lambda run: run.scores.mean)
    in_use = _by_subject(runs, tuple(UseFigures.model_fields), lambda run: run.in_use)
    of_joints = {name: _by_subject(runs, metrics, partial(_of_joint, name)) for name in joints}
    return ModelSummary(
        subjects=means,
        mean=_spreads(means, metrics),
        joint_subjects=of_joints,
        joints={name: _spreads(of_it, metrics) for name, of_it in of_joints.items()},
        movements={
            number: _spreads(_by_subject(runs, metrics, partial(_of_movement, number)), metrics)
            for number in (movements if with_movements else ())
        },
        use_subjects=in_use,
        in_use=_spreads(in_use, tuple(UseFigures.model_fields)),
        cost=_cost([run.scored for run in runs]),
    )


def _of_joint(name: str, run: Scored) -> Figures | None:
    return run.scores.joints.get(name)


def _of_movement(number: int, run: Scored) -> Figures | None:
    scores = run.movements.get(number)
    return None if scores is None else scores.mean


def _by_subject(
    runs: Sequence[_Run],
    metrics: tuple[str, ...],
    figures_of: Callable[[Scored], Figures | UseFigures | None],
) -> dict[str, dict[str, float | None]]:
    """Average the runs of each subject; a figure that is not defined in a run is left out."""
    subjects: dict[str, list[Figures | UseFigures]] = {}
    for run in runs:
        figures = figures_of(run.scored)
        subjects.setdefault(run.subject, []).extend([] if figures is None else [figures])
    return {
        subject: {metric: _mean(getattr(row, metric) for row in rows) for metric in metrics}
        for subject, rows in subjects.items()
    }


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _spreads(
    subjects: dict[str, dict[str, float | None]], metrics: tuple[str, ...]
) -> dict[str, Spread]:
    return {metric: _spread([row[metric] for row in subjects.values()]) for metric in metrics}


def _spread(values: Sequence[float | None]) -> Spread:
    defined = [value for value in values if value is not None]
    sd = float(np.std(defined, ddof=1)) if len(defined) > 1 else None
    return Spread(mean=_mean(defined), sd=sd, n=len(defined))


def _cost(runs: Sequence[Scored]) -> Cost:
    parameters = [run.parameters for run in runs]
    return Cost(
        parameters=(min(parameters), max(parameters)),
        best_epoch=median(run.best_epoch for run in runs),
        epochs=median(len(run.epochs) for run in runs),
        training_seconds=median(run.training_seconds for run in runs),
        step_seconds=min(run.step_seconds for run in runs),
    )
