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

"""The common base of configurations of models without memory."""

from typing import Literal, TYPE_CHECKING

from leconvmn_ros.models.config import ModelConfig, Shape

if TYPE_CHECKING:
    from leconvmn_ros.models.graph import Graph

# 'column': the newest column of an image, that is, the RMS features of its last sample.
InputKind = Literal['column', 'image']


def input_count(kind: InputKind, image_size: tuple[int, int]) -> int:
    """Return the number of values used of an image."""
    channels, columns = image_size
    return channels * columns if kind == 'image' else channels


class StatelessConfig(ModelConfig):
    """Settings of a model whose outputs depend on the present image only."""

    input: InputKind

    def inputs(self, image_size: tuple[int, int]) -> int:
        """Return the number of values used of an image."""
        return input_count(self.input, image_size)

    def state_shapes(self, image_size: tuple[int, int], joints: int) -> list[Shape]:  # noqa: ARG002 - one signature
        """Return no shapes: there is no state."""
        return []

    def flat_inputs(self, graph: 'Graph') -> str:
        """Return the name of the used part of an image in an ONNX graph, (batch, inputs)."""
        from leconvmn_ros.models.graph import IMAGE  # noqa: PLC0415 - imports onnx

        if self.input == 'image':
            return graph.reshape(IMAGE, -1)
        newest = graph.constant([graph.image_size[1] - 1])
        return graph.reshape(graph.op('Gather', IMAGE, newest, axis=2), -1)
