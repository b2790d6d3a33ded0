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

"""The network in use: its engine, the hidden state of each stream, and the fallback to the CPU."""

from collections.abc import Callable, Sequence
import copy
import logging
from time import perf_counter
from typing import Any, TypeVar

from leconvmn_ros.engines.base import Engine
from leconvmn_ros.engines.devices import CPU, is_device_failure
from leconvmn_ros.engines.registry import AUTO, candidates, make_engine
from leconvmn_ros.models.network import Network
import numpy as np
from numpy.typing import NDArray

WARM_UP_STEPS = 12

_T = TypeVar('_T')


class NetworkStreams:
    """A network that advances several streams, each with its own hidden state.

    If a GPU is lost or out of memory, the network falls back to the CPU, reports this once, and
    resets all streams.

    Attributes:
        streams: number of streams.
    """

    def __init__(
        self, network: Network, streams: int, device: str, engine: str, threads: int
    ) -> None:
        """Load the network.

        Args:
            network: a trained model.
            streams: number of streams.
            device: device of the network.
            engine: name of the engine, or 'auto'; see `engines.registry`.
            threads: number of CPU threads.

        Raises:
            ConfigurationError: there is no such engine, or it does not work here.
        """
        self._network, self.streams = network, streams
        self._choice, self._threads = engine, threads
        self._blank = np.zeros(network.image_size, dtype=np.float32)
        try:
            self._engine = make_engine(engine, network, device, threads)
        except RuntimeError as error:
            self._leave(device, error)
        self.reset()

    @property
    def engine(self) -> Engine:
        """The engine of the network."""
        return self._engine

    def beside(self, streams: int) -> 'NetworkStreams':
        """Return this many new streams on the same engine."""
        others = copy.copy(self)
        others.streams = streams
        others.reset()
        return others

    def advance(
        self, streams: Sequence[int], pixels: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """Advance streams by one image each; return their outputs in standardised units.

        Args:
            streams: numbers of different streams.
            pixels: their images, see `Engine.step_together`.
        """
        if not streams:
            return []
        outputs, states = self._safely(
            lambda: self._engine.step_together(pixels, [self._states[n] for n in streams])
        )
        for stream, state in zip(streams, states, strict=True):
            self._states[stream] = state
        return outputs

    def reset(self, stream: int | None = None) -> None:
        """Reset the state of a stream, or of all of them."""
        if stream is None:
            self._states = self._safely(self._initial_states)
        else:
            self._states[stream] = self._safely(self._initial_state)

    def warm_up(self) -> float:
        """Run some steps and reset all streams; return the median time of a step (s).

        This moves one-time work out of the first image.
        """
        self.reset()
        times = []
        for number in range(WARM_UP_STEPS):
            started = perf_counter()
            self.advance([number % self.streams], [self._blank])
            times.append(perf_counter() - started)
        self.reset()
        return float(np.median(times))

    # The callbacks of `_safely` look the engine up when called, since it may have been replaced.

    def _initial_state(self) -> Any:
        return self._engine.initial_state()

    def _initial_states(self) -> list[Any]:
        return [self._initial_state() for _ in range(self.streams)]

    def _safely(self, call: Callable[[], _T]) -> _T:
        """Call; if a GPU fails, fall back to the CPU and call again."""
        try:
            return call()
        except RuntimeError as error:
            self._leave(self._engine.device, error)
            return call()

    def _leave(self, device: str, error: RuntimeError) -> None:
        """Fall back to the CPU; the states on the GPU are lost.

        Raises:
            RuntimeError: the one given, if it is not a failure of a GPU.
        """
        if not is_device_failure(device, error):
            raise error
        logging.getLogger(__name__).error(
            'the network fell back from %s to the CPU and was reset: %s',
            device,
            str(error).partition('\n')[0],
        )
        if not candidates(self._choice, CPU)[0].runs_on(CPU):
            self._choice = AUTO
        self._engine = make_engine(self._choice, self._network, CPU, self._threads)
        self._states = self._initial_states()
