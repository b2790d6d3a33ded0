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

"""The network: stacked ConvLSTM layers over long-exposure images, one head for all joints.

Source: Guo et al., J. Neural Eng. 18 (2021) 026027; the cell is that of Shi et al., NIPS 2015,
without peepholes.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
import torch
from torch import nn, Tensor
from torch.nn import functional

# One layer's hidden and cell planes, each of shape (batch, planes, channels, time).
LayerState = tuple[Tensor, Tensor]
State = list[LayerState]

# A checkpoint from a stranger must not make us allocate without end.
MOST_STATE_VALUES = 2**26


class LeConvMnConfig(BaseModel):
    """Architecture of the network."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    kind: Literal['le_convmn'] = 'le_convmn'
    planes: tuple[int, ...] = Field(
        default=(64, 32, 10),
        min_length=1,
        max_length=8,
        description='hidden planes per layer; the last: one per joint',
    )
    kernel: int = Field(default=3, ge=1, le=15, description='side of the square kernels, odd')
    forget_bias: float = Field(
        default=1.0, ge=-10, le=10, description='initial bias of the forget gates'
    )
    padding: Literal['zero', 'ring'] = Field(
        default='zero',
        description='beyond the first and last electrode: nothing (paper), or one another',
    )
    head: Literal['shared', 'per_joint'] = Field(
        default='shared',
        description='one map from plane j to joint j (paper), or one per joint over all planes',
    )
    dropout: float = Field(
        default=0, ge=0, le=0.9, description='share of the last planes left out in training'
    )

    @model_validator(mode='after')
    def _sane(self) -> 'LeConvMnConfig':
        if min(self.planes) < 1 or max(self.planes) > 512:
            raise ValueError(f'planes {self.planes}; each layer may have 1 to 512')
        if self.kernel % 2 == 0:
            raise ValueError(
                f'kernel {self.kernel}; it must be odd for the image to keep its size'
            )
        return self


class ConvLstmCell(nn.Module):
    """One ConvLSTM layer: an LSTM cell with convolutions that keep the size of the image."""

    def __init__(self, inputs: int, planes: int, config: LeConvMnConfig) -> None:
        super().__init__()
        self.planes = planes
        reach = config.kernel // 2
        self._wrapped = reach if config.padding == 'ring' else 0
        self.gates = nn.Conv2d(
            inputs + planes, 4 * planes, config.kernel, padding=(reach - self._wrapped, reach)
        )
        with torch.no_grad():
            self.gates.bias[planes : 2 * planes] += config.forget_bias  # type: ignore[index]

    def forward(self, image: Tensor, state: LayerState) -> LayerState:
        """Advance by one image.

        Args:
            image: (batch, inputs, channels, time).
            state: h and c, each (batch, planes, channels, time).
        """
        h, c = state
        x = torch.cat((image, h), dim=1)
        if self._wrapped:
            x = functional.pad(x, (0, 0, self._wrapped, self._wrapped), mode='circular')
        i, f, o, g = self.gates(x).split(self.planes, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class LeConvMn(nn.Module):
    """LE-ConvMN: image by image, with the state carried from one image to the next."""

    def __init__(self, config: LeConvMnConfig, channels: int, length: int) -> None:
        """Build the network for images of channels x length.

        Raises:
            ValueError: the state would be larger than MOST_STATE_VALUES, or the kernel reaches
                around the ring of electrodes.
        """
        super().__init__()
        size = 2 * sum(config.planes) * channels * length
        if config.padding == 'ring' and config.kernel // 2 > channels:
            raise ValueError(f'kernel {config.kernel} is too large for a ring of {channels}')
        if size > MOST_STATE_VALUES:
            raise ValueError(
                f'planes {config.planes} over images of {channels} x {length} need {size} values; '
                f'allowed are {MOST_STATE_VALUES}'
            )
        self.image_size = (channels, length)
        inputs = (1, *config.planes[:-1])
        self.layers = nn.ModuleList(
            ConvLstmCell(n, planes, config)
            for n, planes in zip(inputs, config.planes, strict=True)
        )
        self._config = config
        pixels = channels * length
        self.head = (
            nn.Linear(pixels, 1)
            if config.head == 'shared'
            else nn.Linear(config.planes[-1] * pixels, config.planes[-1])
        )

    def initial_state(self, batch: int = 1) -> State:
        """Return the state before the first image: zeros."""
        shapes = [(batch, planes, *self.image_size) for planes in self._config.planes]
        new_zeros = self.head.weight.new_zeros
        return [(new_zeros(shape), new_zeros(shape)) for shape in shapes]

    def forward(self, images: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance by one image.

        Args:
            images: features, (batch, channels, time).
            state: of `initial_state` or of the step before.

        Returns:
            Outputs in standardised units, (batch, joints), and the new state.
        """
        x = images.unsqueeze(1)  # (batch, 1, channels, time)
        advanced: State = []
        for layer, before in zip(self.layers, state, strict=True):
            after = layer(x, before)
            advanced.append(after)
            x = after[0]
        x = functional.dropout(x, self._config.dropout, self.training)
        if self._config.head == 'shared':
            # Plane j of the last layer, flattened, gives joint j through the one head.
            return self.head(x.flatten(2)).squeeze(-1), advanced
        return self.head(x.flatten(1)), advanced


def parameter_count(model: nn.Module) -> int:
    """Return the number of trained values."""
    return sum(p.numel() for p in model.parameters())
