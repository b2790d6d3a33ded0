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

"""The engines that there are, and how the fastest is found.

All engines are for inference on streams, image by image. Those of EXACT give what the model gives,
but for the rounding of float32; those of REDUCED trade accuracy for speed.
"""

from collections.abc import Callable, Sequence

from leconvmn_ros.engines.base import EagerEngine, Engine, interleaved
from leconvmn_ros.engines.cuda_graph import GraphEngine
from leconvmn_ros.engines.fused_cpu import DirectEngine
from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.models.base import Model
import numpy as np
from numpy.typing import NDArray
import torch

EXACT = ('eager', 'direct', 'onnx', 'graph')
REDUCED = ('bfloat16', 'int8', 'float16')
# Of these, eager runs on any device, and on a GPU only:
ON_GPU = ('graph', 'float16')
# What may be asked for: the fastest of EXACT, the fastest of all, or one by name.
MEASURED = ('auto', 'reduced')
CHOICES = (*MEASURED, *EXACT, *REDUCED)

_CPU = torch.device('cpu')

# Interleaved, and the fastest of each counts: other programs slow all down at times.
_TIMED_STEPS = 10


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
        return GraphEngine(model, device, half=name == 'float16')
    if name == 'onnx':
        from leconvmn_ros.engines.onnx_runtime import OnnxEngine  # noqa: PLC0415 - an optional library

        return OnnxEngine(model)
    return DirectEngine(model, name)


def _home(name: str) -> str:
    """Return the type of device that an engine other than eager runs on."""
    return 'cuda' if name in ON_GPU else 'cpu'


def possible_engines(
    names: Sequence[str], model: Model, device: torch.device = _CPU
) -> list[Engine]:
    """Make those of the engines that there can be, in the same order.

    Raises:
        RuntimeError: a GPU is full or lost, and not one of them could be made.
    """
    engines: list[Engine] = []
    for name in names:
        try:
            engine = make_engine(name, model, device)
            engine.prepare()
        except ConfigurationError:
            continue
        except RuntimeError:
            # A GPU may have room for one and not for two.
            if device.type == 'cpu' or not engines:
                raise
            continue
        engines.append(engine)
    return engines


def fastest(choice: str, model: Model, streams: int = 1, device: torch.device = _CPU) -> Engine:
    """Find the engine that takes the least time for a step, with the threads torch now has.

    Args:
        choice: one of MEASURED.
        model: in evaluation mode.
        streams: so many advance together.
        device: what to run it on.
    """
    names = EXACT if choice == 'auto' else EXACT + REDUCED
    pixels = np.zeros(model.image_size, dtype=np.float32)
    steps: dict[Engine, Callable[[], None]] = {}
    for engine in possible_engines(names, model, device):
        step = stepping(engine, pixels, streams)
        try:
            step()
        except (ConfigurationError, RuntimeError):
            # Several streams may be too much for an engine that had room for one.
            if device.type == 'cpu' or not steps:
                raise
            continue
        steps[engine] = step
    times = interleaved(list(steps.values()), _TIMED_STEPS).min(axis=1)
    return list(steps)[int(times.argmin())]


def stepping(engine: Engine, pixels: NDArray[np.float32], streams: int = 1) -> Callable[[], None]:
    """Return a function that advances streams by the same image each time it is called."""
    states = [engine.initial_state()] * streams

    def step() -> None:
        nonlocal states
        _, states = engine.step_together([pixels] * streams, states)

    return step
