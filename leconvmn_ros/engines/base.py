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

"""What an engine is: a way to run a network on streams, image by image. The plain one is here."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from leconvmn_ros.engines.devices import computing_on
from leconvmn_ros.models.base import Model, State
import numpy as np
from numpy.typing import NDArray
import torch


class Engine(ABC):
    """Runs a network image by image.

    Attributes:
        name: one of those in `engines`.
        device: where it runs.
    """

    name: str
    device = torch.device('cpu')

    @abstractmethod
    def initial_state(self) -> Any:
        """Return the state before the first image."""

    @abstractmethod
    def step(self, pixels: NDArray[np.float32], state: Any) -> tuple[NDArray[np.float32], Any]:
        """Advance by one image.

        Args:
            pixels: features, shape (channels, columns).
            state: of `initial_state` or of the step before; it is left as it is.

        Returns:
            Outputs in standardised units, shape (joints,), and the new state.
        """

    def step_together(
        self, pixels: Sequence[NDArray[np.float32]], states: Sequence[Any]
    ) -> tuple[list[NDArray[np.float32]], list[Any]]:
        """Advance several streams by an image each; see `step`.

        Args:
            pixels: an image of each stream.
            states: of each stream.

        Returns:
            Outputs and new state of each stream.
        """
        outputs, advanced = zip(*map(self.step, pixels, states), strict=True)
        return list(outputs), list(advanced)

    def prepare(self) -> None:  # noqa: B027 - most have nothing to do
        """Get ready for the number of threads that torch now has.

        States of before are not to be used after it.
        """


class EagerEngine(Engine):
    """The model itself, as it was trained; on any device."""

    name = 'eager'

    def __init__(self, model: Model, device: torch.device) -> None:
        self.device = device
        self._model = model.to(device)

    def initial_state(self) -> State:
        """Return the state of the model."""
        return self._model.initial_state()

    @torch.inference_mode()
    def step(self, pixels: NDArray[np.float32], state: State) -> tuple[NDArray[np.float32], State]:
        """Advance by one image; see `Engine.step`."""
        with computing_on(self.device):
            image = torch.from_numpy(pixels)[None, None].to(self.device)
            output, state = self._model(image, state)
            return output[0, 0].cpu().numpy(), state

    @torch.inference_mode()
    def step_together(
        self, pixels: Sequence[NDArray[np.float32]], states: Sequence[State]
    ) -> tuple[list[NDArray[np.float32]], list[State]]:
        """Advance several streams as one batch; see `Engine.step_together`."""
        if len(pixels) == 1:
            return super().step_together(pixels, states)
        images = torch.from_numpy(np.stack(pixels))[None].to(self.device)
        state = [
            (torch.cat([h for h, _ in layer]), torch.cat([c for _, c in layer]))
            for layer in zip(*states, strict=True)
        ]
        with computing_on(self.device):
            outputs, state = self._model(images, state)
        layers = [zip(h.split(1), c.split(1), strict=True) for h, c in state]
        advanced = [list(own) for own in zip(*layers, strict=True)]
        # A model without memory has no layers.
        return list(outputs[0].cpu().numpy()), advanced or [State() for _ in pixels]


def interleaved(
    calls: Sequence[Callable[[], object]],
    repetitions: int,
    clock: Callable[[], float] = perf_counter,
) -> NDArray[np.float64]:
    """Time functions in turn, so that what disturbs the machine disturbs all of them alike.

    Args:
        calls: what to time; each is called twice before that.
        repetitions: times for each.
        clock: what tells the time (s).

    Returns:
        Times (s), shape (calls, repetitions).
    """
    for call in calls:
        call()
        call()
    times = np.empty((len(calls), repetitions))
    for repetition in range(repetitions):
        for row, call in zip(times, calls, strict=True):
            started = clock()
            call()
            row[repetition] = clock() - started
    return times
