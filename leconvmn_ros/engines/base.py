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

"""The interface of engines, which run a network on streams, image by image."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Engine(ABC):
    """Runs a network image by image.

    Attributes:
        name: name in `engines.registry`.
        device: its device, as PyTorch names it: 'cpu', 'cuda:0'.
    """

    name: str
    device = 'cpu'

    @abstractmethod
    def initial_state(self) -> Any:
        """Return the state before the first image."""

    @abstractmethod
    def step_together(
        self, pixels: Sequence[NDArray[np.float32]], states: Sequence[Any]
    ) -> tuple[list[NDArray[np.float32]], list[Any]]:
        """Advance several streams by one image each.

        Args:
            pixels: one image per stream: features, shape (channels, columns).
            states: the states of the streams, from `initial_state` or the last step; they are not
                modified.

        Returns:
            For each stream, outputs in standardised units, (joints,), and the new state.
        """

    def step(self, pixels: NDArray[np.float32], state: Any) -> tuple[NDArray[np.float32], Any]:
        """Advance one stream by an image; see `step_together`."""
        outputs, states = self.step_together([pixels], [state])
        return outputs[0], states[0]


def stepping(engine: Engine, pixels: NDArray[np.float32], streams: int = 1) -> Callable[[], None]:
    """Return a function that advances streams by the same image on each call."""
    states = [engine.initial_state()] * streams

    def step() -> None:
        nonlocal states
        _, states = engine.step_together([pixels] * streams, states)

    return step
