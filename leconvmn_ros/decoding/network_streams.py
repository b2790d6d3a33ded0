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

"""The network in use: the state of each stream, its engine, and what happens if a GPU is lost."""

from collections.abc import Callable, Sequence
import logging
from time import perf_counter
from typing import Any, TypeVar

from leconvmn_ros.engines.base import Engine, interleaved
from leconvmn_ros.engines.choice import (
    CHOICES,
    fastest,
    make_engine,
    MEASURED,
    ON_GPU,
    possible_engines,
)
from leconvmn_ros.engines.devices import gave_out
from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.models.base import Model
import numpy as np
from numpy.typing import NDArray
import torch

WARM_UP_STEPS = 12

_T = TypeVar('_T')


class NetworkStreams:
    """A network that advances several streams, each with a state of its own.

    A GPU that is lost or full is left for the CPU, with one message; the streams start afresh.
    """

    def __init__(
        self, build_model: Callable[[], Model], streams: int, device: torch.device, choice: str
    ) -> None:
        """Load the network.

        Args:
            build_model: makes it, in evaluation mode, on the CPU.
            streams: how many there are of them.
            device: what to run it on.
            choice: the engine, one of CHOICES. The fastest of several is found by `choose`; until
                then it is 'eager'.

        Raises:
            ConfigurationError: there is no such engine, or not here.
        """
        if choice not in CHOICES:
            raise ConfigurationError(f'engine {choice!r}; allowed are {", ".join(CHOICES)}')
        self._build, self._streams, self._choice = build_model, streams, choice
        model = build_model()
        self._blank = np.zeros(model.image_size, dtype=np.float32)
        try:
            self._engine = make_engine('eager' if choice in MEASURED else choice, model, device)
        except RuntimeError as error:
            self._leave(device, error)
        self.forget()

    @property
    def engine(self) -> Engine:
        """What runs the network."""
        return self._engine

    def advance(
        self, streams: Sequence[int], pixels: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """Advance streams by an image each; return their outputs in standardised units.

        Args:
            streams: numbers of the streams, which differ.
            pixels: their images, see `Engine.step`.
        """
        if not streams:
            return []
        outputs, states = self._safely(
            lambda: self._engine.step_together(pixels, [self._states[n] for n in streams])
        )
        for stream, state in zip(streams, states, strict=True):
            self._states[stream] = state
        return outputs

    def forget(self, stream: int | None = None) -> None:
        """Let a stream, or all of them, start afresh."""
        if stream is None:
            self._states = self._safely(self._fresh_states)
        else:
            self._states[stream] = self._safely(self._fresh_state)

    def choose(self, *, together: bool) -> None:
        """Where the fastest engine was asked for, measure which it is; streams start afresh.

        Args:
            together: for all streams at once, instead of one after the other.
        """
        if self._choice in MEASURED:
            at_once = self._streams if together else 1
            self._engine = self._safely(
                lambda: fastest(self._choice, self._build(), at_once, self._engine.device)
            )
        self.forget()

    def warm_up(self) -> float:
        """Prepare the engine and run it some times; return the median time of a step (s).

        First-time work then does not slow the first image. Streams start afresh.

        Raises:
            ConfigurationError: the engine that was asked for by name cannot be had here.
        """
        self._safely(self._prepare)
        self.forget()
        times = []
        for number in range(WARM_UP_STEPS):
            started = perf_counter()
            self.advance([number % self._streams], [self._blank])
            times.append(perf_counter() - started)
        self.forget()
        return float(np.median(times))

    def round_seconds(self) -> float:
        """Warm up and return the least time in which all streams advance by an image (s)."""
        self.warm_up()
        streams, images = range(self._streams), [self._blank] * self._streams
        times = interleaved([lambda: self.advance(streams, images)], WARM_UP_STEPS // 2)
        self.forget()
        return float(times.min())

    # What `_safely` calls looks up the engine when it is called: it may be another one by then.

    def _prepare(self) -> None:
        self._engine.prepare()

    def _fresh_state(self) -> Any:
        return self._engine.initial_state()

    def _fresh_states(self) -> list[Any]:
        return [self._fresh_state() for _ in range(self._streams)]

    def _safely(self, call: Callable[[], _T]) -> _T:
        """Call; if a GPU fails meanwhile, leave it and call again."""
        try:
            return call()
        except RuntimeError as error:
            self._leave(self._engine.device, error)
            return call()

    def _leave(self, device: torch.device, error: RuntimeError) -> None:
        """Go on without a GPU; what it held is lost, so afresh.

        Raises:
            RuntimeError: the one given, if the fault is not that of a GPU.
        """
        if not gave_out(device, error):
            raise error
        logging.getLogger(__name__).error(
            'the network left %s for the CPU and starts afresh: %s',
            device,
            str(error).partition('\n')[0],
        )
        if self._choice in ON_GPU:
            self._choice = 'auto'
        # There is no time to measure all of them now.
        names = ('direct', 'eager') if self._choice in MEASURED else (self._choice,)
        self._engine = possible_engines(names, self._build())[0]
        self._states = self._fresh_states()
