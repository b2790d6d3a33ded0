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

"""A benchmark that goes on where it was, over runs that fail, and keeps only whole results."""

from contextlib import suppress

from benchmark_builders import in_process, made_up_bag, make_bag, make_output, make_plan
from leconvmn_ros.benchmark import run as benchmark
from leconvmn_ros.benchmark.results import Failed, read_result, RESULT_FILE, RunResult, Scored
from leconvmn_ros.benchmark.runner import load_plan, results_of, run_missing, save_plan
from leconvmn_ros.core.errors import OutputError, RecordingError
import pytest


@pytest.fixture
def plan():
    return make_plan([made_up_bag('S1'), made_up_bag('S2')])


class Runs:
    """Hands back made-up outputs and remembers what it was asked for; stops before some job."""

    def __init__(self, stop_before=None):
        self.asked = []
        self.done = []
        self.closed = False
        self._stop_before = stop_before

    def __call__(self, jobs):
        self.asked = [str(job) for job in jobs]
        try:
            for job in jobs:
                if str(job) == self._stop_before:
                    raise KeyboardInterrupt
                yield job, 0.5
                yield job, make_output(job)
                self.done.append(str(job))
        finally:
            self.closed = True


def finish(plan, folder, execute):
    """Run what is missing; return what was said and the shares shown."""
    said, shown = [], []
    run_missing(
        plan, folder, execute, say=said.append, progress=lambda *share: shown.append(share)
    )
    return said, shown


def test_everything_is_run_and_kept(plan, tmp_path):
    runs = Runs()
    said, shown = finish(plan, tmp_path, runs)
    assert runs.asked == [
        *('ours on S1, seed 0', 'ours on S2, seed 0'),
        *('theirs on S1, seed 0', 'theirs on S2, seed 0'),
    ]
    assert said == []
    assert [share for share, _ in shown] == [k / 8 for k in range(1, 9)]
    assert shown[-1] == (1.0, '4 of 4 runs')
    results = results_of(plan, tmp_path)
    assert [(r.preset, r.bag) for r in results] == [
        ('ours', 'S1'),
        ('ours', 'S2'),
        ('theirs', 'S1'),
        ('theirs', 'S2'),
    ]


def test_an_interrupted_benchmark_goes_on_where_it_was(plan, tmp_path):
    runs = Runs(stop_before='theirs on S1, seed 0')
    with pytest.raises(KeyboardInterrupt):
        finish(plan, tmp_path, runs)
    assert runs.closed
    kept = [r.key for r in results_of(plan, tmp_path)]
    assert len(kept) == 2
    again = Runs()
    said, _ = finish(plan, tmp_path, again)
    assert again.asked == ['theirs on S1, seed 0', 'theirs on S2, seed 0']
    assert said == ['2 of 4 runs are there already']
    assert [r.key for r in results_of(plan, tmp_path)][:2] == kept
    nothing = Runs()
    finish(plan, tmp_path, nothing)
    assert nothing.asked == []


def test_what_is_there_is_not_trained_again(tmp_path, monkeypatch):
    """Really train, then forbid to."""
    plan = make_plan([make_bag(tmp_path, 'S1')])
    finish(plan, tmp_path / 'out', in_process)
    before = results_of(plan, tmp_path / 'out')
    assert all(isinstance(result.outcome, Scored) for result in before)

    def forbidden(*_, **__):
        raise AssertionError('trained again')

    monkeypatch.setattr(benchmark, 'train', forbidden)
    finish(plan, tmp_path / 'out', in_process)
    assert results_of(plan, tmp_path / 'out') == before
    # And the ban works: with another seed it is run into.
    other = make_plan([tmp_path / 'S1'], seeds=(1,))
    finish(other, tmp_path / 'out', in_process)
    assert {r.outcome.error for r in results_of(other, tmp_path / 'out')} == {
        'AssertionError: trained again'
    }


def test_a_result_of_other_settings_is_done_again_and_that_is_said(plan, tmp_path):
    finish(plan, tmp_path, Runs())
    quicker = plan.presets['theirs'].changed('fit', epochs=1)
    changed = make_plan(plan.bags, presets={'ours': plan.presets['ours'], 'theirs': quicker})
    assert [r.preset for r in results_of(changed, tmp_path)] == ['ours', 'ours']
    runs = Runs()
    said, _ = finish(changed, tmp_path, runs)
    assert runs.asked == ['theirs on S1, seed 0', 'theirs on S2, seed 0']
    assert 'theirs on S1, seed 0 is done again' in said[0]
    assert 'other settings' in said[0]
    assert len(results_of(changed, tmp_path)) == 4


def test_a_new_preset_and_a_new_seed_leave_the_others_alone(plan, tmp_path):
    finish(plan, tmp_path, Runs())
    more = make_plan(
        plan.bags, presets={**plan.presets, 'third': plan.presets['ours']}, seeds=(0, 1)
    )
    runs = Runs()
    finish(more, tmp_path, runs)
    assert len(runs.asked) == 12 - 4
    assert len(results_of(plan, tmp_path)) == 4


def test_a_damaged_result_is_done_again(plan, tmp_path):
    finish(plan, tmp_path, Runs())
    path = tmp_path / plan.jobs()[1].folder / RESULT_FILE
    path.write_bytes(path.read_bytes()[:99])
    runs = Runs()
    said, _ = finish(plan, tmp_path, runs)
    assert runs.asked == ['ours on S2, seed 0']
    assert 'is not a result of this version' in said[0]


def test_a_failed_run_is_kept_told_and_tried_again(plan, tmp_path):
    def one_fails(jobs):
        for job in jobs:
            output = make_output(job)
            if str(job) == 'ours on S2, seed 0':
                failed = Failed(error='no current')
                result = RunResult(**dict(output.result) | {'outcome': failed})
                output = type(output)(result, {})
            yield job, output

    said, shown = finish(plan, tmp_path, one_fails)
    assert said == ['ours on S2, seed 0 failed: no current']
    assert shown[-1] == (1.0, '4 of 4 runs, 1 failed')
    results = results_of(plan, tmp_path)
    assert [result.outcome.kind for result in results] == ['scored', 'failed', 'scored', 'scored']
    runs = Runs()
    said, _ = finish(plan, tmp_path, runs)
    assert runs.asked == ['ours on S2, seed 0']
    assert 'failed before and is done again: no current' in said[0]
    assert read_result(tmp_path / plan.jobs()[1].folder).outcome.kind == 'scored'


def test_a_full_disk_ends_the_runs(plan, tmp_path):
    (tmp_path / 'runs').write_text('in the way')
    runs = Runs()
    with pytest.raises(OutputError, match='cannot write'):
        finish(plan, tmp_path, runs)
    assert runs.closed


def test_plan_comes_back(plan, tmp_path):
    save_plan(plan, tmp_path)
    assert load_plan(tmp_path) == plan
    assert [job.key for job in load_plan(tmp_path).jobs()] == [job.key for job in plan.jobs()]


@pytest.mark.parametrize(
    ('content', 'message'), [(None, 'holds no benchmark'), ('{}', 'is not a benchmark of this')]
)
def test_no_plan_is_one_clear_error(tmp_path, content, message):
    with suppress(TypeError):
        (tmp_path / 'benchmark.json').write_text(content)
    with pytest.raises(RecordingError, match=message):
        load_plan(tmp_path)
