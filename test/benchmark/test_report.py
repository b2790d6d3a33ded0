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

"""The report of a benchmark: what stands in it, and that it stands alone."""

from base64 import b64decode
import csv
from html.parser import HTMLParser
from io import BytesIO
import json
import re

from benchmark_builders import (
    made_up_bag,
    make_output,
    make_plan,
    QUICK,
)
from leconvmn_ros.benchmark.plots import draw_boxes, draw_learning_curves
from leconvmn_ros.benchmark.report import report_page
from leconvmn_ros.benchmark.results import Epoch, Failed, RunOutput, RunResult, write_output
from leconvmn_ros.benchmark.runner import results_of
from leconvmn_ros.benchmark.summary import summarise
from leconvmn_ros.benchmark.tables import group_table, spread_text, write_tables
from leconvmn_ros.dataset.hold_out import BlockHoldOut, HeldOutParts, MovementHoldOut
from leconvmn_ros.evaluation.metrics import METRICS
from leconvmn_ros.evaluation.tables import METRIC_DIGITS, USE_DIGITS
from matplotlib.image import imread
import pytest
from rich.console import Console

NOMINAL = 'rad (nominal: 1 glove unit is taken as 1 degree)'
VOID = {'img', 'meta', 'br'}


class Page(HTMLParser):
    """Collects what is looked for, and refuses what no browser would forgive."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.images, self.texts = [], [], [], [], []
        self.tables = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in {'href', 'src', 'srcset', 'action', 'data'}]
        assert not [key for key in attributes if key.startswith('on')]
        if tag == 'img':
            assert attributes['alt']
            self.images.append(attributes['src'])
        if tag == 'table':
            self.tables.append([])
        if tag == 'tr':
            self.tables[-1].append([])
        if tag in {'td', 'th'}:
            self.tables[-1][-1].append('')
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if 'style' not in self.open:
            self.texts.append(data)
        if self.open and self.open[-1] in {'td', 'th'}:
            self.tables[-1][-1][-1] += data

    @property
    def text(self):
        return ''.join(self.texts)


def fill(plan, folder, *, fail=None):
    """Make up all results of a plan; the third bag is of another, uncalibrated, database."""
    for number, job in enumerate(plan.jobs()):
        home = {'database': 'Base A', 'joint_unit': 'rad'}
        if job.bag is plan.bags[2]:
            home = {'database': 'Base B', 'joint_unit': NOMINAL}
        output = make_output(job, error=0.1 + 0.02 * number, **home)
        if str(job) == fail:
            failed = Failed(error='no <current> & no hope')
            result = RunResult(**dict(output.result) | {'outcome': failed})
            output = RunOutput(result, {})
        write_output(folder / job.folder, output)


@pytest.fixture(scope='module')
def plan():
    return make_plan(
        [made_up_bag(name) for name in ('S1', 'S2', 'S<3>')],
        presets={'ours': QUICK, 'th&irs': QUICK, 'third': QUICK},
        command="leconvmn_ros benchmark 'a b' --presets <x>",
    )


@pytest.fixture(scope='module')
def made(plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp('benchmark')
    fill(plan, folder, fail='third on S2, seed 0')
    results = results_of(plan, folder)
    summary = summarise(plan, results)
    write_tables(folder, plan, results, summary)
    return folder, results, summary, report_page(plan, results, summary, folder)


@pytest.fixture(scope='module')
def page(made):
    return Page(made[3])


def test_the_page_stands_alone(made, page):
    assert not {'script', 'link', 'iframe', 'object', 'embed', 'base'} & set(page.tags)
    assert page.links
    assert all(link.startswith('data:image/') for link in page.links)
    assert not re.search(r'@import|url\(|https?://', made[3])
    made[3].encode('utf-8')


def test_pictures_are_in_the_page(page):
    # A box plot for each database and for all; learning curves; for each model the median and the
    # worst of three recordings; 'third' has but two, of which the worse is both.
    kinds = [image.partition(';')[0] for image in page.images]
    assert kinds.count('data:image/svg+xml') == 3 + 1
    assert kinds.count('data:image/png') == 2 + 2 + 1
    for image in page.images:
        content = b64decode(image.partition('base64,')[2], validate=True)
        if 'svg' in image[:20]:
            assert b'</svg>' in content[-20:]
        else:
            assert imread(BytesIO(content)).size > 100_000


def table_under(page, *header):
    (found,) = [t for t in page.tables if tuple(t[0][: len(header)]) == header][:1]
    return found


def test_every_database_has_its_table_in_the_order_of_the_plan(made, page):
    summary = made[2]
    tables = [t for t in page.tables if t[0][:2] == ['model', 'n']]
    # What to expect in use comes before the usual figures.
    in_use, usual = tables[::2], tables[1::2]
    assert [t[0][2] for t in in_use] == ['CC, shuffled order'] * 3
    assert [len(t[0]) - 2 for t in usual] == [5, 5, 3]
    for group, table in zip(summary.groups, in_use, strict=True):
        for name, _, *cells in table[1:]:
            spreads = [group.models[name].in_use[figure] for figure in USE_DIGITS]
            texts = map(spread_text, spreads, USE_DIGITS.values())
            assert cells == [text.replace('-', '\N{MINUS SIGN}') for text in texts]
    assert 'Before 100% of the held-out repetitions' in page.text
    assert 'in shuffled order before 25%' in page.text
    for group, table in zip(summary.groups, usual, strict=True):
        assert [row[0] for row in table[1:]] == list(group.models) == ['ours', 'th&irs', 'third']
        for name, count, *cells in table[1:]:
            model = group.models[name]
            assert int(count) == len(model.subjects)
            assert cells == [
                spread_text(model.mean[m], METRIC_DIGITS[m]).replace('-', '\N{MINUS SIGN}')
                for m in group.metrics
            ]
    assert NOMINAL in page.text


def test_tests_that_can_tell_nothing_are_words_and_no_numbers(page):
    table = table_under(page, 'metric', 'compared with')
    assert table[1][0] == 'CC, shuffled order'
    assert len(table) - 1 == 2 * (1 + len(METRICS))
    wilcoxon = [row[5:7] for row in table[1:]]
    assert {cell for row in wilcoxon for cell in row} == {'\N{EN DASH}'}
    assert 'with 2 subjects and 2 comparisons its p cannot come below 0.05' in page.text
    assert '7 subjects are needed' in page.text


def test_failed_runs_are_named_with_their_error(page):
    assert 'Runs that failed' in page.text
    assert 'third on S2, seed 0: no <current> & no hope' in page.text
    assert '8 of 9 runs scored' in page.text


def test_what_is_needed_to_do_it_again_is_there(plan, page):
    assert plan.command in page.text
    assert all(bag.sha256 in page.text for bag in plan.bags)
    assert 'an <ordinary> one' in page.text
    assert page.text.count('"learning_rate": 0.003') == 3
    assert 'repetitions, validation 4, test 2 and 5' in page.text


@pytest.mark.parametrize(
    ('hold_out', 'words'),
    [
        (BlockHoldOut(spans_ns=((5, 9),)), 'blocks, validation 0.15, test 0.25.'),
        (
            MovementHoldOut(
                recordings=(
                    HeldOutParts(span_ns=(5, 9), validation_ns=((6, 7),), test_ns=((7, 9),)),
                )
            ),
            'movements, validation 0.1, test 0.2.',
        ),
    ],
)
def test_what_was_held_out_is_a_rule_and_no_list_of_intervals(hold_out, words, tmp_path):
    plan = make_plan([made_up_bag(f'S{i}') for i in range(3)])
    fill(plan, tmp_path)
    results = [
        r.model_copy(update={'outcome': r.outcome.model_copy(update={'hold_out': hold_out})})
        for r in results_of(plan, tmp_path)
    ]
    page = Page(report_page(plan, results, summarise(plan, results), tmp_path))
    assert f'Held out: {words}' in page.text


def test_enough_subjects_give_p_values(tmp_path):
    plan = make_plan([made_up_bag(f'S{i}') for i in range(7)])
    fill(plan, tmp_path)
    results = results_of(plan, tmp_path)
    # All are of one database here.
    one = [
        r.model_copy(update={'outcome': r.outcome.model_copy(update={'information': {}})})
        for r in results
    ]
    summary = summarise(plan, one)
    page = Page(report_page(plan, one, summary, tmp_path))
    table = table_under(page, 'metric', 'compared with')
    test = summary.groups[0].tests['cc']['theirs']
    assert table[1][5] == f'{test.wilcoxon_p:.3f}' == '0.016'  # 2 / 2^7
    assert table[1][4] == f'{test.above} of 7'
    assert 'cannot come below' not in page.text


def test_a_benchmark_without_results_has_a_report(plan, tmp_path):
    summary = summarise(plan, [])
    page = Page(report_page(plan, [], summary, tmp_path))
    assert '0 of 9 runs scored' in page.text
    assert 'Runs that were not done' in page.text
    write_tables(tmp_path, plan, [], summary)
    assert len((tmp_path / 'results.csv').read_text().splitlines()) == 1


def read_csv(path):
    with path.open(encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file))


def test_json_and_csv_say_the_same(made, plan):
    folder, results, _, _ = made

    def refuse(constant):
        raise AssertionError(constant)

    content = json.loads((folder / 'results.json').read_text(), parse_constant=refuse)
    rows = read_csv(folder / 'results.csv')
    assert len(rows) == len(content['runs']) == len(plan.jobs())
    joints = iter(read_csv(folder / 'results_by_joint.csv'))
    movements = iter(read_csv(folder / 'results_by_movement.csv'))
    for row, run, result in zip(rows, content['runs'], results, strict=True):
        outcome = run['outcome']
        assert (row['preset'], row['bag'], row['key']) == (run['preset'], run['bag'], run['key'])
        assert row['outcome'] == outcome['kind']
        assert RunResult.model_validate(run) == result
        if outcome['kind'] == 'failed':
            assert row['error'] == outcome['error']
            assert row['cc'] == ''
            continue
        for metric in METRICS:
            assert float(row[metric]) == outcome['scores']['mean'][metric]
        for key, value in outcome['information'].items():
            assert row[key] == value
        for name, figures in outcome['scores']['joints'].items():
            joint = next(joints)
            assert (joint['bag'], joint['joint']) == (run['bag'], name)
            assert float(joint['nrmse']) == figures['nrmse']
        for number, scores in outcome['movements'].items():
            movement = next(movements)
            assert (movement['movement'], movement['preset']) == (number, run['preset'])
            assert int(movement['count']) == scores['count']
    assert list(joints) == list(movements) == []


def test_terminal_table_has_the_numbers_of_the_page(made, capsys):
    group = made[2].groups[0]
    Console(width=160).print(group_table(group))
    output = capsys.readouterr().out
    assert group.title in output
    for name, model in group.models.items():
        (line,) = [line for line in output.splitlines() if f' {name} ' in line]
        assert all(spread_text(model.mean[m], METRIC_DIGITS[m]) in line for m in METRICS)
        assert spread_text(model.in_use['shuffled_cc'], 3) in line


def test_pictures_are_the_same_for_the_same_results():
    epochs = [
        Epoch(training_loss=1.0, validation_loss=None),
        Epoch(training_loss=0.5, validation_loss=0.7),
    ]
    curves = {'a': [epochs, epochs[:1]], 'b': [epochs]}
    assert draw_learning_curves(curves) == draw_learning_curves(curves)
    boxes = {'a': [[0.1, 0.2], []], 'b': [[0.3], [0.4, 0.5]]}
    assert draw_boxes(['x$', 'y'], boxes, 'CC') == draw_boxes(['x$', 'y'], boxes, 'CC')
