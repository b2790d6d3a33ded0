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

"""The LSTM against its equations written out, and against itself step by step."""

from leconvmn_ros.models.base import parameter_count
from leconvmn_ros.models.config import MOST_WEIGHTS
from leconvmn_ros.models.lstm import LstmConfig
from leconvmn_ros.models.lstm.network import Lstm
import numpy as np
from pydantic import ValidationError
import pytest
import torch
from torch import nn

CHANNELS, COLUMNS, JOINTS = 3, 4, 2
STEPS = ['images', 'columns']


def make_model(seed=0, **options):
    torch.manual_seed(seed)
    return Lstm(LstmConfig(**({'units': 5} | options)), (CHANNELS, COLUMNS), JOINTS).eval()


def make_images(steps, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, batch, CHANNELS, COLUMNS, generator=generator)


def run(model, images, state=None, fresh=None):
    """Run step by step and item by item of the batch, with resets where `fresh`."""
    steps, batch = images.shape[:2]
    fresh = torch.zeros(steps, batch, dtype=torch.bool) if fresh is None else fresh
    state = model.initial_state(batch) if state is None else state
    outputs, ends = [], []
    for lane in range(batch):
        own = [(h[lane : lane + 1], c[lane : lane + 1]) for h, c in state]
        outputs.append([])
        for step in range(steps):
            if fresh[step, lane]:
                own = model.initial_state()
            with torch.no_grad():
                output, own = model(images[step : step + 1, lane : lane + 1], own)
            outputs[-1].append(output[0, 0])
        ends.append(own)
    end = [
        tuple(torch.cat([own[layer][part] for own in ends]) for part in range(2))
        for layer in range(len(state))
    ]
    return torch.stack([torch.stack(lane) for lane in outputs], dim=1), end


def inputs_of(image, steps):
    """Return what the LSTM sees of an image, one vector after another."""
    if steps == 'images':
        return [image.reshape(-1)]  # channel by channel
    return [image[:, column] for column in range(image.shape[1])]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize('steps', STEPS)
@pytest.mark.parametrize('layers', [1, 3])
def test_it_is_the_equations_of_an_lstm(steps, layers):
    model = make_model(steps=steps, layers=layers).double()
    images = make_images(3).double()
    outputs, state = run(model, images)
    h, c = np.zeros((2, layers, 5))
    for image, output in zip(images[:, 0].numpy(), outputs[:, 0].numpy(), strict=True):
        for x in inputs_of(image, steps):
            for layer, lstm in enumerate(model.networks[0].layers):
                of_input, of_hidden, *biases = (p.detach().numpy() for p in lstm.parameters())
                gates = of_input @ x + of_hidden @ h[layer] + sum(biases)
                i, f, g, o = gates.reshape(4, 5)
                c[layer] = sigmoid(f) * c[layer] + sigmoid(i) * np.tanh(g)
                h[layer] = sigmoid(o) * np.tanh(c[layer])
                x = h[layer]  # noqa: PLW2901 - what the next layer sees
        head = model.networks[0].head
        expected = head.weight.detach().numpy() @ x + head.bias.detach().numpy()
        np.testing.assert_allclose(output, expected, atol=1e-12)
    for layer, parts in enumerate(state):
        np.testing.assert_allclose(parts[0][0].numpy(), h[layer], atol=1e-12)
        np.testing.assert_allclose(parts[1][0].numpy(), c[layer], atol=1e-12)


@pytest.mark.parametrize('steps', STEPS)
def test_it_is_torchs_own_stacked_lstm(steps):
    model = make_model(steps=steps)
    images = make_images(6, batch=2)
    features = CHANNELS * (COLUMNS if steps == 'images' else 1)
    reference = nn.LSTM(features, 5, num_layers=2)
    reference.load_state_dict(
        {
            name.replace('_l0', f'_l{layer}'): weight
            for layer, lstm in enumerate(model.networks[0].layers)
            for name, weight in lstm.state_dict().items()
        }
    )
    seen = torch.stack(
        [
            torch.stack([torch.stack(inputs_of(image, steps)) for image in lane])
            for lane in images.unbind(1)
        ]
    )  # (batch, images, inputs of each, features)
    with torch.no_grad():
        hidden, (h, c) = reference(seen.flatten(1, 2).transpose(0, 1))
        per_image = hidden.unflatten(0, (6, -1))[:, -1]
        outputs, state = model(images, model.initial_state(2))
        torch.testing.assert_close(outputs, model.networks[0].head(per_image))
    torch.testing.assert_close(torch.stack([part for part, _ in state]), h)
    torch.testing.assert_close(torch.stack([part for _, part in state]), c)


@pytest.mark.parametrize('steps', STEPS)
def test_several_steps_at_once_are_step_by_step(steps):
    model = make_model(steps=steps)
    images = make_images(5, batch=3)
    expected, expected_state = run(model, images)
    with torch.no_grad():
        outputs, state = model(images, model.initial_state(3))
        _, between = model(images[:2], model.initial_state(3))
        rest, end = model(images[2:], between)
    assert outputs.shape == (5, 3, JOINTS)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(rest, expected[2:])
    for found in (state, end):
        torch.testing.assert_close(found, expected_state)
    # What was before is remembered.
    assert (expected[2:] - run(model, images[2:])[0]).abs().max() > 1e-4


@pytest.mark.parametrize('steps', STEPS)
@pytest.mark.parametrize(
    'where', [[], [(0, 0)], [(2, 1)], [(0, 1), (2, 0), (3, 0), (4, 1)], [(4, 0), (4, 1)]]
)
def test_the_state_is_forgotten_exactly_where_it_is_fresh(steps, where):
    model = make_model(steps=steps)
    images = make_images(5, batch=2)
    _, before = run(model, make_images(2, batch=2, seed=1))
    fresh = torch.zeros(5, 2, dtype=torch.bool)
    for place in where:
        fresh[place] = True
    expected, expected_state = run(model, images, before, fresh)
    with torch.no_grad():
        outputs, state = model(images, before, fresh)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(state, expected_state)
    going_on, _ = run(model, images, before)
    for step, lane in where:
        assert (outputs[step, lane] - going_on[step, lane]).abs().max() > 1e-4


def test_gradients_reach_over_a_fresh_start_of_another_lane():
    model = make_model()
    images = make_images(3, batch=2).requires_grad_()
    fresh = torch.tensor([[False, False], [False, True], [False, False]])
    outputs, _ = model(images, model.initial_state(2), fresh)
    outputs[2].sum().backward()
    reach = images.grad.abs().amax(dim=(2, 3)) > 0
    assert reach.tolist() == [[True, False], [True, True], [True, True]]


def test_a_step_leaves_the_state_before_it_alone():
    model = make_model()
    state = model.initial_state(2)
    with torch.no_grad():
        model(make_images(2, batch=2), state, torch.ones(2, 2, dtype=torch.bool))
    assert all(part.shape == (2, 5) and (part == 0).all() for layer in state for part in layer)


def test_forget_bias_is_added_to_the_forget_gates_alone():
    plain, biased = make_model(forget_bias=0), make_model(forget_bias=1.5)
    for one, other in zip(plain.networks[0].layers, biased.networks[0].layers, strict=True):
        for (name, before), after in zip(one.named_parameters(), other.parameters(), strict=True):
            expected = torch.zeros_like(before)
            if name == 'bias_ih_l0':
                expected[5:10] = 1.5
            torch.testing.assert_close(after - before, expected)


@pytest.mark.parametrize('name', ['dropout', 'input_dropout'])
@pytest.mark.parametrize('steps', STEPS)
def test_dropout_is_for_training_alone(name, steps):
    model, plain = make_model(steps=steps, **{name: 0.5}), make_model(steps=steps)
    images = make_images(2)
    expected, _ = run(plain, images)
    torch.testing.assert_close(run(model, images)[0], expected)
    model.train()
    assert not torch.allclose(run(model, images)[0], expected)


@pytest.mark.parametrize(('steps', 'features'), [('images', 120), ('columns', 12)])
def test_too_many_weights_are_refused_before_memory_is_taken(steps, features):
    config = LstmConfig(units=4096, layers=8, steps=steps)
    with pytest.raises(
        ValueError, match=f'8 layers of 4096 units over {features} .*; allowed are {MOST_WEIGHTS}'
    ):
        Lstm(config, (12, 10), joints=10)
    # Two layers of 2048 units have 3 x 4 x 2048 x 2048 weights and 4 x 2048 for each feature.
    most = (MOST_WEIGHTS - 3 * 4 * 2048**2) // (4 * 2048)
    with torch.device('meta'):
        model = Lstm(LstmConfig(units=2048, steps='columns'), (most, 10), joints=10)
        assert parameter_count(model) >= MOST_WEIGHTS
        with pytest.raises(ValueError, match='allowed are'):
            Lstm(LstmConfig(units=2048, steps='columns'), (most + 1, 10), joints=10)


@pytest.mark.parametrize(
    'wrong',
    [
        {'units': 0},
        {'units': 4097},
        {'layers': 0},
        {'layers': 9},
        {'steps': 'samples'},
        {'forget_bias': float('nan')},
        {'forget_bias': 11},
        {'dropout': 1},
        {'dropout': -0.1},
        {'input_dropout': 1},
        {'kind': 'le_convmn'},
        {'unknown': 1},
    ],
)
def test_impossible_architectures_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValidationError, match=name):
        LstmConfig(**wrong)


def test_networks_think_for_themselves_and_their_mean_counts():
    model = make_model(networks=3)
    images = make_images(4, batch=2)
    with torch.no_grad():
        opinions, state = model.member_outputs(images, model.initial_state(2))
        outputs, _ = model(images, model.initial_state(2))
        alone = [network(images, model.initial_state(2)[:2])[0] for network in model.networks]
    assert len(state) == 6
    torch.testing.assert_close(opinions, torch.stack(alone))
    torch.testing.assert_close(outputs, opinions.mean(dim=0))
    assert not torch.allclose(opinions[0], opinions[1])
