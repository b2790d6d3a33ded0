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

"""Runs summed up over subjects, against sums made here by hand."""

from benchmark_builders import JOINTS, made_up_bag, make_output, make_plan, QUICK
from leconvmn_ros.benchmark.results import Failed, RunResult
from leconvmn_ros.benchmark.summary import ALL_DATABASES, summarise
from leconvmn_ros.evaluation.paired_tests import compare_methods
import numpy as np
import pytest

NOMINAL = 'rad (nominal: not calibrated)'


def made(job, *, error=0.1, drop=(), **information):
    """Return a made-up result, of whose mean some figures may be undefined."""
    result = make_output(job, error=error, **information).result
    outcome = result.outcome
    mean = outcome.scores.mean.model_copy(
        update=dict.fromkeys(drop) | ({'reason': 'cc without x'} if drop else {})
    )
    scores = outcome.scores.model_copy(update={'mean': mean})
    return result.model_copy(update={'outcome': outcome.model_copy(update={'scores': scores})})


def figures(result, metric='cc'):
    return getattr(result.outcome.scores.mean, metric)


def test_seeds_are_averaged_within_a_subject_first():
    plan = make_plan(
        [made_up_bag('S1'), made_up_bag('S2')],
        presets={'ours': QUICK},
        seeds=(0, 1, 2),
    )
    jobs = plan.jobs()
    # The second subject has one seed only, and counts as much as the first.
    results = [made(job, error=0.1 * (k + 1)) for k, job in enumerate(jobs[:4])]
    summary = summarise(plan, results)
    (group,) = summary.groups
    model = group.models['ours']
    of_subjects = [np.mean([figures(r) for r in results[:3]]), figures(results[3])]
    assert model.subjects['S1']['cc'] == pytest.approx(of_subjects[0])
    assert model.mean['cc'].mean == pytest.approx(np.mean(of_subjects))
    assert model.mean['cc'].sd == pytest.approx(abs(np.diff(of_subjects)[0]) / np.sqrt(2))
    assert model.mean['cc'].n == 2
    assert (summary.planned, summary.scored) == (6, 4)
    assert summary.missing == ('ours on S2, seed 1', 'ours on S2, seed 2')


def test_joints_and_movements_have_sums_of_their_own():
    plan = make_plan([made_up_bag('S1'), made_up_bag('S2')], presets={'ours': QUICK})
    results = [made(job, error=0.1 + 0.3 * k) for k, job in enumerate(plan.jobs())]
    model = summarise(plan, results).groups[0].models['ours']
    assert tuple(model.joints) == JOINTS
    for joint in JOINTS:
        rmse = [r.outcome.scores.joints[joint].rmse for r in results]
        assert model.joints[joint]['rmse'].mean == pytest.approx(np.mean(rmse))
        assert model.joint_subjects[joint]['S2']['rmse'] == rmse[1]
    assert list(model.movements) == [0, 3]
    expected = np.mean([r.outcome.movements[3].mean.rmse for r in results])
    assert model.movements[3]['rmse'].mean == pytest.approx(expected)


def test_databases_are_apart_and_degrees_never_pooled():
    bags = [made_up_bag(name) for name in ('A1', 'B1', 'A2')]
    plan = make_plan(bags)
    homes = [
        {'database': 'A', 'joint_unit': NOMINAL},
        {'database': 'B', 'joint_unit': 'rad'},
        {'database': 'A', 'joint_unit': NOMINAL},
    ] * 2
    results = [
        made(job, error=0.1 * (k + 1), **home)
        for k, (job, home) in enumerate(zip(plan.jobs(), homes, strict=True))
    ]
    a, b, together = summarise(plan, results).groups
    assert (a.title, a.joint_unit, b.title) == ('A', NOMINAL, 'B')
    assert list(a.models['ours'].subjects) == ['A1', 'A2']
    assert list(b.models['ours'].subjects) == ['B1']
    assert b.models['ours'].mean['rmse'].sd is None
    assert together.title == ALL_DATABASES
    assert together.metrics == ('cc', 'nrmse', 'r2')
    assert list(together.models['ours'].subjects) == ['A1', 'B1', 'A2']
    assert together.tests.keys() == {'cc', 'nrmse', 'r2'}
    # Movement 3 of one database is not movement 3 of the other.
    assert together.models['ours'].movements == {}


def test_one_database_in_two_units_is_two_groups():
    plan = make_plan([made_up_bag('S1'), made_up_bag('S2')], presets={'ours': QUICK})
    units = ('rad', NOMINAL)
    results = [
        made(job, database='A', joint_unit=unit)
        for job, unit in zip(plan.jobs(), units, strict=True)
    ]
    assert [g.joint_unit for g in summarise(plan, results).groups] == [*units, '']


def test_two_bags_of_one_subject_count_once():
    bags = [made_up_bag(name) for name in ('S1_E1', 'S1_E2', 'S2_E1')]
    plan = make_plan(bags, presets={'ours': QUICK})
    results = [
        made(job, error=0.1 * (k + 1), database='A', subject=subject)
        for k, (job, subject) in enumerate(zip(plan.jobs(), '112', strict=True))
    ]
    model = summarise(plan, results).groups[0].models['ours']
    assert list(model.subjects) == ['S1_E1 + S1_E2', 'S2_E1']
    both = np.mean([figures(results[0]), figures(results[1])])
    assert model.subjects['S1_E1 + S1_E2']['cc'] == pytest.approx(both)


@pytest.mark.parametrize('information', [{}, {'database': 'A', 'subject': 'unknown'}])
def test_a_bag_that_tells_no_subject_is_one(information):
    plan = make_plan([made_up_bag('S1'), made_up_bag('S2')], presets={'ours': QUICK})
    results = [made(job, **information) for job in plan.jobs()]
    assert list(summarise(plan, results).groups[0].models['ours'].subjects) == ['S1', 'S2']


def test_tests_pair_the_subjects_that_both_models_have():
    plan = make_plan([made_up_bag(f'S{i}') for i in range(8)], against='theirs')
    random = np.random.default_rng(1)
    results = [made(job, error=random.uniform(0.1, 0.5)) for job in plan.jobs()]
    del results[2]  # of 'ours'
    group = summarise(plan, results).groups[0]
    by_preset = {
        preset: {r.bag: figures(r, 'nrmse') for r in results if r.preset == preset}
        for preset in plan.presets
    }
    expected = compare_methods(by_preset['theirs'], {'ours': by_preset['ours']})
    assert group.tests['nrmse'] == expected
    assert expected['ours'].n == 7
    assert group.tests.keys() == {'cc', 'rmse', 'nrmse', 'r2', 'mae'}
    # Made up to be worse by the same in shuffled order, so the differences are the same.
    for other, test in group.use_tests.items():
        usual = group.tests['cc'][other].difference
        assert test.difference == pytest.approx(usual)


def test_undefined_and_failed_are_told_and_not_counted():
    plan = make_plan([made_up_bag('S1'), made_up_bag('S2')], presets={'ours': QUICK})
    one, other = plan.jobs()
    failed = RunResult(
        key=other.key, preset='ours', bag='S2', seed=0, outcome=Failed(error='no current')
    )
    summary = summarise(plan, [made(one, drop=('cc',)), failed])
    assert summary.failed == {'ours on S2, seed 0': 'no current'}
    assert summary.undefined == {'ours on S1, seed 0': 'cc without x'}
    model = summary.groups[0].models['ours']
    assert model.mean['cc'].model_dump() == {'mean': None, 'sd': None, 'n': 0}
    assert model.mean['rmse'].n == 1


def test_nothing_there_is_a_summary_too():
    plan = make_plan([made_up_bag('S1')])
    summary = summarise(plan, [])
    assert summary.groups == ()
    assert len(summary.missing) == 2


def test_cost_is_the_median_of_training_and_the_calmest_step():
    plan = make_plan([made_up_bag(f'S{i}') for i in range(3)], presets={'ours': QUICK})
    results = []
    for job, seconds in zip(plan.jobs(), (4.0, 1.0, 9.0), strict=True):
        result = make_output(job).result
        times = {'training_seconds': seconds, 'step_seconds': seconds / 1000}
        outcome = result.outcome.model_copy(update=times | {'parameters': round(seconds)})
        results.append(result.model_copy(update={'outcome': outcome}))
    cost = summarise(plan, results).groups[0].models['ours'].cost
    assert (cost.training_seconds, cost.step_seconds, cost.parameters) == (4.0, 0.001, (1, 9))
