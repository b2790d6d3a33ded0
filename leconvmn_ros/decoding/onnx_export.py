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

"""A decoder's network as an ONNX file, for ONNX Runtime, OpenVINO, TensorRT.

The graph advances by one image. Its inputs are `image` (channels, columns) and the state, its
outputs `output` (joints,), in standardised units, and the next state: the input `state_3`
corresponds to the output `next_3`. The first state is zeros.
"""

import json

from leconvmn_ros.decoding.checkpoint import Checkpoint


def export(checkpoint: Checkpoint) -> bytes:
    """Return a decoder's network as an ONNX file with the metadata needed to use it.

    The metadata hold the parts of checkpoint.json that another program needs, as JSON:
    `signal_path` and `statistics` (how EMG becomes an image), `electrode_map` (if not null,
    applied to the channels: matrix @ image + offset), `joints` (how an output becomes an
    angle: mean + scale * output, then limited, rad), `training` (the training data).
    """
    import onnx  # noqa: PLC0415 - only where a graph is made

    graph, output = checkpoint.network().graph()
    model = graph.single(output)
    model.producer_version = checkpoint.description.package_version
    description = checkpoint.description.model_dump(mode='json')
    onnx.helper.set_model_props(
        model,
        {
            name: json.dumps(description[name])
            for name in (
                *('units', 'signal_path', 'statistics', 'electrode_map', 'joints', 'model'),
                'training',
            )
        },
    )
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data
