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

"""One ConvLSTM layer: an LSTM cell whose sums are convolutions.

Source: Shi et al., NIPS 2015, without peepholes.
"""

from typing import Any

from leconvmn_ros.model import LayerState
import torch
from torch import nn, Tensor
from torch.nn import functional


class ConvLstmCell(nn.Module):
    """An LSTM cell over images of planes; its state has the size of the image, or one row of it.

    Attributes:
        planes: hidden planes.
        rows: rows of h and c.
        wrapped: rows by which h is continued around the ring on either side.
        wrap_images: the same for the images.
    """

    def __init__(
        self,
        inputs: int,
        planes: int,
        *,
        rows: int,
        kernel: int = 3,
        all_rows: bool = False,
        ring: bool = False,
        forget_bias: float = 1.0,
    ) -> None:
        """Build the cell.

        Args:
            inputs: planes of the images.
            planes: hidden planes.
            rows: rows (electrodes) of the images.
            kernel: size of the kernels over time and over rows, odd.
            all_rows: the kernels reach over all rows of the images at once; the state has one row.
            ring: the last row is the neighbour of the first.
            forget_bias: initial bias of the forget gates.
        """
        super().__init__()
        self.planes = planes
        self.rows = 1 if all_rows else rows
        reach = kernel // 2
        # A single row has no neighbours.
        tall = 1 if self.rows == 1 else kernel
        self.wrapped = tall // 2 if ring else 0
        padding = (tall // 2 - self.wrapped, reach)
        self.by_image = nn.Conv2d(
            inputs,
            4 * planes,
            (rows if all_rows else tall, kernel),
            padding=(0, reach) if all_rows else padding,
        )
        self.by_state = nn.Conv2d(planes, 4 * planes, (tall, kernel), padding=padding, bias=False)
        self.wrap_images = 0 if all_rows else self.wrapped
        self._initialise(forget_bias)

    @torch.no_grad()
    def _initialise(self, forget_bias: float) -> None:
        # As one convolution over both would be.
        bias: Tensor = self.by_image.bias  # type: ignore[assignment]
        parts = (self.by_image.weight, self.by_state.weight)
        bound = sum(weight[0].numel() for weight in parts) ** -0.5
        for weight in (*parts, bias):
            weight.uniform_(-bound, bound)
        bias[self.planes : 2 * self.planes] += forget_bias

    def initial_state(self, batch: int, columns: int) -> LayerState:
        """Return h and c before the first image: zeros, (batch, planes, rows, columns)."""
        zeros = self.by_state.weight.new_zeros((batch, self.planes, self.rows, columns))
        return zeros, zeros

    def forward(
        self, images: Tensor, state: LayerState, fresh: Tensor | None = None
    ) -> tuple[Tensor, LayerState]:
        """Advance by some images.

        Args:
            images: (steps, batch, inputs, rows, columns).
            state: h and c, each (batch, planes, rows of the state, columns).
            fresh: where to forget the state before a step, (steps, batch).

        Returns:
            h after each step, (steps, batch, planes, rows of the state, columns), and the last
            state.
        """
        h, c = state
        # What the images add to the gates does not wait for the state: all steps at once.
        by_image = self.by_image(_wrapped(images.flatten(0, 1), self.wrap_images))
        keep = None if fresh is None else (~fresh).to(h.dtype)[..., None, None, None]
        hidden = []
        for step, gates in enumerate(by_image.unflatten(0, images.shape[:2]).unbind(0)):
            if keep is not None:
                h, c = h * keep[step], c * keep[step]
            h, c = _advance(gates + self.by_state(_wrapped(h, self.wrapped)), c)
            hidden.append(h)
        return torch.stack(hidden), (h, c)


def _wrapped(x: Tensor, rows: int) -> Tensor:
    return functional.pad(x, (0, 0, rows, rows), mode='circular') if rows else x


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
        after = torch.addcmul(f * c, i, g)
        squashed = torch.tanh(after)
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
