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

"""The protocol redonning from bags to a table, with decoders of seconds."""

from dataclasses import replace

from benchmark_builders import make_bag, QUICK
from cli_harness import run
from leconvmn_ros.benchmark import donning_run
from leconvmn_ros.benchmark.donning_plan import DonningOptions, DonningPlan
from leconvmn_ros.benchmark.donning_report import summarise_donnings
from leconvmn_ros.benchmark.donning_run import perform_donnings
from leconvmn_ros.benchmark.results import Failed, write_output
from leconvmn_ros.benchmark.run import failure, perform
from leconvmn_ros.benchmark.sessions import people_of
from leconvmn_ros.recordings.bags import write_bag
from leconvmn_ros.synthetic.config import SyntheticSubjectConfig
from leconvmn_ros.synthetic.subject import synthesize
from leconvmn_ros.training.presets import PRESETS
import numpy as np
from pydantic import ValidationError
import pytest


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """Three sessions of one person, the second with the band turned by one electrode."""
    folder = tmp_path_factory.mktemp('sessions')
    paths = []
    # Changes need two repetitions that are held out, hence six in the first.
    for day, (turn, repetitions) in enumerate(((0, 6), (1, 2), (0, 2)), start=1):
        config = SyntheticSubjectConfig(
            movements=6,
            repetitions=repetitions,
            movement_duration=3.0,
            rest_duration=2.0,
            channels=8,
            sampling_rate=100.0,
        )
        subject = synthesize(config)
        noise = 1e-7 * np.random.default_rng(day).standard_normal(subject.emg.shape)
        emg = (np.roll(subject.emg, turn, axis=1) + noise).astype(np.float32)
        information = {'database': 'made up', 'subject': 'S1', 'donning': f'day {day}'}
        write_bag(replace(subject, emg=emg, information=information), folder / f'day_{day}')
        paths.append(folder / f'day_{day}')
    return paths


def plan_of(paths, **options):
    grouped = not options.get('changes')
    return DonningPlan(
        started='2026-11-30 17:00 UTC',
        command='leconvmn_ros benchmark',
        presets={'quick': QUICK},
        seeds=(0,),
        people=people_of(paths, grouped=grouped),
        options=DonningOptions(rings=(8,), orders=1, **options),
    )


def scores_of(plan):
    (job,) = plan.jobs()
    output = perform_donnings(job, device='cpu', threads=1, on_progress=lambda _: None)
    assert not isinstance(output.result.outcome, Failed), output.result.outcome.traceback
    return output.result


def test_later_sessions_are_scored_with_and_without_adaptation(bags):
    plan = plan_of(bags, train_sessions=(1, 2))
    result = scores_of(plan)
    found = [(s.session, s.trained_on, s.method) for s in result.outcome.scores]
    assert found == [
        ('day 2', '1 session', 'none'),
        ('day 2', '1 session', 'unlabelled 30 s'),
        ('day 2', '1 session', 'prompted 30 s'),
        ('day 3', '1 session', 'none'),
        ('day 3', '1 session', 'unlabelled 30 s'),
        ('day 3', '1 session', 'prompted 30 s'),
        ('day 3', '2 sessions', 'none'),
        ('day 3', '2 sessions', 'unlabelled 30 s'),
        ('day 3', '2 sessions', 'prompted 30 s'),
        ('day 2', 'this session', 'none'),
        ('day 3', 'this session', 'none'),
    ]
    adapted = [s for s in result.outcome.scores if s.method != 'none']
    assert all(s.seconds == pytest.approx(30, abs=2.5) for s in adapted)
    rows = summarise_donnings(plan, [result]).rows
    first = rows[0]
    assert (first.people, first.scores, first.refused) == (1, 2, 0)
    one_session = [s.cc for s in result.outcome.scores[:6:3]]
    assert first.cc == pytest.approx(np.mean(one_session))
    assert first.worst == min(one_session)


def test_rows_can_be_left_out(bags):
    outcome = scores_of(plan_of(bags[:2], unlabelled=(), prompted=(), upper_bound=False)).outcome
    assert [(s.trained_on, s.method) for s in outcome.scores] == [('1 session', 'none')]


def test_the_same_job_draws_the_same(bags):
    plan = plan_of(bags[:1], changes=('turn_and_gains', 'dead_1'), prompted=(), draws=2)
    (job,) = plan.jobs()
    assert scores_of(plan) == scores_of(plan)
    assert (
        job.key
        == plan_of(bags[:1], changes=('turn_and_gains', 'dead_1'), prompted=(), draws=2)
        .jobs()[0]
        .key
    )
    assert (
        job.key
        != plan_of(bags[:1], changes=('turn_and_gains',), prompted=(), draws=2).jobs()[0].key
    )


def test_a_decoder_that_cannot_be_adapted_is_scored_as_it_was(bags):
    outcome = scores_of(
        plan_of(bags[:1], changes=('nothing',), unlabelled=(5,), prompted=(), draws=1)
    ).outcome
    plain, adapted = outcome.scores
    assert '25 s are needed' in adapted.refused
    assert adapted.cc == plain.cc


def test_decoders_of_a_benchmark_are_taken_if_they_are_those_of_the_plan(
    bags, tmp_path, monkeypatch
):
    plan = plan_of(bags[:1], changes=('nothing',), prompted=(), draws=1)
    (job,) = plan.model_copy(update={'decoders': str(tmp_path)}).jobs()
    training = job.training
    options = {'device': 'cpu', 'threads': 1, 'on_progress': lambda _: None}
    write_output(tmp_path / training.folder, perform(training, bags[0], **options))
    expected = perform_donnings(job, **options).result
    assert len(expected.outcome.scores) == 2

    def no_training(*_, **__):
        raise AssertionError('it is trained again')

    monkeypatch.setattr(donning_run, 'train', no_training)
    assert perform_donnings(job, **options).result == expected
    write_output(tmp_path / training.folder, failure(training, 'stopped'))
    assert 'trained again' in perform_donnings(job, **options).result.outcome.error
    write_output(tmp_path / training.folder, perform(training, bags[0], **options))
    other = replace(job, settings=job.settings.model_copy(update={'seed': 1}))
    (tmp_path / training.folder).rename(tmp_path / other.training.folder)
    assert 'trained again' in perform_donnings(other, **options).result.outcome.error


def test_a_session_that_was_learnt_is_refused(bags):
    plan = plan_of(bags[:2])
    (job,) = plan.jobs()
    first, second = job.person.sessions
    copied = second.model_copy(update={'bag': first.bag})
    person = job.person.model_copy(update={'sessions': (first, copied)})
    output = perform_donnings(
        replace(job, person=person), device='cpu', threads=1, on_progress=lambda _: None
    )
    assert 'day_1 is not a new session: 100% of it' in output.result.outcome.error


def test_a_preset_that_chooses_an_epoch_is_refused(bags):
    plan = plan_of(bags)
    with pytest.raises(ValidationError, match='preset ridge chooses an epoch'):
        DonningPlan(**plan.model_dump() | {'presets': {'ridge': PRESETS['ridge']}})


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--changes', 'nothing'], '--changes is for --protocol redonning'),
        (['--protocol', 'redonning', '--against', 'lstm'], '--against and --output-rate are not'),
        (['--protocol', 'redonning', '--train-sessions', 2], 'S1 has 1 session(s) (day 1)'),
        (['--protocol', 'redonning', '--changes', 'all'], 'there are nothing, turn_and_gains'),
    ],
)
def test_the_command_refuses(capsys, bags, tmp_path, arguments, message):
    code, _, error = run(capsys, 'benchmark', bags[0], '--output', tmp_path / 'new', *arguments)
    assert code in {1, 2}
    assert message in error
    assert not (tmp_path / 'new').exists()


def test_the_command_does_not_overwrite_another_benchmark(capsys, bags, tmp_path):
    bag = make_bag(tmp_path, 'bag')
    common = ('benchmark', bag, '--presets', 'lstm_single', '--output', tmp_path / 'there')
    (tmp_path / 'there').mkdir()
    plan = plan_of(bags)
    (tmp_path / 'there' / 'benchmark.json').write_text(plan.model_dump_json())
    code, _, error = run(capsys, *common)
    assert (code, 'choose another --output' in error) == (1, True), error


def test_the_command_writes_a_table_and_can_report_again(capsys, bags, tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, 'lstm_single', QUICK)
    folder = tmp_path / 'table'
    code, out, _ = run(
        capsys,
        *('benchmark', *bags[:2], '--protocol', 'redonning', '--presets', 'lstm_single'),
        *('--output', folder, '--rings', 8, '--workers', 1),
    )
    assert code == 0
    assert 'unlabelled 30 s' in out
    lines = (folder / 'results.csv').read_text().splitlines()
    assert lines[0].startswith('preset,database,person,seed,session,draw')
    assert [line.split(',')[4] for line in lines[1:]] == ['day 2'] * 4
    code, again, _ = run(capsys, 'benchmark', '--output', folder, '--report-only')
    assert (code, again) == (0, out)
