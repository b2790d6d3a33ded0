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

"""The ConvLSTM cell against its equations written out gate by gate."""

from leconvmn_ros.models.le_convmn.config import LayerShape
from leconvmn_ros.models.le_convmn.conv_lstm import ConvLstmCell
import numpy as np
import pytest
from scipy.signal import correlate2d
import torch

ROWS, COLUMNS = 3, 5
INPUTS, PLANES = 2, 3
# What a cell may reach over; of ROWS rows.
REACHES = {
    'point': {'kernel': 1},
    'neighbours': {'kernel': 3},
    'far neighbours': {'kernel': 5},
    'ring': {'kernel': 3, 'ring': True},
    'twice around the ring': {'kernel': 7, 'ring': True},
    'all rows': {'kernel': 3, 'all_rows': True},
    'all rows, far in time': {'kernel': 5, 'all_rows': True},
    'all rows of a ring': {'kernel': 3, 'all_rows': True, 'ring': True},
    'a single row': {'kernel': 3, 'rows': 1},
    'a ring of a single row': {'kernel': 3, 'rows': 1, 'ring': True},
    'all columns': {'kernel': 3, 'all_columns': True},
    'all columns of a ring': {'kernel': 5, 'all_columns': True, 'ring': True},
    'the whole image': {'kernel': 3, 'all_rows': True, 'all_columns': True},
}
every_reach = pytest.mark.parametrize('reach', REACHES)


def make_cell(reach='neighbours', *, inputs=INPUTS, planes=PLANES, seed=0, **options):
    torch.manual_seed(seed)
    options = {'rows': ROWS, **REACHES[reach], **options}
    bias = {k: options.pop(k) for k in ('forget_bias',) if k in options}
    shape = LayerShape.of(inputs, planes, size=(options.pop('rows'), COLUMNS), **options)
    return ConvLstmCell(shape, **bias)


def make_images(reach, steps, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = REACHES[reach].get('rows', ROWS)
    return torch.randn(steps, batch, INPUTS, rows, COLUMNS, generator=generator)


def make_state(cell, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, cell.shape.planes, *cell.shape.size)
    return tuple(torch.randn(shape, generator=generator) for _ in range(2))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def neighbourhood(plane, tall, *, ring):
    """Return a plane padded with zeros or, around the ring, with the other edge."""
    reach = tall // 2
    if ring:
        rows = np.arange(-reach, len(plane) + reach) % len(plane)
        return plane[rows]
    return np.pad(plane, ((reach, reach), (0, 0)))


def correlated(planes, weight, *, ring=False, all_rows=False, all_columns=False):
    """Correlate planes and kernels and sum them, which torch calls a convolution."""
    tall, wide = weight.shape[2:]
    beyond = 0 if all_columns else wide // 2

    def found(plane, kernel):
        rows = plane if all_rows else neighbourhood(plane, tall, ring=ring)
        return correlate2d(np.pad(rows, ((0, 0), (beyond, beyond))), kernel, mode='valid')

    return np.stack(
        [
            sum(found(plane, kernel) for plane, kernel in zip(planes, kernels, strict=True))
            for kernels in weight
        ]
    )


@every_reach
def test_cell_is_shi_et_al_without_peepholes(reach):
    cell = make_cell(reach, forget_bias=0.7).double()
    images, (h, c) = make_images(reach, 1).double(), make_state(cell)
    h, c = h.double(), c.double()
    with torch.no_grad():
        hidden, (new_h, new_c) = cell(images, (h, c))
    assert torch.equal(hidden[0], new_h)
    ring, all_rows, all_columns = (
        REACHES[reach].get(name, False) for name in ('ring', 'all_rows', 'all_columns')
    )
    of_image, of_state = (
        part.weight.detach().numpy() for part in (cell.input_conv, cell.hidden_conv)
    )
    bias = cell.input_conv.bias.detach().numpy()
    x, h, c = images[0, 0].numpy(), h[0].numpy(), c[0].numpy()
    # Over the state a kernel is as large as over an image, but for a single row or column.
    assert of_state.shape[2:] == tuple(
        1 if length == 1 else REACHES[reach]['kernel'] for length in h[0].shape
    )
    i, f, o, g = (
        correlated(x, of_image[gate], ring=ring, all_rows=all_rows, all_columns=all_columns)
        + correlated(h, of_state[gate], ring=ring)
        + bias[gate, None, None]
        for gate in (slice(k * PLANES, (k + 1) * PLANES) for k in range(4))
    )
    expected_c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    expected_h = sigmoid(o) * np.tanh(expected_c)
    np.testing.assert_allclose(new_c[0].numpy(), expected_c, atol=1e-12)
    np.testing.assert_allclose(new_h[0].numpy(), expected_h, atol=1e-12)


@every_reach
def test_shapes(reach):
    cell = make_cell(reach)
    state = cell.initial_state(4)
    rows = 1 if REACHES[reach].get('all_rows') else REACHES[reach].get('rows', ROWS)
    columns = 1 if REACHES[reach].get('all_columns') else COLUMNS
    assert cell.shape.size == (rows, columns)
    assert all(part.shape == (4, PLANES, rows, columns) for part in state)
    assert all((part == 0).all() for part in state)
    hidden, after = cell(make_images(reach, 6, batch=4), state)
    assert hidden.shape == (6, 4, PLANES, rows, columns)
    assert [part.shape for part in after] == [part.shape for part in state]
    # The state before is left alone.
    assert all((part == 0).all() for part in state)


@pytest.mark.parametrize('row', range(4))
def test_which_electrodes_a_kernel_sees(row):
    columns = slice(1, 4)  # of a kernel of three around column 2
    for reach, seen_by in (
        ('neighbours', {row - 1, row, row + 1} & set(range(4))),
        ('ring', {(row - 1) % 4, row, (row + 1) % 4}),
        ('all rows', {0}),
    ):
        cell = make_cell(reach, rows=4)
        expected = np.zeros(cell.shape.size, dtype=bool)
        expected[sorted(seen_by), columns] = True
        torch.manual_seed(1)
        images = torch.randn(1, 1, INPUTS, 4, COLUMNS)
        changed = images.clone()
        changed[..., row, 2] += 1
        with torch.no_grad():
            one, other = (cell(each, cell.initial_state(1))[0][0, 0] for each in (images, changed))
        np.testing.assert_array_equal((one != other).any(dim=0).numpy(), expected)


@every_reach
def test_initial_weights_are_as_of_one_convolution_over_image_and_state(reach):
    cell = make_cell(reach, planes=32, forget_bias=0)
    fan_in = cell.input_conv.weight[0].numel() + cell.hidden_conv.weight[0].numel()
    assert cell.hidden_conv.bias is None
    for values in cell.parameters():
        # Uniform over all of the range: mean 0, and the largest close to the bound.
        assert values.abs().max() <= fan_in**-0.5
        assert values.abs().max() > 0.9 * fan_in**-0.5
        assert values.mean().abs() < 0.2 * fan_in**-0.5


def test_initial_bound_is_that_of_torchs_own_convolution():
    cell = make_cell('neighbours', planes=32, forget_bias=0)
    whole = torch.nn.Conv2d(INPUTS + 32, 4 * 32, 3)
    assert cell.hidden_conv.weight.abs().max().item() == pytest.approx(
        whole.weight.abs().max().item(), rel=1e-2
    )


def test_forget_bias_is_added_to_the_forget_gates_alone():
    plain, biased = (make_cell(planes=4, forget_bias=bias) for bias in (0.0, 1.5))
    for (name, before), after in zip(plain.named_parameters(), biased.parameters(), strict=True):
        expected = torch.zeros_like(before)
        if name == 'input_conv.bias':
            expected[4:8] = 1.5
        torch.testing.assert_close(after - before, expected)
    # And by default all of them start near 1.
    assert make_cell(planes=8).input_conv.bias[8:16].tolist() == pytest.approx([1] * 8, abs=0.5)


@every_reach
@torch.no_grad()
def test_several_steps_at_once_are_step_by_step(reach):
    cell = make_cell(reach)
    images, state = make_images(reach, 5, batch=2), make_state(cell, batch=2)
    hidden, end = cell(images, state)
    for step in range(5):
        one, state = cell(images[step : step + 1], state)
        torch.testing.assert_close(one[0], hidden[step])
    torch.testing.assert_close(state, end)


@every_reach
@torch.no_grad()
def test_the_state_is_forgotten_exactly_where_it_is_fresh(reach):
    cell = make_cell(reach)
    images, state = make_images(reach, 4, batch=2), make_state(cell, batch=2)
    fresh = torch.tensor([[False, True], [False, False], [True, False], [False, False]])
    hidden, _ = cell(images, state, fresh)
    going_on, _ = cell(images, state)
    torch.testing.assert_close(hidden[:2, 0], going_on[:2, 0])
    for lane, first in ((0, 2), (1, 0)):
        own = images[first:, lane : lane + 1]
        anew, _ = cell(own, cell.initial_state(1))
        torch.testing.assert_close(hidden[first:, lane], anew[:, 0])
        assert (hidden[first:, lane] - going_on[first:, lane]).abs().max() > 1e-4


@torch.no_grad()
def test_over_the_whole_image_it_is_an_lstm_over_flattened_images():
    cell = make_cell('the whole image')
    images = make_images('the whole image', 5, batch=2)
    lstm = torch.nn.LSTM(INPUTS * ROWS * COLUMNS, PLANES)
    # torch's order of the gates is input, forget, cell, output.
    order = torch.arange(4 * PLANES).unflatten(0, (4, PLANES))[[0, 1, 3, 2]].flatten()
    lstm.weight_ih_l0.copy_(cell.input_conv.weight.flatten(1)[order])
    lstm.weight_hh_l0.copy_(cell.hidden_conv.weight.flatten(1)[order])
    lstm.bias_ih_l0.copy_(cell.input_conv.bias[order])
    lstm.bias_hh_l0.zero_()
    expected, _ = lstm(images.flatten(2))
    hidden, _ = cell(images, cell.initial_state(2))
    torch.testing.assert_close(hidden.flatten(2), expected)


@every_reach
def test_forgetting_nowhere_is_the_same_as_not_being_asked_to_forget(reach):
    """Without resets the steps may be computed in another way."""
    cell = make_cell(reach)
    images, state = make_images(reach, steps=4, batch=2), make_state(cell, batch=2)
    outputs = []
    for fresh in (None, torch.zeros(4, 2, dtype=torch.bool)):
        cell.zero_grad()
        hidden, after = cell(images, state, fresh)
        (hidden.square().sum() + sum(part.sum() for part in after)).backward()
        gradients = [parameter.grad.clone() for parameter in cell.parameters()]
        outputs.append((hidden, *after, *gradients))
    for one, other in zip(*outputs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
