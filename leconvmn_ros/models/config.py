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

"""The base class of model configurations, without PyTorch.

A kind of model is a folder with its configuration and the shapes of its weights; `network`, the
trainable PyTorch module; and `graph`, the same as ONNX operators, which the decoder runs on a CPU.
A new kind needs such a folder and a line in `models.kinds`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING

from leconvmn_ros.core.strict_model import StrictModel
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from leconvmn_ros.models.base import Model
    from leconvmn_ros.models.graph import Graph

# A foreign checkpoint must not make us allocate unbounded memory.
MOST_STATE_VALUES = 2**26
MOST_WEIGHTS = 2**26

Weights = Mapping[str, NDArray[np.float32]]
Shape = tuple[int, ...]

# The weight of each member of an ensemble in its mean; not stored for a single member.
MEMBER_WEIGHTS = 'member_weights'


class ModelConfig(StrictModel, ABC):
    """Architecture of a model; sizes depend on its images (channels, columns) and joints."""

    @abstractmethod
    def weight_shapes(self, image_size: tuple[int, int], joints: int) -> dict[str, Shape]:
        """Return the shape of each weight.

        Raises:
            ValueError: the configuration does not fit such images, or needs too much memory.
        """

    @abstractmethod
    def state_shapes(self, image_size: tuple[int, int], joints: int) -> list[Shape]:
        """Return the shapes of the recurrent state of one stream, see `add_to`."""

    @abstractmethod
    def multiplications(self, image_size: tuple[int, int], joints: int) -> int:
        """Return the number of multiplications (each with an addition) for one image."""

    def working_values(self, image_size: tuple[int, int], joints: int) -> int:
        """Return roughly how many values one image needs at a time, without the weights."""
        return 4 * sum(map(prod, self.state_shapes(image_size, joints)))

    @abstractmethod
    def add_to(
        self, graph: 'Graph', weights: Weights, image_size: tuple[int, int], joints: int
    ) -> str:
        """Add the model to an ONNX graph.

        Args:
            graph: a graph with the input `image` (batch, channels, columns) and `state_shapes`.
            weights: weights as in `weight_shapes`.
            image_size: channels and columns.
            joints: number of outputs.

        Returns:
            Name of the value with the outputs in standardised units, (batch, joints).
        """

    @abstractmethod
    def build(self, image_size: tuple[int, int], joints: int) -> 'Model':
        """Build an untrained PyTorch module.

        Raises:
            ValueError: as `weight_shapes`.
        """


def check_weights(count: int, what: str) -> None:
    """Refuse a model that is too large before memory is allocated for it.

    Raises:
        ValueError: it has more than MOST_WEIGHTS.
    """
    if count > MOST_WEIGHTS:
        raise ValueError(f'{what} need {count} weights; allowed are {MOST_WEIGHTS}')
