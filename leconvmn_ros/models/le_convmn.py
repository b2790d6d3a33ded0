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

Source: Guo et al., J. Neural Eng. 18 (2021) 026027. The paper's network is one stack with kernels
of 3 x 3, no ring, and a head that reads the last layer. Here there may be several stacks that
look at the image with kernels of different reach, each estimates all joints, and the estimate of
the network is their mean, weighted by what the validation data say of each.
"""

from itertools import pairwise
from typing import Literal

from leconvmn_ros.models.base import Model, MOST_STATE_VALUES, MOST_WEIGHTS, opinions_of, State
from leconvmn_ros.models.conv_lstm import ConvLstmCell
from leconvmn_ros.strict_model import StrictModel
from pydantic import Field, model_validator
import torch
from torch import nn, Tensor
from torch.nn import functional


class StackConfig(StrictModel):
    """Architecture of one stack of layers; the defaults are the paper's."""

    planes: tuple[int, ...] = Field(
        default=(64, 32),
        max_length=7,
        description='hidden planes of all layers but the last, which has one per joint',
    )
    kernel: int = Field(default=3, ge=1, le=15, description='side of the square kernels, odd')
    electrodes: Literal['neighbours', 'ring', 'ring_then_all', 'all'] = Field(
        default='neighbours',
        description='which the kernels see: neighbours (paper); neighbours where the last '
        'electrode is one of the first; the same in the first layer, and in the second all of '
        'them at once; in the first layer all of them at once',
    )
    time: Literal['neighbours', 'all'] = Field(
        default='neighbours',
        description='which columns of the image the kernels see: neighbours (paper), or in the '
        'first layer all of them at once; with all electrodes, too, the layers are those of an '
        'LSTM over flattened images',
    )
    head: Literal['shared', 'last', 'all', 'mean'] = Field(
        default='shared',
        description='what the angles are read from: plane j of the last layer for joint j, '
        'by one map for all joints (paper); all planes of the last layer; those of all layers; '
        'the mean over time of those of all layers',
    )
    dropout: float = Field(
        default=0, ge=0, le=0.9, description='share of what the head reads left out in training'
    )
    layer_dropout: float = Field(
        default=0,
        ge=0,
        le=0.9,
        description='share of what a layer hands to the next left out in training',
    )

    @model_validator(mode='after')
    def _sane(self) -> 'StackConfig':
        if self.planes and not 1 <= min(self.planes) <= max(self.planes) <= 512:
            raise ValueError(f'planes {self.planes}; each layer may have 1 to 512')
        if self.kernel % 2 == 0:
            raise ValueError(
                f'kernel {self.kernel}; it must be odd for the image to keep its size'
            )
        if self.electrodes == 'ring_then_all' and not self.planes:
            raise ValueError('electrodes ring_then_all need two layers; planes () make one')
        if self.head == 'shared' and (self.gathering is not None or self.time == 'all'):
            raise ValueError(
                'head shared reads a map of electrodes and time, of which kernels over all '
                'electrodes or columns leave none; allowed are last, all and mean'
            )
        return self

    @property
    def on_ring(self) -> bool:
        """Whether the last electrode is a neighbour of the first."""
        return self.electrodes in {'ring', 'ring_then_all'}

    @property
    def gathering(self) -> int | None:
        """Number of the layer whose kernels see all electrodes at once, from 0."""
        return {'all': 0, 'ring_then_all': 1}.get(self.electrodes)


class LeConvMnConfig(StrictModel):
    """Architecture of the network."""

    kind: Literal['le_convmn'] = 'le_convmn'
    stacks: tuple[StackConfig, ...] = Field(
        default=(StackConfig(),),
        min_length=1,
        max_length=8,
        description='their weighted mean counts',
    )
    forget_bias: float = Field(
        default=1.0, ge=-10, le=10, description='initial bias of the forget gates'
    )


class LeConvMn(Model):
    """LE-ConvMN: image by image, with the state carried from one image to the next."""

    def __init__(self, config: LeConvMnConfig, image_size: tuple[int, int], joints: int) -> None:
        """Build the network for images of channels x columns.

        Raises:
            ValueError: the state would be larger than MOST_STATE_VALUES, the weights of a
                layer more than MOST_WEIGHTS, or a kernel reaches around the ring of electrodes.
        """
        super().__init__(len(config.stacks))
        self.image_size = image_size
        check_size(config, image_size, joints)
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

    def opinions(
        self, images: Tensor, state: State, fresh: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Advance by some images; see `Model.opinions`: each stack has one."""
        return opinions_of(self.stacks, images, state, fresh)


class Stack(nn.Module):
    """Layers that see the same image at one reach, and a head."""

    def __init__(
        self, config: StackConfig, image_size: tuple[int, int], joints: int, forget_bias: float
    ) -> None:
        super().__init__()
        self._config, self.head_kind = config, config.head
        size = image_size
        planes = (*config.planes, joints)
        layers, sizes = [], []
        for number, (before, after) in enumerate(zip((1, *planes), planes, strict=False)):
            cell = ConvLstmCell(
                before,
                after,
                size=size,
                kernel=config.kernel,
                all_rows=config.gathering == number,
                all_columns=config.time == 'all' and number == 0,
                ring=config.on_ring,
                forget_bias=forget_bias,
            )
            size = cell.size
            layers.append(cell)
            sizes.append(after * size[0] * size[1])
        self.layers = nn.ModuleList(layers)
        rows, columns = size
        read = {
            'shared': rows * columns,
            'last': sizes[-1],
            'all': sum(sizes),
            # Columns are as many in all layers.
            'mean': sum(sizes) // columns,
        }
        self.head = nn.Linear(read[config.head], 1 if config.head == 'shared' else joints)

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
            # Plane j of the last layer, flattened, gives joint j through the one head.
            return self.head(self._thinned(x.flatten(3))).squeeze(-1), advanced
        if self.head_kind == 'last':
            hidden = hidden[-1:]
        elif self.head_kind == 'mean':
            hidden = [h.mean(dim=-1) for h in hidden]
        return self.head(self._thinned(torch.cat([h.flatten(2) for h in hidden], dim=2))), advanced

    def _thinned(self, read: Tensor) -> Tensor:
        return functional.dropout(read, self._config.dropout, self.training)


def check_size(config: LeConvMnConfig, image_size: tuple[int, int], joints: int) -> None:
    """Refuse a network before memory is taken for it.

    Raises:
        ValueError: see `LeConvMn`.
    """
    channels, columns = image_size
    size = 0
    for stack in config.stacks:
        rows, wide = channels, columns
        planes = (1, *stack.planes, joints)
        for number, (before, after) in enumerate(pairwise(planes)):
            # A single row has no neighbours, nor has a single column: see `ConvLstmCell`.
            kernel = (
                rows if stack.gathering == number or rows == 1 else stack.kernel,
                wide if stack.time == 'all' or wide == 1 else stack.kernel,
            )
            rows = 1 if stack.gathering == number else rows
            wide = 1 if stack.time == 'all' else wide
            _check_weights(before, after, kernel)
            of_state = 1 if rows == 1 else stack.kernel, 1 if wide == 1 else stack.kernel
            _check_weights(after, after, of_state)
            size += 2 * after * rows * wide
        if stack.on_ring and stack.kernel // 2 > channels:
            raise ValueError(f'kernel {stack.kernel} is too large for a ring of {channels}')
    if size > MOST_STATE_VALUES:
        raise ValueError(
            f'{len(config.stacks)} stacks over images of {channels} x {columns} need a state of '
            f'{size} values; allowed are {MOST_STATE_VALUES}'
        )


def _check_weights(before: int, after: int, kernel: tuple[int, int]) -> None:
    tall, wide = kernel
    if (weights := 4 * after * before * tall * wide) > MOST_WEIGHTS:
        raise ValueError(
            f'{after} planes with kernels over {tall} x {wide} pixels of {before} need '
            f'{weights} weights; allowed are {MOST_WEIGHTS}'
        )
