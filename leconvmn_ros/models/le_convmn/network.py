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

"""The network: stacked ConvLSTM layers over long-exposure images.

Source: Guo et al., J. Neural Eng. 18 (2021) 026027. The paper's network is one stack with 3 x 3
kernels, no ring, and a head on the last layer. Here there may be several stacks with kernels of
different reach. Each stack estimates all joints, and the network's estimate is their mean,
weighted by their performance on the validation data.
"""

from leconvmn_ros.models.base import Model, run_members, State
from leconvmn_ros.models.le_convmn.config import (
    head_shape,
    layers_of,
    LeConvMnConfig,
    StackConfig,
)
from leconvmn_ros.models.le_convmn.conv_lstm import ConvLstmCell
import torch
from torch import nn, Tensor
from torch.nn import functional


class LeConvMn(Model):
    """LE-ConvMN, image by image, with a state carried from one image to the next."""

    def __init__(self, config: LeConvMnConfig, image_size: tuple[int, int], joints: int) -> None:
        """Build the network for images of channels x columns.

        Raises:
            ValueError: as `LeConvMnConfig.layers`.
        """
        config.layers(image_size, joints)  # raises before memory is allocated
        super().__init__(len(config.stacks))
        self.image_size = image_size
        self.stacks = nn.ModuleList(
            Stack(stack, image_size, joints, config.forget_bias) for stack in config.stacks
        )

    def initial_state(self, batch: int = 1) -> State:
        """Return the state before the first image: zeros, layer by layer, stack by stack."""
        return [
            layer.initial_state(batch)
            for stack in self.stacks
            for layer in stack.layers  # type: ignore[union-attr]
        ]

    def member_outputs(
        self, images: Tensor, state: State, fresh: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Advance by some images; each stack is a member, see `Model.member_outputs`."""
        return run_members(self.stacks, images, state, fresh)


class Stack(nn.Module):
    """A stack of layers with a head."""

    def __init__(
        self, config: StackConfig, image_size: tuple[int, int], joints: int, forget_bias: float
    ) -> None:
        super().__init__()
        self._config, self.head_kind = config, config.head
        shapes = layers_of(config, image_size, joints)
        self.layers = nn.ModuleList(ConvLstmCell(shape, forget_bias) for shape in shapes)
        outputs, read = head_shape(config, shapes, joints)
        self.head = nn.Linear(read, outputs)

    def forward(
        self, images: Tensor, state: State, fresh: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Advance by some images, (steps, batch, channels, columns)."""
        x = images.unsqueeze(2)  # (steps, batch, 1, channels, columns)
        hidden: list[Tensor] = []
        advanced = State()
        for layer, before in zip(self.layers, state, strict=True):
            if hidden:
                x = functional.dropout(x, self._config.layer_dropout, self.training)
            x, after = layer(x, before, fresh)
            hidden.append(x)
            advanced.append(after)
        if self.head_kind == 'shared':
            # Plane j of the last layer, flattened, gives joint j through one shared head.
            return self.head(self._dropout(x.flatten(3))).squeeze(-1), advanced
        if self.head_kind == 'last':
            hidden = hidden[-1:]
        elif self.head_kind == 'mean':
            hidden = [h.mean(dim=-1) for h in hidden]
        return self.head(self._dropout(torch.cat([h.flatten(2) for h in hidden], dim=2))), advanced

    def _dropout(self, read: Tensor) -> Tensor:
        return functional.dropout(read, self._config.dropout, self.training)
