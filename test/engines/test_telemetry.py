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

"""ONNX Runtime sends no telemetry: no look-up, no connection, no file of its own."""

import ast
import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

PACKAGE = Path(__file__).parents[2] / 'leconvmn_ros'

# ONNX Runtime opens its database of events when it is imported or makes its first session.
PLAIN = """
import onnx
import onnxruntime
from onnx import helper

names = [helper.make_tensor_value_info(name, 1, [1]) for name in 'xy']
graph = helper.make_graph([helper.make_node('Relu', ['x'], ['y'])], 'g', names[:1], names[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 15)], ir_version=8)
onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
"""
DECODER = """
from builders import cut, make_checkpoint, make_emg
from leconvmn_ros.decoding.decoder import Decoder

decoder = Decoder(make_checkpoint(), engine='onnx')
decoder.warm_up()
assert [e for chunk in cut(make_emg(100), []) for e in decoder.decode(chunk)]
"""


def run(code, home, *tracer):
    """Run code as a user with an empty home who asked for telemetry; return the files left."""
    home.mkdir()
    environment = {
        **os.environ,
        'ORT_DISABLE_TELEMETRY': '0',
        'HOME': str(home),
        'PYTHONDONTWRITEBYTECODE': '1',
        'PYTHONPATH': os.pathsep.join([str(PACKAGE.parent), str(PACKAGE.parent / 'test/support')]),
    }
    for name in ('XDG_CACHE_HOME', 'XDG_CONFIG_HOME', 'XDG_DATA_HOME'):
        environment.pop(name, None)
    subprocess.run(
        [*tracer, sys.executable, '-c', code], env=environment, cwd=home, check=True, timeout=100
    )
    return [str(path.relative_to(home)) for path in home.rglob('*') if path.is_file()]


def test_a_decoder_leaves_no_file_of_onnx_runtime(tmp_path):
    assert run(DECODER, tmp_path / 'home') == []


def test_onnx_runtime_itself_would_leave_files(tmp_path):
    """Without our setting the files appear; otherwise the test above would show nothing."""
    if not run(PLAIN, tmp_path / 'home'):
        pytest.skip('this ONNX Runtime has no telemetry')


def test_a_decoder_opens_no_connection(tmp_path):
    if shutil.which('strace') is None:
        pytest.skip('there is no strace')
    trace = tmp_path / 'trace'
    run(DECODER, tmp_path / 'home', 'strace', '-f', '-qq', '-e', 'trace=network', '-o', trace)
    assert [line for line in trace.read_text().splitlines() if 'AF_INET' in line] == []


def test_only_the_engines_import_onnx_runtime():
    importing = set()
    for path in PACKAGE.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module or ''] if isinstance(node, ast.ImportFrom) else []
            if any(name.split('.')[0] == 'onnxruntime' for name in names):
                importing.add(path.parent.name)
    assert importing == {'engines'}
