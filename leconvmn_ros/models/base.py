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

"""What every model of this package is: images and a state in, angles and the next state out."""

from abc import ABC, abstractmethod

import torch
from torch import nn, Tensor

# What a model carries from one image to the next: tensors (batch, ...) of each recurrent layer,
# nothing for a model without memory.
LayerState = tuple[Tensor, Tensor]
State = list[LayerState]

# A checkpoint from a stranger must not make us allocate without end.
MOST_STATE_VALUES = 2**26
MOST_WEIGHTS = 2**26


class Model(nn.Module, ABC):
    """Maps long exposures to standardised joint angles, image by image.

    Attributes:
        image_size: channels and columns of an image.
        shares: how much each part of the model counts, (parts,); alike, until data say otherwise.
    """

    image_size: tuple[int, int]
    shares: Tensor

    def __init__(self, parts: int = 1) -> None:
        """Let all parts count alike."""
        super().__init__()
        # Nothing to keep where there is nothing to share.
        self.register_buffer('shares', torch.full((parts,), 1 / parts), persistent=parts > 1)

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.shares.device

    @abstractmethod
    def initial_state(self, batch: int = 1) -> State:
        """Return the state before the first image."""

    @abstractmethod
    def opinions(
        self, images: Tensor, state: State, fresh: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Advance by one image or by several; each part of the model says what it thinks.

        Args:
            images: features, (steps, batch, channels, columns).
            state: of `initial_state` or of the steps before.
            fresh: where the state is forgotten before the step, bool (steps, batch); None =
                nowhere.

        Returns:
            Outputs in standardised units, (parts, steps, batch, joints), and the new state.
        """

    def forward(
        self, images: Tensor, state: State, fresh: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Do the same and return what the parts think by their shares, (steps, batch, joints)."""
        outputs, state = self.opinions(images, state, fresh)
        return self.weighted(outputs), state

    def weighted(self, opinions: Tensor) -> Tensor:
        """Return what the parts think, (parts, steps, batch, joints), by their shares."""
        return (self.shares[:, None, None, None] * opinions).sum(dim=0)


def opinions_of(
    parts: nn.ModuleList, images: Tensor, state: State, fresh: Tensor | None
) -> tuple[Tensor, State]:
    """Ask parts that each have `layers`, whose states follow one another; see `Model.opinions`."""
    outputs, advanced = [], State()
    for part in parts:
        first = len(advanced)
        own = state[first : first + len(part.layers)]  # type: ignore[arg-type]
        output, after = part(images, own, fresh)
        outputs.append(output)
        advanced += after
    return torch.stack(outputs), advanced


def parameter_count(model: nn.Module) -> int:
    """Return the number of trained values."""
    return sum(p.numel() for p in model.parameters())
