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

"""What decoding on a CPU imports: a decoder starts fast and stays small."""

import subprocess
import sys

from builders import make_checkpoint
import pytest

# Libraries that take long to import or much memory, and that a decoder on a CPU does without.
HEAVY = {
    *('h5py', 'jinja2', 'matplotlib', 'mujoco', 'pandas', 'ray', 'rich', 'rosbags', 'scipy'),
    *('sklearn', 'torch', 'viser', 'yourdfpy'),
}
DECODE = """
import sys
from leconvmn_ros.decoding import decode_array, Decoder, load_checkpoint
import numpy as np

decoder = Decoder(load_checkpoint(sys.argv[1]), device={device!r})
decoder.warm_up()
emg = np.random.default_rng(0).standard_normal((200, decoder.channels)) * 1e-4
assert len(decode_array(decoder, emg, decoder.sampling_rate).positions) > 50
print(*sorted({{name.partition('.')[0] for name in sys.modules}}))
"""
NODE = """
import sys
import leconvmn_ros.nodes.decoder
from leconvmn_ros.decoding import Decoder, load_checkpoint

Decoder(load_checkpoint(sys.argv[1])).warm_up()
print(*sorted({name.partition('.')[0] for name in sys.modules}))
"""


def modules_after(program, folder):
    make_checkpoint().save(folder / 'checkpoint')
    ended = subprocess.run(
        [sys.executable, '-c', program, folder / 'checkpoint'],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return set(ended.stdout.split())


def test_decoding_on_a_cpu_imports_nothing_heavy(tmp_path):
    found = modules_after(DECODE.format(device='cpu'), tmp_path)
    assert found & HEAVY == set()
    assert {'numpy', 'onnxruntime'} <= found


def test_the_decoder_node_imports_nothing_heavy(tmp_path):
    pytest.importorskip('rclpy')
    found = modules_after(NODE, tmp_path)
    assert found & HEAVY == set()
    assert {'rclpy', 'onnxruntime'} <= found


def test_looking_for_a_gpu_imports_torch_only_where_there_is_a_driver(tmp_path):
    from leconvmn_ros.engines.devices import _gpu_driver

    if _gpu_driver():
        pytest.skip('there is a GPU')
    assert modules_after(DECODE.format(device='auto'), tmp_path) & HEAVY == set()
