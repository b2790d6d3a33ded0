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

"""The network against its equations written out gate by gate."""

from leconvmn_ros.le_convmn import (
    ConvLstmCell,
    LeConvMn,
    LeConvMnConfig,
    MOST_STATE_VALUES,
    parameter_count,
)
import numpy as np
from pydantic import ValidationError
import pytest
from scipy.signal import correlate2d
import torch

CHANNELS, LENGTH = 3, 5


def make_model(planes=(4, 3, 2), seed=0, **options):
    torch.manual_seed(seed)
    return LeConvMn(LeConvMnConfig(planes=planes, **options), CHANNELS, LENGTH).eval()


def make_images(steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, 1, CHANNELS, LENGTH, generator=generator)


def run(model, images, state=None):
    state = model.initial_state(images.shape[1]) if state is None else state
    outputs = []
    with torch.no_grad():
        for image in images:
            output, state = model(image, state)
            outputs.append(output)
    return torch.stack(outputs), state


def test_paper_size_has_the_papers_parameters():
    model = LeConvMn(LeConvMnConfig(planes=(64, 32, 10)), channels=12, length=200)
    assert parameter_count(model) == 278_297
    assert LeConvMnConfig().planes == (64, 32, 10)
    assert LeConvMnConfig().kernel == 3


def test_shapes():
    model = make_model()
    state = model.initial_state(batch=6)
    output, state = model(torch.zeros(6, CHANNELS, LENGTH), state)
    assert output.shape == (6, 2)
    assert [tuple(part.shape) for layer in state for part in layer] == [
        (6, planes, CHANNELS, LENGTH) for planes in (4, 4, 3, 3, 2, 2)
    ]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def convolved(planes, weight, bias):
    """Correlate with zero padding, in plain loops over planes: what torch calls a convolution."""
    return np.stack(
        [
            bias[out]
            + sum(correlate2d(planes[k], weight[out, k], mode='same') for k in range(len(planes)))
            for out in range(len(weight))
        ]
    )


@pytest.mark.parametrize('kernel', [1, 3, 5])
def test_cell_is_shi_et_al_without_peepholes(kernel):
    torch.manual_seed(kernel)
    inputs, planes = 2, 3
    config = LeConvMnConfig(kernel=kernel, forget_bias=0.7)
    cell = ConvLstmCell(inputs, planes, config).double()
    random = np.random.default_rng(kernel)
    x = random.normal(size=(inputs, CHANNELS, LENGTH))
    h, c = random.normal(size=(2, planes, CHANNELS, LENGTH))
    with torch.no_grad():
        new_h, new_c = cell(
            torch.from_numpy(x)[None], (torch.from_numpy(h)[None], torch.from_numpy(c)[None])
        )
    weight, bias = (p.detach().numpy() for p in (cell.gates.weight, cell.gates.bias))
    i, f, o, g = (
        convolved(np.concatenate((x, h)), weight[gate], bias[gate])
        for gate in (slice(k * planes, (k + 1) * planes) for k in range(4))
    )
    expected_c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    expected_h = sigmoid(o) * np.tanh(expected_c)
    np.testing.assert_allclose(new_c[0].numpy(), expected_c, atol=1e-12)
    np.testing.assert_allclose(new_h[0].numpy(), expected_h, atol=1e-12)


def test_forget_bias_is_added_to_the_forget_gates_alone():
    biases = []
    for forget_bias in (0.0, 1.5):
        torch.manual_seed(0)
        cell = ConvLstmCell(1, 4, LeConvMnConfig(forget_bias=forget_bias))
        biases.append(cell.gates.bias.detach().numpy())
    np.testing.assert_allclose(biases[1][4:8] - biases[0][4:8], 1.5, atol=1e-6)
    np.testing.assert_array_equal(
        np.delete(biases[0], range(4, 8)), np.delete(biases[1], range(4, 8))
    )
    # And by default all of them start near 1.
    model = make_model(planes=(8, 8))
    for layer in model.layers:
        assert layer.gates.bias[8:16].detach().numpy() == pytest.approx(1, abs=0.5)


def test_layers_are_stacked_and_the_head_is_one_map_for_all_planes():
    model = make_model()
    images = make_images(2)
    outputs, state = run(model, images)
    by_hand = [(torch.zeros(1, p, CHANNELS, LENGTH),) * 2 for p in (4, 3, 2)]
    for image, output in zip(images, outputs, strict=True):
        x = image[:, None]
        for number, layer in enumerate(model.layers):
            by_hand[number] = layer(x, by_hand[number])
            x = by_hand[number][0]
        for joint in range(2):
            flat = x[0, joint].reshape(-1)  # channel by channel
            expected = flat @ model.head.weight[0] + model.head.bias[0]
            assert output[0, joint].item() == pytest.approx(expected.item(), abs=1e-6)
    for layer, expected in zip(state, by_hand, strict=True):
        torch.testing.assert_close(layer, expected)


def test_permuting_the_last_planes_permutes_the_joints():
    model, permuted = make_model(planes=(4, 3)), make_model(planes=(4, 3))
    order = torch.tensor([2, 0, 1])
    rows = torch.cat([gate * 3 + order for gate in range(4)])
    last = permuted.layers[-1].gates
    with torch.no_grad():
        last.weight.copy_(last.weight[rows])
        last.bias.copy_(last.bias[rows])
        # The layer hears its own planes in their new order, after the four of the layer before.
        last.weight.copy_(last.weight[:, [0, 1, 2, 3, *(4 + order).tolist()]])
    images = make_images(3)
    outputs, _ = run(model, images)
    torch.testing.assert_close(run(permuted, images)[0], outputs[..., order])
    assert not torch.allclose(outputs[..., 0], outputs[..., 1])


def test_state_starts_at_zero_and_is_carried():
    model = make_model()
    assert all((part == 0).all() for layer in model.initial_state(2) for part in layer)
    images = make_images(2)
    carried, _ = run(model, images)
    fresh, _ = run(model, images[1:])
    assert (carried[1] - fresh[0]).abs().max() > 1e-4
    # Going on with the state is the same as running through.
    _, state = run(model, images[:1])
    torch.testing.assert_close(run(model, images[1:], state)[0][0], carried[1])


def test_a_step_leaves_the_state_before_it_alone():
    model = make_model()
    state = model.initial_state()
    run(model, make_images(1), state)
    assert all((part == 0).all() for layer in state for part in layer)


def test_lanes_of_a_batch_do_not_mix():
    model = make_model()
    one, other = make_images(3, seed=1), make_images(3, seed=2)
    both, _ = run(model, torch.cat((one, other), dim=1))
    torch.testing.assert_close(both[:, :1], run(model, one)[0])
    torch.testing.assert_close(both[:, 1:], run(model, other)[0])


@pytest.mark.parametrize('kernel', [3, 5])
def test_on_a_ring_turning_the_electrodes_turns_the_state(kernel):
    images = make_images(2)
    turned = images.roll(1, dims=2)
    for padding, same in (('ring', True), ('zero', False)):
        model = make_model(padding=padding, kernel=kernel)
        _, state = run(model, images)
        _, state_of_turned = run(model, turned)
        for layer, layer_of_turned in zip(state, state_of_turned, strict=True):
            assert torch.allclose(layer[0].roll(1, dims=2), layer_of_turned[0], atol=1e-6) == same


def test_a_head_per_joint_is_a_linear_map_of_all_planes():
    model = make_model(head='per_joint')
    outputs, state = run(model, make_images(1))
    flat = state[-1][0].reshape(-1)
    expected = model.head.weight @ flat + model.head.bias
    torch.testing.assert_close(outputs[0, 0], expected.detach())
    assert model.head.weight.shape == (2, 2 * CHANNELS * LENGTH)


def test_dropout_is_for_training_alone():
    model = make_model(dropout=0.5)
    images = make_images(1)
    plain = run(make_model(), images)[0]
    torch.testing.assert_close(run(model, images)[0], plain)
    model.train()
    assert not torch.allclose(run(model, images)[0], plain)


def test_too_large_a_state_is_refused_before_memory_is_taken():
    config = LeConvMnConfig(planes=(512,) * 8)
    with pytest.raises(ValueError, match=f'need .* values; allowed are {MOST_STATE_VALUES}'):
        LeConvMn(config, channels=256, length=200_000)
    one = LeConvMnConfig(planes=(1,))
    with torch.device('meta'):
        LeConvMn(one, channels=2, length=MOST_STATE_VALUES // 4)
        with pytest.raises(ValueError, match='allowed are'):
            LeConvMn(one, channels=2, length=MOST_STATE_VALUES // 4 + 1)


@pytest.mark.parametrize(
    'wrong',
    [
        {'planes': ()},
        {'planes': (0, 10)},
        {'planes': (-1, 10)},
        {'planes': (513, 10)},
        {'planes': (1,) * 9},
        {'kernel': 2},
        {'kernel': 0},
        {'kernel': 17},
        {'forget_bias': float('nan')},
        {'forget_bias': 11},
        {'kind': 'lstm'},
        {'padding': 'reflect'},
        {'head': 'none'},
        {'dropout': 1},
        {'unknown': 1},
    ],
)
def test_impossible_architectures_are_refused(wrong):
    with pytest.raises(ValidationError):
        LeConvMnConfig(**wrong)
