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

from leconvmn_ros.models.base import LayerState
from leconvmn_ros.models.conv_lstm_column import advance_rows
from leconvmn_ros.models.lstm_gates import gates_derivative, open_gates
import torch
from torch import nn, Tensor
from torch.nn import functional


class ConvLstmCell(nn.Module):
    """An LSTM cell over images of planes; its state has the size of the image, or less.

    Attributes:
        planes: hidden planes.
        size: rows and columns of h and c.
        wrapped: rows by which h is continued around the ring on either side.
        wrap_images: the same for the images.
    """

    def __init__(
        self,
        inputs: int,
        planes: int,
        *,
        size: tuple[int, int],
        kernel: int = 3,
        all_rows: bool = False,
        all_columns: bool = False,
        ring: bool = False,
        forget_bias: float = 1.0,
    ) -> None:
        """Build the cell.

        Args:
            inputs: planes of the images.
            planes: hidden planes.
            size: rows (electrodes) and columns (time) of the images.
            kernel: size of the kernels over rows and over columns, odd.
            all_rows: the kernels reach over all rows of the images at once; the state has one row.
            all_columns: likewise. With both, this is an LSTM cell over flattened images.
            ring: the last row is the neighbour of the first.
            forget_bias: initial bias of the forget gates.
        """
        super().__init__()
        self.planes = planes
        rows, columns = size
        self.size = (1 if all_rows else rows, 1 if all_columns else columns)
        # A single row has no neighbours, nor has a single column.
        tall, wide = (1 if length == 1 else kernel for length in self.size)
        self.wrapped = tall // 2 if ring else 0
        padding = (tall // 2 - self.wrapped, wide // 2)
        self.by_image = nn.Conv2d(
            inputs,
            4 * planes,
            (rows if all_rows else tall, columns if all_columns else wide),
            padding=(0 if all_rows else padding[0], 0 if all_columns else padding[1]),
        )
        self.by_state = nn.Conv2d(planes, 4 * planes, (tall, wide), padding=padding, bias=False)
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

    def initial_state(self, batch: int) -> LayerState:
        """Return h and c before the first image: zeros, (batch, planes, *size)."""
        zeros = self.by_state.weight.new_zeros((batch, self.planes, *self.size))
        return zeros, zeros

    def forward(
        self, images: Tensor, state: LayerState, fresh: Tensor | None = None
    ) -> tuple[Tensor, LayerState]:
        """Advance by some images.

        Args:
            images: (steps, batch, inputs, rows, columns).
            state: h and c, each (batch, planes, *size).
            fresh: where to forget the state before a step, (steps, batch).

        Returns:
            h after each step, (steps, batch, planes, *size), and the last state.
        """
        # What the images add to the gates does not wait for the state: all steps at once.
        by_image = self.by_image(_wrapped(images.flatten(0, 1), self.wrap_images))
        by_image = by_image.unflatten(0, images.shape[:2])
        keep = None if fresh is None else (~fresh).to(by_image.dtype)[..., None, None, None]
        if self.size[1] == 1:
            return self._along_rows(by_image, state, keep)
        h, c = state
        hidden = []
        for step, gates in enumerate(by_image.unbind(0)):
            if keep is not None:
                h, c = h * keep[step], c * keep[step]
            h, c = _advance(gates + self.by_state(_wrapped(h, self.wrapped)), c)
            hidden.append(h)
        return torch.stack(hidden), (h, c)

    def _along_rows(
        self, by_image: Tensor, state: LayerState, keep: Tensor | None
    ) -> tuple[Tensor, LayerState]:
        """Do the same for a single column; here planes come last: (batch, rows, planes)."""
        h, c = (part[..., 0].transpose(1, 2) for part in state)
        hidden, h, c = advance_rows(
            by_image[..., 0].transpose(2, 3).contiguous(),
            self.by_state.weight[..., 0].transpose(1, 2).flatten(1),
            (h, c),
            None if keep is None else keep[..., 0],
            ring=self.wrapped > 0,
        )
        last = tuple(part.transpose(1, 2)[..., None] for part in (h, c))
        return hidden.transpose(2, 3)[..., None], (last[0], last[1])


def _wrapped(x: Tensor, rows: int) -> Tensor:
    return functional.pad(x, (0, 0, rows, rows), mode='circular') if rows else x


def _advance(gates: Tensor, c: Tensor) -> LayerState:
    """Return h and c after a step, given the sums at the gates input, forget, output, cell."""
    if torch.is_grad_enabled() and gates.requires_grad:
        advanced: LayerState = _LearningGates.apply(gates, c)  # type: ignore[no-untyped-call]
        return advanced
    h, after, _ = open_gates(gates, c, dim=1)
    return h, after


class _LearningGates(torch.autograd.Function):
    """The same with its derivative written out, see `lstm_gates`."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, c: Tensor) -> LayerState:
        h, after, taken = open_gates(gates, c, dim=1)
        ctx.save_for_backward(*taken)
        return h, after

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        by_h, by_after = gradients
        return gates_derivative(by_h, by_after, ctx.saved_tensors, dim=1)
