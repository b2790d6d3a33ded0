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

"""Runs a network as the trained PyTorch module, on any device."""

from collections.abc import Sequence

from leconvmn_ros.engines.base import Engine
from leconvmn_ros.engines.devices import full_precision_on
from leconvmn_ros.models.base import State
from leconvmn_ros.models.network import Network
import numpy as np
from numpy.typing import NDArray
import torch


class EagerEngine(Engine):
    """Runs any network in PyTorch."""

    name = 'eager'

    def __init__(self, network: Network, device: str = 'cpu', threads: int = 1) -> None:
        """Move the network to the device.

        Args:
            network: a trained model.
            device: device of PyTorch.
            threads: number of CPU threads, for all of PyTorch in this process.
        """
        if device == 'cpu':
            torch.set_num_threads(threads)
        self.device = device
        self._model = network.module().to(device)

    def initial_state(self) -> State:
        """Return zeros for each layer."""
        return self._model.initial_state()

    @torch.inference_mode()
    def step_together(
        self, pixels: Sequence[NDArray[np.float32]], states: Sequence[State]
    ) -> tuple[list[NDArray[np.float32]], list[State]]:
        """Advance the streams as one batch; see `Engine.step_together`."""
        with full_precision_on(self.device):
            images = torch.from_numpy(np.stack(pixels))[None].to(self.device)
            state = [
                (torch.cat([h for h, _ in layer]), torch.cat([c for _, c in layer]))
                for layer in zip(*states, strict=True)
            ]
            outputs, state = self._model(images, state)
            layers = [zip(h.split(1), c.split(1), strict=True) for h, c in state]
            advanced = [list(own) for own in zip(*layers, strict=True)]
            # A model without memory has no layers.
            return list(outputs[0].cpu().numpy()), advanced or [State() for _ in pixels]
