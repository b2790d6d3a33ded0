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

"""The rival: a stacked LSTM, over the RMS features themselves or over long exposures.

Sources: the LSTM that Guo et al., J. Neural Eng. 18 (2021) 026027, compare with sees the RMS
features one after another (`steps` = 'columns'). Over whole images (`steps` = 'images') it sees
what LE-ConvMN sees. The cell is that of Gers et al., Neural Computation 12 (2000).
"""

from itertools import pairwise
from typing import Literal

from leconvmn_ros.models.base import Model, MOST_WEIGHTS, opinions_of, State
from leconvmn_ros.strict_model import StrictModel
from pydantic import Field
import torch
from torch import nn, Tensor
from torch.nn import functional


class LstmConfig(StrictModel):
    """Architecture of the LSTM."""

    kind: Literal['lstm'] = 'lstm'
    steps: Literal['columns', 'images'] = Field(
        default='images',
        description='one time step is a column of an image, or a whole image, flattened',
    )
    units: int = Field(default=128, ge=1, le=4096, description='hidden units of each layer')
    layers: int = Field(default=2, ge=1, le=8, description='layers')
    networks: int = Field(
        default=1,
        ge=1,
        le=8,
        description='networks whose weighted mean counts, as in LE-ConvMN',
    )
    forget_bias: float = Field(
        default=1.0, ge=-10, le=10, description='initial bias of the forget gates'
    )
    input_dropout: float = Field(
        default=0, ge=0, le=0.9, description='share of the features left out in training'
    )
    dropout: float = Field(
        default=0, ge=0, le=0.9, description='share of the hidden units left out in training'
    )


class Lstm(Model):
    """LSTM layers and a linear head; the state is carried from one image to the next."""

    def __init__(self, config: LstmConfig, image_size: tuple[int, int], joints: int) -> None:
        """Build the network for images of channels x columns.

        Raises:
            ValueError: the weights would be more than MOST_WEIGHTS.
        """
        super().__init__(config.networks)
        channels, columns = self.image_size = image_size
        features = channels if config.steps == 'columns' else channels * columns
        units = config.units
        weights = 4 * units * (features + units + (config.layers - 1) * 2 * units)
        if config.networks * weights > MOST_WEIGHTS:
            raise ValueError(
                f'{config.networks} networks of {config.layers} layers of {units} units over '
                f'{features} features need {config.networks * weights} weights; '
                f'allowed are {MOST_WEIGHTS}'
            )
        self._layers, self._units = config.layers, units
        self.networks = nn.ModuleList(
            _Network(config, features, joints) for _ in range(config.networks)
        )

    def initial_state(self, batch: int = 1) -> State:
        """Return the state before the first image: zeros, (batch, units) for each h and c."""
        zeros = next(self.parameters()).new_zeros((batch, self._units))
        return [(zeros, zeros)] * (len(self.networks) * self._layers)

    def opinions(
        self, images: Tensor, state: State, fresh: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Advance by some images; see `Model.opinions`: each network has one."""
        return opinions_of(self.networks, images, state, fresh)


class _Network(nn.Module):
    """One LSTM of some layers, and a head."""

    def __init__(self, config: LstmConfig, features: int, joints: int) -> None:
        super().__init__()
        self._config = config
        units = config.units
        self.layers = nn.ModuleList(
            nn.LSTM(units if layer else features, units) for layer in range(config.layers)
        )
        with torch.no_grad():
            for lstm in self.layers:
                # Gates in torch's order: input, forget, cell, output.
                lstm.bias_ih_l0[units : 2 * units] += config.forget_bias  # type: ignore[operator, index]
        self.head = nn.Linear(units, joints)

    def forward(
        self, images: Tensor, state: State, fresh: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Advance by some images, (steps, batch, channels, columns)."""
        outputs = []
        for first, last in _stretches(fresh, len(images)):
            if fresh is not None:
                keep = ~fresh[first, :, None]
                state = [(h * keep, c * keep) for h, c in state]
            hidden, state = self._run(images[first:last], state)
            outputs.append(hidden)
        return self.head(torch.cat(outputs)), state

    def _run(self, images: Tensor, state: State) -> tuple[Tensor, State]:
        steps, batch = images.shape[:2]
        if self._config.steps == 'columns':
            # Column after column: (steps * columns, batch, channels).
            x = images.permute(0, 3, 1, 2).flatten(0, 1)
        else:
            x = images.flatten(2)
        x = functional.dropout(x, self._config.input_dropout, self.training)
        advanced: State = []
        for lstm, (h, c) in zip(self.layers, state, strict=True):
            x, (h, c) = lstm(x, (h[None], c[None]))  # noqa: PLW2901 - the state moves on
            advanced.append((h[0], c[0]))
            x = functional.dropout(x, self._config.dropout, self.training)
        # After the last column of each image there is an output.
        return x.reshape(steps, -1, batch, x.shape[-1])[:, -1], advanced


def _stretches(fresh: Tensor | None, steps: int) -> list[tuple[int, int]]:
    """Cut the steps where any of the batch starts afresh."""
    starts = [] if fresh is None else fresh.any(dim=1).nonzero().flatten().tolist()
    edges = sorted({0, *starts, steps})
    return list(pairwise(edges))
