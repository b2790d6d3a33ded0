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

"""Imports libraries that only some users need."""

from importlib import import_module
from types import ModuleType

from leconvmn_ros.core.errors import ConfigurationError


def import_optional(name: str, extra: str, purpose: str) -> ModuleType:
    """Import a library that belongs to an optional extra.

    Args:
        name: name of the library.
        extra: the extra of this package that installs it.
        purpose: its purpose in the error, such as 'to read XDF'.

    Raises:
        ConfigurationError: it is not installed; the message says how to install it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigurationError(
            f"{name} is needed {purpose}: pip install 'leconvmn_ros[{extra}]', or {name} alone"
        ) from error
