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

"""Message types by name: only installed messages are imported."""

import os
import subprocess
import sys

import pytest

CHECK = """
import sys
from leconvmn_ros.nodes.message_types import find_message_class
print(find_message_class(sys.argv[1]))
print('ran' in dir(sys))
"""


def find_in_a_process(folder, type_name, **environment):
    """Look for a type as a node that was started in a folder would."""
    result = subprocess.run(
        [sys.executable, '-c', CHECK, type_name],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found, ran = result.stdout.split()[0], result.stdout.split()[-1]
    return found, ran == 'True'


@pytest.mark.parametrize(
    'name', ['std_msgs/msg/Bool', 'sensor_msgs/msg/JointState', 'leconvmn_ros/msg/EmgArray']
)
def test_installed_messages_are_found(name):
    from leconvmn_ros.nodes.message_types import find_message_class

    assert find_message_class(name).__name__ == name.rpartition('/')[2]


@pytest.mark.parametrize(
    'name',
    [
        'antigravity/msg/Hand',
        'this/msg/Hand',
        'std_msgs/msg/Unheard',
        'std_srvs/msg/Trigger',
        'std_srvs/srv/Trigger',
        'unheard_msgs/msg/Bool',
        'std_msgs/Bool',
        'os.path/msg/Bool',
        '../msg/Bool',
        '',
    ],
)
def test_what_is_no_installed_message_is_not_imported(name):
    from leconvmn_ros.nodes.message_types import find_message_class

    assert find_message_class(name) is None
    assert {'antigravity', 'this'}.isdisjoint(sys.modules)


@pytest.mark.parametrize('path', ['', ':', '.'])
def test_a_module_in_the_current_folder_does_not_run(tmp_path, path):
    (tmp_path / 'strange_msgs').mkdir()
    for name in ('strange_msgs/__init__.py', 'strange_msgs/msg.py'):
        (tmp_path / name).write_text('import sys; sys.ran = True\nclass Hand: pass\n')
    path = f'{os.environ.get("PYTHONPATH", "")}:{path}'
    found = find_in_a_process(tmp_path, 'strange_msgs/msg/Hand', PYTHONPATH=path)
    assert found == ('None', False)


def test_a_module_that_shadows_a_message_package_does_not_run(tmp_path):
    (tmp_path / 'trajectory_msgs').mkdir()
    for name in ('trajectory_msgs/__init__.py', 'trajectory_msgs/msg.py'):
        (tmp_path / name).write_text('import sys; sys.ran = True\nclass JointTrajectory: pass\n')
    path = f':{os.environ.get("PYTHONPATH", "")}'
    found = find_in_a_process(tmp_path, 'trajectory_msgs/msg/JointTrajectory', PYTHONPATH=path)
    assert found == ('None', False)


def test_a_package_that_a_workspace_installed_is_found(tmp_path):
    index = tmp_path / 'share/ament_index/resource_index/rosidl_interfaces'
    code = tmp_path / 'lib/python3/site-packages/my_msgs'
    for folder in (index, code):
        folder.mkdir(parents=True)
    (index / 'my_msgs').write_text('msg/Hand.idl\nmsg/Hand.msg\n')
    (code / '__init__.py').touch()
    (code / 'msg.py').write_text('class Hand:\n    get_fields_and_field_types = None\n')
    found, _ = find_in_a_process(
        tmp_path,
        'my_msgs/msg/Hand',
        AMENT_PREFIX_PATH=f'{tmp_path}:{os.environ["AMENT_PREFIX_PATH"]}',
        PYTHONPATH=f'{os.environ.get("PYTHONPATH", "")}:{code.parent}',
    )
    assert found == '<class'
