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

from leconvmn_ros.models.base import LayerState
from leconvmn_ros.models.le_convmn.config import LayerShape
import torch
from torch import nn, Tensor
from torch.nn import functional


class ConvLstmCell(nn.Module):
    """An LSTM cell over images of planes; its state has at most the size of the image.

    Attributes:
        shape: its sizes.
    """

    def __init__(self, shape: LayerShape, forget_bias: float = 1.0) -> None:
        """Build the cell; `forget_bias` is the initial bias of the forget gates."""
        super().__init__()
        self.shape = shape
        gates = 4 * shape.planes
        self.input_conv = nn.Conv2d(
            shape.inputs, gates, shape.image_kernel, padding=shape.image_padding
        )
        self.hidden_conv = nn.Conv2d(
            shape.planes, gates, shape.hidden_kernel, padding=shape.hidden_padding, bias=False
        )
        self._initialise(forget_bias)

    @torch.no_grad()
    def _initialise(self, forget_bias: float) -> None:
        # Initialise as one convolution over images and hidden state would be.
        bias: Tensor = self.input_conv.bias  # type: ignore[assignment]
        parts = (self.input_conv.weight, self.hidden_conv.weight)
        bound = sum(weight[0].numel() for weight in parts) ** -0.5
        for weight in (*parts, bias):
            weight.uniform_(-bound, bound)
        planes = self.shape.planes
        bias[planes : 2 * planes] += forget_bias

    def initial_state(self, batch: int) -> LayerState:
        """Return h and c before the first image: zeros, (batch, planes, *shape.size)."""
        zeros = self.hidden_conv.weight.new_zeros((batch, self.shape.planes, *self.shape.size))
        return zeros, zeros

    def forward(
        self, images: Tensor, state: LayerState, fresh: Tensor | None = None
    ) -> tuple[Tensor, LayerState]:
        """Advance by some images.

        Args:
            images: (steps, batch, inputs, rows, columns).
            state: h and c, each (batch, planes, *shape.size).
            fresh: where to reset the state before a step, (steps, batch).

        Returns:
            h after each step, (steps, batch, planes, *shape.size), and the last state.
        """
        if self.shape.size == (1, 1) and fresh is None:
            return self._as_lstm(images, state)
        keep = None if fresh is None else (~fresh).to(images.dtype)[..., None, None, None]
        if self.shape.size[1] == 1:
            return self._along_rows(images, state, keep)
        # The images' part of the gates is independent of the state: compute all steps at once.
        from_images = self.input_conv(_wrapped(images.flatten(0, 1), self.shape.image_wrap))
        from_images = from_images.unflatten(0, images.shape[:2])
        h, c = state
        hidden = []
        for step, gates in enumerate(from_images.unbind(0)):
            if keep is not None:
                h, c = h * keep[step], c * keep[step]
            h, c = _advance(
                gates + self.hidden_conv(_wrapped(h, self.shape.hidden_wrap)), c, dim=1
            )
            hidden.append(h)
        return torch.stack(hidden), (h, c)

    def _as_lstm(self, images: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """Advance with torch's LSTM, which a state of a single row and column amounts to.

        It takes all steps in one call, which saves more time than the computation itself takes.
        """
        # The gates are ordered input, forget, output, cell; torch swaps the last two.
        weights = [
            torch.cat([part[0], part[1], part[3], part[2]])
            for weight in (
                self.input_conv.weight.flatten(1),
                self.hidden_conv.weight.flatten(1),
                self.input_conv.bias,
            )
            if weight is not None
            for part in (weight.chunk(4),)
        ]
        by_image, by_hidden, bias = weights
        before = tuple(part.flatten(1)[None] for part in state)
        hidden, h, c = torch.lstm(
            images.flatten(2),
            before,
            (by_image, by_hidden, bias, torch.zeros_like(bias)),
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=self.training,
            bidirectional=False,
            batch_first=False,
        )
        last = tuple(part[0, :, :, None, None] for part in (h, c))
        return hidden[..., None, None], (last[0], last[1])

    def _along_rows(
        self, images: Tensor, state: LayerState, keep: Tensor | None
    ) -> tuple[Tensor, LayerState]:
        """Advance a state of a single column, with planes last and matrix products.

        So small a convolution takes longer to set up than to compute.
        """
        h, c = (part[..., 0].transpose(1, 2) for part in state)
        # Planes of a row, then those of the next: (4 * planes, kernel rows * planes).
        weight = self.hidden_conv.weight[..., 0].transpose(1, 2).flatten(1)
        hidden = []
        for step, gates in enumerate(self._from_rows(images).unbind(0)):
            if keep is not None:
                h, c = h * keep[step, ..., 0], c * keep[step, ..., 0]
            h, c = _advance(gates + functional.linear(self._with_neighbours(h), weight), c, dim=2)
            hidden.append(h)
        last = tuple(part.transpose(1, 2)[..., None] for part in (h, c))
        return torch.stack(hidden).transpose(2, 3)[..., None], (last[0], last[1])

    def _from_rows(self, images: Tensor) -> Tensor:
        """Return the images' part of the gates, (steps, batch, rows, 4 * planes)."""
        rows = _wrapped(images.flatten(0, 1), self.shape.image_wrap)
        if reach := self.shape.image_padding[0]:
            rows = functional.pad(rows, (0, 0, reach, reach))
        tall = self.shape.image_kernel[0]
        # The input of the kernel at each row: (images, rows, inputs, kernel rows, columns).
        seen = rows.unfold(2, tall, 1).permute(0, 2, 1, 4, 3).flatten(2)
        gates = functional.linear(seen, self.input_conv.weight.flatten(1), self.input_conv.bias)
        return gates.view(*images.shape[:2], *gates.shape[1:])

    def _with_neighbours(self, h: Tensor) -> Tensor:
        """Return the rows covered by the kernels, (batch, rows, planes), side by side."""
        tall, rows = self.shape.hidden_kernel[0], h.shape[1]
        if tall == 1:
            return h
        if reach := self.shape.hidden_wrap:
            padded = torch.cat((h[:, -reach:], h, h[:, :reach]), dim=1)
        else:
            reach = self.shape.hidden_padding[0]
            padded = functional.pad(h, (0, 0, reach, reach))
        return torch.cat([padded[:, first : first + rows] for first in range(tall)], dim=2)


def _wrapped(x: Tensor, rows: int) -> Tensor:
    return functional.pad(x, (0, 0, rows, rows), mode='circular') if rows else x


def _advance(gates: Tensor, c: Tensor, dim: int) -> LayerState:
    """Return h and c after a step from the sums at the gates input, forget, output, cell."""
    planes = c.shape[dim]
    i, f, o = torch.sigmoid(gates.narrow(dim, 0, 3 * planes)).chunk(3, dim=dim)
    g = torch.tanh(gates.narrow(dim, 3 * planes, planes))
    after = torch.addcmul(f * c, i, g)
    return o * torch.tanh(after), after
