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
from math import inf, nan

from builders import (
    changed_where,
    emg_of,
    HOLD_OUT,
    JOINTS,
    make_recording,
    weights_of,
    with_emg,
)
from leconvmn_ros import training
from leconvmn_ros.checkpoint import load_checkpoint
from leconvmn_ros.decoder import Decoder
from leconvmn_ros.errors import ConfigurationError, RecordingError
from leconvmn_ros.evaluation import compare, decode_recording
from leconvmn_ros.joints import JOINT_NAMES
from leconvmn_ros.le_convmn import LeConvMn, LeConvMnConfig
from leconvmn_ros.protocol import BlockHoldOut, default_hold_out, RepetitionHoldOut, Role
from leconvmn_ros.recording import JointTrack
from leconvmn_ros.signal_path import SignalPathConfig
from leconvmn_ros.training import PRESETS, train, TrainingSettings
from leconvmn_ros.training_data import arrange_lanes
import numpy as np
from pydantic import ValidationError
import pytest
import torch

torch.set_num_threads(1)
TINY = TrainingSettings(planes=(3,), epochs=2, lanes=2)


@pytest.fixture(scope='module')
def learnt():
    """Return a recording, the decoder that learnt it, and how the epochs went."""
    recording = make_recording(repetitions=8, repetition_length=400)
    reports = []
    settings = TrainingSettings(planes=(6,), epochs=25, lanes=4, learning_rate=1e-2)
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


@pytest.mark.parametrize('losses', [[5, 3, 4], [1, 1, 1], [nan, 2, nan], [inf, 7, 6]])
def test_the_weights_are_those_of_that_epoch(monkeypatch, losses):
    seen = []

    def validate(model, _):
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return float(losses[len(seen) - 1])

    monkeypatch.setattr(training, '_validate', validate)
    settings = TINY.model_copy(update={'epochs': 3})
    checkpoint = train([make_recording()], settings, hold_out=HOLD_OUT)
    best = int(np.nanargmin(losses))
    assert checkpoint.description.training.best_epoch == best + 1
    for name, tensor in seen[best].items():
        assert torch.equal(checkpoint.weights[name], tensor)
    assert not torch.equal(seen[0]['head.weight'], seen[2]['head.weight'])


def test_divergence_is_told(monkeypatch):
    monkeypatch.setattr(training, '_validate', lambda *_: nan)
    with pytest.raises(RecordingError, match=r'diverged: .* learning rate 0.003'):
        train([make_recording()], TINY, hold_out=HOLD_OUT)


def test_each_segment_of_a_lane_starts_without_memory():
    path = SignalPathConfig(channels=2, sampling_rate=100)
    random = np.random.default_rng(0)
    features = [random.normal(size=(n, 2)).astype(np.float32) for n in (30, 50)]
    targets = [feature[:, :1] for feature in features]
    torch.manual_seed(0)
    model = LeConvMn(LeConvMnConfig(planes=(4, 1)), 2, 10)

    def loss(numbers):
        chosen = ([features[n] for n in numbers], [targets[n] for n in numbers])
        return training._validate(model, arrange_lanes(*chosen, path, lanes=1))

    # Three images and five.
    assert loss([0, 1]) == pytest.approx((3 * loss([0]) + 5 * loss([1])) / 8, rel=1e-6)


def test_the_same_seed_gives_the_same_weights_and_another_gives_others():
    recording = make_recording()
    settings = TINY.model_copy(update={'dropout': 0.2, 'noise': 0.1})
    one, same = (train([recording], settings, hold_out=HOLD_OUT) for _ in range(2))
    other = train([recording], settings.model_copy(update={'seed': 1}), hold_out=HOLD_OUT)
    assert weights_of(one) == weights_of(same)
    assert weights_of(one) != weights_of(other)


def test_the_validation_data_do_nothing_but_pick_the_epoch(monkeypatch):
    recording = make_recording()
    losses = []
    validate = training._validate
    monkeypatch.setattr(
        training, '_validate', lambda *a: losses.append(validate(*a)) or float(len(losses) * -1)
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
    assert TrainingSettings(**record.settings).epochs == record.epochs == 25
    assert record.seconds > 0
    path = checkpoint.description.signal_path
    assert (path.channels, path.sampling_rate, path.exposure) == (3, 100, 0.1)
    assert checkpoint.description.model.planes == (6, len(JOINTS))


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
        ([make_recording(repetition_length=9)], 'whole image of 10 samples'),
    ):
        with pytest.raises(RecordingError, match=message):
            train(recordings, TINY, hold_out=HOLD_OUT)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'exposure': 0.001}, r'3 channels at 100 Hz: exposure of 0.001 s .* so 0.02 s'),
        ({'planes': (0,)}, 'no such network'),
        ({'planes': (512,) * 7, 'exposure': 2.0}, 'allowed are|no such network'),
        ({'planes': (1,) * 8}, 'no such network'),
    ],
)
def test_settings_that_do_not_fit_the_recording_are_one_clear_error(change, message):
    recording = make_recording(repetition_length=600)
    if 'exposure' in change and change['exposure'] == 2:
        emg = np.tile(emg_of(recording), (1, 80))
        recording = with_emg(recording, emg)
    with pytest.raises(ConfigurationError, match=message):
        train([recording], TINY.model_copy(update=change), hold_out=HOLD_OUT)


def test_unusable_device_is_one_clear_error():
    with pytest.raises(ConfigurationError, match="device 'abacus'"):
        train([make_recording()], TINY, hold_out=HOLD_OUT, device='abacus')
    # As the command line has it.
    train([make_recording()], TINY, hold_out=HOLD_OUT, device='auto')


@pytest.mark.parametrize(
    'wrong',
    [{'epochs': 0}, {'learning_rate': 0}, {'learning_rate': nan}, {'seed': -1}, {'lanes': 0}],
)
def test_settings_have_ranges(wrong):
    with pytest.raises(ValidationError):
        TrainingSettings(**wrong)


def test_presets():
    assert PRESETS['paper'].planes == (64, 32)
    assert {'small', 'paper'} <= PRESETS.keys()


def test_learning_rate_rises_to_its_peak_and_falls_to_almost_nothing():
    rates = [training._one_cycle(share, 2.0) for share in np.linspace(0, 1, 1001)]
    peak = int(np.argmax(rates))
    assert rates[peak] == pytest.approx(2, rel=1e-3)
    assert peak == 150
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) <= 0).all()
    assert 0 < rates[-1] < 1e-3 * rates[peak]
    assert 0 < rates[0] < 0.1 * rates[peak]
