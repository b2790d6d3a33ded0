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

"""The network in use: the state of each stream, its engine, and the CPU when a GPU is lost."""

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
    """A network that advances several streams, each with a state of its own.

    If a GPU is lost or full, the network moves to the CPU, with one message, and all streams are
    reset.

    Attributes:
        streams: how many there are.
    """

    def __init__(
        self, network: Network, streams: int, device: str, engine: str, threads: int
    ) -> None:
        """Load the network.

        Args:
            network: a trained model.
            streams: how many there are of them.
            device: where to run it.
            engine: name of the engine, or 'auto'; see `engines.registry`.
            threads: of the CPU.

        Raises:
            ConfigurationError: there is no such engine, or not here.
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
        """What runs the network."""
        return self._engine

    def beside(self, streams: int) -> 'NetworkStreams':
        """Return so many new streams that the same engine runs."""
        others = copy.copy(self)
        others.streams = streams
        others.reset()
        return others

    def advance(
        self, streams: Sequence[int], pixels: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """Advance streams by an image each; return their outputs in standardised units.

        Args:
            streams: numbers of the streams, which differ.
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

        First-time work then does not slow the first image.
        """
        self.reset()
        times = []
        for number in range(WARM_UP_STEPS):
            started = perf_counter()
            self.advance([number % self.streams], [self._blank])
            times.append(perf_counter() - started)
        self.reset()
        return float(np.median(times))

    # What `_safely` calls looks up the engine when it is called: it may be another one by then.

    def _initial_state(self) -> Any:
        return self._engine.initial_state()

    def _initial_states(self) -> list[Any]:
        return [self._initial_state() for _ in range(self.streams)]

    def _safely(self, call: Callable[[], _T]) -> _T:
        """Call; if a GPU fails meanwhile, move to the CPU and call again."""
        try:
            return call()
        except RuntimeError as error:
            self._leave(self._engine.device, error)
            return call()

    def _leave(self, device: str, error: RuntimeError) -> None:
        """Move to the CPU; the states that a GPU held are lost.

        Raises:
            RuntimeError: the one given, if the fault is not that of a GPU.
        """
        if not is_device_failure(device, error):
            raise error
        logging.getLogger(__name__).error(
            'the network moved from %s to the CPU and was reset: %s',
            device,
            str(error).partition('\n')[0],
        )
        if not candidates(self._choice, CPU)[0].runs_on(CPU):
            self._choice = AUTO
        self._engine = make_engine(self._choice, self._network, CPU, self._threads)
        self._states = self._initial_states()
