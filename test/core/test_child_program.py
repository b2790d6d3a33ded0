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

"""A child process of ours imports our modules, wherever it is started."""

import os
from pathlib import Path
import subprocess

from leconvmn_ros.core.child_program import child_command
import pytest

PACKAGE = Path(__file__).resolve().parents[2]
MODULES = ('leconvmn_ros.adaptation.background', 'leconvmn_ros.hands.landmark_worker')


@pytest.mark.parametrize('module', MODULES)
@pytest.mark.parametrize('name', ['numpy', 'json', 'leconvmn_ros'])
def test_modules_of_the_working_directory_are_not_imported(tmp_path, module, name):
    (tmp_path / f'{name}.py').write_text('open("was_run", "w").close()')
    subprocess.run(
        child_command(module, 'none.task'),
        cwd=tmp_path,
        env=os.environ | {'PYTHONPATH': str(PACKAGE)},
        input=b'',
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert not (tmp_path / 'was_run').exists()


def test_arguments_reach_the_module(tmp_path):
    (tmp_path / 'echo_module.py').write_text('import sys\ndef main():\n    print(sys.argv)\n')
    said = subprocess.run(
        child_command('echo_module', 'a', 'b'),
        env=os.environ | {'PYTHONPATH': str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "['echo_module', 'a', 'b']"
