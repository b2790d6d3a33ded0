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

"""Without a place for its logs, ROS does not start: one line says what to do."""

import os
import subprocess
import sys

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.nodes.log_folder import check_log_folder
import pytest

NODE = 'from leconvmn_ros.nodes.retarget import main; main()'


@pytest.mark.parametrize(
    'environment',
    [{}, {'HOME': ''}, {'HOME': '/proc'}, {'HOME': '/dev/null'}, {'ROS_LOG_DIR': '/proc/a'},
     {'ROS_HOME': '/proc/a'}],
)  # fmt: skip
def test_the_remedy_is_named(environment):
    with pytest.raises(ConfigurationError, match='set ROS_LOG_DIR to a writable folder'):
        check_log_folder(environment)


@pytest.mark.parametrize('name', ['HOME', 'ROS_HOME', 'ROS_LOG_DIR'])
def test_a_folder_that_can_be_made_is_accepted(tmp_path, name):
    check_log_folder({name: str(tmp_path / 'new')})


def test_a_node_without_a_place_for_its_logs_ends_with_one_line(tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith('ROS_')}
    result = subprocess.run(
        [sys.executable, '-c', NODE],
        env=environment | {'HOME': '/proc'},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    (line,) = (result.stdout + result.stderr).splitlines()
    assert 'ROS cannot write its logs to /proc/.ros/log' in line
    assert 'set ROS_LOG_DIR' in line
