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

"""Finds message types by name, in installed message packages only."""

from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
import re
import sys
from typing import Any

from ament_index_python import get_resource

# Folders with the Python code of ROS packages, below their prefix.
_CODE_FOLDERS = {'site-packages', 'dist-packages'}


def find_message_class(type_name: str) -> Any:
    """Find an installed message class such as std_msgs/msg/Bool, None if there is none.

    The name may come from a foreign bag or profile. Only a message listed in the ament index is
    imported, and only from the prefix of its package: no other module, even if the Python path
    contains one of that name.
    """
    parts = re.fullmatch(r'([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)', type_name)
    if parts is None:
        return None
    package, message = parts.groups()
    try:
        listed, prefix = get_resource('rosidl_interfaces', package)
    except (LookupError, OSError):
        return None
    if f'msg/{message}.msg' not in listed.split() or not _is_below(prefix, package):
        return None
    try:
        found = getattr(import_module(f'{package}.msg'), message, None)
    except ImportError:
        return None
    return found if hasattr(found, 'get_fields_and_field_types') else None


def _is_below(prefix: str, package: str) -> bool:
    """Whether Python would import, or has imported, a package from this prefix."""
    if f'{package}.msg' in sys.modules or package == __name__.partition('.')[0]:
        return True
    spec = PathFinder.find_spec(package)
    if spec is None or not spec.origin:
        return False
    code, root = Path(spec.origin), Path(prefix)
    return any(
        place.is_relative_to(base) and _CODE_FOLDERS & set(place.relative_to(base).parts)
        for place, base in ((code, root), (code.resolve(), root.resolve()))
    )
