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

"""LE-ConvMN as ONNX operators.

If the state has a single column (kernels over all columns), planes come last and a layer is one
matrix product over all rows; otherwise it is two convolutions.
"""

from collections.abc import Sequence

from leconvmn_ros.models.config import MEMBER_WEIGHTS, Weights
from leconvmn_ros.models.graph import Graph, IMAGE
from leconvmn_ros.models.le_convmn.config import LayerShape, LeConvMnConfig
import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float32]


def add_network(
    graph: Graph, config: LeConvMnConfig, weights: Weights, layers: Sequence[Sequence[LayerShape]]
) -> str:
    """Add all stacks and their weighted mean; see `ModelConfig.add_to`.

    Args:
        graph: the graph to extend.
        config: configuration of the network.
        weights: weights by name.
        layers: sizes of the layers of each stack.

    Returns:
        Name of the outputs, (batch, joints).
    """
    member_weights = weights.get(MEMBER_WEIGHTS, np.ones(1, dtype=np.float32))
    states = iter(graph.states)
    outputs = []
    for number, (stack, share) in enumerate(zip(layers, member_weights, strict=True)):
        own = {
            name.removeprefix(f'stacks.{number}.'): array
            for name, array in weights.items()
            if name.startswith(f'stacks.{number}.')
        }
        x = IMAGE  # (batch, rows, columns)
        if stack[0].size[1] > 1:
            x = graph.reshape(IMAGE, 1, *graph.image_size)
        hidden = []
        for depth, layer in enumerate(stack):
            h, c = next(states), next(states)
            x = _add_layer(graph, layer, _of(own, f'layers.{depth}.'), x, (h, c))
            hidden.append(x)
        head = share * own['head.weight'], share * own['head.bias']
        outputs.append(_add_head(graph, config.stacks[number].head, stack, hidden, head))
    return outputs[0] if len(outputs) == 1 else graph.op('Sum', *outputs)


def _of(weights: Weights, part: str) -> dict[str, _Array]:
    return {n.removeprefix(part): array for n, array in weights.items() if n.startswith(part)}


def _add_layer(
    graph: Graph, layer: LayerShape, weights: Weights, x: str, state: tuple[str, str]
) -> str:
    """Add a ConvLSTM layer and return the name of its h after the step."""
    h, c = state
    if layer.size[1] == 1:
        gates, axis = _products(graph, layer, weights, x, h), -1
    else:
        gates, axis = _convolutions(graph, layer, weights, x, h), 1
    planes = layer.planes
    opened, candidate = graph.split(gates, (3 * planes, planes), axis)
    i, f, o = graph.split(graph.op('Sigmoid', opened), (planes,) * 3, axis)
    kept = graph.op('Mul', f, c)
    after = graph.op('Add', kept, graph.op('Mul', i, graph.op('Tanh', candidate)))
    hidden = graph.op('Mul', o, graph.op('Tanh', after))
    graph.set_next(h, hidden)
    graph.set_next(c, after)
    return hidden


def _products(graph: Graph, layer: LayerShape, weights: Weights, x: str, h: str) -> str:
    """Return the sums at the gates of a layer with a single column.

    Their shape is (batch, rows, 4 * planes), for a single row (batch, 4 * planes).
    """
    from_image, from_hidden = weights['input_conv.weight'], weights['hidden_conv.weight']
    # In the order of the input: kernel rows, then the columns of the image or its planes.
    flat = [
        weight.transpose(0, 2, 1, 3).reshape(len(weight), -1)
        for weight in (from_image, from_hidden)
    ]
    rows, tall = layer.size[0], layer.image_kernel[0]
    if rows == 1:
        seen = graph.reshape(x, -1)  # all rows at once
    else:
        seen = _neighbours(graph, x, rows, tall, flat[0].shape[1], ring=layer.image_wrap > 0)
    own = _neighbours(
        graph, h, rows, layer.hidden_kernel[0], flat[1].shape[1], ring=layer.hidden_wrap > 0
    )
    product = graph.op(
        'MatMul',
        graph.op('Concat', seen, own, axis=-1),
        graph.constant(np.concatenate(flat, axis=1).T),
    )
    return graph.op('Add', product, graph.constant(weights['input_conv.bias']))


def _neighbours(graph: Graph, x: str, rows: int, tall: int, values: int, *, ring: bool) -> str:
    """Return what kernels of that many rows cover, (batch, rows, values)."""
    if tall == 1:
        return x
    reach = tall // 2
    index = np.arange(rows)[:, None] + np.arange(tall)
    if ring:
        index = (index - reach) % rows
    else:
        x = graph.op('Pad', x, graph.constant([0, reach, 0, 0, reach, 0]))
    return graph.reshape(
        graph.op('Gather', x, graph.constant(index.ravel()), axis=1), rows, values
    )


def _convolutions(graph: Graph, layer: LayerShape, weights: Weights, x: str, h: str) -> str:
    """Return the sums at the gates, (batch, 4 * planes, rows, columns)."""
    from_image = graph.op(
        'Conv',
        _wrapped(graph, x, layer.size[0], layer.image_wrap),
        graph.constant(weights['input_conv.weight']),
        graph.constant(weights['input_conv.bias']),
        pads=[*layer.image_padding, *layer.image_padding],
    )
    from_hidden = graph.op(
        'Conv',
        _wrapped(graph, h, layer.size[0], layer.hidden_wrap),
        graph.constant(weights['hidden_conv.weight']),
        pads=[*layer.hidden_padding, *layer.hidden_padding],
    )
    return graph.op('Add', from_image, from_hidden)


def _wrapped(graph: Graph, x: str, rows: int, reach: int) -> str:
    """Continue the rows of (batch, planes, rows, columns) around the ring."""
    if not reach:
        return x
    index = np.arange(-reach, rows + reach) % rows
    return graph.op('Gather', x, graph.constant(index), axis=2)


def _add_head(
    graph: Graph,
    kind: str,
    layers: Sequence[LayerShape],
    hidden: Sequence[str],
    weights: tuple[_Array, _Array],
) -> str:
    """Return the name of the outputs of a head, (batch, joints).

    Args:
        graph: the graph to extend.
        kind: see `StackConfig.head`.
        layers: sizes of the layers of the stack.
        hidden: h of each layer after the step.
        weights: weight and bias of the head.
    """
    weight, bias = weights
    rows, columns = layers[-1].size
    if kind == 'shared':
        x = hidden[-1]
        if columns == 1 and rows > 1:
            x = graph.op('Transpose', x, perm=[0, 2, 1])
        product = graph.op(
            'MatMul',
            graph.reshape(x, layers[-1].planes, rows * columns),
            graph.constant(weight.T),
        )
        return graph.reshape(graph.op('Add', product, graph.constant(bias)), -1)
    if kind == 'last':
        layers, hidden = layers[-1:], hidden[-1:]
    if columns == 1:
        weight = _planes_last(weight, layers)
    elif kind == 'mean':
        # A matrix product, since the rounding of ReduceMean depends on the batch size.
        weight = np.repeat(weight / columns, columns, axis=1)
    flat = [
        h if layer.state_shape == (layer.planes,) else graph.reshape(h, -1)
        for h, layer in zip(hidden, layers, strict=True)
    ]
    read = flat[0] if len(flat) == 1 else graph.op('Concat', *flat, axis=1)
    return graph.op('Gemm', read, graph.constant(weight.T), graph.constant(bias))


def _planes_last(weight: _Array, layers: Sequence[LayerShape]) -> _Array:
    """Reorder weights for (planes, rows) of each layer to read (rows, planes)."""
    parts = np.split(weight, np.cumsum([layer.values for layer in layers])[:-1], axis=1)
    turned = [
        part.reshape(len(part), layer.planes, layer.size[0]).swapaxes(1, 2).reshape(part.shape)
        for part, layer in zip(parts, layers, strict=True)
    ]
    return np.concatenate(turned, axis=1)
