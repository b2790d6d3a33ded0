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

"""Networks as ONNX: for ONNX Runtime, OpenVINO, TensorRT.

The graph advances by one image. Its inputs are `image` (channels, columns) and the state, its
outputs `output` (joints,), in standardised units, and the state for the next image: `state_3` goes
in, `next_3` comes out. The first state is zeros.
"""

from importlib.util import find_spec
from io import BytesIO
import json
import warnings

from leconvmn_ros.decoding.checkpoint import Checkpoint
from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.models.base import Model, State
import torch
from torch import nn, Tensor

IMAGE, OUTPUT = 'image', 'output'
# Of 2021; LayerNorm and the like are not needed, and older runtimes read it.
_OPERATORS = 15


def check_installed(*libraries: str) -> None:
    """Refuse early where an optional library is missing.

    Raises:
        ConfigurationError: the message says how to install it.
    """
    missing = [name for name in libraries if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f'ONNX needs {" and ".join(missing)}: pip install onnx onnxruntime'
        )


def state_names(model: Model, prefix: str) -> list[str]:
    """Return the names of the state's tensors, h and c of layer after layer."""
    return [f'{prefix}_{number}' for number in range(2 * len(model.initial_state()))]


class _Flat(nn.Module):
    """A model whose state is a row of tensors."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model

    def forward(self, image: Tensor, *flat: Tensor) -> tuple[Tensor, ...]:
        """Advance by one image (channels, columns)."""
        state: State = list(zip(flat[::2], flat[1::2], strict=True))
        output, state = self._model(image[None, None], state)
        return output[0, 0], *(tensor for pair in state for tensor in pair)


def as_onnx(model: Model) -> bytes:
    """Return a model as an ONNX graph.

    Args:
        model: on the CPU, in evaluation mode.

    Raises:
        ConfigurationError: the library onnx is not installed.
    """
    check_installed('onnx')
    image = torch.zeros(model.image_size)
    # h and c of a first state share their memory; traced so, they would be one input.
    state = [tensor.clone() for pair in model.initial_state() for tensor in pair]
    names, next_names = state_names(model, 'state'), state_names(model, 'next')
    file = BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # The exporter by tracing is the one that needs no further library; it says it is the old
        # one, and that shapes become constants, as they should.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            # In evaluation mode as well: the exporter gives the mode of the outermost module back
            # to all in it, and dropout would be at work in a model that somebody else still uses.
            _Flat(model).eval(),
            (image, *state),
            file,  # type: ignore[arg-type]  # open files are taken too
            dynamo=False,
            opset_version=_OPERATORS,
            input_names=[IMAGE, *names],
            output_names=[OUTPUT, *next_names],
        )
    return file.getvalue()


def export(checkpoint: Checkpoint) -> bytes:
    """Return a decoder's network as an ONNX file that also says all about its use.

    The metadata hold the parts of checkpoint.json that another program needs, as JSON:
    `signal_path` and `statistics` (how EMG becomes an image), `joints` (how an output becomes an
    angle: mean + scale * output, then limited, rad), `training` (what it was trained on).

    Raises:
        ConfigurationError: the library onnx is not installed.
    """
    check_installed('onnx')
    import onnx  # noqa: PLC0415 - optional

    graph = onnx.load_from_string(as_onnx(checkpoint.build_model()))
    graph.producer_name = 'leconvmn_ros'
    graph.producer_version = checkpoint.description.package_version
    description = checkpoint.description.model_dump(mode='json')
    onnx.helper.set_model_props(
        graph,
        {
            name: json.dumps(description[name])
            for name in ('units', 'signal_path', 'statistics', 'joints', 'model', 'training')
        },
    )
    onnx.checker.check_model(graph)
    data: bytes = graph.SerializeToString()
    return data
