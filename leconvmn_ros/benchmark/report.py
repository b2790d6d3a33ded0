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

"""The report of a benchmark: one HTML page with tables, tests and pictures.

The words of the page are in report.html.jinja, the numbers come from here. Models are listed in
the order of the plan throughout, and none is marked as ours.
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
import json
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from leconvmn_ros.benchmark.plan import Plan
from leconvmn_ros.benchmark.plots import draw_boxes, draw_learning_curves
from leconvmn_ros.benchmark.results import read_comparison, RunResult, Scored
from leconvmn_ros.benchmark.summary import Group, Spread, Summary
from leconvmn_ros.benchmark.tables import spread_text
from leconvmn_ros.evaluation.paired_tests import LEVEL, PairedTest
from leconvmn_ros.evaluation.plots import draw_comparison
from leconvmn_ros.evaluation.recording_scores import WHY_SHUFFLED
from leconvmn_ros.evaluation.tables import METRIC_DIGITS, METRIC_TITLES, USE_DIGITS, USE_TITLES

# Texts to show, by place (joint, subject, movement) and metric.
Cells = Mapping[str, Mapping[str, str]]

MINUS, DASH = '\N{MINUS SIGN}', '\N{EN DASH}'
TEST_COLUMNS = (
    *('metric', 'compared with', 'n', 'difference', 'better in', 'Wilcoxon p', 'Holm'),
    *('t-test p', 'Holm', 'rank-biserial', 'Cohen d_z'),
)
ENVIRONMENT = ('package', 'python', 'torch', 'numpy', 'scipy', 'system', 'processor', 'device')


class Table(NamedTuple):
    """A table of the page: text first, then numbers.

    Attributes:
        caption: what is compared, on what data.
        header: a title for each column.
        rows: the cells; a row whose first cell is empty belongs to the one above it.
        text_columns: how many columns hold text.
        long_column: the column whose text may be wrapped, if any.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    long_column: int | None = None


class Figure(NamedTuple):
    """A picture that is part of the page; `source` is a data URL."""

    source: str
    alt: str
    caption: str


def report_page(plan: Plan, results: Sequence[RunResult], summary: Summary, folder: Path) -> str:
    """Return the page.

    Args:
        plan: what was compared.
        results: the runs that are done.
        summary: statistics of the results.
        folder: folder with the estimates of the runs.

    Raises:
        RecordingError: the estimates of a run that is drawn cannot be read.
    """
    environment = Environment(
        loader=PackageLoader('leconvmn_ros.benchmark', ''),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template('report.html.jinja').render(
        title='Finger joint angles from surface EMG: comparison of decoders',
        plan=plan,
        why_shuffled=WHY_SHUFFLED,
        opening=_opening(plan, summary),
        held_out=_held_out(results),
        warnings=[
            ('Runs that failed', [f'{run}: {error}' for run, error in summary.failed.items()]),
            ('Runs that were not done', summary.missing),
            ('Figures not defined', [f'{run}: {why}' for run, why in summary.undefined.items()]),
        ],
        groups=[_group(plan, group) for group in summary.groups],
        learning_curves=_learning_curves(plan, results),
        estimates=_estimates(plan, results, folder),
        environments=_environments(results),
        bags=_bags(plan, results),
        settings=[
            (name, json.dumps(settings.model_dump(mode='json'), indent=2))
            for name, settings in plan.presets.items()
        ],
    )


def _opening(plan: Plan, summary: Summary) -> str:
    databases = [group.title for group in summary.groups if not group.pooled]
    return (
        f'{_count(len(plan.presets), "model")} ({", ".join(plan.presets)}) on '
        f'{_count(len(plan.bags), "recording")} of {", ".join(databases) or "no database"}, '
        f'{_count(len(plan.seeds), "seed")} ({", ".join(map(str, plan.seeds))}): '
        f'{summary.scored} of {_count(summary.planned, "run")} scored. Each model was trained '
        'on each recording alone. All scores are of the part of the recording that neither '
        'trained the model nor chose anything about it. It was decoded by the decoder that also '
        f'runs live, at {plan.output_rate:g} estimates per second.'
    )


def _held_out(results: Sequence[RunResult]) -> str:
    bags: dict[str, dict[str, None]] = {}
    for result in results:
        if isinstance(result.outcome, Scored):
            bags.setdefault(result.outcome.hold_out.rule(), {})[result.bag] = None
    if len(bags) == 1:
        return next(iter(bags))
    return '; '.join(f'{rule} ({", ".join(names)})' for rule, names in bags.items())


def _count(number: int, what: str) -> str:
    return f'{number} {what}' if number == 1 else f'{number} {what}s'


def _picture(image: bytes, kind: str, alt: str, caption: str) -> Figure:
    return Figure(f'data:image/{kind};base64,{b64encode(image).decode()}', alt, caption)


def _group(plan: Plan, group: Group) -> dict[str, Any]:
    margins = [_margins(group, 'joint', {n: _texts(m.joints) for n, m in group.models.items()})]
    if not group.pooled:
        subjects = {name: _numbers(model.subjects) for name, model in group.models.items()}
        movements = {name: _texts(_named(m.movements)) for name, m in group.models.items()}
        margins += [
            _margins(group, 'subject', subjects),
            _margins(group, 'movement', movements),
        ]
    tests, remarks = _tests(plan, group)
    return {
        'title': group.title[:1].upper() + group.title[1:],
        'nominal_unit': group.joint_unit if 'nominal' in group.joint_unit else '',
        'in_use': _in_use(group),
        'accuracy': _accuracy(group),
        'tests': tests,
        'remarks': remarks,
        'boxes': _boxes(group),
        'margins': [margin for margin in margins if margin],
        'cost': None if group.pooled else _cost(group),
    }


def _in_use(group: Group) -> Table:
    rows = [
        [
            name,
            str(len(model.subjects)),
            *(_spread(model.in_use[figure], digits) for figure, digits in USE_DIGITS.items()),
        ]
        for name, model in group.models.items()
    ]
    seen = [
        ' '.join(f'{value:.0%}' for value in values)
        for key in ('same_before', 'same_before_shuffled')
        if (values := {m.in_use[key].mean for m in group.models.values()} - {None})
    ]
    known = ''
    if len(seen) == 2:
        known = (
            f' Before {seen[0]} of the held-out repetitions the same movement is made as before '
            f'that movement in the training part; in shuffled order before {seen[1]}.'
        )
    return Table(
        f'What to expect in use: the held-out repetitions in random order.{known} Mean '
        '± standard deviation over n subjects.',
        ['model', 'n', *USE_TITLES.values()],
        rows,
    )


def _accuracy(group: Group) -> Table:
    rows = [
        [
            name,
            str(len(model.subjects)),
            *(_spread(model.mean[metric], METRIC_DIGITS[metric]) for metric in group.metrics),
        ]
        for name, model in group.models.items()
    ]
    return Table(
        'Mean of all joints: mean \N{PLUS-MINUS SIGN} standard deviation over n '
        'subjects; the runs of a subject are averaged first.'
        + ('' if 'rmse' in group.metrics else ' Errors in degrees are not pooled.'),
        ['model', 'n', *(METRIC_TITLES[metric] for metric in group.metrics)],
        rows,
    )


def _tests(plan: Plan, group: Group) -> tuple[Table | None, list[str]]:
    """Return the table of paired tests, None without any, and remarks on it."""
    if not group.tests:
        return None, []
    rows: list[list[str]] = []
    remarks: dict[str, None] = {}
    titles, digits = METRIC_TITLES | USE_TITLES, METRIC_DIGITS | USE_DIGITS
    for metric, family in ({'shuffled_cc': group.use_tests} | group.tests).items():
        for number, (other, test) in enumerate(family.items()):
            title = titles[metric] if number == 0 else ''
            larger_is_better = metric in {'shuffled_cc', 'cc', 'r2'}
            rows.append([title, other, *_test_cells(test, digits[metric], larger_is_better)])
            if test.remark:
                remarks[f'{test.remark[0].upper()}{test.remark[1:]}.'] = None
    caption = (
        f'Over subjects, {plan.against} minus the other model. Two-sided; Holm: '
        f'corrected over the {_count(len(group.models) - 1, "comparison")} of a metric. For CC '
        'and R2 a positive, for the errors a negative difference is in favour of '
        f'{plan.against}. Rank-biserial: (W+ {MINUS} W{MINUS}) / (W+ + W{MINUS}); d_z: mean of '
        'the differences over their standard deviation. The t-test assumes that the differences '
        f'are normal, which few subjects cannot show. Level: {LEVEL:g}.'
    )
    return Table(caption, TEST_COLUMNS, rows, text_columns=2), list(remarks)


def _test_cells(test: PairedTest, digits: int, larger_is_better: bool) -> list[str]:
    difference = _signed(test.difference, digits)
    if test.difference_sd is not None:
        difference += f' \N{PLUS-MINUS SIGN} {test.difference_sd:.{digits}f}'
    better = test.above if larger_is_better else test.below
    return [
        str(test.n),
        difference,
        f'{better} of {test.n}',
        *map(_p, (test.wilcoxon_p, test.wilcoxon_p_holm, test.t_p, test.t_p_holm)),
        _signed(test.rank_biserial, 2),
        _signed(test.d_z, 2),
    ]


def _signed(value: float | None, digits: int) -> str:
    return DASH if value is None else f'{value:+.{digits}f}'.replace('-', MINUS)


def _p(value: float | None) -> str:
    if value is None:
        return DASH
    return '<0.001' if value < 0.001 else f'{value:.3f}'


def _boxes(group: Group) -> Figure:
    joints = list(dict.fromkeys(j for model in group.models.values() for j in model.joints))
    values = {
        name: [
            *(_values(model.joint_subjects.get(j, {}), 'cc') for j in joints),
            _values(model.subjects, 'cc'),
        ]
        for name, model in group.models.items()
    }
    most = max(len(model.subjects) for model in group.models.values())
    image = draw_boxes([*joints, 'mean of joints'], values, 'CC')
    return _picture(
        image,
        'svg+xml',
        f'Box plot of the correlation of each joint, {group.title}',
        f'Correlation of estimated and measured angle by joint, over {_count(most, "subject")}: '
        'median, quartiles, whiskers to 1.5 interquartile ranges; dots are subjects.',
    )


def _values(subjects: Mapping[str, Mapping[str, float | None]], metric: str) -> list[float]:
    return [value for row in subjects.values() if (value := row[metric]) is not None]


def _texts(places: Mapping[str, Mapping[str, Spread]]) -> Cells:
    return {
        place: {metric: _spread(spread, METRIC_DIGITS[metric]) for metric, spread in row.items()}
        for place, row in places.items()
    }


def _numbers(places: Mapping[str, Mapping[str, float | None]]) -> Cells:
    return {
        place: {metric: _number(value, METRIC_DIGITS[metric]) for metric, value in row.items()}
        for place, row in places.items()
    }


def _named(movements: Mapping[int, Mapping[str, Spread]]) -> dict[str, Mapping[str, Spread]]:
    return {str(number) if number else 'rest': row for number, row in movements.items()}


def _spread(spread: Spread, digits: int) -> str:
    return DASH if spread.mean is None else spread_text(spread, digits).replace('-', MINUS)


def _number(value: float | None, digits: int) -> str:
    return DASH if value is None else f'{value:.{digits}f}'.replace('-', MINUS)


def _margins(group: Group, kind: str, models: Mapping[str, Cells]) -> dict[str, Any] | None:
    """Return each metric by joint, subject or movement, a column for each model."""
    places = list(dict.fromkeys(place for cells in models.values() for place in cells))
    if not places:
        return None
    over = 'its runs averaged' if kind == 'subject' else 'mean and standard deviation of subjects'
    tables = []
    for metric in group.metrics:
        rows = [
            [place, *(cells.get(place, {}).get(metric, DASH) for cells in models.values())]
            for place in places
        ]
        tables.append(Table(f'{METRIC_TITLES[metric]}, {over}.', [kind, *models], rows))
    others = ', '.join(METRIC_TITLES[metric] for metric in group.metrics[1:])
    return {'kind': kind, 'tables': tables, 'others': others}


def _cost(group: Group) -> Table:
    rows = []
    for name, model in group.models.items():
        cost, (least, most) = model.cost, model.cost.parameters
        rows.append(
            [
                name,
                f'{least:,}' if least == most else f'{least:,} {DASH} {most:,}',
                f'{cost.best_epoch:g} of {cost.epochs:g}' if cost.epochs else DASH,
                f'{cost.training_seconds:.1f}',
                f'{1000 * cost.step_seconds:.2f}',
            ]
        )
    return Table(
        'Trained values; epoch chosen and time of training on one recording, medians over runs; '
        'time for one state of all joints, the least over runs of the median of one. Runs may '
        'have shared their machine (listed at the end), which makes these times longer.',
        ['model', 'parameters', 'epoch', 'training (s)', 'time per state (ms)'],
        rows,
    )


def _scored(results: Sequence[RunResult], preset: str) -> list[tuple[RunResult, Scored]]:
    return [
        (result, result.outcome)
        for result in results
        if result.preset == preset and isinstance(result.outcome, Scored)
    ]


def _learning_curves(plan: Plan, results: Sequence[RunResult]) -> Figure | None:
    runs = {
        # A model solved in closed form has no curve.
        preset: [scored.epochs for _, scored in _scored(results, preset) if len(scored.epochs) > 1]
        for preset in plan.presets
    }
    there = {preset: epochs for preset, epochs in runs.items() if epochs}
    if not there:
        return None
    return _picture(
        draw_learning_curves(there),
        'svg+xml',
        'Training and validation loss over epochs for each model',
        'Mean squared error of the standardised angles over epochs: each run (thin) and their '
        'median. Dropout and noise act in training alone. The epoch with the lowest validation '
        'loss counts. With second_pass (see the settings) the model is then trained again from '
        'scratch for as many epochs, on the validation part as well; that is not drawn.',
    )


def _estimates(
    plan: Plan, results: Sequence[RunResult], folder: Path
) -> list[tuple[str, list[Figure]]]:
    parts = []
    for preset in plan.presets:
        ranked = sorted(
            (cc, result.bag, folder / result.folder)
            for result, scored in _scored(results, preset)
            if result.seed == plan.seeds[0] and (cc := scored.scores.mean.cc) is not None
        )
        if not ranked:
            continue
        # The lower of the two middle ones if their number is even.
        chosen = {(len(ranked) - 1) // 2, 0}
        titles, pictures = [], []
        for index in sorted(chosen, reverse=True):
            cc, bag, place = ranked[index]
            rank = f'CC {cc:.3f}, rank {len(ranked) - index} of {len(ranked)}'
            titles.append(f'{bag} ({rank})')
            image = draw_comparison(read_comparison(place), f'{preset} on {bag}')
            alt = f'Estimated over measured angles of {bag}, {preset}'
            pictures.append(_picture(image, 'png', alt, f'{preset} on {bag}: {rank}.'))
        parts.append((f'{preset}: {", ".join(titles)}', pictures))
    return parts


def _environments(results: Sequence[RunResult]) -> Table:
    made = Counter(
        result.outcome.environment for result in results if isinstance(result.outcome, Scored)
    )
    rows = [
        [str(number), *(getattr(where, name) for name in ENVIRONMENT), str(where.threads)]
        for where, number in made.items()
    ]
    columns = ['runs', *ENVIRONMENT, 'threads']
    return Table('Machine and software of the runs.', columns, rows, len(ENVIRONMENT) + 1)


def _bags(plan: Plan, results: Sequence[RunResult]) -> Table:
    information = {
        result.bag: result.outcome.information
        for result in results
        if isinstance(result.outcome, Scored)
    }
    rows = [
        [
            bag.name,
            *(information.get(bag.name, {}).get(key, DASH) for key in ('database', 'subject')),
            bag.sha256,
        ]
        for bag in plan.bags
    ]
    return Table(
        'Recordings. The hash is that of the list that sha256sum makes of the files of the '
        'bag, in the order of their names.',
        ['bag', 'database', 'subject', 'SHA-256'],
        rows,
        text_columns=4,
        long_column=3,
    )
