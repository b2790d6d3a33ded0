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

"""SPGP against the exact process, its dense formulas and finite differences."""

from copy import deepcopy

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.models.config import MOST_WEIGHTS
from leconvmn_ros.models.ridge import RidgeConfig
from leconvmn_ros.models.ridge.network import Ridge
from leconvmn_ros.models.spgp import SpgpConfig
from leconvmn_ros.models.spgp.network import Spgp
from leconvmn_ros.models.stateless import Examples
from leconvmn_ros.training import spgp_fit
from leconvmn_ros.training.ridge_fit import fit_ridge
from leconvmn_ros.training.spgp_fit import (
    condition,
    fit_spgp,
    Hyperparameters,
    JITTER,
    SpgpFitSettings,
)
import numpy as np
from pydantic import ValidationError
import pytest
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, RBF, WhiteKernel
import torch

SIZE = (2, 3)
LENGTHS, SIGNAL, NOISE = np.array([0.7, 1.5, 2.5]), 1.3, 0.2


def make_data(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, len(LENGTHS))), rng.standard_normal((count, 2))


def hyperparameters(pseudo_inputs):
    values = (pseudo_inputs / LENGTHS, np.log(LENGTHS), np.log(SIGNAL), np.log(NOISE))
    return Hyperparameters(*(torch.tensor(value, dtype=torch.float64) for value in values))


def conditioned(pseudo_inputs, x, y):
    """Return the log marginal likelihood and the predictive mean as a function of inputs."""
    found = condition(hyperparameters(pseudo_inputs), torch.tensor(x), torch.tensor(y))
    weights = found.weights.numpy()
    return float(found.log_likelihood), lambda new: kernel(new, pseudo_inputs) / SIGNAL @ weights


def kernel(some, others):
    differences = (some[:, None] - others[None]) / LENGTHS
    return SIGNAL * np.exp(-0.5 * (differences**2).sum(axis=-1))


@pytest.fixture(params=[7, 39, 1024])
def chunk(request, monkeypatch):
    monkeypatch.setattr(spgp_fit, 'CHUNK', request.param)


@pytest.mark.usefixtures('chunk')
def test_with_the_training_inputs_as_pseudo_inputs_it_is_the_exact_process():
    x, y = make_data(40)
    covariance = ConstantKernel(SIGNAL) * RBF(LENGTHS) + WhiteKernel(NOISE)
    exact = GaussianProcessRegressor(covariance, alpha=0, optimizer=None).fit(x, y)
    likelihood, mean = conditioned(x, x, y)
    assert likelihood == pytest.approx(exact.log_marginal_likelihood_value_, abs=1e-3)
    new = make_data(30, seed=1)[0]
    np.testing.assert_allclose(mean(new), exact.predict(new), atol=1e-4)


@pytest.mark.usefixtures('chunk')
def test_equals_the_dense_formulas():
    x, y = make_data(40)
    pseudo_inputs, new = make_data(6, seed=1)[0], make_data(30, seed=2)[0]
    inducing = kernel(pseudo_inputs, pseudo_inputs) + JITTER * SIGNAL * np.eye(6)
    cross, new_cross = kernel(pseudo_inputs, x), kernel(new, pseudo_inputs)
    q = cross.T @ np.linalg.solve(inducing, cross)
    covariance = q + np.diag(np.diag(kernel(x, x) - q)) + NOISE * np.eye(40)
    expected = sum(multivariate_normal.logpdf(y[:, j], cov=covariance) for j in range(2))
    likelihood, mean = conditioned(pseudo_inputs, x, y)
    assert likelihood == pytest.approx(expected, rel=1e-10)
    expected_mean = new_cross @ np.linalg.solve(inducing, cross) @ np.linalg.solve(covariance, y)
    np.testing.assert_allclose(mean(new), expected_mean, rtol=1e-8, atol=1e-10)


@pytest.mark.usefixtures('chunk')
def test_gradients_equal_finite_differences():
    x, y = (torch.tensor(part) for part in make_data(9))
    start = hyperparameters(make_data(4, seed=1)[0])
    torch.autograd.gradcheck(
        lambda *values: condition(Hyperparameters(*values), x, y),
        [value.requires_grad_() for value in start],
    )


def make_examples(count, seed, joints=2):
    """Two joints that move with the product of two pixels and the square of a third."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((count, *SIZE), dtype=np.float32)
    a, b, c = images[:, 0, 2], images[:, 1, 2], images[:, 0, 0]
    targets = np.stack([np.sin(2 * a * b), c**2 - 1], axis=1)[:, :joints]
    return Examples(images, np.float32(targets + 0.1 * rng.standard_normal(targets.shape)))


def new_model(joints=2, **options):
    return Spgp(SpgpConfig(**{'pseudo_inputs': 40, **options}), SIZE, joints)


def fitted(training=None, validation=None, *, steps=30, seed=0, **options):
    training, validation = training or make_examples(300, 0), validation or make_examples(100, 1)
    model, reports = new_model(training.targets.shape[1], **options), []
    fit = fit_spgp(
        model,
        training,
        validation,
        SpgpFitSettings(epochs=steps, learning_rate=0.1),
        seed=seed,
        on_epoch=reports.append,
    )
    return model, fit, reports


def estimate(model, images):
    with torch.no_grad():
        outputs, state = model(torch.from_numpy(images)[None], model.initial_state(len(images)))
    assert state == []
    return outputs[0].numpy()


def loss_of(model, examples):
    return float(np.mean((estimate(model, examples.images) - examples.targets) ** 2))


def test_learning_raises_the_likelihood_and_beats_ridge():
    training, validation, test = (make_examples(n, s) for n, s in ((300, 0), (100, 1), (200, 2)))
    model, fit, reports = fitted(training, validation)
    assert [report.epoch for report in reports] == list(range(31))
    assert reports[-1].training_loss < reports[0].training_loss - 0.2
    ridge = Ridge(RidgeConfig(input='image'), SIZE, joints=2)
    fit_ridge(ridge, training, validation)
    assert loss_of(model, test) < 0.5 * loss_of(ridge, test)
    assert fit.step > 0


def test_validation_picks_the_step():
    training = make_examples(60, 0)
    noise = np.random.default_rng(3).standard_normal(training.targets.shape)
    training = training._replace(targets=np.float32(training.targets + 3 * noise))
    validation = make_examples(100, 1)
    model, fit, reports = fitted(training, validation, steps=40)
    losses = [report.validation_loss for report in reports]
    assert 0 < fit.step < 40  # else this test shows nothing
    assert fit.step == int(np.argmin(losses)) == reports[-1].best_epoch
    assert (
        fit.validation_loss == min(losses) == pytest.approx(loss_of(model, validation), rel=1e-4)
    )


def test_float32_is_enough(monkeypatch):
    learned = []
    give = spgp_fit._give
    monkeypatch.setattr(spgp_fit, '_give', lambda *them: (learned.append(them[1]), give(*them)))
    training, new = make_examples(300, 0), make_examples(200, 2)
    model, _, _ = fitted(training, pseudo_inputs=200)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    x, y = model.matrices(training)
    exact = condition(learned[0], x, y).weights
    scaled = model.matrices(new)[0] / learned[0].log_length_scales.exp()
    distances = (scaled[:, None] - learned[0].pseudo_inputs).square().sum(dim=-1)
    expected = torch.exp(-0.5 * distances) @ exact
    assert expected.std() > 0.5
    np.testing.assert_allclose(estimate(model, new.images), expected, atol=1e-3)
    in_float64 = deepcopy(model).double().estimate(model.matrices(new)[0])
    np.testing.assert_allclose(estimate(model, new.images), in_float64, atol=1e-3)


def test_weights_restored_estimate_the_same():
    model, _, _ = fitted(steps=2)
    restored = new_model()
    restored.load_state_dict(model.state_dict())
    images = make_examples(50, 2).images
    assert np.ptp(estimate(model, images)) > 0
    np.testing.assert_array_equal(estimate(restored, images), estimate(model, images))


def test_same_seed_same_model():
    images = make_examples(50, 2).images
    one, same, other = (estimate(fitted(steps=5, seed=s)[0], images) for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3


def test_column_sees_the_newest_column_alone():
    images = make_examples(50, 2).images
    changed = images.copy()
    changed[:, :, :-1] = 9
    column, image = (fitted(steps=2, input=kind)[0] for kind in ('column', 'image'))
    np.testing.assert_array_equal(estimate(column, changed), estimate(column, images))
    assert np.abs(estimate(image, changed) - estimate(image, images)).max() > 0.1


def test_an_estimate_does_not_depend_on_its_batch():
    model, _, _ = fitted(steps=2)
    images = make_examples(50, 2).images
    alone = np.concatenate([estimate(model, images[i : i + 1]) for i in range(50)])
    np.testing.assert_allclose(alone, estimate(model, images), atol=1e-5)


@pytest.mark.parametrize('value', [0, 0.1, -300])
def test_a_constant_channel_is_of_no_consequence(value):
    training, validation = make_examples(300, 0), make_examples(100, 1)
    for part in (training, validation):
        part.images[:, 1] = value
    model, fit, _ = fitted(training, validation)
    # The second joint does not depend on that channel.
    error = estimate(model, validation.images)[:, 1] - validation.targets[:, 1]
    assert np.mean(error**2) < 0.2 * np.var(validation.targets[:, 1])
    assert np.isfinite(fit.validation_loss)


def test_duplicates_and_nothing_but_duplicates():
    once, validation = make_examples(40, 0), make_examples(100, 1)
    twice = Examples(*(np.concatenate([part, part]) for part in once))
    model, _, _ = fitted(twice, validation, pseudo_inputs=80)
    assert loss_of(model, validation) < np.var(validation.targets)
    same = Examples(np.ones_like(once.images), once.targets)
    model, _, _ = fitted(same, validation, pseudo_inputs=40)
    mean = same.targets.mean(axis=0)
    np.testing.assert_allclose(estimate(model, same.images[:1])[0], mean, atol=0.05)


def test_one_joint():
    training, validation = make_examples(300, 0, joints=1), make_examples(100, 1, joints=1)
    model, _, _ = fitted(training, validation)
    assert estimate(model, validation.images).shape == (100, 1)
    assert loss_of(model, validation) < np.var(validation.targets)


def test_more_pseudo_inputs_than_training_images_are_refused():
    fitted(make_examples(40, 0), steps=1)
    with pytest.raises(ConfigurationError, match='40 pseudo-inputs for 39 training images'):
        fitted(make_examples(39, 0), steps=1)


def test_a_fit_that_diverges_is_one_clear_error():
    training = make_examples(60, 0)
    training.images[7, 1, 2] = np.nan
    with pytest.raises(RecordingError, match='diverged after 0 steps'):
        fitted(training)


@pytest.mark.parametrize('count', [0, 5])
def test_nothing_to_validate_on_is_one_clear_error(count):
    validation = make_examples(count, 1)
    validation.targets[:] = np.nan
    with pytest.raises(RecordingError, match=f'loss on {count} validation images is not finite'):
        fitted(validation=validation, steps=1)


def test_numbers_beyond_the_limit_are_refused():
    config = SpgpConfig(pseudo_inputs=4)
    with torch.device('meta'):
        Spgp(config, (1, MOST_WEIGHTS // 4 - 2), joints=2)
        with pytest.raises(ValueError, match='allowed are'):
            Spgp(config, (1, MOST_WEIGHTS // 4 - 1), joints=2)


@pytest.mark.parametrize(
    'wrong',
    [
        {'kind': 'ridge'},
        {'pseudo_inputs': 0},
        {'pseudo_inputs': 2001},
        {'input': 'row'},
        {'unknown': 1},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        SpgpConfig(**wrong)
