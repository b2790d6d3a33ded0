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

from typing import Any, Literal

from leconvmn_ros.model import LayerState, Model, MOST_STATE_VALUES, State
from pydantic import BaseModel, ConfigDict, Field, model_validator
import torch
from torch import nn, Tensor
from torch.nn import functional


class LeConvMnConfig(BaseModel):
    """Architecture of the network."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    kind: Literal['le_convmn'] = 'le_convmn'
    planes: tuple[int, ...] = Field(
        default=(64, 32),
        max_length=7,
        description='hidden planes of all layers but the last, which has one per joint',
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
        if self.planes and not 1 <= min(self.planes) <= max(self.planes) <= 512:
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
        self._inputs = inputs
        reach = config.kernel // 2
        self._wrapped = reach if config.padding == 'ring' else 0
        self._padding = (reach - self._wrapped, reach)
        self.gates = nn.Conv2d(inputs + planes, 4 * planes, config.kernel)
        with torch.no_grad():
            self.gates.bias[planes : 2 * planes] += config.forget_bias  # type: ignore[index]

    def forward(
        self, images: Tensor, state: LayerState, fresh: Tensor | None = None
    ) -> tuple[Tensor, LayerState]:
        """Advance by some images.

        Args:
            images: (steps, batch, inputs, channels, time).
            state: h and c, each (batch, planes, channels, time).
            fresh: where to forget the state before a step, (steps, batch).

        Returns:
            h after each step, (steps, batch, planes, channels, time), and the last state.
        """
        h, c = state
        # What the images add to the gates does not wait for the state: all steps at once.
        weight = self.gates.weight
        by_image = self._convolved(images.flatten(0, 1), weight[:, : self._inputs])
        by_image = by_image + self.gates.bias[:, None, None]  # type: ignore[index]
        keep = None if fresh is None else (~fresh).to(h.dtype)[..., None, None, None]
        hidden = []
        for step, gates in enumerate(by_image.unflatten(0, images.shape[:2]).unbind(0)):
            if keep is not None:
                h, c = h * keep[step], c * keep[step]
            h, c = _advance(gates + self._convolved(h, weight[:, self._inputs :]), c)
            hidden.append(h)
        return torch.stack(hidden), (h, c)

    def _convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        if self._wrapped:
            x = functional.pad(x, (0, 0, self._wrapped, self._wrapped), mode='circular')
        return functional.conv2d(x, weight, padding=self._padding)


def _advance(gates: Tensor, c: Tensor) -> LayerState:
    """Return h and c after a step, given the sums at the gates input, forget, output, cell."""
    if torch.is_grad_enabled() and gates.requires_grad:
        advanced: LayerState = _LearningGates.apply(gates, c)  # type: ignore[no-untyped-call]
        return advanced
    planes = c.shape[1]
    i, f, o = torch.sigmoid(gates[:, : 3 * planes]).chunk(3, dim=1)
    c = f * c + i * torch.tanh(gates[:, 3 * planes :])
    return o * torch.tanh(c), c


class _LearningGates(torch.autograd.Function):
    """The same with its derivative written out: autograd's own takes some times as long."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, c: Tensor) -> LayerState:
        planes = c.shape[1]
        ifo = torch.sigmoid(gates[:, : 3 * planes])
        g = torch.tanh(gates[:, 3 * planes :])
        i, f, o = ifo.chunk(3, dim=1)
        squashed = torch.tanh(after := torch.addcmul(f * c, i, g))
        ctx.save_for_backward(ifo, g, c, squashed)
        return o * squashed, after

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        by_h, by_after = gradients
        ifo, g, c, squashed = ctx.saved_tensors
        i, f, o = ifo.chunk(3, dim=1)
        by_c = by_h * o * (1 - squashed.square()) + by_after
        by_ifo = torch.cat((by_c * g, by_c * c, by_h * squashed), dim=1) * ifo * (1 - ifo)
        return torch.cat((by_ifo, by_c * i * (1 - g.square())), dim=1), by_c * f


class LeConvMn(Model):
    """LE-ConvMN: image by image, with the state carried from one image to the next."""

    def __init__(self, config: LeConvMnConfig, image_size: tuple[int, int], joints: int) -> None:
        """Build the network for images of channels x columns.

        Raises:
            ValueError: the state would be larger than MOST_STATE_VALUES, or the kernel reaches
                around the ring of electrodes.
        """
        super().__init__()
        channels, columns = self.image_size = image_size
        self._planes = (*config.planes, joints)
        size = 2 * sum(self._planes) * channels * columns
        if config.padding == 'ring' and config.kernel // 2 > channels:
            raise ValueError(f'kernel {config.kernel} is too large for a ring of {channels}')
        if size > MOST_STATE_VALUES:
            raise ValueError(
                f'planes {self._planes} over images of {channels} x {columns} need {size} values; '
                f'allowed are {MOST_STATE_VALUES}'
            )
        inputs = (1, *config.planes)
        self.layers = nn.ModuleList(
            ConvLstmCell(n, planes, config) for n, planes in zip(inputs, self._planes, strict=True)
        )
        self._config = config
        pixels = channels * columns
        self.head = (
            nn.Linear(pixels, 1) if config.head == 'shared' else nn.Linear(joints * pixels, joints)
        )

    def initial_state(self, batch: int = 1) -> State:
        """Return the state before the first image: zeros, (batch, planes, channels, time) each."""
        shapes = [(batch, planes, *self.image_size) for planes in self._planes]
        new_zeros = self.head.weight.new_zeros
        return [(new_zeros(shape), new_zeros(shape)) for shape in shapes]

    def forward(
        self, images: Tensor, state: State, fresh: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Advance by some images; see `Model.forward`."""
        x = images.unsqueeze(2)  # (steps, batch, 1, channels, time)
        advanced: State = []
        for layer, before in zip(self.layers, state, strict=True):
            x, after = layer(x, before, fresh)
            advanced.append(after)
        x = functional.dropout(x, self._config.dropout, self.training)
        if self._config.head == 'shared':
            # Plane j of the last layer, flattened, gives joint j through the one head.
            return self.head(x.flatten(3)).squeeze(-1), advanced
        return self.head(x.flatten(2)), advanced
