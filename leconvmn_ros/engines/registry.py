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

"""The engines, and the rule that chooses one.

`auto` is the first engine of the table that is exact, suits the device and is installed. The rule
measures no times, so the same checkpoint gives the same numbers on the same machine, live and
offline.
"""

from importlib import import_module
from importlib.util import find_spec
import os
from typing import NamedTuple

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.engines.base import Engine
from leconvmn_ros.models.network import Network

AUTO = 'auto'


class EngineEntry(NamedTuple):
    """An engine that is imported on demand.

    Attributes:
        name: name of the engine.
        place: module and class.
        devices: types of device that it supports.
        exact: whether its outputs equal those of the trained model, up to rounding in float32.
        library: required library.
    """

    name: str
    place: str
    devices: tuple[str, ...]
    exact: bool
    library: str

    def available(self) -> bool:
        """Whether its library is installed."""
        return find_spec(self.library) is not None

    def runs_on(self, device: str) -> bool:
        """Whether it runs on a device such as 'cuda:0'."""
        return device.partition(':')[0] in self.devices

    def make(self, network: Network, device: str, threads: int) -> Engine:
        """Import the engine and prepare it to run a network.

        Raises:
            ConfigurationError: it is not installed, or not possible here.
        """
        if not self.runs_on(device):
            here = [entry.name for entry in ENGINES if entry.runs_on(device)]
            raise ConfigurationError(
                f'engine {self.name} does not run on {device}; '
                f'allowed there are {", ".join([AUTO, *here])}'
            )
        if not self.available():
            raise ConfigurationError(
                f'engine {self.name} needs {self.library}: pip install {self.library}'
            )
        module, _, name = self.place.partition(':')
        engine: Engine = getattr(import_module(f'leconvmn_ros.engines.{module}'), name)(
            network, device, threads
        )
        return engine


# In order of preference.
ENGINES = (
    EngineEntry('onnx', 'onnx_runtime:OnnxEngine', ('cpu',), exact=True, library='onnxruntime'),
    EngineEntry('graph', 'cuda_graph:GraphEngine', ('cuda',), exact=True, library='torch'),
    EngineEntry('eager', 'eager:EagerEngine', ('cpu', 'cuda'), exact=True, library='torch'),
    EngineEntry('float16', 'cuda_graph:HalfGraphEngine', ('cuda',), exact=False, library='torch'),
)
ENGINE_NAMES = (AUTO, *(entry.name for entry in ENGINES))

# Names of version 0.1 with their replacements.
_REMOVED = {
    'direct': 'onnx, which took its place',
    'bfloat16': 'onnx (CPU) or float16 (GPU)',
    'int8': 'onnx (CPU) or float16 (GPU)',
    'reduced': 'auto (full precision) or float16 (GPU)',
}

# Assumed multiplications per second of a core; the network may take a quarter of the time.
# Several threads wait for one another after every layer, which costs a small network more than it
# gains.
_RATE_OF_CORE = 5e9
_BUSY = 0.25


def check_engine(name: str) -> None:
    """Refuse an unknown engine.

    Raises:
        ConfigurationError: the message lists the engines.
    """
    if name in _REMOVED:
        raise ConfigurationError(f'engine {name} was removed; use {_REMOVED[name]}')
    if name not in ENGINE_NAMES:
        raise ConfigurationError(f'engine {name!r}; allowed are {", ".join(ENGINE_NAMES)}')


def candidates(name: str, device: str) -> list[EngineEntry]:
    """Return the engines to try for a name on a device, the preferred one first.

    Args:
        name: name of an engine, or 'auto'.
        device: device such as 'cpu' or 'cuda:0'.

    Raises:
        ConfigurationError: there is no such engine, or none is installed.
    """
    check_engine(name)
    if name != AUTO:
        return [entry for entry in ENGINES if entry.name == name]
    found = [e for e in ENGINES if e.exact and e.runs_on(device) and e.available()]
    if not found:
        raise ConfigurationError(f'no engine runs on {device}: pip install onnxruntime')
    return found


def make_engine(name: str, network: Network, device: str = 'cpu', threads: int = 1) -> Engine:
    """Make the named engine, or the one that the rule chooses.

    Args:
        name: name of an engine, or 'auto'.
        network: a trained model.
        device: device such as 'cpu' or 'cuda:0'.
        threads: number of CPU threads.

    Raises:
        ConfigurationError: there is no such engine, or it does not work here.
        RuntimeError: a GPU is out of memory or lost.
    """
    *preferred, last = candidates(name, device)
    for entry in preferred:
        try:
            return entry.make(network, device, threads)
        except ConfigurationError:
            continue
    return last.make(network, device, threads)


def threads_for(multiplications: int, rate: float) -> int:
    """Return the number of CPU threads that a network needs.

    Args:
        multiplications: multiplications per image.
        rate: images per second.
    """
    needed = multiplications * rate / (_RATE_OF_CORE * _BUSY)
    return max(1, min(len(os.sched_getaffinity(0)), round(needed)))
