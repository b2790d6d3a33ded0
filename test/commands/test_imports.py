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

"""The help of a command, and the refusal of an argument, import nothing that takes long."""

import subprocess
import sys

from leconvmn_ros.cli import COMMANDS
import pytest

HEAVY = {
    *('torch', 'scipy', 'matplotlib', 'onnx', 'onnxruntime', 'rclpy', 'viser', 'mujoco', 'jinja2'),
    *('sklearn', 'pandas', 'h5py', 'brainflow', 'pylsl', 'mediapipe', 'rich.progress'),
}


@pytest.mark.parametrize('command', COMMANDS)
def test_help_imports_nothing_that_takes_long(command):
    program = (
        'import sys\n'
        'from leconvmn_ros.cli import build_parser\n'
        f'build_parser({command!r})\n'
        'print(*sys.modules)'
    )
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stdout.split())
