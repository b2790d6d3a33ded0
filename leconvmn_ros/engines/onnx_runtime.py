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

"""A network on the CPU in ONNX Runtime, an optional library."""

from typing import Any

from leconvmn_ros.engines.base import Engine
from leconvmn_ros.engines.onnx_graph import as_onnx, check_installed, IMAGE, OUTPUT, state_names
from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.models.base import Model
import numpy as np
from numpy.typing import NDArray
import torch


class OnnxEngine(Engine):
    """Runs any model of this package in ONNX Runtime."""

    name = 'onnx'

    def __init__(self, model: Model) -> None:
        """Translate the model.

        Raises:
            ConfigurationError: onnx or onnxruntime is not installed, or cannot run the model.
        """
        check_installed('onnx', 'onnxruntime')
        self._graph = as_onnx(model)
        self._zeros = [tensor.numpy().copy() for pair in model.initial_state() for tensor in pair]
        self._inputs = state_names(model, 'state')
        self._outputs = [OUTPUT, *state_names(model, 'next')]
        self._threads = 0
        self.prepare()

    def prepare(self) -> None:
        """Make the session anew where the number of threads has changed."""
        if self._threads == torch.get_num_threads():
            return
        import onnxruntime  # noqa: PLC0415 - optional

        self._threads = torch.get_num_threads()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # Idle threads that spin take the processor from the nodes beside.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        try:
            self._session = onnxruntime.InferenceSession(
                self._graph, options, providers=['CPUExecutionProvider']
            )
        except Exception as error:  # its errors have no class of their own in common
            raise ConfigurationError(f'ONNX Runtime cannot run this model: {error}') from error

    def initial_state(self) -> list[NDArray[np.float32]]:
        """Return zeros, h and c of layer after layer."""
        return self._zeros

    def step(
        self, pixels: NDArray[np.float32], state: list[NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """Advance by one image; see `Engine.step`."""
        feeds: dict[str, Any] = dict(zip(self._inputs, state, strict=True))
        output, *advanced = self._session.run(self._outputs, {IMAGE: pixels, **feeds})
        return output, advanced
