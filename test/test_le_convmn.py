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

from builders import one_stack
from leconvmn_ros import conv_lstm
from leconvmn_ros.conv_lstm import ConvLstmCell
from leconvmn_ros.le_convmn import LeConvMn, LeConvMnConfig, StackConfig
from leconvmn_ros.model import MOST_STATE_VALUES, parameter_count
import numpy as np
from pydantic import ValidationError
import pytest
from scipy.signal import correlate2d
import torch

CHANNELS, LENGTH = 3, 5


def make_model(planes=(4, 3), joints=2, seed=0, **options):
    torch.manual_seed(seed)
    config = one_stack(planes=planes, **options)
    return LeConvMn(config, (CHANNELS, LENGTH), joints).eval()


def make_images(steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, 1, CHANNELS, LENGTH, generator=generator)


def run(model, images, state=None):
    state = model.initial_state(images.shape[1]) if state is None else state
    outputs = []
    with torch.no_grad():
        for image in images:
            output, state = model(image[None], state)
            outputs.append(output[0])
    return torch.stack(outputs), state


def test_paper_size_has_the_papers_parameters():
    model = LeConvMn(LeConvMnConfig(), (12, 200), joints=10)
    assert parameter_count(model) == 278_297
    (stack,) = LeConvMnConfig().stacks
    assert (stack.planes, stack.kernel) == ((64, 32), 3)
    assert (stack.electrodes, stack.head) == ('neighbours', 'shared')


def test_shapes():
    model = make_model()
    state = model.initial_state(batch=6)
    output, state = model(torch.zeros(7, 6, CHANNELS, LENGTH), state)
    assert output.shape == (7, 6, 2)
    assert model.image_size == (CHANNELS, LENGTH)
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
    cell = ConvLstmCell(inputs, planes, rows=CHANNELS, kernel=kernel, forget_bias=0.7).double()
    random = np.random.default_rng(kernel)
    x = random.normal(size=(inputs, CHANNELS, LENGTH))
    h, c = random.normal(size=(2, planes, CHANNELS, LENGTH))
    with torch.no_grad():
        hidden, (new_h, new_c) = cell(
            torch.from_numpy(x)[None, None],
            (torch.from_numpy(h)[None], torch.from_numpy(c)[None]),
        )
    assert torch.equal(hidden[0], new_h)
    parts = cell.by_image.weight, cell.by_state.weight
    weight = torch.cat(parts, dim=1).detach().numpy()
    bias = cell.by_image.bias.detach().numpy()
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
        cell = ConvLstmCell(1, 4, rows=3, forget_bias=forget_bias)
        biases.append(cell.by_image.bias.detach().numpy())
    np.testing.assert_allclose(biases[1][4:8] - biases[0][4:8], 1.5, atol=1e-6)
    np.testing.assert_array_equal(
        np.delete(biases[0], range(4, 8)), np.delete(biases[1], range(4, 8))
    )
    # And by default all of them start near 1.
    model = make_model(planes=(8, 8), joints=8)
    for layer in model.stacks[0].layers:
        assert layer.by_image.bias[8:16].detach().numpy() == pytest.approx(1, abs=0.5)


def test_layers_are_stacked_and_the_head_is_one_map_for_all_planes():
    model = make_model()
    images = make_images(2)
    outputs, state = run(model, images)
    by_hand = [(torch.zeros(1, p, CHANNELS, LENGTH),) * 2 for p in (4, 3, 2)]
    for image, output in zip(images, outputs, strict=True):
        x = image[:, None]
        for number, layer in enumerate(model.stacks[0].layers):
            _, by_hand[number] = layer(x[None], by_hand[number])
            x = by_hand[number][0]
        for joint in range(2):
            flat = x[0, joint].reshape(-1)  # channel by channel
            expected = flat @ model.stacks[0].head.weight[0] + model.stacks[0].head.bias[0]
            assert output[0, joint].item() == pytest.approx(expected.item(), abs=1e-6)
    for layer, expected in zip(state, by_hand, strict=True):
        torch.testing.assert_close(layer, expected)


def test_permuting_the_last_planes_permutes_the_joints():
    model, permuted = (make_model(planes=(4,), joints=3) for _ in range(2))
    order = torch.tensor([2, 0, 1])
    rows = torch.cat([gate * 3 + order for gate in range(4)])
    last = permuted.stacks[0].layers[-1]
    with torch.no_grad():
        for part in (last.by_image.weight, last.by_image.bias, last.by_state.weight):
            part.copy_(part[rows])
        # The layer hears its own planes in their new order.
        last.by_state.weight.copy_(last.by_state.weight[:, order])
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
    for electrodes, same in (('ring', True), ('neighbours', False)):
        model = make_model(electrodes=electrodes, kernel=kernel)
        _, state = run(model, images)
        _, state_of_turned = run(model, turned)
        for layer, layer_of_turned in zip(state, state_of_turned, strict=True):
            assert torch.allclose(layer[0].roll(1, dims=2), layer_of_turned[0], atol=1e-6) == same


def test_a_head_on_the_last_layer_is_a_linear_map_of_all_its_planes():
    model = make_model(head='last')
    outputs, state = run(model, make_images(1))
    flat = state[-1][0].reshape(-1)
    expected = model.stacks[0].head.weight @ flat + model.stacks[0].head.bias
    torch.testing.assert_close(outputs[0, 0], expected.detach())
    assert model.stacks[0].head.weight.shape == (2, 2 * CHANNELS * LENGTH)


def test_dropout_is_for_training_alone():
    model = make_model(dropout=0.5)
    images = make_images(1)
    plain = run(make_model(), images)[0]
    torch.testing.assert_close(run(model, images)[0], plain)
    model.train()
    assert not torch.allclose(run(model, images)[0], plain)


def test_too_large_a_state_is_refused_before_memory_is_taken():
    config = one_stack(planes=(512,) * 7)
    with pytest.raises(
        ValueError, match=f'need a state of .* values; allowed are {MOST_STATE_VALUES}'
    ):
        LeConvMn(config, (256, 200_000), joints=10)
    one = one_stack(planes=())
    with torch.device('meta'):
        LeConvMn(one, (2, MOST_STATE_VALUES // 4), joints=1)
        for image_size, joints in (
            ((2, MOST_STATE_VALUES // 4 + 1), 1),
            # Each joint has a plane.
            ((2, MOST_STATE_VALUES // 8), 3),
        ):
            with pytest.raises(ValueError, match='allowed are'):
                LeConvMn(one, image_size, joints)


def test_a_kernel_must_not_reach_around_the_ring():
    make_model(electrodes='ring', kernel=7)
    make_model(electrodes='neighbours', kernel=9)
    with pytest.raises(ValueError, match='kernel 9 is too large for a ring of 3'):
        make_model(electrodes='ring', kernel=9)


def test_there_may_be_no_layer_but_the_last():
    model = make_model(planes=())
    outputs, state = run(model, make_images(3))
    assert outputs.shape == (3, 1, 2)
    assert len(state) == 1


@pytest.mark.parametrize(
    'wrong',
    [
        {'planes': (0, 10)},
        {'planes': (-1, 10)},
        {'planes': (513, 10)},
        {'planes': (1,) * 8},
        {'kernel': 2},
        {'kernel': 0},
        {'kernel': 17},
        {'electrodes': 'reflect'},
        {'electrodes': 'all', 'head': 'shared'},
        {'head': 'none'},
        {'dropout': 1},
        {'unknown': 1},
    ],
)
def test_impossible_stacks_are_refused(wrong):
    with pytest.raises(ValidationError):
        StackConfig(**wrong)


@pytest.mark.parametrize(
    'wrong',
    [
        {'forget_bias': float('nan')},
        {'forget_bias': 11},
        {'kind': 'lstm'},
        {'stacks': ()},
        {'stacks': (StackConfig(),) * 9},
        {'unknown': 1},
    ],
)
def test_impossible_architectures_are_refused(wrong):
    with pytest.raises(ValidationError):
        LeConvMnConfig(**wrong)


def test_kernels_over_all_electrodes_leave_one_row_and_weigh_each_electrode():
    model = make_model(electrodes='all', head='all')
    images = make_images(2)
    _, state = run(model, images)
    assert [tuple(h.shape) for h, _ in state] == [(1, planes, 1, LENGTH) for planes in (4, 3, 2)]
    first = model.stacks[0].layers[0]
    assert first.by_image.weight.shape == (16, 1, CHANNELS, 3)
    assert first.by_state.weight.shape == (16, 4, 1, 3)
    # By hand: the sum over electrodes of correlations along time.
    x = images[0, 0].numpy()
    weight, bias = (p.detach().numpy() for p in (first.by_image.weight, first.by_image.bias))
    gates = [
        bias[out]
        + sum(
            correlate2d(x[k : k + 1], weight[out, 0, k : k + 1], mode='same')
            for k in range(CHANNELS)
        )
        for out in range(16)
    ]
    i, _, o, g = np.array(gates)[:, 0].reshape(4, 4, LENGTH)
    expected = sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(g))
    _, after_one = run(model, images[:1])
    np.testing.assert_allclose(after_one[0][0][0, :, 0].numpy(), expected, atol=1e-6)
    # Turning the electrodes gives something else: each has a weight of its own.
    assert not torch.allclose(run(model, images.roll(1, dims=2))[0], run(model, images)[0])


@pytest.mark.parametrize('electrodes', ['neighbours', 'ring', 'all'])
@pytest.mark.parametrize('head', ['last', 'all', 'mean'])
def test_heads_read_what_they_say(electrodes, head):
    model = make_model(electrodes=electrodes, head=head)
    outputs, state = run(model, make_images(1))
    planes = [h[0] for h, _ in state[-1:]] if head == 'last' else [h[0] for h, _ in state]
    read = torch.cat(planes)
    read = (read.mean(dim=-1) if head == 'mean' else read).reshape(-1)
    expected = model.stacks[0].head.weight @ read + model.stacks[0].head.bias
    torch.testing.assert_close(outputs[0, 0], expected.detach())


def test_stacks_think_for_themselves_and_their_mean_counts():
    torch.manual_seed(0)
    stacks = (StackConfig(planes=(4,)), StackConfig(planes=(3,), electrodes='all', head='mean'))
    model = LeConvMn(LeConvMnConfig(stacks=stacks), (CHANNELS, LENGTH), 2).eval()
    images = make_images(3)
    with torch.no_grad():
        opinions, state = model.opinions(images, model.initial_state())
        outputs, _ = model(images, model.initial_state())
        torch.testing.assert_close(outputs, opinions.mean(dim=0))
        first = 0
        for stack, opinion in zip(model.stacks, opinions, strict=True):
            layers = len(stack.layers)
            alone, after = stack(images, model.initial_state()[first : first + layers])
            torch.testing.assert_close(alone, opinion)
            torch.testing.assert_close(after, state[first : first + layers])
            first += layers
    assert first == len(state) == 4


def test_weights_start_as_those_of_one_convolution():
    torch.manual_seed(0)
    cell = ConvLstmCell(2, 30, rows=3, forget_bias=0)
    bound = (9 * 32) ** -0.5
    for weight in (cell.by_image.weight, cell.by_state.weight):
        assert 0.99 * bound < weight.abs().max() <= bound
    assert cell.by_image.bias.abs().max() <= bound


def random_gates(planes=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (3, planes, CHANNELS, LENGTH)
    gates, c = (
        torch.randn(3, n * planes, CHANNELS, LENGTH, generator=generator, dtype=torch.float64)
        for n in (4, 1)
    )
    assert c.shape == shape
    return 2 * gates, 2 * c


def advanced_plainly(gates, c):
    """Return h and c after a step, by the equations; their derivative is autograd's own."""
    i, f, o, g = gates.chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def test_derivative_of_the_gates_is_that_of_the_equations():
    gates, c = (part.requires_grad_() for part in random_gates())
    found = conv_lstm._LearningGates.apply(gates, c)
    expected = advanced_plainly(gates, c)
    torch.testing.assert_close(found, expected)
    # Of h alone, of c alone, and of both.
    for weights in ((1, 0), (0, 1), (0.3, -2)):
        gradients = [
            torch.autograd.grad(
                sum(w * part.square().sum() for w, part in zip(weights, parts, strict=True)),
                (gates, c),
                retain_graph=True,
            )
            for parts in (found, expected)
        ]
        torch.testing.assert_close(*gradients)
        assert all(part.abs().max() > 0.1 for part in gradients[0])


def test_derivative_of_the_gates_is_that_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    gates, c = (
        torch.randn(2, n, 2, 2, generator=generator, dtype=torch.float64).requires_grad_()
        for n in (8, 2)
    )
    assert torch.autograd.gradcheck(conv_lstm._LearningGates.apply, (gates, c))
    # The state at the start asks for no derivative.
    assert torch.autograd.gradcheck(conv_lstm._LearningGates.apply, (gates, c.detach()))


def test_learning_and_running_give_the_same():
    gates, c = random_gates()
    with torch.no_grad():
        running = conv_lstm._advance(gates.requires_grad_(), c)
    learning = conv_lstm._advance(gates, c)
    assert all(part.grad_fn is None for part in running)
    assert all(part.grad_fn is not None for part in learning)
    torch.testing.assert_close(running, tuple(part.detach() for part in learning))
    model, images = make_model(), make_images(4)
    outputs, _ = model(images, model.initial_state())
    assert outputs.requires_grad
    torch.testing.assert_close(outputs.detach(), run(model, images)[0])


@pytest.mark.parametrize(
    'options', [{}, {'electrodes': 'ring'}, {'electrodes': 'all', 'head': 'all'}]
)
def test_gradients_of_several_steps_are_those_of_autograd(monkeypatch, options):
    model = make_model(**options).double()
    images = make_images(4).double()
    fresh = torch.tensor([[False], [False], [True], [False]])

    def gradients():
        outputs, _ = model(images, model.initial_state(), fresh)
        return torch.autograd.grad(outputs.square().sum(), list(model.parameters()))

    written_out = gradients()
    monkeypatch.setattr(conv_lstm, '_advance', advanced_plainly)
    torch.testing.assert_close(written_out, gradients())
    assert all(gradient.abs().max() > 0 for gradient in written_out)


@pytest.mark.parametrize(
    'options', [{}, {'electrodes': 'ring'}, {'electrodes': 'all', 'head': 'all'}]
)
def test_several_steps_at_once_are_step_by_step(options):
    model = make_model(**options)
    one, other = make_images(5, seed=1), make_images(5, seed=2)
    images = torch.cat((one, other), dim=1)
    expected, expected_state = run(model, images)
    with torch.no_grad():
        outputs, state = model(images, model.initial_state(2))
        first, between = model(images[:2], model.initial_state(2))
        second, end = model(images[2:], between)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(state, expected_state)
    torch.testing.assert_close(torch.cat((first, second)), expected)
    torch.testing.assert_close(end, expected_state)


def test_the_state_is_forgotten_exactly_where_it_is_fresh():
    model = make_model()
    images = torch.cat((make_images(4, seed=1), make_images(4, seed=2)), dim=1)
    _, before = run(model, make_images(2).expand(-1, 2, -1, -1))
    fresh = torch.zeros(4, 2, dtype=torch.bool)
    fresh[2, 0] = fresh[0, 1] = True
    with torch.no_grad():
        outputs, state = model(images, before, fresh)
    going_on, end = run(model, images, before)
    torch.testing.assert_close(outputs[:2, 0], going_on[:2, 0])
    again, state_of_again = run(model, images[2:])
    torch.testing.assert_close(outputs[2:, 0], again[:, 0])
    from_start, state_of_start = run(model, images)
    torch.testing.assert_close(outputs[:, 1], from_start[:, 1])
    for found, one, other in zip(state, state_of_again, state_of_start, strict=True):
        for part, of_one, of_other in zip(found, one, other, strict=True):
            torch.testing.assert_close(part, torch.stack((of_one[0], of_other[1])))
    assert (outputs[2:, 0] - going_on[2:, 0]).abs().max() > 1e-4
    assert (outputs[:, 1] - going_on[:, 1]).abs().max() > 1e-4
    # Nowhere fresh is as if it were not said.
    with torch.no_grad():
        silent, same = model(images, before, torch.zeros_like(fresh))
    torch.testing.assert_close(silent, going_on)
    torch.testing.assert_close(same, end)
