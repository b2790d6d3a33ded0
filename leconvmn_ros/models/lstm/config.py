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

"""Settings of the LSTM."""

from typing import Literal, TYPE_CHECKING

from leconvmn_ros.models.config import (
    check_weights,
    MEMBER_WEIGHTS,
    ModelConfig,
    Shape,
    Weights,
)
from pydantic import Field

if TYPE_CHECKING:
    from leconvmn_ros.models.base import Model
    from leconvmn_ros.models.graph import Graph


class LstmConfig(ModelConfig):
    """Architecture of the LSTM."""

    kind: Literal['lstm'] = 'lstm'
    steps: Literal['columns', 'images'] = Field(
        default='images',
        description='time step: a column of an image, or a whole flattened image',
    )
    units: int = Field(default=128, ge=1, le=4096, description='hidden units of each layer')
    layers: int = Field(default=2, ge=1, le=8, description='layers')
    networks: int = Field(
        default=1,
        ge=1,
        le=8,
        description='number of networks in the weighted mean, as in LE-ConvMN',
    )
    forget_bias: float = Field(
        default=1.0, ge=-10, le=10, description='initial bias of the forget gates'
    )
    input_dropout: float = Field(
        default=0, ge=0, le=0.9, description='dropout of features in training'
    )
    dropout: float = Field(
        default=0, ge=0, le=0.9, description='dropout of hidden units in training'
    )

    def features(self, image_size: tuple[int, int]) -> int:
        """Return the number of values in one time step."""
        channels, columns = image_size
        return channels if self.steps == 'columns' else channels * columns

    def layer_inputs(self, image_size: tuple[int, int]) -> list[int]:
        """Return the number of inputs of each layer."""
        return [self.features(image_size), *(self.units,) * (self.layers - 1)]

    def weight_shapes(self, image_size: tuple[int, int], joints: int) -> dict[str, Shape]:
        """Return the shape of each weight; see `ModelConfig`."""
        inputs, units = self.layer_inputs(image_size), self.units
        gates = 4 * units
        check_weights(
            self.networks * sum(gates * (before + units) for before in inputs),
            f'{self.networks} networks of {self.layers} layers of {units} units over '
            f'{inputs[0]} features',
        )
        shapes: dict[str, Shape] = {}
        for network in range(self.networks):
            place = f'networks.{network}.'
            for layer, before in enumerate(inputs):
                shapes |= {
                    f'{place}layers.{layer}.weight_ih_l0': (gates, before),
                    f'{place}layers.{layer}.weight_hh_l0': (gates, units),
                    f'{place}layers.{layer}.bias_ih_l0': (gates,),
                    f'{place}layers.{layer}.bias_hh_l0': (gates,),
                }
            shapes |= {f'{place}head.weight': (joints, units), f'{place}head.bias': (joints,)}
        if self.networks > 1:
            shapes[MEMBER_WEIGHTS] = (self.networks,)
        return shapes

    def state_shapes(self, image_size: tuple[int, int], joints: int) -> list[Shape]:  # noqa: ARG002 - one signature
        """Return the shapes of h and c of each layer of each network; see `ModelConfig`."""
        return [(self.units,)] * (2 * self.networks * self.layers)

    def multiplications(self, image_size: tuple[int, int], joints: int) -> int:
        """Return the number of multiplications (each with an addition) for one image."""
        steps = image_size[1] if self.steps == 'columns' else 1
        layers = sum(4 * self.units * (n + self.units) for n in self.layer_inputs(image_size))
        return self.networks * (steps * layers + self.units * joints)

    def add_to(
        self,
        graph: 'Graph',
        weights: Weights,
        image_size: tuple[int, int],
        joints: int,  # noqa: ARG002 - one signature
    ) -> str:
        """Add the network to an ONNX graph; see `ModelConfig`."""
        from leconvmn_ros.models.lstm.graph import add_networks  # noqa: PLC0415 - imports onnx

        return add_networks(graph, self, weights, image_size)

    def build(self, image_size: tuple[int, int], joints: int) -> 'Model':
        """Build an untrained PyTorch module; see `ModelConfig`."""
        from leconvmn_ros.models.lstm.network import Lstm  # noqa: PLC0415 - imports torch

        return Lstm(self, image_size, joints)
