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

"""Architecture of LE-ConvMN: its settings, and the sizes derived from them."""

from collections.abc import Sequence
from math import prod
from typing import Literal, NamedTuple, TYPE_CHECKING

from leconvmn_ros.core.strict_model import StrictModel
from leconvmn_ros.models.config import (
    check_weights,
    MEMBER_WEIGHTS,
    ModelConfig,
    MOST_STATE_VALUES,
    Shape,
    Weights,
)
from pydantic import Field, model_validator

if TYPE_CHECKING:
    from leconvmn_ros.models.base import Model
    from leconvmn_ros.models.graph import Graph


class StackConfig(StrictModel):
    """Architecture of one stack of layers; the defaults are the paper's."""

    planes: tuple[int, ...] = Field(
        default=(64, 32),
        max_length=7,
        description='hidden planes of all layers except the last, which has one per joint',
    )
    kernel: int = Field(default=3, ge=1, le=15, description='side of the square kernels, odd')
    electrodes: Literal['neighbours', 'ring', 'ring_then_all', 'all'] = Field(
        default='neighbours',
        description='electrodes that the kernels cover: neighbours (paper); neighbours, with the '
        'last electrode next to the first; the same in the first layer and all electrodes at once '
        'in the second; all electrodes at once in the first layer',
    )
    time: Literal['neighbours', 'all'] = Field(
        default='neighbours',
        description='columns of the image that the kernels cover: neighbours (paper), or in the '
        'first layer all at once; together with all electrodes, the layers are those of an LSTM '
        'over flattened images',
    )
    head: Literal['shared', 'last', 'all', 'mean'] = Field(
        default='shared',
        description='input of the linear head: plane j of the last layer for joint j, with one '
        'map for all joints (paper); all planes of the last layer; those of all layers; '
        'the mean over time of those of all layers',
    )
    dropout: float = Field(
        default=0, ge=0, le=0.9, description='dropout before the head in training'
    )
    layer_dropout: float = Field(
        default=0,
        ge=0,
        le=0.9,
        description='dropout between the layers in training',
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
                'head shared reads a map of electrodes and time, which kernels over all '
                'electrodes or columns do not preserve; allowed are last, all and mean'
            )
        return self

    @property
    def on_ring(self) -> bool:
        """Whether the last electrode is a neighbour of the first."""
        return self.electrodes in {'ring', 'ring_then_all'}

    @property
    def gathering(self) -> int | None:
        """Number of the layer, from 0, whose kernels cover all electrodes at once."""
        return {'all': 0, 'ring_then_all': 1}.get(self.electrodes)


class LayerShape(NamedTuple):
    """Sizes of one ConvLSTM layer.

    Attributes:
        inputs: planes of the images.
        planes: hidden planes.
        size: rows (electrodes) and columns (time) of the state.
        image_kernel: rows and columns of the kernels over the images.
        hidden_kernel: rows and columns of the kernels over the hidden state.
        image_padding: rows and columns of zeros on either side of the images.
        hidden_padding: the same for the hidden state.
        image_wrap: rows by which the images are continued around the ring on either side.
        hidden_wrap: the same for the hidden state.
    """

    inputs: int
    planes: int
    size: tuple[int, int]
    image_kernel: tuple[int, int]
    hidden_kernel: tuple[int, int]
    image_padding: tuple[int, int]
    hidden_padding: tuple[int, int]
    image_wrap: int
    hidden_wrap: int

    @classmethod
    def of(
        cls,
        inputs: int,
        planes: int,
        *,
        size: tuple[int, int],
        kernel: int = 3,
        all_rows: bool = False,
        all_columns: bool = False,
        ring: bool = False,
    ) -> 'LayerShape':
        """Derive the sizes.

        Args:
            inputs: planes of the images.
            planes: hidden planes.
            size: rows and columns of the images.
            kernel: size of the kernels over rows and over columns, odd.
            all_rows: whether the kernels cover all rows of the images, so that the state has one.
            all_columns: the same for columns. With both, this is an LSTM over flattened images.
            ring: whether the last row is next to the first.
        """
        rows, columns = size
        state = (1 if all_rows else rows, 1 if all_columns else columns)
        # A single row or column has no neighbours.
        tall, wide = (1 if length == 1 else kernel for length in state)
        wrap = tall // 2 if ring else 0
        padding = (tall // 2 - wrap, wide // 2)
        return cls(
            inputs,
            planes,
            state,
            image_kernel=(rows if all_rows else tall, columns if all_columns else wide),
            hidden_kernel=(tall, wide),
            image_padding=(0 if all_rows else padding[0], 0 if all_columns else padding[1]),
            hidden_padding=padding,
            image_wrap=0 if all_rows else wrap,
            hidden_wrap=wrap,
        )

    @property
    def values(self) -> int:
        """Number of values of h, and of c."""
        return self.planes * self.size[0] * self.size[1]

    @property
    def hidden_inputs(self) -> int:
        """Number of values of the hidden state that a kernel covers."""
        return self.planes * self.hidden_kernel[0] * self.hidden_kernel[1]

    @property
    def state_shape(self) -> Shape:
        """Shape of h, and of c, in an ONNX graph.

        It is (planes, rows, columns), for one column (rows, planes), for a single pixel (planes,).
        """
        rows, columns = self.size
        if columns > 1:
            return self.planes, rows, columns
        return (rows, self.planes) if rows > 1 else (self.planes,)


def layers_of(stack: StackConfig, image_size: tuple[int, int], joints: int) -> list[LayerShape]:
    """Return the sizes of the layers of a stack; the last has one plane per joint."""
    layers = []
    inputs, size = 1, image_size
    for number, planes in enumerate((*stack.planes, joints)):
        layer = LayerShape.of(
            inputs,
            planes,
            size=size,
            kernel=stack.kernel,
            all_rows=stack.gathering == number,
            all_columns=stack.time == 'all' and number == 0,
            ring=stack.on_ring,
        )
        layers.append(layer)
        inputs, size = planes, layer.size
    return layers


def head_shape(stack: StackConfig, layers: Sequence[LayerShape], joints: int) -> tuple[int, int]:
    """Return the shape of a head's weights: outputs, and values that it reads."""
    rows, columns = layers[-1].size
    if stack.head == 'shared':
        return 1, rows * columns
    if stack.head == 'last':
        return joints, layers[-1].values
    # All layers have the same number of columns.
    read = sum(layer.values for layer in layers)
    return joints, read // columns if stack.head == 'mean' else read


class LeConvMnConfig(ModelConfig):
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

    def layers(self, image_size: tuple[int, int], joints: int) -> list[list[LayerShape]]:
        """Return the sizes of the layers of each stack.

        Raises:
            ValueError: the state would have more than MOST_STATE_VALUES, a layer or a head more
                than MOST_WEIGHTS, or a kernel would reach around the ring of electrodes.
        """
        found = [layers_of(stack, image_size, joints) for stack in self.stacks]
        for stack, layers in zip(self.stacks, found, strict=True):
            for layer in layers:
                for planes, (tall, wide) in (
                    (layer.inputs, layer.image_kernel),
                    (layer.planes, layer.hidden_kernel),
                ):
                    check_weights(
                        4 * layer.planes * planes * tall * wide,
                        f'{layer.planes} planes with kernels over {tall} x {wide} pixels '
                        f'of {planes}',
                    )
            check_weights(prod(head_shape(stack, layers, joints)), f'head {stack.head}')
            if stack.on_ring and stack.kernel // 2 > image_size[0]:
                raise ValueError(
                    f'kernel {stack.kernel} is too large for a ring of {image_size[0]}'
                )
        size = 2 * sum(layer.values for layers in found for layer in layers)
        if size > MOST_STATE_VALUES:
            channels, columns = image_size
            raise ValueError(
                f'{len(self.stacks)} stacks over images of {channels} x {columns} need a state '
                f'of {size} values; allowed are {MOST_STATE_VALUES}'
            )
        return found

    def weight_shapes(self, image_size: tuple[int, int], joints: int) -> dict[str, Shape]:
        """Return the shape of each weight; see `ModelConfig`."""
        shapes: dict[str, Shape] = {}
        for number, layers in enumerate(self.layers(image_size, joints)):
            stack = f'stacks.{number}.'
            for depth, layer in enumerate(layers):
                gates, place = 4 * layer.planes, f'{stack}layers.{depth}.'
                shapes |= {
                    f'{place}input_conv.weight': (gates, layer.inputs, *layer.image_kernel),
                    f'{place}input_conv.bias': (gates,),
                    f'{place}hidden_conv.weight': (gates, layer.planes, *layer.hidden_kernel),
                }
            head = head_shape(self.stacks[number], layers, joints)
            shapes |= {f'{stack}head.weight': head, f'{stack}head.bias': head[:1]}
        if len(self.stacks) > 1:
            shapes[MEMBER_WEIGHTS] = (len(self.stacks),)
        return shapes

    def state_shapes(self, image_size: tuple[int, int], joints: int) -> list[Shape]:
        """Return the shapes of h and c of each layer; with one column, planes come last."""
        return [
            shape
            for layers in self.layers(image_size, joints)
            for layer in layers
            for shape in [layer.state_shape] * 2
        ]

    def multiplications(self, image_size: tuple[int, int], joints: int) -> int:
        """Return the number of multiplications (each with an addition) for one image."""
        count = 0
        for stack, layers in zip(self.stacks, self.layers(image_size, joints), strict=True):
            for layer in layers:
                sums = layer.inputs * prod(layer.image_kernel) + layer.hidden_inputs
                count += 4 * layer.values * sums
            times = joints if stack.head == 'shared' else 1
            count += times * prod(head_shape(stack, layers, joints))
        return count

    def add_to(
        self, graph: 'Graph', weights: Weights, image_size: tuple[int, int], joints: int
    ) -> str:
        """Add the network to an ONNX graph; see `ModelConfig`."""
        from leconvmn_ros.models.le_convmn.graph import add_network  # noqa: PLC0415 - imports onnx

        return add_network(graph, self, weights, self.layers(image_size, joints))

    def build(self, image_size: tuple[int, int], joints: int) -> 'Model':
        """Build an untrained PyTorch module; see `ModelConfig`."""
        from leconvmn_ros.models.le_convmn.network import LeConvMn  # noqa: PLC0415 - imports torch

        return LeConvMn(self, image_size, joints)
