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

"""The common base of models without memory: newest column or whole image in, angles out."""

from abc import abstractmethod
from typing import NamedTuple

from leconvmn_ros.models.base import Model, State
from leconvmn_ros.models.stateless_config import input_count, InputKind
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor


class Examples(NamedTuple):
    """Training examples, in no particular order.

    Attributes:
        images: features, shape (images, channels, columns).
        targets: standardised angles at the last sample of each, shape (images, joints).
    """

    images: NDArray[np.float32]
    targets: NDArray[np.float32]


class Stateless(Model):
    """Base class of models whose outputs depend on the present image only."""

    def __init__(self, kind: InputKind, image_size: tuple[int, int]) -> None:
        """Use the part `kind` of images of channels x columns."""
        super().__init__()
        self.image_size = image_size
        self._kind = kind
        self.inputs = input_count(kind, image_size)

    def initial_state(self, batch: int = 1) -> State:  # noqa: ARG002 - the interface of Model
        """Return the empty state."""
        return []

    def member_outputs(
        self,
        images: Tensor,
        state: State,
        fresh: Tensor | None = None,  # noqa: ARG002 - there is no state to reset
    ) -> tuple[Tensor, State]:
        """Estimate from each image independently; see `Model.member_outputs`."""
        return self.estimate(self.inputs_of(images))[None], state

    def inputs_of(self, images: Tensor) -> Tensor:
        """Return the used part of images (..., channels, columns), shape (..., inputs)."""
        return (images if self._kind == 'image' else images[..., -1:]).flatten(-2)

    @abstractmethod
    def estimate(self, inputs: Tensor) -> Tensor:
        """Return outputs in standardised units, (..., joints), for inputs (..., inputs)."""

    def matrices(self, examples: Examples) -> tuple[Tensor, Tensor]:
        """Return inputs (images, inputs) and targets (images, joints) to fit to, in float64."""
        images, targets = (
            torch.from_numpy(part).to(self.device, torch.float64) for part in examples
        )
        return self.inputs_of(images), targets
