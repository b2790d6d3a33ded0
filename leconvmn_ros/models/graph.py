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

"""Builds a model as an ONNX graph from its weights, without PyTorch."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
import onnx
from onnx import helper, numpy_helper, TensorProto

IMAGE, OUTPUT, STATE, NEXT_STATE = 'image', 'output', 'state', 'next'
_BATCH = 'batch'
# Versions of 2021, so that older runtimes can read it.
_OPERATORS, _FORMAT = 15, 8

# Name and shape of an input or output; a named dimension may have any length.
_Declared = tuple[str, Sequence[int | str]]


class Graph:
    """One step of a model: image and state in, output and next state out.

    Values are identified by name. The first dimension of all but constants is the batch.
    """

    def __init__(
        self, image_size: tuple[int, int], joints: int, state_shapes: Sequence[tuple[int, ...]]
    ) -> None:
        """Start with the inputs.

        Args:
            image_size: channels and columns.
            joints: number of outputs.
            state_shapes: shapes of the state of one stream.
        """
        self.image_size, self._joints = image_size, joints
        self._shapes = list(state_shapes)
        self._nodes: list[onnx.NodeProto] = []
        self._indices: dict[tuple[tuple[int, ...], bytes], str] = {}
        self._tensors: list[onnx.TensorProto] = []
        self._next: dict[int, str] = {}
        self._count = 0

    @property
    def states(self) -> list[str]:
        """Names of the input states, in the order of their shapes."""
        return [f'{STATE}_{number}' for number in range(len(self._shapes))]

    def set_next(self, state: str, value: str) -> None:
        """Set the value of a state after the step."""
        self._next[self.states.index(state)] = value

    def constant(self, values: NDArray[Any] | Sequence[int]) -> str:
        """Add constants: float32, or int64 for indices and shapes."""
        array = np.asarray(values, order='C')
        if array.dtype.kind == 'f':
            return self._store(array.astype(np.float32))
        key = (array.shape, array.tobytes())
        if key not in self._indices:
            self._indices[key] = self._store(array.astype(np.int64))
        return self._indices[key]

    def _store(self, array: NDArray[Any]) -> str:
        name = self._new_name()
        self._tensors.append(numpy_helper.from_array(array, name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator with one output and return its name."""
        (name,) = self.ops(kind, *inputs, outputs=1, **attributes)
        return name

    def ops(self, kind: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add an operator and return the names of its outputs."""
        names = [self._new_name() for _ in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def reshape(self, value: str, *shape: int) -> str:
        """Give each item of a batch another shape."""
        return self.op('Reshape', value, self.constant([0, *shape]))

    def split(self, value: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Split a value into parts of the given sizes along an axis."""
        return self.ops('Split', value, self.constant(list(sizes)), outputs=len(sizes), axis=axis)

    def batched(self, output: str) -> onnx.ModelProto:
        """Return the graph for any number of streams, with all states in one tensor.

        Its inputs are `image` (batch, channels, columns) and `state` (batch, values), its outputs
        `output` (batch, joints) and `next` (batch, values). A model without memory has no states.
        """
        inputs: list[_Declared] = [(IMAGE, [_BATCH, *self.image_size])]
        outputs: list[_Declared] = [(OUTPUT, [_BATCH, self._joints])]
        if not self._shapes:
            return self._model({output: OUTPUT}, inputs, outputs)
        sizes = [prod(shape) for shape in self._shapes]
        body, self._nodes = self._nodes, []
        flat = self.split(STATE, sizes, axis=1)
        names = {}
        for part, state, shape in zip(flat, self.states, self._shapes, strict=True):
            names[state] = part if len(shape) == 1 else self.reshape(part, *shape)
        self._nodes += body
        parts = [
            self._next[number] if len(shape) == 1 else self.reshape(self._next[number], -1)
            for number, shape in enumerate(self._shapes)
        ]
        names[self.op('Concat', *parts, axis=1)] = NEXT_STATE
        inputs.append((STATE, [_BATCH, sum(sizes)]))
        outputs.append((NEXT_STATE, [_BATCH, sum(sizes)]))
        return self._model(names | {output: OUTPUT}, inputs, outputs)

    def single(self, output: str) -> onnx.ModelProto:
        """Return the graph for one stream, for other programs.

        Its inputs are `image` (channels, columns) and the states `state_0` and so on, its outputs
        `output` (joints,) and the next states `next_0` and so on. The initial states are zeros.
        """
        first = self.constant([0])
        body, self._nodes = self._nodes, []
        names = {IMAGE: self.op('Unsqueeze', IMAGE, first)}
        self._nodes += [_renamed(node, names) for node in body]
        last = self.op('Squeeze', output, first)
        renamed = {last: OUTPUT} | {
            value: f'{NEXT_STATE}_{number}' for number, value in self._next.items()
        }
        inputs: list[_Declared] = [(IMAGE, list(self.image_size))]
        outputs: list[_Declared] = [(OUTPUT, [self._joints])]
        for number, shape in enumerate(self._shapes):
            inputs.append((f'{STATE}_{number}', [1, *shape]))
            outputs.append((f'{NEXT_STATE}_{number}', [1, *shape]))
        return self._model(renamed, inputs, outputs)

    def _new_name(self) -> str:
        self._count += 1
        return f'v{self._count}'

    def _model(
        self,
        names: dict[str, str],
        inputs: Sequence[_Declared],
        outputs: Sequence[_Declared],
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            [_renamed(node, names) for node in self._nodes],
            'leconvmn_ros',
            _declared(inputs),
            _declared(outputs),
            self._tensors,
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid('', _OPERATORS)],
            ir_version=_FORMAT,
            producer_name='leconvmn_ros',
        )


def _renamed(node: onnx.NodeProto, names: dict[str, str]) -> onnx.NodeProto:
    """Return a node with some of its values renamed."""
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    return node


def _declared(values: Sequence[_Declared]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in values]
