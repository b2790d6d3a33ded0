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

"""Ridge regression against scikit-learn, and its input from an image."""

from leconvmn_ros.models.config import MOST_WEIGHTS
from leconvmn_ros.models.ridge import RidgeConfig
from leconvmn_ros.models.ridge.network import Ridge
from leconvmn_ros.models.stateless import Examples
from leconvmn_ros.training.fit_settings import PENALTIES
from leconvmn_ros.training.ridge_fit import fit_ridge
import numpy as np
from pydantic import ValidationError
import pytest
from sklearn.linear_model import Ridge as Oracle
import torch

SIZE = (3, 4)


def make_examples(count, seed=0, noise=0.3, joints=2):
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((count, *SIZE), dtype=np.float32)
    truth = np.random.default_rng(99).standard_normal((SIZE[0] * SIZE[1], joints))
    targets = 0.7 + images.reshape(count, -1) @ truth
    return Examples(images, np.float32(targets + noise * rng.standard_normal(targets.shape)))


def seen(examples, kind):
    images = examples.images if kind == 'image' else examples.images[:, :, -1:]
    return images.reshape(len(images), -1).astype(np.float64)


def estimate(model, images):
    with torch.no_grad():
        outputs, state = model(torch.from_numpy(images)[None], model.initial_state(len(images)))
    assert state == []
    return outputs[0].numpy()


@pytest.mark.parametrize('kind', ['column', 'image'])
@pytest.mark.parametrize(('count', 'noise'), [(20, 5), (20, 0), (300, 0.3)])
def test_equals_scikit_learn_at_the_penalty_that_validates_best(kind, count, noise):
    training, validation = make_examples(count, 0, noise), make_examples(50, 1, noise)
    model = Ridge(RidgeConfig(input=kind), SIZE, joints=2)
    fit = fit_ridge(model, training, validation)
    oracles = {
        penalty: Oracle(alpha=penalty * count).fit(seen(training, kind), training.targets)
        for penalty in PENALTIES
    }
    losses = {
        penalty: np.mean((oracle.predict(seen(validation, kind)) - validation.targets) ** 2)
        for penalty, oracle in oracles.items()
    }
    assert fit.penalty == min(losses, key=losses.get)
    assert fit.validation_loss == pytest.approx(min(losses.values()), rel=1e-6)
    best = oracles[fit.penalty]
    np.testing.assert_allclose(model.linear.weight.detach(), best.coef_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.linear.bias.detach(), best.intercept_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        estimate(model, validation.images),
        best.predict(seen(validation, kind)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_the_cases_above_choose_different_penalties():
    chosen = {
        fit_ridge(
            Ridge(RidgeConfig(input='image'), SIZE, joints=2),
            make_examples(20, 0, noise),
            make_examples(50, 1, noise),
        ).penalty
        for noise in (5, 0)
    }
    assert len(chosen) == 2


def test_the_intercept_is_not_penalised():
    training, validation = make_examples(40, 0, noise=20), make_examples(40, 1, noise=20)
    far = [part._replace(targets=part.targets + 1000) for part in (training, validation)]
    models = [Ridge(RidgeConfig(), SIZE, joints=2) for _ in range(2)]
    fits = [fit_ridge(models[0], training, validation), fit_ridge(models[1], *far)]
    assert fits[0].penalty == fits[1].penalty >= 1  # else this test shows little
    np.testing.assert_allclose(
        estimate(models[1], training.images),
        1000 + estimate(models[0], training.images),
        rtol=1e-5,
    )


def test_a_constant_channel_and_one_joint():
    training, validation = make_examples(50, 0, joints=1), make_examples(50, 1, joints=1)
    training.images[:, 1] = 3
    model = Ridge(RidgeConfig(input='image'), SIZE, joints=1)
    fit_ridge(model, training, validation)
    assert estimate(model, validation.images).shape == (50, 1)
    np.testing.assert_allclose(model.linear.weight.detach().reshape(SIZE)[1], 0, atol=1e-6)


def test_weights_beyond_the_limit_are_refused():
    with torch.device('meta'):
        Ridge(RidgeConfig(input='image'), (2, MOST_WEIGHTS // 4), joints=2)
        with pytest.raises(ValueError, match='allowed are'):
            Ridge(RidgeConfig(input='image'), (2, MOST_WEIGHTS // 4 + 1), joints=2)


@pytest.mark.parametrize('wrong', [{'kind': 'spgp'}, {'input': 'row'}, {'unknown': 1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        RidgeConfig(**wrong)
