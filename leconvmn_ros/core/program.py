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

"""How the installed programs start: in lib/leconvmn_ros for `ros2 run`, and the command line.

Imports only the standard library, so that a missing module can be reported in one line.
"""

from collections.abc import Callable
from importlib import import_module
import os
import signal
import sys
from typing import NoReturn

# Libraries that rosdep does not know, or only in too old a version: a ROS package cannot install
# them. They are the group beyond-rosdep of pyproject.toml, by their names on PyPI.
BEYOND_ROSDEP = (
    *('backports.zstd', 'lz4', 'mcap', 'onnx', 'onnxruntime', 'pydantic', 'rosbags'),
    *('ruamel.yaml', 'safetensors', 'torch'),
)
_FROM_ROS = ('ament_index_python', 'launch', 'launch_ros', 'rclpy')


def run(module: str) -> NoReturn:
    """Run the function `main` of a module and exit with what it returns.

    Args:
        module: full name; a module in leconvmn_ros.nodes can be ended while it is being imported.
    """
    if module.startswith('leconvmn_ros.nodes.'):
        _end_at_once_on_signals()
    try:
        main: Callable[[], int | None] = import_module(module).main
    except ModuleNotFoundError as error:
        sys.exit(_what_to_install(error.name or str(error)))
    sys.exit(main())


def _end_at_once_on_signals() -> None:
    """Exit on SIGINT and SIGTERM as long as nothing can be left half done.

    Without this, SIGINT raises KeyboardInterrupt in the middle of an import, and libraries that
    catch everything there swallow it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))


def _what_to_install(name: str) -> str:
    """Return one line that says which module is missing and how to get it."""
    missing = f'leconvmn_ros needs the Python module {name}, which is not installed here'
    top = name.partition('.')[0]
    if top in _FROM_ROS or top.endswith(('_msgs', '_srvs', '_interfaces')):
        return f'{missing}: source a ROS 2 installation'
    if name.startswith('leconvmn_ros.msg'):
        return f'{missing}: source the workspace or environment it was built in'
    names = ' '.join(dict.fromkeys((*BEYOND_ROSDEP, *([] if _is_known(top) else [top]))))
    return f'{missing}: python3 -m pip install {names}'


def _is_known(top: str) -> bool:
    return any(library.partition('.')[0] == top for library in BEYOND_ROSDEP)
