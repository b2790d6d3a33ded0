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

"""LE-ConvMN for inference on the CPU: fewer, larger and cheaper operations than the model's own.

What it does in another way than `conv_lstm.ConvLstmCell`, with the same result:

- planes lie side by side (NHWC), so h is written straight into the input of the next convolution,
  and gates are views;
- beyond the first layer one convolution takes images and state together;
- tanh(x) is 2 sigmoid(2 x) - 1, with the first 2 in the weights: torch's sigmoid is six times as
  fast as its tanh;
- pixels of one plane are no work for a convolution: a matrix product of their neighbourhoods.

In int8, h needs no calibration: it lies between -1 and 1, whatever the data. Weights have a scale
for each plane; images, sums at the gates and c stay in float32.
"""

from typing import Any

from leconvmn_ros.conv_lstm import ConvLstmCell
from leconvmn_ros.engines import Engine
from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.le_convmn import LeConvMn, Stack
from leconvmn_ros.model import LayerState, Model, State
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor
from torch.nn import functional

_PRECISIONS = {'direct': torch.float32, 'bfloat16': torch.bfloat16, 'int8': torch.uint8}
# h from -1 to 1 as 1 to 255.
_STEPS, _ZERO = 127.0, 128


class DirectEngine(Engine):
    """LE-ConvMN on the CPU, in one of three precisions."""

    @torch.inference_mode()
    def __init__(self, model: Model, name: str = 'direct') -> None:
        """Rearrange the weights.

        Args:
            model: a LE-ConvMN on the CPU.
            name: 'direct' (float32), 'bfloat16' or 'int8': precision of the convolutions.

        Raises:
            ConfigurationError: it is another model, or this torch has no such convolution.
        """
        if not isinstance(model, LeConvMn):
            raise ConfigurationError(f'engine {name} runs LE-ConvMN only; eager runs all models')
        self.name = name
        self._shares = model.shares
        try:
            self._stacks = [_Stack(stack, name) for stack in model.stacks]  # type: ignore[arg-type]
            self.step(np.zeros(model.image_size, dtype=np.float32), self.initial_state())
        except (AttributeError, RuntimeError) as error:
            raise ConfigurationError(
                f'engine {name} is not possible with torch {torch.__version__} on this machine'
            ) from error

    def initial_state(self) -> list[State]:
        """Return zeros, h and c of each layer of each stack, (pixels, planes)."""
        return [[layer.initial_state() for layer in stack.layers] for stack in self._stacks]

    @torch.inference_mode()
    def step(
        self, pixels: NDArray[np.float32], state: list[State]
    ) -> tuple[NDArray[np.float32], list[State]]:
        """Advance by one image; see `Engine.step`."""
        image = torch.from_numpy(pixels)[None, None]
        outputs, advanced = zip(
            *(stack.step(image, own) for stack, own in zip(self._stacks, state, strict=True)),
            strict=True,
        )
        return (self._shares @ torch.stack(outputs)).numpy(), list(advanced)


class _Stack:
    """The layers of one stack, and its head with the weights in the order of NHWC."""

    def __init__(self, stack: Stack, precision: str) -> None:
        cells: list[ConvLstmCell] = list(stack.layers)  # type: ignore[arg-type]
        self.layers = [
            (_FirstLayer if number == 0 else _Layer)(cell, precision)
            for number, cell in enumerate(cells)
        ]
        self._planes_of = stack.planes_of
        self._head, self._columns = stack.head_kind, cells[-1].size[1]
        weight = stack.head.weight
        if self._head != 'shared':
            planes = cells[-1].planes
            if self._head in {'all', 'mean'}:
                planes = sum(cell.planes for cell in cells)
            weight = weight.view(len(weight), planes, -1).swapaxes(1, 2).flatten(1)
        self._weight, self._bias = weight.contiguous(), stack.head.bias

    def step(self, image: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the outputs, (joints,), and the new state."""
        x, advanced = self._planes_of(image)[0], State()
        for layer, before in zip(self.layers, state, strict=True):
            after = layer.step(x, before)
            advanced.append(after)
            x = after[0]
        if self._head == 'shared':
            return (self._weight @ x)[0] + self._bias, advanced
        if self._head in {'all', 'mean'}:
            x = torch.cat([h for h, _ in advanced], dim=1)
        if self._head == 'mean':
            x = x.view(-1, self._columns, x.shape[1]).mean(dim=1)
        return functional.linear(x.flatten(), self._weight, self._bias), advanced


class _Layer:
    """A layer over the h of the layer below; all planes of a pixel lie side by side."""

    def __init__(self, cell: ConvLstmCell, precision: str) -> None:
        self._planes, (self._rows, self._columns) = cell.planes, cell.size
        self._ring = cell.wrapped
        # Of the cell gate, the sum is doubled: see tanh above.
        self._doubling = torch.ones(4 * cell.planes)
        self._doubling[3 * cell.planes :] = 2
        weight, bias = self._weights(cell)
        self._before = weight.shape[1] - cell.planes
        self._rounded = precision == 'int8'
        shape = (self._rows + 2 * cell.wrapped, self._columns, weight.shape[1])
        self._input = torch.full(
            shape, _ZERO if self._rounded else 0, dtype=_PRECISIONS[precision]
        )
        as_nchw = self._input.permute(2, 0, 1)[None]
        padding = (weight.shape[2] // 2 - cell.wrapped, weight.shape[3] // 2)
        self._convolution = (_Int8Convolution if self._rounded else _Convolution)(
            weight, bias, as_nchw, padding
        )

    def _weights(self, cell: ConvLstmCell) -> tuple[Tensor, Tensor | None]:
        """Return weights (sums, planes in, rows, columns) and bias of the convolution."""
        weight = torch.cat((cell.by_image.weight, cell.by_state.weight), dim=1)
        bias: Tensor = cell.by_image.bias  # type: ignore[assignment]
        return weight * self._doubling[:, None, None, None], bias * self._doubling

    def initial_state(self) -> LayerState:
        """Return h and c before the first image, (pixels, planes)."""
        zeros = torch.zeros(self._rows * self._columns, self._planes)
        return zeros, zeros

    def step(self, x: Tensor, state: LayerState) -> LayerState:
        """Return the new h and c."""
        self._put(x, 0)
        return self._advance(self._sums(state[0]), state[1])

    def _put(self, h: Tensor, first: int) -> None:
        if self._rounded:
            h = h.mul(_STEPS).add_(_ZERO + 0.5)
        part = self._input[..., first : first + h.shape[1]]
        ring, last = self._ring, self._ring + self._rows
        part[ring:last].copy_(h.view(self._rows, self._columns, -1))
        if ring:
            part[:ring] = part[self._rows : last]
            part[last:] = part[ring : 2 * ring]

    def _sums(self, h: Tensor) -> Tensor:
        self._put(h, self._before)
        sums: Tensor = self._convolution()
        return sums[0].permute(1, 2, 0).flatten(0, 1)

    def _advance(self, sums: Tensor, c: Tensor) -> LayerState:
        i, f, o, g = sums.sigmoid_().chunk(4, dim=1)
        c = (f * c).addcmul_(i, g, value=2).sub_(i)
        squashed = (2 * c).sigmoid_()
        return torch.addcmul(-o, o, squashed, value=2), c


class _FirstLayer(_Layer):
    """The layer over the image, which has one plane, and one for each electrode off the ring."""

    def _weights(self, cell: ConvLstmCell) -> tuple[Tensor, Tensor | None]:
        by_image = cell.by_image
        self._kernel: tuple[int, int] = by_image.kernel_size  # type: ignore[assignment]
        self._padding: tuple[int, int] = by_image.padding  # type: ignore[assignment]
        self._wrap = cell.wrap_images
        bias: Tensor = by_image.bias  # type: ignore[assignment]
        self._image_bias = bias * self._doubling
        self._by_image = (by_image.weight.flatten(1) * self._doubling[:, None]).T.contiguous()
        return cell.by_state.weight * self._doubling[:, None, None, None], None

    def step(self, x: Tensor, state: LayerState) -> LayerState:
        """Return the new h and c for an image (1, planes, rows, columns)."""
        if self._wrap:
            x = functional.pad(x, (0, 0, self._wrap, self._wrap), mode='circular')
        around = functional.unfold(x, self._kernel, padding=self._padding)[0].T
        sums = torch.addmm(self._image_bias, around, self._by_image)
        return self._advance(sums.add_(self._sums(state[0])), state[1])


class _Convolution:
    """A convolution of one tensor that is filled anew for each call, in its precision."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, x: Tensor, padding: tuple[int, int]
    ) -> None:
        self._x, self._padding = x, padding
        self._weight = weight.to(x.dtype, memory_format=torch.channels_last)
        self._bias = None if bias is None else bias.to(x.dtype)

    def __call__(self) -> Tensor:
        sums = functional.conv2d(self._x, self._weight, self._bias, padding=self._padding)
        return sums.float()


class _Int8Convolution:
    """The same with weights and inputs of 8 bits; the sums are float32."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, x: Tensor, padding: tuple[int, int]
    ) -> None:
        self._x, self._bias = x, bias
        self._scale = (weight.abs().amax((1, 2, 3)) / _STEPS).clamp_min(1e-30)
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)
        rounded = (weight / self._scale[:, None, None, None]).round().to(torch.int8)
        # stride, padding, dilation, groups
        self._geometry: tuple[Any, ...] = ([1, 1], list(padding), [1, 1], 1)
        self._weight = torch.ops.onednn.qconv_prepack(
            rounded, self._scale, 1 / _STEPS, _ZERO, *self._geometry, list(x.shape)
        )

    def __call__(self) -> Tensor:
        sums: Tensor = torch.ops.onednn.qconv2d_pointwise(
            *(self._x, 1 / _STEPS, _ZERO, self._weight, self._scale, self._zeros, self._bias),
            *self._geometry,
            *(1.0, 0, torch.float32),  # scale and zero of the result
            *('none', [], ''),  # nothing done with it
        )
        return sums
