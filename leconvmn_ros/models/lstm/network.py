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

"""The LSTM: stacked layers over RMS features or over long exposures.

Sources: the LSTM baseline of Guo et al., J. Neural Eng. 18 (2021) 026027, reads the RMS features
one after another (`steps` = 'columns'). With `steps` = 'images' it reads whole images, the same
input as LE-ConvMN. The cell is that of Gers et al., Neural Computation 12 (2000).
"""

from itertools import pairwise

from leconvmn_ros.models.base import Model, run_members, State
from leconvmn_ros.models.lstm.config import LstmConfig
import torch
from torch import nn, Tensor
from torch.nn import functional


class Lstm(Model):
    """LSTM layers and a linear head; the state is carried from one image to the next."""

    def __init__(self, config: LstmConfig, image_size: tuple[int, int], joints: int) -> None:
        """Build the network for images of channels x columns.

        Raises:
            ValueError: the weights would exceed MOST_WEIGHTS.
        """
        config.weight_shapes(image_size, joints)  # raises before memory is allocated
        super().__init__(config.networks)
        self.image_size = image_size
        self._layers, self._units = config.layers, config.units
        inputs = config.layer_inputs(image_size)
        self.networks = nn.ModuleList(
            _Network(config, inputs, joints) for _ in range(config.networks)
        )

    def initial_state(self, batch: int = 1) -> State:
        """Return the state before the first image: zeros, (batch, units) for each h and c."""
        zeros = next(self.parameters()).new_zeros((batch, self._units))
        return [(zeros, zeros)] * (len(self.networks) * self._layers)

    def member_outputs(
        self, images: Tensor, state: State, fresh: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Advance by some images; each network is a member, see `Model.member_outputs`."""
        return run_members(self.networks, images, state, fresh)


class _Network(nn.Module):
    """One LSTM with several layers and a head."""

    def __init__(self, config: LstmConfig, inputs: list[int], joints: int) -> None:
        super().__init__()
        self._config = config
        units = config.units
        self.layers = nn.ModuleList(nn.LSTM(before, units) for before in inputs)
        with torch.no_grad():
            for lstm in self.layers:
                # Torch orders the gates input, forget, cell, output.
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
            x, (h, c) = lstm(x, (h[None], c[None]))  # noqa: PLW2901 - output of this layer
            advanced.append((h[0], c[0]))
            x = functional.dropout(x, self._config.dropout, self.training)
        # Outputs come after the last column of each image.
        return x.reshape(steps, -1, batch, x.shape[-1])[:, -1], advanced


def _stretches(fresh: Tensor | None, steps: int) -> list[tuple[int, int]]:
    """Split the steps wherever the state of any item in the batch is reset."""
    starts = [] if fresh is None else fresh.any(dim=1).nonzero().flatten().tolist()
    edges = sorted({0, *starts, steps})
    return list(pairwise(edges))
