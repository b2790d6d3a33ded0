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

"""The LSTM as ONNX operators."""

from leconvmn_ros.models.config import MEMBER_WEIGHTS, Weights
from leconvmn_ros.models.graph import Graph, IMAGE
from leconvmn_ros.models.lstm.config import LstmConfig
import numpy as np
from numpy.typing import NDArray


def add_networks(
    graph: Graph, config: LstmConfig, weights: Weights, image_size: tuple[int, int]
) -> str:
    """Add all networks and their weighted mean; see `ModelConfig.add_to`."""
    member_weights = weights.get(MEMBER_WEIGHTS, np.ones(1, dtype=np.float32))
    states = iter(graph.states)
    first, second = graph.constant([0]), graph.constant([1])
    if config.steps == 'columns':
        images = graph.op('Transpose', IMAGE, perm=[2, 0, 1])  # (columns, batch, channels)
        last = image_size[1] - 1
    else:
        images, last = graph.op('Unsqueeze', graph.reshape(IMAGE, -1), first), 0
    outputs = []
    for number, share in enumerate(member_weights):
        x = images
        for layer in range(config.layers):
            h, c = next(states), next(states)
            hidden, *after = graph.ops(
                'LSTM',
                x,
                *(
                    graph.constant(array)
                    for array in _layer(weights, f'networks.{number}.layers.{layer}.')
                ),
                '',  # all sequences have the same length
                graph.op('Unsqueeze', h, first),
                graph.op('Unsqueeze', c, first),
                outputs=3,
                hidden_size=config.units,
            )
            for state, value in zip((h, c), after, strict=True):
                graph.set_next(state, graph.op('Squeeze', value, first))
            x = graph.op('Squeeze', hidden, second)
        head = f'networks.{number}.head.'
        outputs.append(
            graph.op(
                'Gemm',
                # The output comes after the last column of the image.
                graph.op('Gather', x, graph.constant(np.array(last)), axis=0),
                graph.constant(share * weights[f'{head}weight'].T),
                graph.constant(share * weights[f'{head}bias']),
            )
        )
    return outputs[0] if len(outputs) == 1 else graph.op('Sum', *outputs)


def _layer(weights: Weights, place: str) -> list[NDArray[np.float32]]:
    """Return the weights and the bias of a layer as ONNX expects them, for one direction."""
    names = ('weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0')
    from_input, from_hidden, *biases = (_gates(weights[place + name]) for name in names)
    return [from_input[None], from_hidden[None], np.concatenate(biases)[None]]


def _gates(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reorder the gates of PyTorch (i, f, g, o) for ONNX (i, o, f, c)."""
    i, f, g, o = np.split(weight, 4)
    return np.concatenate([i, o, f, g])
