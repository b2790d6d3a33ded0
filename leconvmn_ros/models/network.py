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

"""A trained model as configuration and weights, without PyTorch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leconvmn_ros.models.config import ModelConfig, Weights

if TYPE_CHECKING:
    from leconvmn_ros.models.base import Model
    from leconvmn_ros.models.graph import Graph


@dataclass(frozen=True, slots=True)
class Network:
    """A trained model.

    Attributes:
        config: its architecture.
        image_size: channels and columns of its images.
        joints: number of outputs.
        weights: weights by name, see `ModelConfig.weight_shapes`.
    """

    config: ModelConfig
    image_size: tuple[int, int]
    joints: int
    weights: Weights

    def module(self) -> 'Model':
        """Build a PyTorch module with these weights, in evaluation mode."""
        model = self.config.build(self.image_size, self.joints)
        model.load_weights(self.weights)
        return model.eval()

    def graph(self) -> tuple['Graph', str]:
        """Build the ONNX graph; return it and the name of its outputs."""
        from leconvmn_ros.models.graph import Graph  # noqa: PLC0415 - imports onnx

        size = self.image_size
        graph = Graph(size, self.joints, self.config.state_shapes(size, self.joints))
        return graph, self.config.add_to(graph, self.weights, size, self.joints)
