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

"""Gradient descent: which weights are kept, what changes them, what it is seeded by."""

from dataclasses import replace
from itertools import pairwise
from math import inf, isnan, nan

from builders import HOLD_OUT, JOINTS, make_recording, one_stack
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.emg.signal_path import ExposureConfig, SignalPathConfig
from leconvmn_ros.models.le_convmn.network import LeConvMn
from leconvmn_ros.models.lstm import LstmConfig
from leconvmn_ros.models.lstm.network import Lstm
from leconvmn_ros.training import recurrent_fit
from leconvmn_ros.training.data import gather
from leconvmn_ros.training.recurrent_fit import (
    expected_seconds,
    fit_recurrent,
    RecurrentFitSettings,
    run_sequences,
    validation_sequences,
)
from leconvmn_ros.training.reports import EpochReport
from leconvmn_ros.training.sequences import arrange_sequences, FeatureSegment
import numpy as np
from pydantic import ValidationError
import pytest
import torch

torch.set_num_threads(1)
TINY = RecurrentFitSettings(epochs=3, lanes=2)


@pytest.fixture(scope='module')
def data():
    return gather([make_recording()], ExposureConfig(), HOLD_OUT)


@pytest.fixture(scope='module')
def both():
    """Return the data of a second pass."""
    return gather([make_recording()], ExposureConfig(), HOLD_OUT, learn_validation=True)


def make_model(data, seed=0, **options):
    torch.manual_seed(seed)
    return LeConvMn(one_stack(planes=(3,), **options), data.signal_path.image_size, len(JOINTS))


def make_lstm(data, seed=0, **options):
    torch.manual_seed(seed)
    return Lstm(LstmConfig(units=5, **options), data.signal_path.image_size, len(JOINTS))


def weights_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(some, others):
    assert some.keys() == others.keys()
    return all(torch.equal(some[name], others[name]) for name in some)


def spied_validation(monkeypatch, losses):
    """Let the validation losses be these; return the weights that each was for."""
    seen = []

    def validate(model, _):
        seen.append(weights_of(model))
        return float(losses[len(seen) - 1])

    monkeypatch.setattr(recurrent_fit, '_validate', validate)
    return seen


@pytest.mark.parametrize('averaging', [0, 0.5])
@pytest.mark.parametrize('losses', [[5, 3, 4], [1, 1, 1], [nan, 2, nan], [inf, 7, 6]])
def test_the_weights_are_those_of_the_best_epoch(monkeypatch, data, losses, averaging):
    seen = spied_validation(monkeypatch, losses)
    reports = []
    settings = TINY.model_copy(update={'averaging': averaging})
    fit = fit_recurrent(make_model(data), data, settings, seed=0, on_epoch=reports.append)
    best = int(np.nanargmin(losses))
    assert (fit.epoch, fit.loss) == (best + 1, losses[best])
    assert same(weights_of(fit.model), seen[best])
    assert not fit.model.training
    assert not same(seen[0], seen[2])
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert {report.epochs for report in reports} == {3}
    assert reports[-1].best_epoch == best + 1
    assert not any(report.second_pass for report in reports)


def test_the_validation_loss_is_that_of_the_scored_images(data):
    fit = fit_recurrent(make_model(data), data, TINY, seed=0)
    lanes = validation_sequences(data)
    # 399 samples make 39 images; 20 of them lie in what leads in.
    assert lanes.used.sum() == 19
    outputs = run_sequences(fit.model, lanes).numpy()[lanes.used]
    expected = np.square(outputs - lanes.targets[lanes.used]).mean()
    assert fit.loss == pytest.approx(float(expected), rel=1e-5)


def test_the_validation_data_say_how_much_each_part_counts(data):
    fit = fit_recurrent(make_lstm(data, networks=3), data, TINY, seed=0)
    lanes = validation_sequences(data)
    shares = fit.model.member_weights.clone()

    def loss(shares):
        fit.model.member_weights.copy_(torch.tensor(shares))
        return recurrent_fit._validate(fit.model, lanes)

    assert fit.loss == pytest.approx(loss(shares.tolist()), rel=1e-5)
    others = [[1 / 3, 1 / 3, 1 / 3], [1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]
    assert all(fit.loss <= loss(other) + 1e-6 for other in others)
    assert fit.loss < loss(others[0])


def test_the_state_is_carried_from_what_leads_in(data):
    model = make_model(data).eval()
    lanes = validation_sequences(data)
    outputs = run_sequences(model, lanes)
    state, expected = model.initial_state(), []
    with torch.no_grad():
        for image in lanes.images[:, 0]:
            output, state = model(torch.from_numpy(image)[None, None], state)
            expected.append(output[0])
    torch.testing.assert_close(outputs, torch.stack(expected))


def test_each_segment_of_a_lane_starts_without_memory():
    path = SignalPathConfig(channels=2, sampling_rate=100)
    random = np.random.default_rng(0)
    features = [random.normal(size=(n, 2)).astype(np.float32) for n in (30, 50)]
    stretches = [FeatureSegment(feature, feature[:, :1]) for feature in features]
    torch.manual_seed(0)
    model = LeConvMn(one_stack(planes=(4,)), (2, 10), 1)

    def loss(numbers):
        lanes = arrange_sequences([stretches[n] for n in numbers], path, lanes=1)
        return recurrent_fit._validate(model, lanes)

    # Three images and five.
    assert loss([0, 1]) == pytest.approx((3 * loss([0]) + 5 * loss([1])) / 8, rel=1e-6)


def test_without_validation_data_the_last_epoch_counts(both):
    reports = []
    fit = fit_recurrent(make_model(both), both, TINY, seed=0, on_epoch=reports.append)
    assert fit.epoch == 3
    assert isnan(fit.loss)
    assert all(isnan(report.validation_loss) for report in reports)
    assert reports[-1].text().startswith('epoch 3: loss ')
    reports.clear()
    shorter = fit_recurrent(
        make_model(both), both, TINY, seed=0, stop_after=2, on_epoch=reports.append
    )
    assert 'second pass, epoch 2: loss' in reports[-1].text()
    assert shorter.epoch == 2
    assert not same(weights_of(fit.model), weights_of(shorter.model))


def test_stopping_early_is_the_same_way_up_to_there(monkeypatch, data):
    seen = spied_validation(monkeypatch, [3, 2, 1, 3, 2, 3, 2])
    reports = []
    fit_recurrent(make_model(data), data, TINY, seed=0)
    stopped = fit_recurrent(
        make_model(data), data, TINY, seed=0, stop_after=2, on_epoch=reports.append
    )
    assert stopped.epoch == 2
    assert same(weights_of(stopped.model), seen[1])
    assert [(report.epoch, report.epochs) for report in reports] == [(1, 2), (2, 2)]
    # A schedule of two epochs would be another way.
    shorter = TINY.model_copy(update={'epochs': 2})
    other = fit_recurrent(make_model(data), data, shorter, seed=0)
    assert not same(weights_of(other.model), seen[1])


def spied_steps(monkeypatch):
    """Return what the weights and the learning rate are after each step of the optimiser."""
    weights, rates = [], []
    learn = recurrent_fit._Learner.learn

    def spy(learner, *arguments):
        done = learn(learner, *arguments)
        weights.append(weights_of(learner.model))
        rates.append(learner._optimiser.learning_rate)
        return done

    monkeypatch.setattr(recurrent_fit._Learner, 'learn', spy)
    return weights, rates


@pytest.mark.parametrize('averaging', [0.3, 0.9])
def test_averaging_is_that_of_a_plain_loop(monkeypatch, both, averaging):
    steps, _ = spied_steps(monkeypatch)
    model = make_model(both)
    average = weights_of(model)
    settings = TINY.model_copy(update={'averaging': averaging})
    fit = fit_recurrent(model, both, settings, seed=0)
    assert len(steps) > 9
    for number, weights in enumerate(steps, start=1):
        decay = min(averaging, (1 + number) / (10 + number))
        for name, value in weights.items():
            average[name] = decay * average[name] + (1 - decay) * value
    kept = weights_of(fit.model)
    for name, value in average.items():
        torch.testing.assert_close(kept[name], value)
    assert not torch.allclose(kept['stacks.0.head.weight'], steps[-1]['stacks.0.head.weight'])


def test_without_averaging_the_last_step_counts(monkeypatch, both):
    steps, _ = spied_steps(monkeypatch)
    fit = fit_recurrent(make_model(both), both, TINY, seed=0)
    assert same(weights_of(fit.model), steps[-1])


def test_averaging_does_not_change_what_is_learnt(monkeypatch, both):
    for averaging in (0, 0.9):
        with monkeypatch.context() as patch:
            steps, _ = spied_steps(patch)
            settings = TINY.model_copy(update={'averaging': averaging})
            fit_recurrent(make_model(both), both, settings, seed=0)
            if averaging == 0:
                plain = steps
    assert len(plain) == len(steps)
    assert all(same(one, other) for one, other in zip(plain, steps, strict=True))


def test_constant_schedule_and_one_cycle(monkeypatch, data):
    rates = {}
    for schedule in ('constant', 'one_cycle'):
        with monkeypatch.context() as patch:
            _, rates[schedule] = spied_steps(patch)
            settings = TINY.model_copy(update={'schedule': schedule, 'truncation': 5})
            fit_recurrent(make_model(data), data, settings, seed=0)
    assert set(rates['constant']) == {TINY.learning_rate}
    cycle = rates['one_cycle']
    peak = int(np.argmax(cycle))
    assert 0 < peak < len(cycle) // 3
    assert all(before < after for before, after in pairwise(cycle[: peak + 1]))
    assert all(before > after for before, after in pairwise(cycle[peak:]))


def test_learning_rate_rises_to_its_peak_and_falls_to_almost_nothing():
    rates = [recurrent_fit._one_cycle(share, 2.0) for share in np.linspace(0, 1, 1001)]
    peak = int(np.argmax(rates))
    assert rates[peak] == pytest.approx(2, rel=1e-3)
    assert peak == 150
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) <= 0).all()
    assert 0 < rates[-1] < 1e-3 * rates[peak]
    assert 0 < rates[0] < 0.1 * rates[peak]


def test_divergence_is_told(monkeypatch, data, both):
    # The weights become NaN.
    huge = [replace(stretch, targets=stretch.targets + np.inf) for stretch in data.training]
    for diverging in (replace(data, training=huge), replace(both, training=huge)):
        with pytest.raises(RecordingError, match=r'diverged: .* learning rate 0.003'):
            fit_recurrent(make_model(data), diverging, TINY, seed=0)
    spied_validation(monkeypatch, [nan] * 3)
    with pytest.raises(RecordingError, match='diverged'):
        fit_recurrent(make_model(data), data, TINY, seed=0)


@pytest.mark.parametrize('make', [make_model, make_lstm])
def test_the_same_seed_gives_the_same_weights_and_another_gives_others(data, make):
    settings = TINY.model_copy(update={'noise': 0.1})
    one, again, other = (
        weights_of(fit_recurrent(make(data, dropout=0.2), data, settings, seed=seed).model)
        for seed in (0, 0, 1)
    )
    assert same(one, again)
    assert not same(one, other)


@pytest.mark.parametrize(
    'change',
    [
        {'noise': 0.5},
        {'random_phase': False},
        {'lanes': 1},
        {'truncation': 3},
        {'weight_decay': 0.5},
        {'gradient_norm': 1e-4},
        {'learning_rate': 1e-3},
        {'schedule': 'constant'},
        {'averaging': 0.9},
    ],
)
def test_each_setting_does_something(both, change):
    plain, other = (
        fit_recurrent(make_model(both), both, TINY.model_copy(update=update), seed=0)
        for update in ({}, change)
    )
    assert not same(weights_of(plain.model), weights_of(other.model))


def test_noise_is_for_training_alone(monkeypatch, data):
    clean = validation_sequences(data).images
    seen = []
    validate = recurrent_fit._validate
    monkeypatch.setattr(
        recurrent_fit,
        '_validate',
        lambda model, lanes: seen.append(lanes.images.copy()) or validate(model, lanes),
    )
    fit_recurrent(make_model(data), data, TINY.model_copy(update={'noise': 5}), seed=0)
    assert len(seen) == 3
    for images in seen:
        np.testing.assert_array_equal(images, clean)


class Clock:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self):
        self.seconds = 0.0

    def perf_counter(self):
        self.seconds += 1
        return self.seconds


def test_expected_seconds_are_those_of_all_steps(monkeypatch, data):
    model = make_model(data)
    assert expected_seconds(model, data, TINY) > 0
    monkeypatch.setattr(recurrent_fit, 'time', Clock())
    # A stretch of 399 samples has 39 images or, shifted, 38: four steps of at most ten.
    assert expected_seconds(model, data, TINY) == pytest.approx(1.1 * 4 * 3)
    for epochs in (1, 10, 1000):
        settings = TINY.model_copy(update={'epochs': epochs})
        assert expected_seconds(model, data, settings) == pytest.approx(1.1 * 4 * epochs)
    single = TINY.model_copy(update={'truncation': 1000})
    assert expected_seconds(model, data, single) == pytest.approx(1.1 * 3)


def test_expected_seconds_change_nothing(data):
    model = make_model(data, dropout=0.5)
    before, drawn = weights_of(model), torch.get_rng_state()
    expected_seconds(model, data, TINY)
    assert same(weights_of(model), before)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert model.training


def test_the_share_done_never_goes_back_and_ends_at_one():
    first = [EpochReport(epoch, 5, 1.0, 1.0, 1) for epoch in range(1, 6)]
    second = [EpochReport(epoch, 3, 1.0, nan, 3, second_pass=True) for epoch in range(1, 4)]
    alone = [report.share(second_pass=False) for report in first]
    together = [report.share(second_pass=True) for report in (*first, *second)]
    for shares in (alone, together):
        assert all(0 < before < after for before, after in pairwise(shares))
        assert shares[-1] == 1
    assert first[0].text() == 'epoch 1: loss 1.000, validation 1.000 (best at 1)'


@pytest.mark.parametrize(
    'wrong',
    [
        {'epochs': 0},
        {'epochs': 10_001},
        {'learning_rate': 0},
        {'learning_rate': nan},
        {'learning_rate': 2},
        {'schedule': 'cosine'},
        {'weight_decay': -0.1},
        {'lanes': 0},
        {'lanes': 257},
        {'truncation': 0},
        {'gradient_norm': 0},
        {'gradient_norm': inf},
        {'noise': -1},
        {'averaging': 1},
        {'kind': 'exact'},
        {'unknown': 1},
    ],
)
def test_settings_have_ranges(wrong):
    (name,) = wrong
    with pytest.raises(ValidationError, match=name):
        RecurrentFitSettings(**wrong)
