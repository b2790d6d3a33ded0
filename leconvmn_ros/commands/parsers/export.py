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

"""Write the network of a decoder as ONNX, for TensorRT, OpenVINO or ONNX Runtime.

The graph advances by one image: its inputs are `image` (channels, columns) and the state, its
outputs `output` (joints) and the next state; the first state is zeros. The metadata describe how
EMG becomes an image (`signal_path`, `statistics`) and how an output becomes an angle (`joints`:
mean + scale * output, limited).
"""

import argparse
from pathlib import Path

from leconvmn_ros.commands.output_file import output_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'checkpoint', type=Path, metavar='CHECKPOINT', help='folder written by train'
    )
    parser.add_argument(
        '--output', type=output_file, required=True, metavar='FILE.onnx', help='where it goes'
    )
