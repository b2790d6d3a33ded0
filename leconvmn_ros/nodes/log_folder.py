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

"""Checks the folder of ROS's logs before ROS uses it."""

from collections.abc import Mapping
import os
from pathlib import Path

from leconvmn_ros.core.errors import ConfigurationError


def check_log_folder(environment: Mapping[str, str] = os.environ) -> None:
    """Check that ROS can write its logs; otherwise it would fail to start with little explanation.

    Args:
        environment: environment of the process.

    Raises:
        ConfigurationError: the folder is not writable, or there is none.
    """
    remedy = 'set ROS_LOG_DIR to a writable folder'
    folder = log_folder(environment)
    if folder is None:
        raise ConfigurationError(f'ROS has no folder for its logs, as HOME is not set: {remedy}')
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f'ROS cannot write its logs to {folder}: {error.strerror}; {remedy}'
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(f'ROS cannot write its logs to {folder}; {remedy}')


def log_folder(environment: Mapping[str, str]) -> Path | None:
    """Return the folder of ROS's logs, by its own rules; None = there is none.

    See docs.ros.org, Logging, 'Logging directory configuration'.
    """
    if folder := environment.get('ROS_LOG_DIR'):
        return _expanded(folder, environment)
    if folder := environment.get('ROS_HOME'):
        return _expanded(folder, environment) / 'log'
    home = environment.get('HOME')
    return Path(home, '.ros', 'log') if home else None


def _expanded(folder: str, environment: Mapping[str, str]) -> Path:
    home = environment.get('HOME', '')
    return Path(home + folder[1:] if home and folder.startswith('~') else folder)
