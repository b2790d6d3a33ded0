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
"""Runs every example, so that none falls behind the code."""

from importlib.util import module_from_spec, spec_from_file_location
import itertools
from pathlib import Path
import subprocess
import sys

from leconvmn_ros.cli import main
import pytest

EXAMPLES = Path(__file__).parents[2] / 'examples'
RUN_BELOW = {'amplifier_driver.py', 'decode_array.py', 'my_gripper.yaml', 'train_from_python.py'}


def test_every_example_is_run_here():
    assert {path.name for path in EXAMPLES.iterdir() if path.suffix != '.md'} - {
        '__pycache__'
    } == RUN_BELOW
    told = (EXAMPLES / 'README.md').read_text()
    assert all(name in told for name in RUN_BELOW)


def test_an_array_is_decoded(folder):
    done = subprocess.run(
        [sys.executable, EXAMPLES / 'decode_array.py', folder / 'checkpoint'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 'estimates from' in done.stdout
    assert 'index_mcp' in done.stdout


def test_a_decoder_is_trained_from_python(folder, tmp_path):
    spec = spec_from_file_location('train_from_python', EXAMPLES / 'train_from_python.py')
    example = module_from_spec(spec)
    spec.loader.exec_module(example)
    assert -1 <= example.main(folder / 'bag', tmp_path / 'checkpoint', epochs=1) <= 1
    assert (tmp_path / 'checkpoint' / 'checkpoint.json').is_file()


def test_the_gripper_is_a_valid_profile(capsys):
    assert main(['hand', str(EXAMPLES / 'my_gripper.yaml')]) == 0
    assert 'finger' in capsys.readouterr().out


def test_the_driver_publishes_volts_with_a_running_sample_number(ros):
    messages = pytest.importorskip('leconvmn_ros.msg')
    from rclpy.qos import qos_profile_sensor_data

    received = ros.collect('emg', messages.EmgArray, qos_profile_sensor_data)
    driver = subprocess.Popen([sys.executable, EXAMPLES / 'amplifier_driver.py'])
    try:
        assert ros.spin_until(lambda: len(received) > 5)
    finally:
        driver.terminate()
        assert driver.wait(timeout=20) == 0
    chunks = [arrival.message for arrival in received]
    steps = {b.first_sample - a.first_sample for a, b in itertools.pairwise(chunks)}
    assert steps == {20}
    assert 0 < max(abs(value) for value in chunks[0].samples) < 1e-3
