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

"""Settings of the ridge regression."""

from typing import Literal, TYPE_CHECKING

from leconvmn_ros.models.config import check_weights, Shape, Weights
from leconvmn_ros.models.stateless_config import InputKind, StatelessConfig
from pydantic import Field

if TYPE_CHECKING:
    from leconvmn_ros.models.base import Model
    from leconvmn_ros.models.graph import Graph


class RidgeConfig(StatelessConfig):
    """The input of the regression."""

    kind: Literal['ridge'] = 'ridge'
    input: InputKind = Field(
        default='column', description='only the newest column of an image, or the whole image'
    )

    def weight_shapes(self, image_size: tuple[int, int], joints: int) -> dict[str, Shape]:
        """Return the shape of each weight; see `ModelConfig`."""
        inputs = self.inputs(image_size)
        check_weights(inputs * joints, f'{joints} joints over {inputs} inputs')
        return {'linear.weight': (joints, inputs), 'linear.bias': (joints,)}

    def multiplications(self, image_size: tuple[int, int], joints: int) -> int:
        """Return the number of multiplications (each with an addition) for one image."""
        return self.inputs(image_size) * joints

    def add_to(
        self,
        graph: 'Graph',
        weights: Weights,
        image_size: tuple[int, int],  # noqa: ARG002 - one signature
        joints: int,  # noqa: ARG002
    ) -> str:
        """Add the map to an ONNX graph; see `ModelConfig`."""
        return graph.op(
            'Gemm',
            self.flat_inputs(graph),
            graph.constant(weights['linear.weight'].T),
            graph.constant(weights['linear.bias']),
        )

    def build(self, image_size: tuple[int, int], joints: int) -> 'Model':
        """Build an unfitted PyTorch module; see `ModelConfig`."""
        from leconvmn_ros.models.ridge.network import Ridge  # noqa: PLC0415 - imports torch

        return Ridge(self, image_size, joints)
