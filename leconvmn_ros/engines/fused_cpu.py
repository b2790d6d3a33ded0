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
- pixels of one plane are no work for a convolution, nor is a kernel over all rows: a product of
  matrices with what the kernels see;
- weights of convolutions are packed beforehand;
- large convolutions with kernels of 3 x 3 are done by `Winograd` where that measures faster.

In int8, h needs no calibration: it lies between -1 and 1, whatever the data. Weights have a scale
for each plane; images, sums at the gates and c stay in float32.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from leconvmn_ros.engines.base import Engine, interleaved
from leconvmn_ros.engines.onednn_convolution import PackedConvolution
from leconvmn_ros.engines.winograd import Winograd
from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.models.base import LayerState, Model, State
from leconvmn_ros.models.conv_lstm import ConvLstmCell
from leconvmn_ros.models.le_convmn import LeConvMn, Stack
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor
from torch.nn import functional

_PRECISIONS = {'direct': torch.float32, 'bfloat16': torch.bfloat16, 'int8': torch.uint8}
# h from -1 to 1 as 1 to 255.
_STEPS, _ZERO = 127.0, 128
_TIMED_CALLS = 6


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
        self._threads = 0
        try:
            self._stacks = [_Stack(stack, name) for stack in model.stacks]  # type: ignore[arg-type]
            self.step(np.zeros(model.image_size, dtype=np.float32), self.initial_state())
        except (AttributeError, RuntimeError) as error:
            raise ConfigurationError(
                f'engine {name} is not possible with torch {torch.__version__} on this machine'
            ) from error

    @torch.inference_mode()
    def prepare(self) -> None:
        """Choose convolutions anew where the number of threads has changed."""
        if self._threads == torch.get_num_threads():
            return
        self._threads = torch.get_num_threads()
        for stack in self._stacks:
            for layer in stack.layers:
                layer.choose()

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
            (_GatheringLayer if _gathers(cell) else _Layer)(cell, precision) for cell in cells
        ]
        self._head, self._columns = stack.head_kind, cells[-1].size[1]
        weight = stack.head.weight
        if self._head != 'shared':
            read = cells if self._head in {'all', 'mean'} else cells[-1:]
            columns = 1 if self._head == 'mean' else self._columns
            sizes = [c.planes * c.size[0] * columns for c in read]
            weight = torch.cat(
                [
                    part.view(len(part), cell.planes, -1).swapaxes(1, 2).flatten(1)
                    for part, cell in zip(torch.split(weight, sizes, dim=1), read, strict=True)
                ],
                dim=1,
            )
        self._weight, self._bias = weight.contiguous(), stack.head.bias

    def step(self, image: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the outputs, (joints,), and the new state."""
        x, advanced = image, State()
        for layer, before in zip(self.layers, state, strict=True):
            after = layer.step(x, before)
            advanced.append(after)
            x = after[0]
        if self._head == 'shared':
            return (self._weight @ x)[0] + self._bias, advanced
        read = [x] if self._head == 'last' else [h for h, _ in advanced]
        if self._head == 'mean':
            read = [h.view(-1, self._columns, h.shape[1]).mean(dim=1) for h in read]
        x = torch.cat([h.flatten() for h in read])
        return functional.linear(x, self._weight, self._bias), advanced


def _gathers(cell: ConvLstmCell) -> bool:
    """Tell whether the images have one plane, or the kernels see all their rows."""
    by_image = cell.by_image
    return by_image.in_channels == 1 or by_image.kernel_size != cell.by_state.kernel_size


class _Layer:
    """A layer over the h of the layer below; all planes of a pixel lie side by side."""

    def __init__(self, cell: ConvLstmCell, precision: str) -> None:
        self._planes, self._size, self._precision = cell.planes, cell.size, precision
        self._ring = cell.wrapped
        # Of the cell gate, the sum is doubled: see tanh above.
        self._doubling = torch.ones(4 * cell.planes)
        self._doubling[3 * cell.planes :] = 2
        self._weight, self._bias = self._weights(cell)
        self._before = self._weight.shape[1] - cell.planes
        self._convolution = self._plain()

    def _weights(self, cell: ConvLstmCell) -> tuple[Tensor, Tensor | None]:
        """Return weights (sums, planes in, rows, columns) and bias of the convolution."""
        weight = torch.cat((cell.by_image.weight, cell.by_state.weight), dim=1)
        bias: Tensor = cell.by_image.bias  # type: ignore[assignment]
        return weight * self._doubling[:, None, None, None], bias * self._doubling

    def _plain(self) -> '_Convolution | Winograd':
        kind = _Int8Convolution if self._precision == 'int8' else _Convolution
        return kind(self._weight, self._bias, self._size, self._ring, _PRECISIONS[self._precision])

    def choose(self) -> None:
        """Take the convolution that is the fastest with the threads that torch now has."""
        kinds = [self._plain()]
        if self._precision == 'direct' and self._weight.shape[2:] == (3, 3):
            with suppress(AttributeError, RuntimeError):  # if this torch packs no weights
                kinds.append(Winograd(self._weight, self._bias, self._size, beyond=self._ring > 0))
        if len(kinds) > 1:
            times = interleaved(kinds, _TIMED_CALLS).min(axis=1)
            kinds = [kinds[int(times.argmin())]]
        self._convolution = kinds[0]

    def initial_state(self) -> LayerState:
        """Return h, (pixels, planes), and c, in the order of the sums, before the first image."""
        h = torch.zeros(self._size[0] * self._size[1], self._planes)
        return h, self._convolution.in_order(h)

    def step(self, x: Tensor, state: LayerState) -> LayerState:
        """Return the new h and c."""
        self._put(x, 0)
        self._put(state[0], self._before)
        return self._advance(self._convolution(), state[1])

    def _put(self, h: Tensor, first: int) -> None:
        if self._precision == 'int8':
            h = h.mul(_STEPS).add_(_ZERO + 0.5)
        part = self._convolution.image[..., first : first + h.shape[1]]
        ring, last = self._ring, self._ring + self._size[0]
        part[ring:last].copy_(h.view(*self._size, -1))
        if ring:
            part[:ring] = part[self._size[0] : last]
            part[last:] = part[ring : 2 * ring]

    def _advance(self, sums: Tensor, c: Tensor) -> LayerState:
        i, f, o, g = sums.sigmoid_().chunk(4, dim=1)
        c = (f * c).addcmul_(i, g, value=2).sub_(i)
        squashed = (2 * c).sigmoid_()
        return self._convolution.as_pixels(torch.addcmul(-o, o, squashed, value=2)), c


class _GatheringLayer(_Layer):
    """A layer for which a matrix product is the better convolution of the images: see `_gathers`.

    It is the first one over the image, or one that sees all rows of the layer below.
    """

    def _weights(self, cell: ConvLstmCell) -> tuple[Tensor, Tensor | None]:
        by_image = cell.by_image
        self._kernel: tuple[int, int] = by_image.kernel_size  # type: ignore[assignment]
        self._padding: tuple[int, int] = by_image.padding  # type: ignore[assignment]
        self._wrap = cell.wrap_images
        bias: Tensor = by_image.bias  # type: ignore[assignment]
        self._by_image = (by_image.weight.flatten(1) * self._doubling[:, None]).T.contiguous()
        return cell.by_state.weight * self._doubling[:, None, None, None], bias * self._doubling

    def step(self, x: Tensor, state: LayerState) -> LayerState:
        """Return the new h and c for an image (1, 1, channels, columns) or the h below."""
        if x.dim() == 2:
            x = x.T.reshape(1, x.shape[1], -1, self._size[1])
        if self._wrap:
            x = functional.pad(x, (0, 0, self._wrap, self._wrap), mode='circular')
        around = functional.unfold(x, self._kernel, padding=self._padding)[0].T
        by_image = self._convolution.in_order(around) @ self._by_image
        self._put(state[0], 0)
        return self._advance(self._convolution(by_image), state[1])


class _Convolution:
    """A convolution of one image that is filled anew for each call, in its precision.

    Attributes:
        image: where it is filled in, (rows, columns, planes), rows with those around the ring.
    """

    _nothing = 0  # what stands for 0

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        size: tuple[int, int],
        ring: int,
        precision: torch.dtype,
    ) -> None:
        shape = (size[0] + 2 * ring, size[1], weight.shape[1])
        self.image = torch.full(shape, self._nothing, dtype=precision)
        self._padding = (weight.shape[2] // 2 - ring, weight.shape[3] // 2)
        self._pack(weight, bias, self.image.permute(2, 0, 1)[None])

    def _pack(self, weight: Tensor, bias: Tensor | None, x: Tensor) -> None:
        self._convolve: Callable[[], Tensor]
        try:
            self._convolve = PackedConvolution(weight, bias, x, padding=self._padding)
        except (AttributeError, RuntimeError):  # this torch packs no weights
            self._convolve = partial(
                functional.conv2d,
                x,
                weight.to(x.dtype, memory_format=torch.channels_last),
                None if bias is None else bias.to(x.dtype),
                padding=self._padding,
            )

    def __call__(self, to: Tensor | None = None) -> Tensor:
        """Return the sums, (pixels, sums), added to `to` if that is given."""
        sums = self._convolve()[0].permute(1, 2, 0).flatten(0, 1)
        return sums.float() if to is None else to.add_(sums)

    @staticmethod
    def in_order(pixels: Tensor) -> Tensor:
        """Put pixels (pixels, planes) in the order of the sums: they are."""
        return pixels

    @staticmethod
    def as_pixels(sums: Tensor) -> Tensor:
        """Do the reverse."""
        return sums


class _Int8Convolution(_Convolution):
    """The same with weights and inputs of 8 bits; the sums are float32."""

    _nothing = _ZERO

    def _pack(self, weight: Tensor, bias: Tensor | None, x: Tensor) -> None:
        scale = (weight.abs().amax((1, 2, 3)) / _STEPS).clamp_min(1e-30)
        rounded = (weight / scale[:, None, None, None]).round().to(torch.int8)
        # stride, padding, dilation, groups
        geometry: tuple[Any, ...] = ([1, 1], list(self._padding), [1, 1], 1)
        packed = torch.ops.onednn.qconv_prepack(
            rounded, scale, 1 / _STEPS, _ZERO, *geometry, list(x.shape)
        )
        zeros = torch.zeros(len(weight), dtype=torch.int32)
        self._convolve = partial(
            torch.ops.onednn.qconv2d_pointwise,
            *(x, 1 / _STEPS, _ZERO, packed, scale, zeros, bias),
            *geometry,
            *(1.0, 0, torch.float32),  # scale and zero of the result
            *('none', [], ''),  # nothing done with it
        )
