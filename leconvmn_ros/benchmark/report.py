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

Models stand in the order of the plan throughout, and none is marked as ours.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
import json
from pathlib import Path
from xml.etree import ElementTree as ET

from leconvmn_ros.benchmark.html import details, element, figure, page, table
from leconvmn_ros.benchmark.plan import Plan
from leconvmn_ros.benchmark.plots import draw_boxes, draw_learning_curves
from leconvmn_ros.benchmark.results import read_comparison, RunResult, Scored
from leconvmn_ros.benchmark.summary import ALL_DATABASES, Group, Spread, Summary
from leconvmn_ros.benchmark.tables import spread_text
from leconvmn_ros.evaluation.paired_tests import LEVEL, PairedTest
from leconvmn_ros.evaluation.plots import draw_comparison
from leconvmn_ros.evaluation.tables import METRIC_DIGITS, METRIC_TITLES

# Texts to show, by place (joint, subject, movement) and metric.
Cells = Mapping[str, Mapping[str, str]]

ABOUT_MOVEMENTS = (
    'Estimates are grouped by the movement label at their time. Within one movement most joints '
    'hardly move, which makes CC and R2 small and NRMSE (a share of the range within that '
    'movement) large; errors in degrees compare better.'
)
MINUS, DASH = '\N{MINUS SIGN}', '\N{EN DASH}'
TEST_COLUMNS = (
    'metric',
    'compared with',
    'n',
    'difference',
    'better in',
    'Wilcoxon p',
    'Holm',
    't-test p',
    'Holm',
    'rank-biserial',
    'Cohen d_z',
)


def report_page(plan: Plan, results: Sequence[RunResult], summary: Summary, folder: Path) -> str:
    """Return the page.

    Args:
        plan: what was compared.
        results: what is there of it.
        summary: the same in numbers.
        folder: where the estimates of the runs are.

    Raises:
        RecordingError: the estimates of a run that is drawn cannot be read.
    """
    parts = [*_opening(plan, results, summary)]
    for group in summary.groups:
        parts += _group(plan, group)
    if summary.groups:
        parts += [*_learning_curves(plan, results), *_estimates(plan, results, folder)]
    parts += _rerun(plan, results)
    return page('Finger joint angles from surface EMG: comparison of decoders', *parts)


def _opening(plan: Plan, results: Sequence[RunResult], summary: Summary) -> list[ET.Element]:
    databases = [group.title for group in summary.groups if group.title != ALL_DATABASES]
    parts = [
        element(
            'p',
            f'{_count(len(plan.presets), "model")} ({", ".join(plan.presets)}) on '
            f'{_count(len(plan.bags), "recording")} of {", ".join(databases) or "no database"}, '
            f'{_count(len(plan.seeds), "seed")} ({", ".join(map(str, plan.seeds))}): '
            f'{summary.scored} of {_count(summary.planned, "run")} scored. Each model was trained '
            'on each recording alone. All scores are of the part of the recording that neither '
            'trained the model nor chose anything about it, decoded by the decoder that also '
            f'runs live, at {plan.output_rate:g} estimates per second.',
        ),
        *_held_out(results),
    ]
    for title, lines in (
        ('Runs that failed', [f'{run}: {error}' for run, error in summary.failed.items()]),
        ('Runs that were not done', list(summary.missing)),
        ('Figures not defined', [f'{run}: {why}' for run, why in summary.undefined.items()]),
    ):
        if lines:
            items = element('ul', *(element('li', line) for line in lines))
            parts.append(element('div', element('strong', title), items, class_='warning'))
    return parts


def _held_out(results: Sequence[RunResult]) -> list[ET.Element]:
    bags: dict[str, dict[str, None]] = {}
    for result in results:
        if isinstance(result.outcome, Scored):
            bags.setdefault(result.outcome.hold_out.rule(), {})[result.bag] = None
    if not bags:
        return []
    all_alike = len(bags) == 1
    lines = [w if all_alike else f'{w} ({", ".join(names)})' for w, names in bags.items()]
    return [element('p', f'Held out: {"; ".join(lines)}.')]


def _count(number: int, what: str) -> str:
    return f'{number} {what}{"s"[: number != 1]}'


def _group(plan: Plan, group: Group) -> list[ET.Element]:
    parts = [element('h2', group.title[:1].upper() + group.title[1:])]
    if 'nominal' in group.joint_unit:
        parts.append(
            element(
                'p',
                f'Unit of the angles: {group.joint_unit}. RMSE and MAE are in nominal degrees and '
                'must not be compared with those of calibrated angles.',
            )
        )
    parts += [element('h3', 'Accuracy'), _accuracy(group), *_tests(plan, group), _boxes(group)]
    parts += _margins(group, 'joint', {n: _texts(m.joints) for n, m in group.models.items()})
    if group.title == ALL_DATABASES:
        return parts
    subjects = {name: _numbers(model.subjects) for name, model in group.models.items()}
    movements = {name: _texts(_named(m.movements)) for name, m in group.models.items()}
    parts += [*_margins(group, 'subject', subjects), *_margins(group, 'movement', movements)]
    return [*parts, element('h3', 'Cost'), _cost(group)]


def _accuracy(group: Group) -> ET.Element:
    rows = [
        [
            name,
            str(len(model.subjects)),
            *(_spread(model.mean[metric], metric) for metric in group.metrics),
        ]
        for name, model in group.models.items()
    ]
    return table(
        'Mean of all joints: mean \N{PLUS-MINUS SIGN} standard deviation over n '
        'subjects; the runs of a subject are averaged first.'
        + ('' if 'rmse' in group.metrics else ' Errors in degrees are not pooled.'),
        ['model', 'n', *(METRIC_TITLES[metric] for metric in group.metrics)],
        rows,
    )


def _tests(plan: Plan, group: Group) -> list[ET.Element]:
    if not group.tests:
        return []
    rows: list[list[str]] = []
    remarks: dict[str, None] = {}
    for metric, family in group.tests.items():
        for number, (other, test) in enumerate(family.items()):
            title = METRIC_TITLES[metric] if number == 0 else ''
            rows.append([title, other, *_test_cells(test, metric)])
            if test.remark:
                remarks[f'{test.remark[0].upper()}{test.remark[1:]}.'] = None
    caption = (
        f'Over subjects, {plan.against} minus the other model. Two-sided; Holm: '
        f'corrected over the {_count(len(group.models) - 1, "comparison")} of a metric. For CC '
        'and R2 a positive, for the errors a negative difference is in favour of '
        f'{plan.against}. Rank-biserial: (W+ {MINUS} W{MINUS}) / (W+ + W{MINUS}); d_z: mean of '
        'the differences over their standard deviation. The t-test takes the differences as '
        f'normal, which few subjects cannot show. Level: {LEVEL:g}.'
    )
    notes = [element('p', remark, class_='note') for remark in remarks]
    tests = table(caption, TEST_COLUMNS, rows, text_columns=2)
    return [element('h3', 'Paired tests'), tests, *notes]


def _test_cells(test: PairedTest, metric: str) -> list[str]:
    digits = METRIC_DIGITS[metric]
    difference = _signed(test.difference, digits)
    if test.difference_sd is not None:
        difference += f' \N{PLUS-MINUS SIGN} {test.difference_sd:.{digits}f}'
    better = test.above if metric in {'cc', 'r2'} else test.below
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


def _boxes(group: Group) -> ET.Element:
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
    return figure(
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
        place: {metric: _spread(spread, metric) for metric, spread in row.items()}
        for place, row in places.items()
    }


def _numbers(places: Mapping[str, Mapping[str, float | None]]) -> Cells:
    return {
        place: {metric: _number(value, METRIC_DIGITS[metric]) for metric, value in row.items()}
        for place, row in places.items()
    }


def _named(movements: Mapping[int, Mapping[str, Spread]]) -> dict[str, Mapping[str, Spread]]:
    return {str(number) if number else 'rest': row for number, row in movements.items()}


def _spread(spread: Spread, metric: str) -> str:
    return DASH if spread.mean is None else spread_text(spread, metric).replace('-', MINUS)


def _number(value: float | None, digits: int) -> str:
    return DASH if value is None else f'{value:.{digits}f}'.replace('-', MINUS)


def _margins(group: Group, kind: str, models: Mapping[str, Cells]) -> list[ET.Element]:
    """Show each metric by joint, subject or movement, a column for each model."""
    places = list(dict.fromkeys(place for cells in models.values() for place in cells))
    if not places:
        return []
    over = 'its runs averaged' if kind == 'subject' else 'mean and standard deviation of subjects'
    tables = []
    for metric in group.metrics:
        rows = [
            [place, *(cells.get(place, {}).get(metric, DASH) for cells in models.values())]
            for place in places
        ]
        tables.append(table(f'{METRIC_TITLES[metric]}, {over}.', [kind, *models], rows))
    first, *others = tables
    names = ', '.join(METRIC_TITLES[metric] for metric in group.metrics[1:])
    more = details(f'{names} by {kind}', *others)
    note = [element('p', ABOUT_MOVEMENTS, class_='note')] if kind == 'movement' else []
    return [element('h3', f'By {kind}'), first, *note, more]


def _cost(group: Group) -> ET.Element:
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
    return table(
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


def _learning_curves(plan: Plan, results: Sequence[RunResult]) -> list[ET.Element]:
    runs = {
        # One that is solved at once has no curve.
        preset: [scored.epochs for _, scored in _scored(results, preset) if len(scored.epochs) > 1]
        for preset in plan.presets
    }
    there = {preset: epochs for preset, epochs in runs.items() if epochs}
    if not there:
        return []
    picture = figure(
        draw_learning_curves(there),
        'svg+xml',
        'Training and validation loss over epochs for each model',
        'Mean squared error of the standardised angles over epochs: each run (thin) and their '
        'median. Dropout and noise act in training alone. The epoch with the lowest validation '
        'loss is taken; with second_pass (see the settings) the model is then trained anew for as '
        'many epochs on the validation part as well, which is not drawn.',
    )
    return [element('h2', 'Learning curves'), picture]


def _estimates(plan: Plan, results: Sequence[RunResult], folder: Path) -> list[ET.Element]:
    parts = [
        element('h2', 'Estimates'),
        element(
            'p',
            'Estimated over measured angles of the test part, for each model on the recording of '
            f'median and of least CC, ranked among the runs with seed {plan.seeds[0]}.',
        ),
    ]
    for preset in plan.presets:
        ranked = sorted(
            (cc, result.bag, folder / result.folder)
            for result, scored in _scored(results, preset)
            if result.seed == plan.seeds[0] and (cc := scored.scores.mean.cc) is not None
        )
        if not ranked:
            continue
        # Of an even number, the lower of the two in the middle.
        chosen = {(len(ranked) - 1) // 2, 0}
        titles, pictures = [], []
        for index in sorted(chosen, reverse=True):
            cc, bag, place = ranked[index]
            rank = f'CC {cc:.3f}, rank {len(ranked) - index} of {len(ranked)}'
            titles.append(f'{bag} ({rank})')
            image = draw_comparison(read_comparison(place), f'{preset} on {bag}')
            alt = f'Estimated over measured angles of {bag}, {preset}'
            pictures.append(figure(image, 'png', alt, f'{preset} on {bag}: {rank}.'))
        parts.append(details(f'{preset}: {", ".join(titles)}', *pictures))
    return parts


def _rerun(plan: Plan, results: Sequence[RunResult]) -> list[ET.Element]:
    made = Counter(
        result.outcome.environment for result in results if isinstance(result.outcome, Scored)
    )
    fields = ('package', 'python', 'torch', 'numpy', 'scipy', 'system', 'processor', 'device')
    environments = [
        [str(number), *(getattr(where, name) for name in fields), str(where.threads)]
        for where, number in made.items()
    ]
    information = {
        result.bag: result.outcome.information
        for result in results
        if isinstance(result.outcome, Scored)
    }
    bags = [
        [
            bag.name,
            *(information.get(bag.name, {}).get(key, DASH) for key in ('database', 'subject')),
            bag.sha256,
        ]
        for bag in plan.bags
    ]
    settings = [
        details(
            f'Settings of {preset}',
            element('pre', json.dumps(of_it.model_dump(mode='json'), indent=2)),
        )
        for preset, of_it in plan.presets.items()
    ]
    return [
        element('h2', 'How to run this again'),
        element('pre', plan.command),
        element('p', f'Started {plan.started}, leconvmn_ros {plan.package_version}.'),
        table(
            'What the runs were made with.',
            ['runs', *fields, 'threads'],
            environments,
            text_columns=len(fields) + 1,
        ),
        table(
            'Recordings. The hash is that of the list that sha256sum makes of the files of the '
            'bag, in the order of their names.',
            ['bag', 'database', 'subject', 'SHA-256'],
            bags,
            text_columns=4,
            long_column=3,
        ),
        *settings,
    ]
