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

"""The interface of models: images and a state in, angles and the next state out."""

from abc import ABC, abstractmethod

from leconvmn_ros.models.config import MEMBER_WEIGHTS, Weights
import numpy as np
from numpy.typing import NDArray
import torch
from torch import nn, Tensor

# The state that a model carries from one image to the next: tensors (batch, ...) of each recurrent
# layer, none for a model without memory.
LayerState = tuple[Tensor, Tensor]
State = list[LayerState]


class Model(nn.Module, ABC):
    """Maps long exposures to standardised joint angles, image by image.

    Attributes:
        image_size: channels and columns of an image.
        member_weights: weight of each member of an ensemble in the mean, (members,).
    """

    image_size: tuple[int, int]
    member_weights: Tensor

    def __init__(self, members: int = 1) -> None:
        """Weight all members equally."""
        super().__init__()
        # Not stored for a single member.
        self.register_buffer(
            MEMBER_WEIGHTS, torch.full((members,), 1 / members), persistent=members > 1
        )

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self.member_weights.device

    @abstractmethod
    def initial_state(self, batch: int = 1) -> State:
        """Return the state before the first image."""

    @abstractmethod
    def member_outputs(
        self, images: Tensor, state: State, fresh: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Advance by one or several images and return the outputs of each member.

        Args:
            images: features, (steps, batch, channels, columns).
            state: state from `initial_state` or the steps before.
            fresh: where to reset the state before the step, bool (steps, batch); None =
                nowhere.

        Returns:
            Outputs in standardised units, (members, steps, batch, joints), and the new state.
        """

    def forward(
        self, images: Tensor, state: State, fresh: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Advance likewise and return the weighted mean of the members, (steps, batch, joints)."""
        outputs, state = self.member_outputs(images, state, fresh)
        return self.weighted(outputs), state

    def weighted(self, outputs: Tensor) -> Tensor:
        """Return the weighted mean of member outputs, (members, steps, batch, joints)."""
        return (self.member_weights[:, None, None, None] * outputs).sum(dim=0)

    def trained_weights(self) -> dict[str, NDArray[np.float32]]:
        """Return a copy of the trained weights by name, see `ModelConfig.weight_shapes`."""
        return {name: tensor.cpu().numpy().copy() for name, tensor in self.state_dict().items()}

    def load_weights(self, weights: Weights) -> None:
        """Set the trained weights."""
        # A copy, since arrays read from a file may not be writable.
        self.load_state_dict({n: torch.from_numpy(w.copy()) for n, w in weights.items()})


def run_members(
    members: nn.ModuleList, images: Tensor, state: State, fresh: Tensor | None
) -> tuple[Tensor, State]:
    """Run modules with `layers` whose states are concatenated; see `Model`."""
    outputs, advanced = [], State()
    for member in members:
        first = len(advanced)
        own = state[first : first + len(member.layers)]  # type: ignore[arg-type]
        output, after = member(images, own, fresh)
        outputs.append(output)
        advanced += after
    return torch.stack(outputs), advanced


def parameter_count(model: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(p.numel() for p in model.parameters())
