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

"""One run of a benchmark: its key, what it finds, and how it fails."""

import json
import shutil
import subprocess

from benchmark_builders import EPOCHS, make_bag, make_comparison, make_plan, QUICK, SECOND
from leconvmn_ros.benchmark import plan
from leconvmn_ros.benchmark import run as benchmark
from leconvmn_ros.benchmark.plan import Bag, hash_bag
from leconvmn_ros.benchmark.results import (
    Failed,
    read_comparison,
    read_result,
    RESULT_FILE,
    Scored,
    Scores,
    write_output,
)
from leconvmn_ros.benchmark.run import perform, score_movements
from leconvmn_ros.core.errors import OutputError, RecordingError
from leconvmn_ros.dataset.hold_out import RepetitionHoldOut
from leconvmn_ros.dataset.repetitions import held_out_repetitions
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.evaluation.comparison import compare, decode_recording, join
from leconvmn_ros.evaluation.metrics import as_json
from leconvmn_ros.evaluation.shuffled_order import decode_shuffled
from leconvmn_ros.recordings.bags import read_bag
import numpy as np
from pydantic import ValidationError
import pytest
import torch


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return make_bag(tmp_path_factory.mktemp('bags'), 'S1', database='made up', subject='1')


@pytest.fixture(scope='module')
def job(bag):
    return make_plan([bag], presets={'ours': QUICK}, seeds=(3,)).jobs()[0]


@pytest.fixture(scope='module')
def shares():
    return []


@pytest.fixture(scope='module')
def output(bag, job, shares):
    return perform(job, bag, device='cpu', threads=1, on_progress=shares.append)


def test_hash_of_a_bag_is_what_the_shell_says(bag):
    answer = subprocess.run(
        ['sh', '-c', 'export LC_ALL=C; sha256sum * | sha256sum'],
        cwd=bag,
        capture_output=True,
        text=True,
        check=True,
    )
    assert hash_bag(bag) == answer.stdout.split()[0]


def test_a_bag_of_one_file_has_the_name_that_its_recording_gets(bag):
    mcap = next(bag.glob('*.mcap'))
    assert Bag.at(mcap).name == read_bag(mcap).name == 'S1'
    assert Bag.at(bag).size == sum(file.stat().st_size for file in bag.iterdir())
    with pytest.raises(RecordingError, match='cannot read'):
        Bag.at(bag / 'nowhere')


def test_key_tells_all_that_a_result_depends_on(bag, job, tmp_path):
    other_bag = tmp_path / 'S1'
    shutil.copytree(bag, other_bag)
    with next(other_bag.glob('*.mcap')).open('ab') as file:
        file.write(b'!')
    hold_out = RepetitionHoldOut(validation=(1,), test=(2,))
    plans = [
        make_plan([bag], seeds=(4,)),
        make_plan([bag], presets={'ours': QUICK.changed('fit', epochs=3)}, seeds=(3,)),
        make_plan([bag], seeds=(3,), hold_out=hold_out),
        make_plan([bag], seeds=(3,), output_rate=10.0),
        make_plan([bag], seeds=(3,), topics={'emg': '/other'}),
        make_plan([other_bag], seeds=(3,)),
    ]
    keys = {job.key, *(plan.jobs()[0].key for plan in plans)}
    assert len(keys) == 1 + len(plans)


def test_key_does_not_depend_on_names_places_and_threads(bag, job, tmp_path):
    shutil.copytree(bag, tmp_path / 'elsewhere' / 'S1')
    same = make_plan(
        [tmp_path / 'elsewhere' / 'S1'],
        presets={'another name': QUICK.changed(threads=7, seed=9)},
        against='another name',
        seeds=(3,),
    )
    assert same.jobs()[0].key == job.key


def test_key_depends_on_the_version_of_a_run(job, monkeypatch):
    before = job.key
    monkeypatch.setattr(plan, 'RUN_VERSION', 99)
    assert job.key != before


def test_a_run_scores_the_test_part_as_evaluate_does(bag, output, tmp_path):
    outcome = output.result.outcome
    assert isinstance(outcome, Scored), outcome
    write_output(tmp_path, output)
    checkpoint = load_checkpoint(tmp_path / 'checkpoint')
    recording = read_bag(bag)
    estimates = decode_recording(Decoder(checkpoint), recording)
    hold_out = checkpoint.description.training.hold_out
    expected = compare(
        estimates, recording.reference, recording.labels, recording.span_ns, hold_out
    )
    assert outcome.hold_out == hold_out == RepetitionHoldOut(test=(2, 5))
    streams = decode_shuffled(
        Decoder(checkpoint), held_out_repetitions(recording, hold_out), recording.reference
    )
    shuffled = join([stream.comparison for stream in streams]).score()
    assert outcome.shuffled.mean.cc == pytest.approx(shuffled.mean.cc, abs=1e-5)
    assert outcome.in_use.shuffled_cc == outcome.shuffled.mean.cc
    assert outcome.in_use.gap == outcome.scores.mean.cc - outcome.shuffled.mean.cc
    values = as_json(expected.score())
    assert outcome.scores.mean.model_dump(exclude_defaults=True) == pytest.approx(values['mean'])
    assert outcome.scores.joints.keys() == values['joints'].keys()
    assert outcome.scores.count == values['count'] == len(expected.stamps_ns)
    kept = read_comparison(tmp_path)
    assert kept.names == expected.names
    np.testing.assert_array_equal(kept.stamps_ns, expected.stamps_ns)
    np.testing.assert_allclose(kept.estimate, expected.estimate, rtol=1e-6)
    assert checkpoint.description.training.settings['seed'] == 3


def test_a_run_says_how_it_was_made(output, shares):
    outcome = output.result.outcome
    assert outcome.information == {'database': 'made up', 'subject': '1'}
    assert len(outcome.epochs) == EPOCHS
    assert 1 <= outcome.best_epoch <= EPOCHS
    assert outcome.parameters > 0
    assert outcome.step_seconds > 0
    assert outcome.environment.torch == torch.__version__
    assert outcome.environment.device == 'cpu'
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1


def test_movements_are_a_partition_of_the_test_part(bag, output, tmp_path):
    outcome = output.result.outcome
    write_output(tmp_path, output)
    tested, labels = read_comparison(tmp_path), read_bag(bag).labels
    assert list(outcome.movements) == [0, 1]
    assert sum(row.count for row in outcome.movements.values()) == outcome.scores.count
    # Movement 1 holds in every second second, see sampled_subject.
    moving = (tested.stamps_ns - SECOND) // SECOND % 2 == 1
    assert outcome.movements[1].count == np.sum(moving)
    part = tested._replace(
        stamps_ns=tested.stamps_ns[moving],
        truth=tested.truth[moving],
        estimate=tested.estimate[moving],
    )
    mean = Scores.of(part.score()).mean
    assert outcome.movements[1].mean.rmse == pytest.approx(mean.rmse, rel=1e-5)
    assert score_movements(tested, labels)[1].mean.cc == pytest.approx(mean.cc)
    assert score_movements(tested, None) == {}


def test_a_movement_of_one_estimate_has_no_figures_but_a_reason(bag):
    labels = read_bag(bag).labels
    one = make_comparison(error=0.1)
    one = one._replace(stamps_ns=one.stamps_ns[:1], truth=one.truth[:1], estimate=one.estimate[:1])
    (scores,) = score_movements(one, labels).values()
    assert scores.mean.cc is scores.mean.rmse is None
    assert 'cc without' in scores.mean.reason


def test_a_run_that_fails_says_why(job, bag, tmp_path, monkeypatch):
    def outcome_at(path):
        made = perform(job, path, device='cpu', threads=1, on_progress=lambda _: None)
        assert made.files == {}
        assert made.result.key == job.key
        assert isinstance(made.result.outcome, Failed)
        return made.result.outcome

    expected = outcome_at(tmp_path / 'nowhere')
    assert 'nowhere does not exist' in expected.error
    assert expected.traceback == ''

    def broken(*_, **__):
        raise ZeroDivisionError('by nothing')

    monkeypatch.setattr(benchmark, 'train', broken)
    unexpected = outcome_at(bag)
    assert unexpected.error == 'ZeroDivisionError: by nothing'
    assert 'in broken' in unexpected.traceback


@pytest.mark.parametrize(
    ('content', 'message'),
    [('{', 'is not a result of this version'), ('{"format_version": 2}', 'not a result')],
)
def test_a_damaged_result_is_told(tmp_path, content, message):
    (tmp_path / RESULT_FILE).write_text(content)
    with pytest.raises(RecordingError, match=message):
        read_result(tmp_path)


def test_result_comes_back_and_has_no_nan(output, tmp_path):
    assert read_result(tmp_path) is None
    write_output(tmp_path, output)
    assert read_result(tmp_path) == output.result

    def refuse(constant):
        raise AssertionError(constant)

    json.loads((tmp_path / RESULT_FILE).read_text(), parse_constant=refuse)


def test_a_result_is_gone_while_its_files_are_replaced(output, tmp_path, monkeypatch):
    write_output(tmp_path, output)

    def full(*_):
        raise OutputError('cannot write: disk full')

    monkeypatch.setattr('leconvmn_ros.benchmark.results.write_bytes', full)
    with pytest.raises(OutputError, match='disk full'):
        write_output(tmp_path, output)
    assert read_result(tmp_path) is None


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'against': 'nobody'}, "against 'nobody'; it must be one of ours, theirs"),
        ({'seeds': (1, 2, 1)}, 'seeds must differ; 1 came twice'),
        ({'seeds': ()}, 'at least 1'),
        ({'presets': {}}, 'at least 1'),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(bag, changes, message):
    with pytest.raises(ValidationError, match=message):
        make_plan([bag], **changes)


def test_bags_of_one_name_or_one_content_are_refused(bag, tmp_path):
    shutil.copytree(bag, tmp_path / 'S2')
    with pytest.raises(ValidationError, match='contents of bags must differ'):
        make_plan([bag, tmp_path / 'S2'])
    other = make_bag(tmp_path / 'other', 'S1', seed=1)
    with pytest.raises(ValidationError, match='names of bags must differ; S1 came twice'):
        make_plan([bag, other])
