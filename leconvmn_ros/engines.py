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

"""Ways to run a network for one image at a time, and how the fastest is found.

All engines are for inference on streams, image by image. Those of EXACT give what the model gives,
but for the rounding of float32; those of REDUCED trade accuracy for speed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from leconvmn_ros.devices import computing_on
from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.model import Model, State
import numpy as np
from numpy.typing import NDArray
import torch

EXACT = ('eager', 'direct', 'onnx', 'graph')
REDUCED = ('bfloat16', 'int8', 'float16')
# Of these, eager runs on any device, and on a GPU only:
ON_GPU = ('graph', 'float16')
# What may be asked for: the fastest of EXACT, the fastest of all, or one by name.
CHOICES = ('auto', 'reduced', *EXACT, *REDUCED)

_CPU = torch.device('cpu')

# Interleaved, and the fastest of each counts: other programs slow all down at times.
_TIMED_STEPS = 10


class Engine(ABC):
    """Runs a network image by image.

    Attributes:
        name: one of EXACT or REDUCED.
        device: where it runs.
    """

    name: str
    device = _CPU

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


def make_engine(name: str, model: Model, device: torch.device = _CPU) -> Engine:
    """Make an engine that runs a model.

    Args:
        name: of EXACT or REDUCED.
        model: in evaluation mode.
        device: what to run it on.

    Raises:
        ConfigurationError: this model, this device or this machine cannot have it.
    """
    if name == 'eager':
        return EagerEngine(model, device)
    if device.type != _home(name):
        there = ['eager', *(n for n in EXACT[1:] + REDUCED if _home(n) == device.type)]
        raise ConfigurationError(
            f'engine {name} does not run on {device}; '
            f'allowed there are auto, reduced, {", ".join(there)}'
        )
    if name in ON_GPU:
        from leconvmn_ros.graph_engine import GraphEngine  # noqa: PLC0415 - made of this module

        return GraphEngine(model, device, half=name == 'float16')
    if name == 'onnx':
        from leconvmn_ros.onnx_engine import OnnxEngine  # noqa: PLC0415 - an optional library

        return OnnxEngine(model)
    from leconvmn_ros.direct_engine import DirectEngine  # noqa: PLC0415 - made of this module

    return DirectEngine(model, name)


def _home(name: str) -> str:
    """Return the type of device that an engine other than eager runs on."""
    return 'cuda' if name in ON_GPU else 'cpu'


def possible_engines(
    names: Sequence[str], model: Model, device: torch.device = _CPU
) -> list[Engine]:
    """Make those of the engines that there can be, in the same order."""
    engines = []
    for name in names:
        try:
            engine = make_engine(name, model, device)
            engine.prepare()
        except ConfigurationError:
            continue
        engines.append(engine)
    return engines


def fastest(choice: str, model: Model, streams: int = 1, device: torch.device = _CPU) -> Engine:
    """Find the engine that takes the least time for a step, with the threads torch now has.

    Args:
        choice: 'auto' or 'reduced'.
        model: in evaluation mode.
        streams: so many advance together.
        device: what to run it on.
    """
    names = EXACT if choice == 'auto' else EXACT + REDUCED
    engines = possible_engines(names, model, device)
    pixels = np.zeros(model.image_size, dtype=np.float32)
    steps = [stepping(engine, pixels, streams) for engine in engines]
    times = interleaved(steps, _TIMED_STEPS).min(axis=1)
    return engines[int(times.argmin())]


def stepping(engine: Engine, pixels: NDArray[np.float32], streams: int = 1) -> Callable[[], None]:
    """Return a function that advances streams by the same image each time it is called."""
    states = [engine.initial_state()] * streams

    def step() -> None:
        nonlocal states
        _, states = engine.step_together([pixels] * streams, states)

    return step


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
