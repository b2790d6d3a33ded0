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
    """

    image_size: tuple[int, int]

    @abstractmethod
    def initial_state(self, batch: int = 1) -> State:
        """Return the state before the first image."""

    @abstractmethod
    def forward(
        self, images: Tensor, state: State, fresh: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Advance by one image or by several.

        Args:
            images: features, (steps, batch, channels, columns).
            state: of `initial_state` or of the steps before.
            fresh: where the state is forgotten before the step, bool (steps, batch); None =
                nowhere.

        Returns:
            Outputs in standardised units, (steps, batch, joints), and the new state.
        """


def parameter_count(model: nn.Module) -> int:
    """Return the number of trained values."""
    return sum(p.numel() for p in model.parameters())
