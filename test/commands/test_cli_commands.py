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

"""The commands that write files, as their user meets them: what they say and what they write."""

from dataclasses import replace
import json
import re

from cli_harness import QUICK, run, SMALL, write_mat, write_recording
from leconvmn_ros.cli import EXIT_FAILED, main
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import JointTrack
from leconvmn_ros.dataset.hold_out import hold_out_named
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.evaluation.tables import read_estimates
from leconvmn_ros.recordings import read_bag, write_bag
from matplotlib.image import imread
import numpy as np
import pytest
from worn_band import turned, worn_band


def test_convert_makes_one_bag_per_file(capsys, folder, tmp_path):
    write_mat(tmp_path / 'S2_A1_E1.mat', samples=250)
    code, output, _ = run(
        capsys,
        'convert',
        folder / 'S1_A1_E1.mat',
        tmp_path / 'S2_A1_E1.mat',
        '--output',
        tmp_path / 'o',
    )
    assert code == 0
    assert output.splitlines() == [
        f'{tmp_path}/o/DB1_S1_A1_E1: 10 channels at 100 Hz, 3 s',
        f'{tmp_path}/o/DB1_S2_A1_E1: 10 channels at 100 Hz, 2 s',
    ]
    recording = read_bag(tmp_path / 'o' / 'DB1_S1_A1_E1')
    assert sum(len(chunk.samples) for chunk in recording.chunks) == 300
    assert len(recording.chunks[0].samples) == 2
    assert sorted(path.name for path in (tmp_path / 'o').iterdir()) == [
        'DB1_S1_A1_E1',
        'DB1_S2_A1_E1',
    ]


def test_synthesize_is_reproducible(capsys, folder, tmp_path):
    code, output, _ = run(capsys, 'synthesize', '--output', tmp_path / 'bag', *SMALL)
    assert code == 0
    assert output == f'{tmp_path}/bag: 2 channels at 50 Hz, 32 s\n'
    assert (tmp_path / 'bag' / 'bag_0.mcap').read_bytes() == (
        folder / 'bag' / 'bag_0.mcap'
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


def test_train_says_which_order_it_learnt_and_can_be_told(capsys, folder, tmp_path):
    usual = load_checkpoint(folder / 'checkpoint').description.training
    assert usual.settings['fit']['order'] == 'repetitions'
    assert usual.settings['preset'].startswith('le_convmn@')
    # Nothing chose the epoch, so there is no score of a part that did.
    assert usual.validation == {}
    train = ['train', folder / 'bag', '--output', tmp_path / 'c', *QUICK]
    assert run(capsys, *train, '--order', 'recording', '--test', 3)[0] == 0
    told = load_checkpoint(tmp_path / 'c').description.training
    assert told.settings['fit']['order'] == 'recording'
    assert told.hold_out.model_dump() == {
        'kind': 'repetitions',
        'validation': (),
        'test': (3,),
    }
    ridge = [*train[:4], '--preset', 'ridge', '--order', 'recording']
    code, _, error = run(capsys, *ridge)
    assert (code, '--order does not apply to ridge' in error) == (1, True)


def test_train_says_how_long_it_will_take(capsys, monkeypatch, folder, tmp_path):
    monkeypatch.setenv('COLUMNS', '200')
    arguments = ['train', folder / 'bag', '--output', tmp_path / 'c', *QUICK]
    assert main([str(argument) for argument in arguments]) == 0
    output = capsys.readouterr()
    assert re.search(r'this will take about [1-9]\d* (s|min)\n', output.err)
    assert 'take about' not in output.out
    assert 'epoch 1: loss' in output.err


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
        capsys,
        'evaluate',
        place,
        wide_bag / 'bag',
        '--threads',
        1,
        '--output-rate',
        0,
        '--orders',
        1,
    )
    assert code == 0
    assert f'{preset} on bag (test), 1 random order' in output


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
        if name != 'member_weights':  # the validation part says them anew
            np.testing.assert_allclose(same.weights[name], weight, rtol=0, atol=1e-6)
    assert any(not np.array_equal(went_on.weights[name], w) for name, w in known.weights.items())


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
    remark = re.search(r'late: the reference is taken to be (.*) s late', capsys.readouterr().err)
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
                *(
                    'evaluate',
                    tmp_path / 'c',
                    wide_bag / 'bag',
                    '--part',
                    part,
                    '--json',
                    report,
                    '--orders',
                    0,
                ),
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
    # What to expect in use comes first.
    shuffled = report['shuffled_order']
    assert (shuffled['orders'], shuffled['repetitions']) == (4, 2)
    assert f'{shuffled["mean"]["rmse"]:.2f}' in output
    assert output.index('4 random orders') < output.index("the recording's own order")
    assert 'delay at best correlation' in output
    estimates = read_estimates(tmp_path / 'estimates.csv')
    # All estimates are written, two of five repetitions are scored. At 50 Hz, 32 s.
    assert estimates.names == JOINT_NAMES
    assert len(estimates.stamps_ns) == 32 * 50 - 4
    assert 0.3 < report['count'] / len(estimates.stamps_ns) < 0.45
    assert imread(tmp_path / 'p' / 'plot.png').size > 100_000


@pytest.mark.parametrize('electrodes', [0, 1])
def test_evaluate_says_where_the_emg_does_not_fit_the_training(capsys, tmp_path, electrodes):
    band = worn_band()
    band.checkpoint.save(tmp_path / 'decoder')
    labels = {'movement': band.movement, 'repetition': np.full(len(band.emg), 4)}
    emg = turned(band.emg, electrodes)
    write_bag(tmp_path / 'new', emg, band.rate, band.positions, **labels)
    places = [str(tmp_path / name) for name in ('decoder', 'new')]
    assert main(['evaluate', *places, '--orders', '0', '--part', 'all']) == 0
    assert ('does not fit the training' in capsys.readouterr().err) == bool(electrodes)


def test_evaluate_all_and_at_other_rates(capsys, folder, tmp_path):
    counts = {}
    for name, options in {
        'all': ['--part', 'all'],
        'slow': ['--part', 'all', '--output-rate', '0'],
    }.items():
        code, _, _ = run(
            capsys,
            *('evaluate', folder / 'checkpoint', folder / 'bag', '--threads', 1, '--orders', 0),
            *('--json', tmp_path / f'{name}.json', *options),
        )
        assert code == 0
        counts[name] = json.loads((tmp_path / f'{name}.json').read_text())['count']
    assert counts == {'all': 32 * 50 - 4, 'slow': 32 * 10}


def test_evaluate_can_be_asked_for_the_usual_order_alone(capsys, folder):
    command = ['evaluate', folder / 'checkpoint', folder / 'bag', '--threads', 1]
    code, output, _ = run(capsys, *command, '--orders', 0)
    assert code == 0
    assert 'no scores in shuffled order, which are those to expect in use: not asked' in output
    assert 'random orders' not in output


def test_a_test_that_was_learnt_through_another_decoder_is_refused(capsys, folder, tmp_path):
    bag, first = folder / 'bag', folder / 'checkpoint'
    go_on = ['train', bag, '--from', first, '--output', tmp_path / 'c', *QUICK]
    code, _, error = run(capsys, *go_on, '--test', '1,3')
    assert code == 1
    assert 'the decoder to start from has learnt part of what is held out for the test' in error
    assert 'repetitions 1, 3' in error
    # One that held out other repetitions of the same EMG, under another name.
    write_recording(read_bag(bag), tmp_path / 'copy')
    train = ['train', tmp_path / 'copy', '--output', tmp_path / 'c', *QUICK, '--test', '1,3']
    assert run(capsys, *train)[0] == 0
    described = json.loads((tmp_path / 'c' / 'checkpoint.json').read_text())
    described['training']['hold_out']['test'] = [2, 5]
    (tmp_path / 'c' / 'checkpoint.json').write_text(json.dumps(described))
    evaluate = ['evaluate', tmp_path / 'c', bag, '--orders', 0, '--threads', 1]
    code, _, error = run(capsys, *evaluate)
    assert (code, 'has learnt part of what is to be scored' in error) == (1, True)
    code, output, _ = run(capsys, *evaluate, '--part', 'all', '--json', tmp_path / 'all.json')
    assert code == 0
    assert 'this is not a test score: of bag, ' in output
    report = json.loads((tmp_path / 'all.json').read_text())
    assert 0.4 < report['learnt_share'] < 0.9
    assert report['history_known']


def test_evaluate_scores_several_bags_together(capsys, folder, tmp_path):
    both = ['evaluate', folder / 'checkpoint', folder / 'bag', folder / 'bag', '--orders', 1]
    both += ['--threads', 1]
    code, _, _ = run(capsys, *both, '--json', tmp_path / 'a.json', '--plot', tmp_path / 'plot.png')
    assert code == 0
    one = run(capsys, *both[:3], *both[4:], '--json', tmp_path / 'b.json')[0]
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
            *('--orders', 0),
            *('--json', tmp_path / f'{name}.json'),
        )
        assert code == 0, error
        scores[name] = json.loads((tmp_path / f'{name}.json').read_text())['mean']
    # Two runs of one network differ in the last bits: by where its arrays happen to lie.
    assert scores['told'] == pytest.approx(scores['right'], rel=1e-5)
    assert scores['late'] != pytest.approx(scores['right'], rel=1e-3)


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
            assert second.endswith(f'{report["correction_s"]:.3f} s late')
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
