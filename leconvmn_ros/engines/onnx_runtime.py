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

"""Runs a network on the CPU with ONNX Runtime, without PyTorch.

The graph is built here from the weights: a checkpoint contributes nothing but weights.
"""

from collections.abc import Sequence
from math import prod

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.engines.base import Engine
from leconvmn_ros.models.graph import IMAGE, NEXT_STATE, OUTPUT, STATE
from leconvmn_ros.models.network import Network
import numpy as np
from numpy.typing import NDArray
import onnxruntime

# Most values of a step; larger batches are split (256 MiB).
_MOST_WORKING_VALUES = 2**26
_ERRORS_ONLY = 3


class OnnxEngine(Engine):
    """Runs any network of this package in ONNX Runtime.

    The outputs of a stream are bitwise independent of the streams advanced together with it: all
    sums are products of matrices or convolutions, computed separately for each item of a batch.
    """

    name = 'onnx'

    def __init__(self, network: Network, device: str = 'cpu', threads: int = 1) -> None:
        """Build the graph and load it.

        Args:
            network: a trained model.
            device: 'cpu'.
            threads: number of CPU threads.

        Raises:
            ConfigurationError: ONNX Runtime cannot run the network.
        """
        self.device = device
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Idle threads that spin would take processor time from other nodes.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        graph, output = network.graph()
        try:
            self._session = onnxruntime.InferenceSession(
                graph.batched(output).SerializeToString(),
                options,
                providers=['CPUExecutionProvider'],
            )
        except Exception as error:  # its errors and protobuf's have no common base class
            raise ConfigurationError(f'ONNX Runtime cannot run this network: {error}') from error
        sizes = network.image_size, network.joints
        self._zeros = np.zeros(
            (1, sum(map(prod, network.config.state_shapes(*sizes)))), dtype=np.float32
        )
        self._most = max(1, _MOST_WORKING_VALUES // (1 + network.config.working_values(*sizes)))

    def initial_state(self) -> NDArray[np.float32]:
        """Return zeros for all layers, shape (1, values)."""
        return self._zeros

    def step_together(
        self, pixels: Sequence[NDArray[np.float32]], states: Sequence[NDArray[np.float32]]
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """Advance the streams as one batch; see `Engine.step_together`."""
        if len(pixels) > self._most:
            first, some = self.step_together(pixels[: self._most], states[: self._most])
            rest, others = self.step_together(pixels[self._most :], states[self._most :])
            return first + rest, some + others
        images = pixels[0][None] if len(pixels) == 1 else np.array(pixels)
        if not self._zeros.size:
            return list(self._session.run([OUTPUT], {IMAGE: images})[0]), list(states)
        state = states[0] if len(states) == 1 else np.concatenate(states)
        outputs, after = self._session.run([OUTPUT, NEXT_STATE], {IMAGE: images, STATE: state})
        return list(outputs), [after[n : n + 1] for n in range(len(states))]
