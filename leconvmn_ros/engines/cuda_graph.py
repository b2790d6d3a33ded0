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

"""Runs a network on a GPU as a captured CUDA graph: a step needs one launch instead of hundreds.

The state stays on the device; images and angles pass through pinned memory.
"""

from collections.abc import Sequence

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.engines.base import Engine
from leconvmn_ros.engines.devices import full_precision_on, is_device_failure
from leconvmn_ros.engines.eager import EagerEngine
from leconvmn_ros.models.base import Model, State
from leconvmn_ros.models.network import Network
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

# cuDNN and cuBLAS select algorithms in their first calls, which must not be captured.
_WARM_UP_CALLS = 3
# Allowed difference from the network itself, in standard deviations of an angle: differences
# between float32 kernels, and the loss of float16.
_TOLERANCE, _HALF_TOLERANCE = 1e-3, 0.05
_CHECKED_STEPS = 4


class GraphEngine(Engine):
    """Runs any model of this package on a GPU in float32.

    On a CPU, which has no graphs, it does the same call by call: slow, but useful for tests.
    """

    name = 'graph'
    _half = False

    def __init__(self, network: Network, device: str, threads: int = 1) -> None:
        """Move the model to the device, capture the step of one stream, and verify its output.

        Args:
            network: a trained model.
            device: a GPU.
            threads: number of CPU threads; not used.

        Raises:
            ConfigurationError: the device cannot capture or run it, or its angles differ from
                those of the model itself.
            RuntimeError: the device is out of memory or lost.
        """
        self.device = device
        self._plain = EagerEngine(network, device, threads)
        # A copy of the weights: moving an LSTM to a device, even the one it is on, relocates
        # its weights (flatten_parameters), while a graph goes on reading the old place.
        own = network.module().to(device)
        self._model = own.half() if self._half else own
        self._tolerance = _HALF_TOLERANCE if self._half else _TOLERANCE
        self._captured: dict[int, _Step] = {}
        self._capture(1)

    @torch.inference_mode()
    def _capture(self, streams: int) -> None:
        """Capture and verify the step of a number of streams; see `__init__`."""
        try:
            with full_precision_on(self.device):
                self._captured[streams] = _Step(self._model, self.device, streams)
                error = self._difference(streams)
        except RuntimeError as problem:
            self._captured.pop(streams, None)
            if is_device_failure(self.device, problem):
                raise
            reason = str(problem).partition('\n')[0]
            raise ConfigurationError(
                f'engine {self.name} is not possible on {self.device}: {reason}'
            ) from problem
        if not error <= self._tolerance:  # NaN fails, too
            del self._captured[streams]
            raise ConfigurationError(
                f'engine {self.name} on {self.device} differs by {error:.3g} standard deviations '
                f'from the network itself; allowed are {self._tolerance}'
            )

    def _difference(self, streams: int) -> float:
        """Return the largest difference from the model itself over some random images."""
        random = np.random.default_rng(0)
        states = [self.initial_state()] * streams
        expected_states = [self._plain.initial_state()] * streams
        largest = 0.0
        for _ in range(_CHECKED_STEPS):
            shape = (streams, *self._model.image_size)
            pixels = list(random.standard_normal(shape, dtype=np.float32))
            outputs, states = self._captured[streams].run(pixels, states)
            expected, expected_states = self._plain.step_together(pixels, expected_states)
            # Not max(), which may lose a NaN.
            largest = float(np.maximum(largest, np.abs(np.subtract(outputs, expected)).max()))
        return largest

    @torch.inference_mode()
    def initial_state(self) -> Tensor:
        """Return zeros for all layers, concatenated, (values,)."""
        state = self._model.initial_state()
        values = sum(part.numel() for layer in state for part in layer)
        return torch.zeros(values, dtype=_precision(self._model), device=self.device)

    @torch.inference_mode()
    def step_together(
        self, pixels: Sequence[NDArray[np.float32]], states: Sequence[Tensor]
    ) -> tuple[list[NDArray[np.float32]], list[Tensor]]:
        """Advance several streams in one graph; see `Engine.step_together`.

        There is a graph for one stream and one for the number of streams in the first larger
        call. Larger numbers are split into groups of that size; the remainder (such as images at
        a gap of a recording) runs one by one.
        """
        count = len(pixels)
        if count not in self._captured:
            size = max(self._captured, default=1)
            if count > 1 and size > 1:
                size = size if count > size else 1
                first, some = self.step_together(pixels[:size], states[:size])
                rest, others = self.step_together(pixels[size:], states[size:])
                return first + rest, some + others
            self._capture(count)
        with full_precision_on(self.device):
            return self._captured[count].run(pixels, states)


class HalfGraphEngine(GraphEngine):
    """A graph engine with weights and state in float16."""

    name = 'float16'
    _half = True


class _Step:
    """One step of a number of streams, with its input and output memory."""

    def __init__(self, model: Model, device: str, batch: int) -> None:
        self._model, self._device = model, device
        on_gpu = device.startswith('cuda')
        self._shapes = [part.shape[1:] for layer in model.initial_state() for part in layer]
        values = sum(shape.numel() for shape in self._shapes)
        self._image_there = torch.zeros(batch, *model.image_size, device=device)
        self._state = torch.zeros(batch, values, dtype=_precision(model), device=device)
        self._image_here = torch.zeros(batch, *model.image_size, pin_memory=on_gpu)
        self._advance()
        self._outputs_here = torch.zeros(self._outputs_there.shape, pin_memory=on_gpu)
        self._graph = self._capture() if on_gpu else None

    def _advance(self) -> None:
        """Compute outputs, (batch, joints), and the next state from image and state."""
        sizes = [shape.numel() for shape in self._shapes]
        parts = torch.split(self._state, sizes, dim=1)
        # cuDNN does not accept strides between streams.
        shaped = [
            part.reshape(len(part), *shape).contiguous()
            for part, shape in zip(parts, self._shapes, strict=True)
        ]
        state: State = list(zip(shaped[::2], shaped[1::2], strict=True))
        outputs, advanced = self._model(self._image_there[None].to(self._state.dtype), state)
        # A model without memory has no state to concatenate.
        after = [part.flatten(1) for layer in advanced for part in layer] or [self._state]
        self._next_state = torch.cat(after, dim=1)
        self._outputs_there: Tensor = outputs[0].float()

    def _capture(self) -> torch.cuda.CUDAGraph:
        """Record the step on a stream of its own, as CUDA demands."""
        usual = torch.cuda.current_stream(self._device)
        # One stream for warm-up and capture, since cuBLAS has a workspace for each stream. On
        # torch's own capture stream, the end of one graph frees the workspace of the others
        # (pytorch issue 193402). There are 32 streams, used in turn: far more than graphs here.
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(usual)
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_CALLS):
                self._advance()
        usual.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=stream):
                self._advance()
        except RuntimeError:
            torch.cuda.set_stream(usual)  # a failed capture stays in its stream
            raise
        return graph

    def run(
        self, pixels: Sequence[NDArray[np.float32]], states: Sequence[Tensor]
    ) -> tuple[list[NDArray[np.float32]], list[Tensor]]:
        """Take the step for these images and states."""
        for row, image in zip(self._image_here.numpy(), pixels, strict=True):
            row[...] = image
        for own, before in zip(self._state, states, strict=True):
            own.copy_(before)
        # Both copies block. Non-blocking ones would be microseconds faster, but freeing pinned
        # memory of a lost GPU ends the process.
        self._image_there.copy_(self._image_here)
        if self._graph is None:
            self._advance()
        else:
            self._graph.replay()
        # The next replay overwrites it.
        after = list(self._next_state.clone())
        self._outputs_here.copy_(self._outputs_there)
        return list(self._outputs_here.numpy().copy()), after


def _precision(model: Model) -> torch.dtype:
    return model.member_weights.dtype
