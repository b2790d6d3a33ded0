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

"""Settings of the sparse Gaussian process."""

from typing import Literal, TYPE_CHECKING

from leconvmn_ros.models.config import check_weights, Shape, Weights
from leconvmn_ros.models.stateless_config import InputKind, StatelessConfig
import numpy as np
from pydantic import Field

if TYPE_CHECKING:
    from leconvmn_ros.models.base import Model
    from leconvmn_ros.models.graph import Graph


class SpgpConfig(StatelessConfig):
    """Size and input of the process."""

    kind: Literal['spgp'] = 'spgp'
    pseudo_inputs: int = Field(
        default=300, ge=1, le=2000, description='pseudo-inputs that summarise the training images'
    )
    input: InputKind = Field(
        default='image',
        description='the whole image, or only its newest column (RMS features, as in the paper)',
    )

    def weight_shapes(self, image_size: tuple[int, int], joints: int) -> dict[str, Shape]:
        """Return the shape of each weight; see `ModelConfig`."""
        inputs, pseudo = self.inputs(image_size), self.pseudo_inputs
        check_weights(
            pseudo * (inputs + joints),
            f'{pseudo} pseudo-inputs of {inputs} values for {joints} joints',
        )
        return {
            'pseudo_inputs': (pseudo, inputs),
            'inverse_length_scales': (inputs,),
            'weights': (pseudo, joints),
        }

    def multiplications(self, image_size: tuple[int, int], joints: int) -> int:
        """Return the number of multiplications (each with an addition) for one image."""
        return self.pseudo_inputs * (self.inputs(image_size) + joints)

    def working_values(self, image_size: tuple[int, int], joints: int) -> int:  # noqa: ARG002 - one signature
        """Return roughly how many values one image needs at a time: all differences."""
        return 2 * self.pseudo_inputs * self.inputs(image_size)

    def add_to(
        self,
        graph: 'Graph',
        weights: Weights,
        image_size: tuple[int, int],  # noqa: ARG002 - one signature
        joints: int,  # noqa: ARG002
    ) -> str:
        """Add the mean of the process to an ONNX graph; see `ModelConfig`."""
        scaled = graph.op(
            'Mul', self.flat_inputs(graph), graph.constant(weights['inverse_length_scales'])
        )
        # Differences, as in the module: (batch, pseudo-inputs, inputs).
        differences = graph.op(
            'Sub',
            graph.op('Unsqueeze', scaled, graph.constant([1])),
            graph.constant(weights['pseudo_inputs']),
        )
        squares = graph.op('ReduceSumSquare', differences, axes=[2], keepdims=0)
        half = graph.constant(np.array(-0.5))
        correlations = graph.op('Exp', graph.op('Mul', squares, half))
        return graph.op('MatMul', correlations, graph.constant(weights['weights']))

    def build(self, image_size: tuple[int, int], joints: int) -> 'Model':
        """Build an unfitted PyTorch module; see `ModelConfig`."""
        from leconvmn_ros.models.spgp.network import Spgp  # noqa: PLC0415 - imports torch

        return Spgp(self, image_size, joints)
