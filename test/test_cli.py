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

"""The command line as its user meets it: what it writes, its exit codes, its errors."""

import contextlib
from dataclasses import replace
import json
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time

from leconvmn_ros.bags import BagWriter, read_bag, write_bag
from leconvmn_ros.checkpoint import load_checkpoint
from leconvmn_ros.cli import COMMANDS, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED, main
from leconvmn_ros.joints import JOINT_NAMES
from leconvmn_ros.protocol import hold_out_named
from leconvmn_ros.recording import JointTrack, SampledSubject
from leconvmn_ros.reference_lag import shifted
from leconvmn_ros.reports import read_estimates
from matplotlib.image import imread
import numpy as np
import pytest
from scipy.io import savemat
import torch

torch.set_num_threads(1)
SMALL = ['--channels', '2', '--sampling-rate', '50', '--movements', '1', '--repetitions', '5']
QUICK = ['--epochs', '1', '--threads', '1']


def run(capsys, *arguments):
    """Run a command; return exit code, stdout and the last line of stderr."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as leaving:  # argparse
        code = leaving.code
    output = capsys.readouterr()
    lines = output.err.splitlines()
    return code, output.out, lines[-1] if lines else ''


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Return a folder with a bag, a decoder that was trained on it, and what else there may be."""
    folder = tmp_path_factory.mktemp('cli')
    assert main(['synthesize', '--output', str(folder / 'bag'), *SMALL]) == 0
    checkpoint = str(folder / 'checkpoint')
    assert main(['train', str(folder / 'bag'), '--output', checkpoint, *QUICK]) == 0
    (folder / 'file').write_text('mine')
    (folder / 'other').mkdir()
    (folder / 'other' / 'thesis.tex').write_text('mine')
    write_mat(folder / 'S1_E1_A1.mat')
    return folder


def write_mat(path, samples=300):
    random = np.random.default_rng(0)
    label = (np.arange(samples)[:, None] // 100 % 10).astype(np.int8)
    savemat(
        path,
        {
            'emg': np.abs(random.normal(0, 0.5, (samples, 10))),
            'glove': random.uniform(0, 90, (samples, 22)),
            'restimulus': label,
            'rerepetition': label,
            'subject': 1.0,
            'exercise': 1.0,
        },
    )


def content(folder):
    return {
        path: path.is_dir() or (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob('*')
    }


def test_convert_makes_one_bag_per_file(capsys, folder, tmp_path):
    write_mat(tmp_path / 'S2.mat', samples=250)
    code, output, _ = run(
        capsys, 'convert', folder / 'S1_E1_A1.mat', tmp_path / 'S2.mat', '--output', tmp_path / 'o'
    )
    assert code == 0
    assert output.splitlines() == [
        f'{tmp_path}/o/DB1_S1_E1_A1: 10 channels at 100 Hz, 3 s',
        f'{tmp_path}/o/DB1_S2: 10 channels at 100 Hz, 2 s',
    ]
    recording = read_bag(tmp_path / 'o' / 'DB1_S1_E1_A1')
    assert sum(len(chunk.samples) for chunk in recording.chunks) == 300
    assert len(recording.chunks[0].samples) == 2
    assert sorted(path.name for path in (tmp_path / 'o').iterdir()) == ['DB1_S1_E1_A1', 'DB1_S2']


def test_synthesize_is_reproducible(capsys, folder, tmp_path):
    code, output, _ = run(capsys, 'synthesize', '--output', tmp_path / 'bag', *SMALL)
    assert code == 0
    assert output == f'{tmp_path}/bag: 2 channels at 50 Hz, 32 s\n'
    assert (tmp_path / 'bag' / 'bag.mcap').read_bytes() == (
        folder / 'bag' / 'bag.mcap'
    ).read_bytes()
    assert run(capsys, 'synthesize', '--output', tmp_path / 'o', *SMALL, '--seed', 5)[0] == 0
    one, other = (read_bag(path).chunks[9].samples for path in (tmp_path / 'bag', tmp_path / 'o'))
    assert not np.array_equal(one, other)


def test_train_writes_what_it_was_told(capsys, folder, tmp_path):
    code, output, _ = run(
        capsys,
        'train',
        folder / 'bag',
        '--output',
        tmp_path / 'c',
        *('--epochs', 2, '--seed', 7, '--exposure', 0.2, '--learning-rate', 0.001),
        *('--test', '1,3', '--validation', 5, '--threads', 1, '--device', 'cpu'),
    )
    assert code == 0
    assert output.startswith(f'{tmp_path}/c: epoch ')
    training = load_checkpoint(tmp_path / 'c').description.training
    assert training.settings['seed'] == 7
    assert training.settings['fit']['learning_rate'] == 0.001
    assert training.epochs == 2
    assert training.hold_out.model_dump() == {
        'kind': 'repetitions',
        'validation': (5,),
        'test': (1, 3),
    }
    assert load_checkpoint(tmp_path / 'c').description.signal_path.exposure == 0.2
    # Trained again, it is replaced.
    assert run(capsys, 'train', folder / 'bag', '--output', tmp_path / 'c', *QUICK)[0] == 0
    assert load_checkpoint(tmp_path / 'c').description.training.epochs == 1


def test_train_says_how_long_it_will_take(capsys, monkeypatch, folder, tmp_path):
    monkeypatch.setenv('COLUMNS', '200')
    arguments = ['train', folder / 'bag', '--output', tmp_path / 'c', *QUICK]
    assert main([str(argument) for argument in arguments]) == 0
    output = capsys.readouterr()
    assert re.search(r'this will take about [1-9]\d* (s|min)\n', output.err)
    assert 'take about' not in output.out
    # The usual preset learns the validation part at the end.
    assert 'second pass, epoch 1: loss' in output.err


@pytest.mark.parametrize(
    ('preset', 'kind'),
    [('lstm', 'lstm'), ('lstm_paper', 'lstm'), ('spgp_paper', 'spgp'), ('ridge', 'ridge')],
)
def test_rivals_are_trained_and_evaluated_alike(capsys, wide_bag, tmp_path, preset, kind):
    place = tmp_path / preset
    train = ['train', wide_bag / 'bag', '--output', place, '--preset', preset, '--threads', 1]
    # A ridge has no epochs.
    assert run(capsys, *train, *([] if kind == 'ridge' else ['--epochs', 1]))[0] == 0
    assert load_checkpoint(place).description.model.kind == kind
    code, output, _ = run(
        capsys, 'evaluate', place, wide_bag / 'bag', '--threads', 1, '--output-rate', 0
    )
    assert code == 0
    assert f'{preset} on bag (test)' in output


def test_train_goes_on_from_a_decoder(capsys, folder, tmp_path):
    known = load_checkpoint(folder / 'checkpoint')
    train = ['train', folder / 'bag', '--from', folder / 'checkpoint', '--output']
    assert run(capsys, *train, tmp_path / 'c', '--epochs', 3)[0] == 0
    code, _, _ = run(capsys, *train, tmp_path / 'same', *QUICK, '--learning-rate', 1e-12)
    assert code == 0
    went_on, same = (load_checkpoint(tmp_path / name) for name in ('c', 'same'))
    # With the settings that it was trained with, but for what is given and the smaller steps.
    settings = dict(known.description.training.settings)
    fit = settings.pop('fit')
    found = dict(went_on.description.training.settings)
    assert found.pop('fit') == fit | {'epochs': 3, 'learning_rate': 1e-3}
    assert found == settings
    for name, weight in known.weights.items():
        if name != 'shares':  # the validation part says them anew
            torch.testing.assert_close(same.weights[name], weight, rtol=0, atol=1e-6)
    assert any(not torch.equal(went_on.weights[name], w) for name, w in known.weights.items())


def test_a_decoder_can_be_replaced_by_what_went_on_from_it(capsys, folder, tmp_path):
    load_checkpoint(folder / 'checkpoint').save(tmp_path / 'c')
    train = ['train', folder / 'bag', '--from', tmp_path / 'c', '--output', tmp_path / 'c']
    for _ in range(2):
        assert run(capsys, *train, *QUICK)[0] == 0
    fit = load_checkpoint(tmp_path / 'c').description.training.settings['fit']
    assert (fit['epochs'], fit['learning_rate']) == (1, 1e-3)


def test_a_ridge_cannot_be_gone_on_from(capsys, folder, tmp_path):
    train = ['train', folder / 'bag', '--output']
    assert run(capsys, *train, tmp_path / 'ridge', '--preset', 'ridge')[0] == 0
    code, _, error = run(capsys, *train, tmp_path / 'o', '--from', tmp_path / 'ridge')
    assert code == EXIT_FAILED
    assert 'a ridge cannot be trained further; le_convmn and lstm can' in error
    assert not (tmp_path / 'o').exists()


@pytest.mark.parametrize('lag', ['auto', '0.4'])
def test_train_takes_a_late_reference_to_be_late(capsys, wide_bag, tmp_path, lag):
    train = ['train', '--preset', 'ridge', '--threads', 1, '--output']
    assert run(capsys, *train, tmp_path / 'plain', wide_bag / 'bag')[0] == 0
    assert run(capsys, *train, tmp_path / 'late', wide_bag / 'late')[0] == 0
    arguments = [*train, tmp_path / 'told', wide_bag / 'late', '--reference-lag', lag]
    assert main([str(argument) for argument in arguments]) == 0
    remark = re.search(
        r'late: the reference is taken to be late by (.*) s', capsys.readouterr().err
    )
    assert bool(remark) == (lag == 'auto')
    plain, late, told = (
        load_checkpoint(tmp_path / name).description.training for name in ('plain', 'late', 'told')
    )
    assert 'reference_lag_s' not in late.information[0]
    noted = float(told.information[0]['reference_lag_s'])
    if lag == 'auto':
        # EMG comes before the movement, so not all of the delay is a lag of the stamps.
        assert noted == pytest.approx(float(remark[1]), abs=1e-3)
        assert 0 < noted < 0.6
        assert told.validation['cc'] > late.validation['cc']
    else:
        assert noted == 0.4
        assert told.validation == pytest.approx(plain.validation)
        assert told.validation != pytest.approx(late.validation)


def test_train_holds_out_what_the_protocol_says(capsys, wide_bag, tmp_path):
    train = ['train', wide_bag / 'bag', '--preset', 'ridge', '--output', tmp_path / 'c']
    assert run(capsys, *train, '--protocol', 'paper')[0] == 0
    recording = read_bag(wide_bag / 'bag')
    hold_out = load_checkpoint(tmp_path / 'c').description.training.hold_out
    assert hold_out == hold_out_named('paper', recording).of([recording])
    # And evaluate scores that part.
    counts = []
    for part in ('test', 'all'):
        report = tmp_path / f'{part}.json'
        assert (
            run(
                capsys,
                *('evaluate', tmp_path / 'c', wide_bag / 'bag', '--part', part, '--json', report),
            )[0]
            == 0
        )
        counts.append(json.loads(report.read_text())['count'])
    assert 0.1 < counts[0] / counts[1] < 0.3


def test_train_takes_the_device_that_is_there(folder):
    # The default, 'auto', is no device that torch knows.
    assert load_checkpoint(folder / 'checkpoint').description.training.hold_out.test == (2, 5)


def test_evaluate_prints_and_writes_everything(capsys, folder, tmp_path):
    code, output, _ = run(
        capsys,
        'evaluate',
        folder / 'checkpoint',
        folder / 'bag',
        *('--json', tmp_path / 'deep' / 'scores.json', '--plot', tmp_path / 'p' / 'plot.png'),
        *('--estimates', tmp_path / 'estimates.csv', '--threads', 1),
    )
    assert code == 0
    assert 'checkpoint on bag (test)' in output
    report = json.loads((tmp_path / 'deep' / 'scores.json').read_text())
    assert set(report['joints']) == set(JOINT_NAMES)
    for score in (report['mean'], *report['joints'].values()):
        assert {'cc', 'rmse', 'nrmse', 'r2', 'mae'} <= score.keys()
    assert f'{report["mean"]["rmse"]:.2f}' in output
    assert report['units']['rmse'] == 'deg'
    estimates = read_estimates(tmp_path / 'estimates.csv')
    # All estimates are written, two of five repetitions are scored. At 50 Hz, 32 s.
    assert estimates.names == JOINT_NAMES
    assert len(estimates.stamps_ns) == 32 * 50 - 4
    assert 0.3 < report['count'] / len(estimates.stamps_ns) < 0.45
    assert imread(tmp_path / 'p' / 'plot.png').size > 100_000


def test_evaluate_all_and_at_other_rates(capsys, folder, tmp_path):
    counts = {}
    for name, options in {
        'all': ['--part', 'all'],
        'slow': ['--part', 'all', '--output-rate', '0'],
    }.items():
        code, _, _ = run(
            capsys,
            *('evaluate', folder / 'checkpoint', folder / 'bag', '--threads', 1),
            *('--json', tmp_path / f'{name}.json', *options),
        )
        assert code == 0
        counts[name] = json.loads((tmp_path / f'{name}.json').read_text())['count']
    assert counts == {'all': 32 * 50 - 4, 'slow': 32 * 10}


def test_evaluate_scores_several_bags_together(capsys, folder, tmp_path):
    both = ['evaluate', folder / 'checkpoint', folder / 'bag', folder / 'bag', '--threads', 1]
    code, _, _ = run(capsys, *both, '--json', tmp_path / 'a.json', '--plot', tmp_path / 'plot.png')
    assert code == 0
    one = run(capsys, *both[:3], '--threads', 1, '--json', tmp_path / 'b.json')[0]
    assert one == 0
    together, single = (json.loads((tmp_path / name).read_text()) for name in ('a.json', 'b.json'))
    assert together['count'] == 2 * single['count']
    assert together['mean']['rmse'] == pytest.approx(single['mean']['rmse'])
    code, _, error = run(capsys, *both, '--estimates', tmp_path / 'e.csv')
    assert (code, error) == (1, 'leconvmn_ros evaluate: --estimates takes one bag, got 2')


def test_evaluate_takes_a_late_reference_as_it_is_told(capsys, folder, tmp_path):
    """The same lag on both sides changes nothing; on one side it does."""
    recording = read_bag(folder / 'bag')
    track = recording.reference
    write_recording(
        replace(
            recording,
            reference=JointTrack(track.stamps_ns + 300_000_000, track.names, track.positions),
        ),
        tmp_path / 'late',
    )
    scores = {}
    for name, bag, options in (
        ('right', folder / 'bag', []),
        ('late', tmp_path / 'late', []),
        ('told', tmp_path / 'late', ['--reference-lag', 0.3]),
    ):
        code, _, error = run(
            capsys,
            *('evaluate', folder / 'checkpoint', bag, '--threads', 1, '--part', 'all', *options),
            *('--json', tmp_path / f'{name}.json'),
        )
        assert code == 0, error
        scores[name] = json.loads((tmp_path / f'{name}.json').read_text())['mean']
    # Two runs of one network differ in the last bits: by where its arrays happen to lie.
    assert scores['told'] == pytest.approx(scores['right'], rel=1e-5)
    assert scores['late'] != pytest.approx(scores['right'], rel=1e-3)


def write_recording(recording, place):
    """Write a recording as it is, whatever its joints and rates."""
    track, labels = recording.reference, recording.labels
    with BagWriter(place) as writer:
        for chunk in recording.chunks:
            writer.write_emg(chunk)
        for stamp, positions in zip(track.stamps_ns.tolist(), track.positions, strict=True):
            writer.write_reference(stamp, track.names, positions)
        for entry in zip(
            labels.stamps_ns.tolist(), labels.movement, labels.repetition, strict=True
        ):
            writer.write_label(*map(int, entry))


@pytest.fixture(scope='module')
def wide_bag(tmp_path_factory):
    """Return a synthetic bag that is long enough to find a lag in, its reference 0.4 s late."""
    folder = tmp_path_factory.mktemp('wide')
    assert main(['synthesize', '--output', str(folder / 'bag'), '--sampling-rate', '100']) == 0
    write_recording(shifted(read_bag(folder / 'bag'), -0.4), folder / 'late')
    return folder


def test_align_tells_how_late_the_reference_is(capsys, wide_bag, tmp_path):
    reports = {}
    for name in ('bag', 'late'):
        code, output, _ = run(
            capsys, 'align', wide_bag / name, '--json', tmp_path / f'{name}.json'
        )
        assert code == 0
        report = reports[name] = json.loads((tmp_path / f'{name}.json').read_text())
        first, second = output.splitlines()
        assert first.startswith(
            f'{name}: the reference follows the EMG by {report["delay_s"]:.3f}'
        )
        assert report['doubt'] == ''
        if name == 'bag':
            assert second == 'no lag to correct'
        else:
            assert second.endswith(f'late by {report["correction_s"]:.3f} s')
    late = reports['late']['delay_s'] - reports['bag']['delay_s']
    assert late == pytest.approx(0.4, abs=0.01)
    assert reports['bag']['correction_s'] == 0 < reports['late']['correction_s']


def test_align_looks_at_no_more_than_the_protocol_trains_on(capsys, wide_bag, tmp_path):
    for name in ('repetitions', 'paper'):
        options = ['--protocol', name, '--json', tmp_path / f'{name}.json']
        options += ['--plot', tmp_path / f'{name}.png']
        assert run(capsys, 'align', wide_bag / 'late', *options)[0] == 0
    one, other = (
        json.loads((tmp_path / f'{name}.json').read_text()) for name in ('repetitions', 'paper')
    )
    assert one['cc'] != other['cc']
    assert imread(tmp_path / 'paper.png').size > 100_000
    assert one['delay_s'] == pytest.approx(other['delay_s'], abs=0.05)


def of_other_channels(folder):
    place = folder / 'three_channels'
    if not place.exists():
        subject = SampledSubject(
            name='three',
            sampling_rate=50.0,
            emg=np.ones((200, 3), np.float32),
            positions=np.zeros((200, 10)),
            movement=np.zeros(200, np.int64),
            repetition=np.arange(200) // 40 + 1,
        )
        write_bag(subject, place)
    return place


# Arguments with {} for the folder of the fixture and {new} for an empty one; what is said.
FAILURES = {
    'convert a missing file': ('convert {}/no.mat --output {new}/o', 'cannot read .*no.mat'),
    'convert a foreign file': ('convert {}/file --output {new}/o', 'file is no MATLAB 5 file'),
    'convert a folder': ('convert {}/other --output {new}/o', 'cannot read'),
    'convert of another database': (
        'convert {}/S1_E1_A1.mat --database DB5 --output {new}/o',
        'DB5 has 16',
    ),
    'convert to a file': ('convert {}/S1_E1_A1.mat --output {}/file', 'cannot write .*file'),
    'convert to where nothing can be': (
        'convert {}/S1_E1_A1.mat --output /proc/nobody',
        'cannot write',
    ),
    'convert in no time': (
        'convert {}/S1_E1_A1.mat --chunk 0 --output {new}/o',
        'chunk_duration is 0.0; it must be',
    ),
    'synthesize over a bag': (f'synthesize --output {{}}/bag {" ".join(SMALL)}', 'exists already'),
    'synthesize over a thesis': (
        f'synthesize --output {{}}/other --overwrite {" ".join(SMALL)}',
        'is no bag',
    ),
    'synthesize nothing': (
        'synthesize --output {new}/o --channels 0',
        "--channels: .* greater than or equal to 1, got '0'",
    ),
    'synthesize at nan': (
        'synthesize --output {new}/o --sampling-rate nan',
        "--sampling-rate: .*, got 'nan'",
    ),
    'synthesize too much': (
        'synthesize --output {new}/o --channels 256 --sampling-rate 10000 --repetitions 100',
        'at most 500000000 are allowed',
    ),
    'train on nothing': ('train {}/no --output {new}/o', 'no does not exist'),
    'train on a file': ('train {}/file --output {new}/o', 'file is no rosbag2 bag'),
    'train on a checkpoint': ('train {}/checkpoint --output {new}/o', 'no rosbag2 bag'),
    'train over a file': ('train {}/bag --output {}/file', 'cannot write checkpoint .*file'),
    'train over a bag': ('train {}/bag --output {}/bag', 'exists and is no checkpoint'),
    'train over a thesis': ('train {}/bag --output {}/other', 'it holds thesis.tex'),
    'train to where nothing can be': ('train {}/bag --output /proc/nobody/o', 'cannot write'),
    'train no epoch': ('train {}/bag --output {new}/o --epochs 0', "--epochs: .*, got '0'"),
    'train a ridge for epochs': (
        'train {}/bag --output {new}/o --preset ridge --epochs 3',
        '--epochs is not for a ridge, which has none',
    ),
    'train a ridge step by step': (
        'train {}/bag --output {new}/o --preset ridge --learning-rate 0.1',
        '--learning-rate is not for a ridge, which has none',
    ),
    'train an SPGP no epoch': (
        'train {}/bag --output {new}/o --preset spgp --epochs 0',
        "--epochs: .* greater than or equal to 1, got '0'",
    ),
    'train an SPGP on too little': (
        'train {}/bag --output {new}/o --preset spgp',
        r'300 pseudo-inputs for \d+ training images; at most one for each',
    ),
    'train from nothing': ('train {}/bag --output {new}/o --from {}/no', 'no is no checkpoint'),
    'train from a bag': ('train {}/bag --output {new}/o --from {}/bag', 'bag is no checkpoint'),
    'train from a decoder by a preset': (
        'train {}/bag --output {new}/o --from {}/checkpoint --preset lstm',
        '--from goes on with the model that is there: no --preset then',
    ),
    'train from a decoder of other electrodes': (
        'train {}/three_channels --output {new}/o --from {}/checkpoint',
        'decoder to start from is for .*channels=2 .* give .*channels=3 ',
    ),
    'train from a decoder of other images': (
        'train {}/bag --output {new}/o --from {}/checkpoint --exposure 0.2',
        r'decoder to start from is for .*exposure=0\.1 .* give .*exposure=0\.2 ',
    ),
    'train from a decoder no epoch': (
        'train {}/bag --output {new}/o --from {}/checkpoint --epochs 0',
        "--epochs: .*, got '0'",
    ),
    'train as the paper on repetitions': (
        'train {}/bag --output {new}/o --protocol paper --test 2 --validation 4',
        '--test and --validation name repetitions; --protocol paper has none',
    ),
    'train with a lag that cannot be found': (
        'train {}/bag --output {new}/o --reference-lag auto',
        'at least 30 s are needed',
    ),
    'train with a seed of nobody': (
        'train {}/bag --output {new}/o --seed -1',
        "--seed: .* greater than or equal to 0, got '-1'",
    ),
    'train on too many threads': (
        'train {}/bag --output {new}/o --threads 999999999999',
        "--threads: .* less than or equal to 256, got '999999999999'",
    ),
    'train too fast': (
        'train {}/bag --output {new}/o --learning-rate 9',
        "--learning-rate: .* less than or equal to 1, got '9.0'",
    ),
    'train on images too short': (
        'train {}/bag --output {new}/o --exposure 0.001',
        'exposure of 0.001 s .*at least 2 are needed',
    ),
    'train with one of two': (
        'train {}/bag --output {new}/o --test 2',
        '--test and --validation must be given together',
    ),
    'train on the test': (
        'train {}/bag --output {new}/o --test 2 --validation 2',
        r'repetitions \[2\] are in both',
    ),
    'train on repetitions that are not there': (
        'train {}/bag --output {new}/o --test 2 --validation 99',
        r'repetitions \[99\] cannot be held out; the recordings have \[1, 2, 3, 4, 5\]',
    ),
    'train on no device': ('train {}/bag --output {new}/o --device gpu', "device 'gpu' cannot"),
    'train on no topic': ('train {}/bag --output {new}/o --emg-topic /e', 'no topic /e; topics'),
    'train on different electrodes': (
        'train {}/bag {}/three_channels --output {new}/o',
        'different electrodes',
    ),
    'evaluate nothing': ('evaluate {}/no {}/bag', 'no is no checkpoint'),
    'evaluate a bag with a bag': ('evaluate {}/bag {}/bag', 'bag is no checkpoint'),
    'evaluate no bag': ('evaluate {}/checkpoint {}/no', 'no does not exist'),
    'evaluate other channels': (
        'evaluate {}/checkpoint {}/three_channels',
        "no estimate: .* 2 channels at 50 Hz; input: {'wrong_channels': 200}",
    ),
    'evaluate on no device': (
        'evaluate {}/checkpoint {}/bag --device meta',
        "device 'meta' cannot be used",
    ),
    'evaluate too often': (
        'evaluate {}/checkpoint {}/bag --output-rate 60',
        'output rate 60.0 Hz; allowed are 0 .* to 50 Hz',
    ),
    'evaluate to a folder': ('evaluate {}/checkpoint {}/bag --json {}/other', 'cannot write'),
    'evaluate a plot to nowhere': (
        'evaluate {}/checkpoint {}/bag --plot /proc/nobody/p.png',
        'cannot write /proc/nobody/p.png',
    ),
    'benchmark of nothing': ('benchmark --output {new}/o', 'no BAG given'),
    'benchmark of a missing bag': ('benchmark {}/no --output {new}/o', 'cannot read .*no'),
    'benchmark of one bag twice': (
        'benchmark {}/bag {}/bag --output {new}/o',
        'names of bags must differ; bag came twice',
    ),
    'benchmark against another': (
        'benchmark {}/bag --output {new}/o --presets paper --against small',
        "against 'small'; it must be one of paper",
    ),
    'benchmark to where nothing can be': (
        'benchmark {}/bag --output /proc/nobody',
        'cannot write',
    ),
    'benchmark with GPUs of nobody': (
        'benchmark {}/bag --output {new}/o --gpus-per-run 1',
        '--gpus-per-run is for --ray',
    ),
    'report of nothing': ('benchmark --report-only --output {}/other', 'holds no benchmark'),
    'report with a bag': (
        'benchmark {}/bag --report-only --output {}/other',
        '--report-only takes no BAG',
    ),
    'align nothing': ('align {}/no', 'no does not exist'),
    'align too little': ('align {}/bag', r'1\d s of training data .* at least 30 s are needed'),
    'align what never moves': (
        'align {}/three_channels',
        '0 s of training data with EMG and reference',
    ),
    'demo of nothing': ('demo {}/no.mat --output {new}/o', 'cannot read .*no.mat'),
}


@pytest.mark.parametrize('case', FAILURES)
def test_failures_are_one_line_and_leave_nothing(capsys, folder, tmp_path, case):
    of_other_channels(folder)
    (tmp_path / 'new').mkdir()
    arguments, message = FAILURES[case]
    words = arguments.replace('{new}', str(tmp_path / 'new')).replace('{}', str(folder)).split()
    before = content(folder)
    code, output, error = run(capsys, *words)
    assert code == EXIT_FAILED, (output, error)
    assert error.startswith(f'leconvmn_ros {words[0]}: ')
    assert re.search(message, error), error
    assert len(error) < 600
    assert content(folder) == before
    left = [path for path in (tmp_path / 'new').rglob('*') if path.is_file()]
    assert left == []


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ('', 'required: COMMAND'),
        ('fly', "invalid choice: 'fly'"),
        ('convert', 'required: FILE.mat, --output'),
        ('convert a.mat --output o --database DB9', 'invalid choice'),
        ('train b --output o --test a', "'a' is not a list of repetitions such as 2,5"),
        ('train b --output o --test 1,,2', 'is not a list of repetitions'),
        ('evaluate c b --threads -1', "'-1' is not a whole number from 0 to 256"),
        ('evaluate c b --threads 9999999999999', 'from 0 to 256'),
        ('train b --output o --epochs many', "invalid int value: 'many'"),
        ('train b --output o --preset huge', 'invalid choice'),
        ('evaluate c b --output-rate nan', "'nan' is not a number from 0 to 1000"),
        ('evaluate c b --output-rate inf', 'from 0 to 1000'),
        ('evaluate c b --output-rate=-1', 'from 0 to 1000'),
        ('evaluate c b --threads 1.5', 'whole number'),
        ('evaluate c b --plot a.xyz', "'a.xyz' does not end in .png"),
        ('evaluate c b --part some', 'invalid choice'),
        ('demo --rate=-1', 'from 0 to 1000'),
        ('benchmark b --output o --presets small,huge', "'small,huge' is not a list of"),
        (
            'benchmark b --output o --presets small,small',
            "'small,small' is not a list of different presets",
        ),
        ('benchmark b --output o --seeds 0,,1', "'0,,1' is not a list of seeds"),
        ('benchmark b --output o --workers 0', 'whole number from 1'),
        ('align b --protocol none', 'invalid choice'),
        ('align b --plot a.xyz', "'a.xyz' does not end in .png"),
        ('train b --output o --reference-lag 11', "'11' is not a number from -10 to 10"),
        ('train b --output o --reference-lag soon', "'soon' is not a number from -10 to 10"),
        ('train b --output o --protocol none', 'invalid choice'),
        ('evaluate c b --reference-lag auto', "'auto' is not a number from -10 to 10"),
        ('evaluate c b --reference-lag 11', "'11' is not a number from -10 to 10"),
        ('urdf --side up', 'invalid choice'),
    ],
)
def test_wrong_usage_is_told_with_exit_code_2(capsys, arguments, message):
    code, output, error = run(capsys, *arguments.split())
    assert code == 2
    assert output == ''
    assert message in error


@pytest.mark.parametrize('command', COMMANDS)
def test_help_tells_every_argument(capsys, monkeypatch, command):
    monkeypatch.setenv('COLUMNS', '200')
    code, output, _ = run(capsys, command, '--help')
    assert code == 0
    _, *entries = output[output.index('options:') :].split('\n  --')
    told = {f'--{words[0]}': ' '.join(words) for words in map(str.split, entries)}
    expected = {
        'demo': {'--output', '--preset', '--rate'},
        'convert': {'--output', '--database', '--chunk', '--overwrite'},
        'synthesize': {'--output', '--channels', '--sampling-rate', '--seed', '--overwrite'},
        'align': {'--json', '--plot', '--protocol', '--reference-topic'},
        'train': {
            *('--output', '--preset', '--from', '--epochs', '--test', '--validation'),
            *('--protocol', '--reference-lag', '--device'),
        },
        'evaluate': {'--json', '--plot', '--estimates', '--part', '--output-rate', '--device'},
        'benchmark': {'--output', '--presets', '--against', '--seeds', '--workers', '--ray'},
        'bench': {'--engine', '--output-rate', '--json', '--compare'},
        'export': {'--output'},
        'urdf': {'--side', '--ghost', '--output'},
        'hand': set(),
    }[command]
    assert expected <= told.keys()
    # Each of them says something, and no default is 'None'.
    assert all(len(text.split()) > 3 for text in told.values())
    assert 'None' not in output
    for option, text in {
        'train': [('--epochs', 'at least 1, at most 10000'), ('--exposure', 'above 0, at most 2')],
        'synthesize': [('--channels', 'at least 1, at most 256')],
        'evaluate': [('--threads', '1 to 256')],
        'demo': [('--rate', 'up to 1000')],
    }.get(command, []):
        assert text in told[option]


def test_help_lists_the_commands(capsys):
    code, output, _ = run(capsys, '--help')
    assert code == 0
    assert all(command in output for command in COMMANDS)


def test_overwrite_replaces_a_bag(capsys, tmp_path):
    arguments = ['synthesize', '--output', tmp_path / 'bag', *SMALL]
    assert run(capsys, *arguments)[0] == 0
    assert run(capsys, *arguments)[0] == EXIT_FAILED
    assert run(capsys, *arguments, '--overwrite', '--seed', 3)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ['bag']


def interrupted(arguments, when, tmp_path, number=signal.SIGINT):
    """Start a command, send a signal when it has come so far; return exit code and stderr."""
    errors = tmp_path / 'stderr'
    with errors.open('wb') as file:
        process = subprocess.Popen(
            [sys.executable, '-m', 'leconvmn_ros.cli', *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=file,
            env=os.environ | {'OMP_NUM_THREADS': '1'},
            # Where a shell has put the test run in the background, SIGINT is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        deadline = time.monotonic() + 60
        try:
            while not when(errors) and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            assert process.poll() is None, errors.read_text()
            process.send_signal(number)
            code = process.wait(30)
        finally:
            process.kill()
            process.wait()
    text = errors.read_text()
    errors.unlink()
    # CPython ends by the signal itself, which shells show as 130 too, if the interrupt went
    # through an exec() on its way to where it was caught: so in an import of torch.
    return EXIT_INTERRUPTED if code == -signal.SIGINT else code, text


@pytest.mark.parametrize(
    ('number', 'expected'),
    [(signal.SIGINT, EXIT_INTERRUPTED), (signal.SIGTERM, EXIT_TERMINATED)],
)
def test_stopped_while_converting_leaves_no_broken_bag(tmp_path, number, expected):
    write_mat(tmp_path / 'long.mat', samples=300_000)
    output = tmp_path / 'out'
    code, errors = interrupted(
        # A message for each sample: seconds of writing.
        ['convert', tmp_path / 'long.mat', '--output', output, '--chunk', '0.01'],
        # In the midst of the messages. Earlier, modules are still imported, and an interrupt is
        # lost if it comes within the callbacks by which CPython frees the lock of a module.
        lambda _: any(file.stat().st_size > 100_000 for file in output.rglob('*.mcap')),
        tmp_path,
        number,
    )
    assert code == expected, errors
    assert errors.splitlines()[-1] == 'leconvmn_ros convert: stopped'
    assert 'Traceback' not in errors
    assert list(output.iterdir()) == []


def test_ctrl_c_while_training_leaves_no_broken_checkpoint(folder, tmp_path):
    place = tmp_path / 'out' / 'checkpoint'
    code, errors = interrupted(
        ['train', folder / 'bag', '--output', place, '--epochs', '10000', '--threads', '1'],
        # The place is checked before the training starts.
        lambda _: place.parent.exists() and (time.sleep(1.5) or True),
        tmp_path,
    )
    assert code == EXIT_INTERRUPTED
    assert errors.splitlines()[-1] == 'leconvmn_ros train: stopped'
    assert 'Traceback' not in errors
    assert list(place.parent.iterdir()) == []


@pytest.mark.slow
def test_a_demo_that_is_terminated_leaves_no_node_behind(tmp_path):
    place = tmp_path / 'demo'
    code, errors = interrupted(
        ['demo', '--output', place, '--rate', '1'],
        lambda _: bool(programs_that_name(place)),
        tmp_path,
        signal.SIGTERM,
    )
    assert (code, errors.splitlines()[-1]) == (EXIT_TERMINATED, 'leconvmn_ros demo: stopped')
    assert programs_that_name(place) == []


def programs_that_name(place):
    """Return the command lines of the nodes that a path was given to."""
    lines = []
    for file in Path('/proc').glob('[0-9]*/cmdline'):
        with contextlib.suppress(OSError):  # it has just ended
            lines.append(file.read_bytes().replace(b'\0', b' ').decode(errors='replace'))
    return [line for line in lines if str(place) in line and '--ros-args' in line]


def test_module_runs_as_a_program(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'leconvmn_ros.cli', 'evaluate', tmp_path / 'no', tmp_path / 'bag'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_FAILED
    assert done.stdout == ''
    assert 'is no checkpoint' in done.stderr
    assert 'Traceback' not in done.stderr
