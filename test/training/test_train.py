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

"""Training of a tiny network on a tiny subject whose angles follow the loudness of its EMG."""

from dataclasses import replace
from itertools import product

from builders import (
    changed_where,
    emg_of,
    HOLD_OUT,
    JOINTS,
    make_recording,
    one_stack,
    weights_of,
    with_emg,
)
from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import JointTrack
from leconvmn_ros.dataset.hold_out import BlockHoldOut, default_hold_out, RepetitionHoldOut, Role
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.evaluation.comparison import compare, decode_recording
from leconvmn_ros.models.lstm import LstmConfig
from leconvmn_ros.models.ridge import RidgeConfig
from leconvmn_ros.models.spgp import SpgpConfig
from leconvmn_ros.models.stateless import Examples
from leconvmn_ros.training import recurrent_fit
from leconvmn_ros.training.data import gather
from leconvmn_ros.training.fit_settings import (
    PENALTIES,
    RecurrentFitSettings,
    RidgeFitSettings,
    SpgpFitSettings,
)
from leconvmn_ros.training.presets import TrainingSettings
from leconvmn_ros.training.recurrent_fit import fit_recurrent
from leconvmn_ros.training.ridge_fit import fit_ridge
from leconvmn_ros.training.run import train
from leconvmn_ros.training.sequences import images_of
from leconvmn_ros.training.spgp_fit import fit_spgp
import numpy as np
import pytest
import torch

torch.set_num_threads(1)
TINY = TrainingSettings(
    model=one_stack(planes=(3,)), fit=RecurrentFitSettings(epochs=2, lanes=2), threads=1
)
KINDS = {
    'le_convmn': TINY,
    'lstm over images': TINY.changed(model=LstmConfig(units=5)),
    'lstm over columns': TINY.changed(model=LstmConfig(units=5, steps='columns')),
}
MEMORYLESS = {
    'ridge': TrainingSettings(model=RidgeConfig(input='image'), fit=RidgeFitSettings(), threads=1),
    'spgp': TrainingSettings(
        model=SpgpConfig(pseudo_inputs=20),
        fit=SpgpFitSettings(epochs=25, learning_rate=0.3),
        threads=1,
    ),
}


@pytest.fixture(scope='module')
def learnt():
    """Return a recording, the decoder that learnt it, and how the epochs went."""
    recording = make_recording(repetitions=8, repetition_length=400)
    reports = []
    settings = TrainingSettings(
        model=one_stack(planes=(6,)),
        fit=RecurrentFitSettings(epochs=25, lanes=4, learning_rate=1e-2),
        threads=1,
    )
    checkpoint = train([recording], settings, hold_out=HOLD_OUT, on_epoch=reports.append)
    return recording, checkpoint, reports


def test_it_learns(learnt):
    recording, checkpoint, reports = learnt
    best = min(report.validation_loss for report in reports)
    # 1 is the loss of always saying the mean.
    assert reports[0].validation_loss > 0.5
    assert best < 0.35
    estimates = decode_recording(Decoder(checkpoint), recording)
    score = compare(
        estimates, recording.reference, recording.labels, recording.span_ns, HOLD_OUT
    ).score()
    assert score.mean.cc > 0.8
    assert score.mean.nrmse < 0.25


def test_the_epoch_is_that_of_the_lowest_validation_loss(learnt):
    _, checkpoint, reports = learnt
    losses = [report.validation_loss for report in reports]
    record = checkpoint.description.training
    assert record.best_epoch == int(np.argmin(losses)) + 1
    assert record.validation['loss'] == min(losses)
    assert [report.epoch for report in reports] == list(range(1, 26))
    assert {report.epochs for report in reports} == {25}
    for epoch, report in enumerate(reports, start=1):
        assert report.best_epoch == int(np.argmin(losses[:epoch])) + 1


def test_the_same_seed_gives_the_same_weights_and_another_gives_others():
    recording = make_recording()
    settings = TINY.changed(model=one_stack(planes=(3,), dropout=0.2)).changed('fit', noise=0.1)
    one, same = (train([recording], settings, hold_out=HOLD_OUT) for _ in range(2))
    other = train([recording], settings.changed(seed=1), hold_out=HOLD_OUT)
    assert weights_of(one) == weights_of(same)
    assert weights_of(one) != weights_of(other)
    # Whether it is told beforehand how long it takes makes no difference.
    told = []
    watched = train([recording], settings, hold_out=HOLD_OUT, on_start=told.append)
    assert weights_of(watched) == weights_of(one)
    assert len(told) == 1


def test_before_the_start_it_is_told_how_long_both_passes_take(monkeypatch):
    order = []
    monkeypatch.setattr(recurrent_fit, 'expected_seconds', lambda *_: 30.0)
    for second_pass in (False, True):
        train(
            [make_recording()],
            TINY.changed(second_pass=second_pass),
            hold_out=HOLD_OUT,
            on_start=order.append,
            on_epoch=lambda report: order.append(report.epoch),
        )
    assert order[:3] == [30.0, 1, 2]
    assert order[3:6] == [60.0, 1, 2]
    assert order.count(60.0) == 1


@pytest.mark.parametrize(
    ('settings', 'hold_out', 'second_pass'),
    [
        *product(KINDS, [HOLD_OUT, BlockHoldOut(validation=0.2, test=0.2)], [True]),
        ('le_convmn', HOLD_OUT, False),
    ],
)
def test_the_test_data_change_nothing_at_all(settings, hold_out, second_pass):
    recording = make_recording()
    settings = KINDS[settings].changed(second_pass=second_pass)
    reports = {False: [], True: []}
    one, other = (
        train(
            [changed_where(recording, Role.TEST, hold_out) if changed else recording],
            settings,
            hold_out=hold_out,
            on_epoch=reports[changed].append,
        )
        for changed in (False, True)
    )
    assert repr(reports[False]) == repr(reports[True])
    assert {report.second_pass for report in reports[True]} == {False, second_pass}
    assert weights_of(one) == weights_of(other)
    # The whole EMG has a hash, by which the recording is known again.
    apart = {'training': {'seconds': True, 'learnt': {'__all__': {'emg_sha256'}}}}
    without_time = [
        checkpoint.description.model_dump(exclude=apart) for checkpoint in (one, other)
    ]
    assert without_time[0] == without_time[1]


@pytest.mark.parametrize('kind', KINDS)
def test_the_second_pass_learns_the_validation_part_too(kind):
    # Of noise alone: the best epoch is not simply the last.
    recording = changed_where(make_recording(), Role.VALIDATION, HOLD_OUT)
    settings = KINDS[kind].changed('fit', epochs=4)
    reports = []
    first = train([recording], settings, hold_out=HOLD_OUT)
    second = train(
        [recording],
        settings.changed(second_pass=True),
        hold_out=HOLD_OUT,
        on_epoch=reports.append,
    )
    # How it scored is told of the pass that had not seen the validation part.
    one, other = (checkpoint.description.training for checkpoint in (first, second))
    assert one.validation == other.validation
    assert (one.best_epoch, one.epochs) == (other.best_epoch, other.epochs)
    best = other.best_epoch
    passes = [(report.second_pass, report.epoch) for report in reports]
    assert passes == [
        *((False, epoch) for epoch in range(1, 5)),
        *((True, epoch) for epoch in range(1, best + 1)),
    ]
    # Everything that is kept is of training and validation data.
    data = gather([recording], settings.exposure, HOLD_OUT, learn_validation=True)
    assert second.description.statistics == data.statistics
    assert second.description.joints == data.joints
    # Only in the validation part there are angles from 1 to 2.
    assert all(joint.upper > 1.5 for joint in data.joints)
    assert all(joint.upper <= 1 for joint in first.description.joints)
    torch.manual_seed(settings.seed)
    model = settings.model.build(data.signal_path.image_size, len(JOINTS))
    fit = fit_recurrent(model, data, settings.fit, seed=settings.seed, stop_after=best)
    for name, tensor in fit.model.state_dict().items():
        np.testing.assert_array_equal(second.weights[name], tensor)
    assert weights_of(first) != weights_of(second)


def test_the_second_pass_keeps_what_each_part_counts():
    settings = TINY.changed(model=LstmConfig(units=4, networks=3))
    first, second = (
        train([make_recording()], settings.changed(second_pass=again), hold_out=HOLD_OUT)
        for again in (False, True)
    )
    found = first.weights['member_weights']
    assert not np.allclose(found, 1 / 3, atol=1e-4)
    np.testing.assert_array_equal(found, second.weights['member_weights'])
    assert weights_of(first) != weights_of(second)


@pytest.mark.parametrize('kind', MEMORYLESS)
def test_the_second_pass_takes_what_validation_chose(kind):
    # Much noise in few examples: neither the first nor the last choice is the best.
    recording = make_recording()
    settings = MEMORYLESS[kind]
    reports = []
    first = train([recording], settings, hold_out=HOLD_OUT)
    second = train(
        [recording],
        settings.changed(second_pass=True),
        hold_out=HOLD_OUT,
        on_epoch=reports.append,
    )
    one, other = (checkpoint.description.training for checkpoint in (first, second))
    assert one.validation == other.validation
    assert one.best_epoch == other.best_epoch
    assert one.epochs == other.epochs == settings.fit.epochs
    data = {
        both: gather([recording], settings.exposure, HOLD_OUT, learn_validation=both)
        for both in (False, True)
    }
    assert second.description.statistics == data[True].statistics
    assert second.description.joints == data[True].joints
    path = data[False].signal_path
    training, validation = (
        Examples(*images_of(part, path)) for part in (data[False].training, data[False].validation)
    )
    whole = Examples(*images_of(data[True].training, path))
    assert len(whole.images) > len(training.images)
    torch.manual_seed(settings.seed)
    models = [settings.model.build(path.image_size, len(JOINTS)) for _ in range(2)]
    if kind == 'ridge':
        losses = [
            fit_ridge(models[0], training, validation, [penalty]).validation_loss
            for penalty in PENALTIES
        ]
        fit_ridge(models[0], training, None, [PENALTIES[other.best_epoch - 1]])
        fit_ridge(models[1], whole, None, [PENALTIES[other.best_epoch - 1]])
        assert other.best_epoch == int(np.argmin(losses)) + 1
        assert reports == []
    else:
        steps = []
        fit_spgp(models[0], training, validation, settings.fit, on_epoch=steps.append)
        fit_spgp(models[1], whole, None, settings.fit, stop_after=other.best_epoch)
        losses = [step.validation_loss for step in steps]
        assert other.best_epoch == int(np.argmin(losses))
        assert [(report.second_pass, report.epoch) for report in reports] == [
            *((False, step) for step in range(settings.fit.epochs + 1)),
            *((True, step) for step in range(other.best_epoch + 1)),
        ]
    assert 1 < other.best_epoch < settings.fit.epochs  # else this test shows little
    assert one.validation['loss'] == min(losses)
    for checkpoint, model in zip((first, second), models, strict=True):
        for name, tensor in model.state_dict().items():
            np.testing.assert_array_equal(checkpoint.weights[name], tensor)
    assert weights_of(first) != weights_of(second)


@pytest.mark.parametrize('second_pass', [False, True])
def test_validation_scores_are_those_of_the_first_model_on_that_part(monkeypatch, second_pass):
    fits = []
    monkeypatch.setattr(
        recurrent_fit,
        'fit_recurrent',
        lambda *a, **k: fits.append(fit_recurrent(*a, **k)) or fits[-1],
    )
    recording = make_recording()
    settings = TINY.changed(second_pass=second_pass)
    record = train([recording], settings, hold_out=HOLD_OUT).description.training
    assert len(fits) == 1 + second_pass
    data = gather([recording], settings.exposure, HOLD_OUT)
    lanes = recurrent_fit.validation_sequences(data)
    outputs = recurrent_fit.run_sequences(fits[0].model, lanes).numpy()[lanes.used]
    targets = lanes.targets[lanes.used]
    assert record.validation['loss'] == pytest.approx(np.square(outputs - targets).mean())
    scale = np.degrees([joint.scale for joint in data.joints])
    rmse = np.sqrt(np.square((outputs - targets) * scale).mean(axis=0)).mean()
    assert record.validation['rmse'] == pytest.approx(rmse, rel=1e-4)
    cc = [np.corrcoef(outputs[:, j], targets[:, j])[0, 1] for j in range(len(JOINTS))]
    assert record.validation['cc'] == pytest.approx(np.mean(cc), abs=1e-4)


def test_the_validation_data_do_nothing_but_pick_the_epoch(monkeypatch):
    recording = make_recording()
    losses = []
    validate = recurrent_fit._validate
    monkeypatch.setattr(
        recurrent_fit,
        '_validate',
        lambda *a: losses.append(validate(*a)) or float(len(losses) * -1),
    )
    one, other = (
        train([one], TINY, hold_out=HOLD_OUT)
        for one in (recording, changed_where(recording, Role.VALIDATION, HOLD_OUT))
    )
    assert weights_of(one) == weights_of(other)
    assert one.description.statistics == other.description.statistics
    assert one.description.joints == other.description.joints
    assert losses[:2] != losses[2:]


def test_statistics_and_limits_are_of_the_training_data():
    recording = make_recording()
    checkpoint = train([recording], TINY, hold_out=HOLD_OUT)
    track = recording.reference
    roles = HOLD_OUT.roles(track.stamps_ns, recording.labels, recording.span_ns)
    angles = track.positions[roles == Role.TRAINING]
    for j, joint in enumerate(checkpoint.description.joints):
        assert joint.name == JOINTS[j]
        assert joint.lower == angles[:, j].min()
        assert joint.upper == angles[:, j].max()
        assert joint.mean == pytest.approx(angles[:, j].mean(), abs=0.01)
        assert joint.scale == pytest.approx(angles[:, j].std(), rel=0.01)


def test_the_record_tells_what_was_done(learnt):
    recording, checkpoint, _ = learnt
    record = checkpoint.description.training
    assert record.recordings == (recording.name,)
    assert record.information == ({'subject': 'nobody'},)
    assert record.hold_out == HOLD_OUT
    assert TrainingSettings(**record.settings).fit.epochs == record.epochs == 25
    assert record.seconds > 0
    path = checkpoint.description.signal_path
    assert (path.channels, path.sampling_rate, path.exposure) == (3, 100, 0.1)
    assert checkpoint.description.model.stacks[0].planes == (6,)


def test_the_result_can_be_saved_and_decodes_the_same(learnt, tmp_path):
    recording, checkpoint, _ = learnt
    checkpoint.save(tmp_path / 'checkpoint')
    loaded = load_checkpoint(tmp_path / 'checkpoint')
    one, other = (
        decode_recording(Decoder(c), replace(recording, chunks=recording.chunks[:40]))
        for c in (checkpoint, loaded)
    )
    np.testing.assert_array_equal(one.positions, other.positions)


def test_usual_hold_out_is_taken_and_recorded():
    recording = make_recording(repetitions=6, repetition_length=60)
    checkpoint = train([recording], TINY)
    assert checkpoint.description.training.hold_out == default_hold_out(recording)
    assert checkpoint.description.training.hold_out == RepetitionHoldOut(
        validation=(4,), test=(2, 5)
    )
    unlabelled = replace(recording, labels=None)
    hold_out = train([unlabelled], TINY).description.training.hold_out
    assert hold_out == BlockHoldOut(spans_ns=(unlabelled.span_ns,))


def test_several_recordings_are_learnt_together():
    one, two = make_recording(seed=0), make_recording(seed=1, name='second')
    checkpoint = train([one, two], TINY, hold_out=HOLD_OUT)
    assert checkpoint.description.training.recordings == ('made up', 'second')
    assert weights_of(checkpoint) != weights_of(train([one], TINY, hold_out=HOLD_OUT))


def test_joints_are_those_of_the_ten_that_the_reference_has():
    recording = make_recording(joints=('little_pip', 'elbow', 'thumb_mcp'))
    joints = train([recording], TINY, hold_out=HOLD_OUT).description.joints
    assert [joint.name for joint in joints] == ['thumb_mcp', 'little_pip']
    with pytest.raises(RecordingError, match=f"'elbow'.*none of .*{JOINT_NAMES[0]}"):
        train([make_recording(joints=('elbow',))], TINY, hold_out=HOLD_OUT)


def test_a_joint_that_never_moves_and_a_dead_channel_are_no_trouble():
    recording = make_recording()
    emg = emg_of(recording)
    emg[:, 2] = 0
    track = recording.reference
    positions = track.positions.copy()
    positions[:, 1] = 0.4
    still = JointTrack(track.stamps_ns, track.names, positions)
    checkpoint = train(
        [replace(with_emg(recording, emg), reference=still)], TINY, hold_out=HOLD_OUT
    )
    estimates = decode_recording(Decoder(checkpoint), recording)
    assert np.isfinite(estimates.positions).all()
    np.testing.assert_array_equal(estimates.positions[:, 1], 0.4)


def test_recordings_that_cannot_be_trained_on_are_one_clear_error():
    recording = make_recording()
    two_channels = with_emg(recording, emg_of(recording)[:, :2])
    slower = replace(
        recording, chunks=[chunk._replace(sampling_rate=50.0) for chunk in recording.chunks]
    )
    for recordings, message in (
        ([], 'no recordings'),
        ([replace(recording, reference=None)], 'no reference angles in made up'),
        ([recording, replace(recording, reference=None, name='b')], 'b has no reference'),
        ([replace(recording, labels=None)], 'no movement labels'),
        ([recording, two_channels], r'different electrodes .*\[\(2, 100.0\), \(3, 100.0\)\]'),
        ([recording, slower], 'different electrodes'),
        ([recording, make_recording(joints=JOINTS[:2])], 'different reference joints'),
        ([replace(recording, chunks=[])], 'no EMG'),
        (
            [make_recording(repetitions=1)],
            r'repetitions \[2, 3\] cannot be held out; the recordings have \[1\]',
        ),
        ([make_recording(repetition_length=4)], 'whole image of 10 samples'),
    ):
        with pytest.raises(RecordingError, match=message):
            train(recordings, TINY, hold_out=HOLD_OUT)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (
            TINY.changed('exposure', exposure=0.001),
            r'3 channels at 100 Hz: exposure of 0\.001 s .* so 0\.02 s',
        ),
        (
            TINY.changed(model=one_stack(planes=(3,), kernel=9, electrodes='ring')),
            'kernel 9 is too large for a ring of 3',
        ),
        (
            TINY.changed(model=LstmConfig(units=4096, layers=8)),
            '8 layers of 4096 units over 30 features need .* allowed are',
        ),
    ],
)
def test_settings_that_do_not_fit_the_recording_are_one_clear_error(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        train([make_recording()], settings, hold_out=HOLD_OUT)


def test_too_large_a_network_is_one_clear_error():
    recording = make_recording(repetition_length=600)
    wide = with_emg(recording, np.tile(emg_of(recording), (1, 80)))
    settings = TINY.changed(model=one_stack(planes=(512,) * 7)).changed('exposure', exposure=2.0)
    with pytest.raises(ConfigurationError, match=r'240 x 200 need .* allowed are'):
        train([wide], settings, hold_out=HOLD_OUT)


def test_unusable_device_is_one_clear_error():
    with pytest.raises(ConfigurationError, match="device 'abacus'"):
        train([make_recording()], TINY, hold_out=HOLD_OUT, device='abacus')
    # As the command line has it.
    train([make_recording()], TINY, hold_out=HOLD_OUT, device='auto')
