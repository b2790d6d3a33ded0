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

"""The network: layers stacked by hand, each of its heads, and the mean of its stacks."""

from leconvmn_ros.models.base import parameter_count
from leconvmn_ros.models.config import MOST_STATE_VALUES, MOST_WEIGHTS
from leconvmn_ros.models.le_convmn import LeConvMnConfig, StackConfig
from leconvmn_ros.models.le_convmn.config import LayerShape
from leconvmn_ros.models.le_convmn.conv_lstm import ConvLstmCell
from leconvmn_ros.models.le_convmn.network import LeConvMn
from pydantic import ValidationError
import pytest
import torch
from torch.nn import functional

CHANNELS, LENGTH = 3, 5
# Every head, over every reach that it can read.
STACKS = {
    'the paper': {},
    'a ring': {'electrodes': 'ring', 'kernel': 5},
    'one map per joint': {'head': 'last'},
    'all layers': {'head': 'all'},
    'mean over time': {'head': 'mean', 'electrodes': 'ring'},
    'all electrodes, last layer': {'electrodes': 'all', 'head': 'last'},
    'all electrodes, all layers': {'electrodes': 'all', 'head': 'all'},
    'all electrodes, mean over time': {'electrodes': 'all', 'head': 'mean'},
    'all columns of a ring': {'electrodes': 'ring', 'time': 'all', 'head': 'mean'},
    'the whole image': {'electrodes': 'all', 'time': 'all', 'head': 'all'},
    'a ring, then all of it': {'electrodes': 'ring_then_all', 'head': 'all'},
    'a ring, then all of it, mean over time': {'electrodes': 'ring_then_all', 'head': 'mean'},
    'all columns of a ring, then all of it': {
        'electrodes': 'ring_then_all',
        'time': 'all',
        'head': 'all',
    },
}
every_stack = pytest.mark.parametrize('options', STACKS.values(), ids=STACKS)


def make_network(*stacks, joints=2, seed=0, forget_bias=1.0):
    torch.manual_seed(seed)
    config = LeConvMnConfig(
        stacks=tuple(StackConfig(**({'planes': (4, 3)} | stack)) for stack in stacks),
        forget_bias=forget_bias,
    )
    return LeConvMn(config, (CHANNELS, LENGTH), joints).eval()


def make_model(joints=2, seed=0, **options):
    """Return a network of one stack."""
    return make_network(options, joints=joints, seed=seed)


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
    assert (stack.electrodes, stack.time) == ('neighbours', 'neighbours')
    assert (stack.head, stack.dropout) == ('shared', 0)


def test_shapes():
    model = make_network({}, {'planes': (), 'electrodes': 'all', 'head': 'last'})
    state = model.initial_state(batch=6)
    output, state = model(torch.zeros(7, 6, CHANNELS, LENGTH), state)
    assert output.shape == (7, 6, 2)
    assert model.image_size == (CHANNELS, LENGTH)
    assert [tuple(part.shape) for layer in state for part in layer] == [
        *((6, planes, CHANNELS, LENGTH) for planes in (4, 4, 3, 3, 2, 2)),
        *((6, 2, 1, LENGTH),) * 2,
    ]


def read_by_hand(head, hidden, options):
    """Return the angles of a head from each layer, (planes, rows, columns)."""
    kind = options.get('head', 'shared')
    if kind == 'shared':
        # One map for all joints: plane j, channel by channel, gives joint j.
        return (
            torch.stack([plane.reshape(-1) @ head.weight[0] for plane in hidden[-1]]) + head.bias
        )
    seen = hidden[-1:] if kind == 'last' else hidden
    if kind == 'mean':
        seen = [planes.mean(dim=2) for planes in seen]
    flat = [value for planes in seen for plane in planes for value in plane.reshape(-1)]
    return head.weight @ torch.stack(flat) + head.bias


@every_stack
@torch.no_grad()
def test_layers_are_stacked_and_read_by_the_head(options):
    model = make_model(**options)
    (stack,) = model.stacks
    images = make_images(3)
    outputs, state = run(model, images)
    by_hand = [layer.initial_state(1) for layer in stack.layers]
    assert [part.shape[1] for part, _ in by_hand] == [4, 3, 2]
    for image, output in zip(images, outputs, strict=True):
        x = image[:, None]
        hidden = []
        for number, layer in enumerate(stack.layers):
            _, by_hand[number] = layer(x[None], by_hand[number])
            x = by_hand[number][0]
            hidden.append(x[0])
        torch.testing.assert_close(output[0], read_by_hand(stack.head, hidden, options))
    for layer, expected in zip(state, by_hand, strict=True):
        torch.testing.assert_close(layer, expected)


@every_stack
@torch.no_grad()
def test_layers_reach_as_far_as_they_are_told(options):
    electrodes, kernel = options.get('electrodes', 'neighbours'), options.get('kernel', 3)
    sees_all = {'all': 0, 'ring_then_all': 1}.get(electrodes)
    all_times = options.get('time') == 'all'
    layers = make_model(**options).stacks[0].layers
    # Behind a layer that sees all electrodes there is but one row, behind all times one column.
    columns = 1 if all_times else LENGTH
    rows = {None: (CHANNELS, CHANNELS), 0: (1, 1), 1: (CHANNELS, 1)}[sees_all]
    sizes = ((CHANNELS, LENGTH), *((behind, columns) for behind in rows))
    torch.manual_seed(0)
    cells = [
        ConvLstmCell(
            LayerShape.of(
                inputs,
                planes,
                size=sizes[number],
                kernel=kernel,
                all_rows=sees_all == number,
                all_columns=all_times and number == 0,
                ring=electrodes.startswith('ring'),
            )
        )
        for number, (inputs, planes) in enumerate(((1, 4), (4, 3), (3, 2)))
    ]
    for cell, layer, inputs, seen in zip(cells, layers, (1, 4, 3), sizes, strict=True):
        torch.testing.assert_close(dict(layer.state_dict()), dict(cell.state_dict()))
        images = torch.randn(2, 1, inputs, *seen)
        state = cell.initial_state(1)
        torch.testing.assert_close(layer(images, state), cell(images, state))


@torch.no_grad()
def test_each_stack_is_a_member_and_their_mean_counts():
    stacks = ({}, {'electrodes': 'all', 'head': 'all'}, {'planes': (), 'head': 'mean'})
    network = make_network(*stacks)
    images = torch.cat((make_images(4, seed=1), make_images(4, seed=2)), dim=1)
    fresh = torch.zeros(4, 2, dtype=torch.bool)
    fresh[2, 0] = True
    state = network.initial_state(2)
    members, end = network.member_outputs(images, state, fresh)
    outputs, same = network(images, state, fresh)
    assert members.shape == (3, 4, 2, 2)
    torch.testing.assert_close(outputs, members.mean(dim=0))
    torch.testing.assert_close(same, end)
    network.member_weights.copy_(torch.tensor([0.5, 0.5, 0.0]))
    torch.testing.assert_close(network(images, state, fresh)[0], members[:2].mean(dim=0))
    assert (members[0] - members[1]).abs().max() > 1e-2
    # Each is that of a network of just this stack: none hears of another.
    by_hand = []
    for options, own, member in zip(stacks, network.stacks, members, strict=True):
        alone = make_model(**options)
        alone.stacks[0].load_state_dict(own.state_dict())
        expected, after = alone(images, alone.initial_state(2), fresh)
        torch.testing.assert_close(member, expected)
        by_hand += after
    torch.testing.assert_close(end, by_hand)


def test_stacks_of_one_kind_start_from_different_weights():
    one, other = make_network({}, {}).stacks
    for (name, weight), same in zip(one.named_parameters(), other.parameters(), strict=True):
        assert not torch.equal(weight, same), name


def test_forget_bias_is_that_of_every_layer_of_every_stack():
    plain, biased = (make_network({}, {'head': 'all'}, forget_bias=bias) for bias in (0.0, 2.5))
    for (name, before), after in zip(plain.named_parameters(), biased.parameters(), strict=True):
        expected = torch.zeros_like(before)
        if name.endswith('input_conv.bias'):
            planes = len(before) // 4
            expected[planes : 2 * planes] = 2.5
        torch.testing.assert_close(after - before, expected)


def test_permuting_the_last_planes_permutes_the_joints():
    model, permuted = (make_model(planes=(4,), joints=3) for _ in range(2))
    order = torch.tensor([2, 0, 1])
    rows = torch.cat([gate * 3 + order for gate in range(4)])
    last = permuted.stacks[0].layers[-1]
    with torch.no_grad():
        last.input_conv.weight.copy_(last.input_conv.weight[rows])
        last.input_conv.bias.copy_(last.input_conv.bias[rows])
        # The layer hears its own planes in their new order.
        last.hidden_conv.weight.copy_(last.hidden_conv.weight[rows][:, order])
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


@every_stack
def test_lanes_of_a_batch_do_not_mix(options):
    model = make_model(**options)
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


@every_stack
@pytest.mark.parametrize('dropout', [0.3, 0.8])
def test_dropout_is_of_what_the_head_reads_and_for_training_alone(options, dropout):
    model = make_model(**options, dropout=dropout)
    images = make_images(1).expand(1, 4000, -1, -1)
    state = model.initial_state(4000)
    with torch.no_grad():
        plain = make_model(**options)(images, state)[0]
        torch.testing.assert_close(model(images, state)[0], plain)
        model.train()
        dropped, after = model(images, state)
        # The state does not see it.
        torch.testing.assert_close(after, make_model(**options)(images, state)[1])
    assert (dropped[0] != plain[0]).any(dim=1).float().mean() > 0.9
    # What is left out is made up for on average.
    error = (dropped[0].mean(dim=0) - plain[0, 0]).abs()
    assert (error < 5 * dropped[0].std(dim=0) / 4000**0.5).all()
    # The share: the variance of a sum of w x, each kept with chance 1 - p and then divided by it.
    head = model.stacks[0].head
    with torch.no_grad():
        _, ((h, _), *others) = make_model(**options)(images[:, :1], model.initial_state(1))
    if model.stacks[0].head.in_features == CHANNELS * LENGTH:  # one map for all joints
        read = others[-1][0][0].flatten(1)
        terms = head.weight[0] * read
    else:
        layers = [h, *(part for part, _ in others)]
        seen = layers[-1:] if options.get('head') == 'last' else layers
        if options.get('head') == 'mean':
            seen = [part.mean(dim=-1) for part in seen]
        terms = head.weight * torch.cat([part[0].flatten() for part in seen])
    expected = terms.square().sum(dim=1) * dropout / (1 - dropout)
    torch.testing.assert_close(dropped[0].var(dim=0), expected.detach(), rtol=0.2, atol=0)


@every_stack
def test_layer_dropout_is_of_what_a_layer_hands_on_and_for_training_alone(options):
    model, plain = make_model(**options, layer_dropout=0.5), make_model(**options)
    images = make_images(1).expand(1, 4000, -1, -1)
    state = model.initial_state(4000)
    with torch.no_grad():
        expected, end = plain(images, state)
        torch.testing.assert_close(model(images, state)[0], expected)
        _, after = model.train()(images, state)
    # The first layer sees the whole image, each other one what is left.
    torch.testing.assert_close(after[0], end[0])
    for (h, _), (of_all, _) in zip(after[1:], end[1:], strict=True):
        assert (h != of_all).flatten(1).any(dim=1).float().mean() > 0.9
    # Of the second layer's gates, the variance tells the share: see the dropout of the head.
    second = model.stacks[0].layers[1]
    with torch.no_grad():
        seen = functional.dropout(end[0][0], 0.5)
        left = second(seen[None], second.initial_state(4000))[1][0]
    torch.testing.assert_close(after[1][0].var(dim=0), left.var(dim=0), rtol=0.3, atol=1e-5)


def test_too_large_a_state_is_refused_before_memory_is_taken():
    config = LeConvMnConfig(stacks=(StackConfig(planes=(512,) * 7),))
    with pytest.raises(ValueError, match=f'need .* values; allowed are {MOST_STATE_VALUES}'):
        LeConvMn(config, (256, 200_000), joints=10)
    one = LeConvMnConfig(stacks=(StackConfig(planes=()),))
    with torch.device('meta'):
        LeConvMn(one, (2, MOST_STATE_VALUES // 4), joints=1)
        for image_size, joints in (
            ((2, MOST_STATE_VALUES // 4 + 1), 1),
            # Each joint has a plane.
            ((2, MOST_STATE_VALUES // 8), 3),
        ):
            with pytest.raises(ValueError, match='allowed are'):
                LeConvMn(one, image_size, joints)


def test_the_states_of_all_stacks_together_are_limited():
    stack = StackConfig(planes=(), head='last', electrodes='all')
    with torch.device('meta'):
        # One row however many electrodes there are: h and c of one plane.
        LeConvMn(LeConvMnConfig(stacks=(stack,)), (2, MOST_STATE_VALUES // 2), joints=1)
        two = LeConvMnConfig(stacks=(stack, stack))
        LeConvMn(two, (2, MOST_STATE_VALUES // 4), joints=1)
        with pytest.raises(ValueError, match=r'2 stacks over images of 2 x .* allowed are'):
            LeConvMn(two, (2, MOST_STATE_VALUES // 4 + 1), joints=1)


def test_the_weights_are_limited():
    stack = StackConfig(planes=(512,), head='last', electrodes='all', time='all')
    one = LeConvMnConfig(stacks=(stack,))
    with torch.device('meta'):
        LeConvMn(one, (2, MOST_WEIGHTS // 4 // 512 // 4), joints=1)
        with pytest.raises(ValueError, match=r'kernels over 2 x 16385 .* need .* allowed are'):
            LeConvMn(one, (2, MOST_WEIGHTS // 2 // 512 // 4 + 1), joints=1)
        # Of whichever layer.
        stack = StackConfig(planes=(256, 256), head='all', electrodes='ring_then_all', time='all')
        two = LeConvMnConfig(stacks=(one.stacks[0], stack))
        LeConvMn(two, (256, 5), joints=1)
        with pytest.raises(ValueError, match=r'kernels over 257 x 1 .* of 256 need .* allowed'):
            LeConvMn(two, (257, 5), joints=1)
        # Of the state's kernels, too, which a single plane in does not tell.
        stack = StackConfig(planes=(512,), kernel=15)
        with pytest.raises(ValueError, match=r'kernels over 15 x 15 .* of 512 need .* allowed'):
            LeConvMn(LeConvMnConfig(stacks=(stack,)), (16, 5), joints=1)
        stack = StackConfig(planes=(512, 512), kernel=9)
        with pytest.raises(ValueError, match=r'kernels over 9 x 9 .* of 512 need .* allowed are'):
            LeConvMn(LeConvMnConfig(stacks=(stack,)), (16, 5), joints=1)


def test_to_gather_there_must_be_a_second_layer():
    with pytest.raises(ValidationError, match='ring_then_all need two layers'):
        StackConfig(planes=(), electrodes='ring_then_all', head='all')
    with pytest.raises(ValidationError, match='head shared reads a map'):
        StackConfig(electrodes='ring_then_all')


@every_stack
def test_what_is_limited_is_the_size_of_the_state(options, monkeypatch):
    model = make_network(options, {'planes': (5,)})
    values = sum(part.numel() for layer in model.initial_state() for part in layer)
    monkeypatch.setattr('leconvmn_ros.models.le_convmn.config.MOST_STATE_VALUES', values)
    make_network(options, {'planes': (5,)})
    monkeypatch.setattr('leconvmn_ros.models.le_convmn.config.MOST_STATE_VALUES', values - 1)
    with pytest.raises(ValueError, match=f'need a state of {values} values'):
        make_network(options, {'planes': (5,)})


def test_a_kernel_must_not_reach_around_the_ring():
    make_model(electrodes='ring', kernel=7)
    make_model(electrodes='neighbours', kernel=9)
    with pytest.raises(ValueError, match='kernel 9 is too large for a ring of 3'):
        make_model(electrodes='ring', kernel=9)
    # Whichever stack it is of.
    with pytest.raises(ValueError, match='kernel 9 is too large for a ring of 3'):
        make_network({}, {'electrodes': 'ring_then_all', 'kernel': 9, 'head': 'all'})


def test_there_may_be_no_layer_but_the_last():
    model = make_model(planes=())
    outputs, state = run(model, make_images(3))
    assert outputs.shape == (3, 1, 2)
    assert len(state) == 1


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'planes': (0, 10)}, 'planes'),
        ({'planes': (-1, 10)}, 'planes'),
        ({'planes': (513, 10)}, 'planes'),
        ({'planes': (1,) * 8}, 'planes'),
        ({'kernel': 2}, 'kernel 2; it must be odd'),
        ({'kernel': 0}, 'kernel'),
        ({'kernel': 17}, 'kernel'),
        ({'electrodes': 'none'}, 'electrodes'),
        ({'head': 'none'}, 'head'),
        ({'electrodes': 'all'}, 'head shared reads a map of electrodes'),
        ({'time': 'all'}, 'head shared reads a map of electrodes'),
        ({'time': 'none'}, 'time'),
        ({'electrodes': 'all', 'head': 'shared'}, 'allowed are last, all and mean'),
        ({'dropout': 1}, 'dropout'),
        ({'dropout': float('nan')}, 'dropout'),
        ({'unknown': 1}, 'unknown'),
    ],
)
def test_impossible_stacks_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        StackConfig(**wrong)


@pytest.mark.parametrize(
    'wrong',
    [
        {'stacks': ()},
        {'stacks': (StackConfig(),) * 9},
        {'forget_bias': float('nan')},
        {'forget_bias': 11},
        {'kind': 'lstm'},
        {'planes': (4,)},
    ],
)
def test_impossible_networks_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValidationError, match=name):
        LeConvMnConfig(**wrong)


@every_stack
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
    model = make_network({}, {'electrodes': 'all', 'head': 'mean'})
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
