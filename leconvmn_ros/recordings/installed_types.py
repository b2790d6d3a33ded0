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

"""Finds definitions of foreign message types in the installed ROS packages."""

from functools import cache
import os
from pathlib import Path
import re
import sys
from typing import TYPE_CHECKING

from leconvmn_ros.recordings.bag_types import type_definition, TypeDefinition, typestore
from rosbags.typesys import get_types_from_msg, Stores, TypesysError
from rosbags.typesys.stores import get_typestore

if TYPE_CHECKING:
    from rosbags.interfaces.typing import Typesdict

_NAME = re.compile(r'([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)')
# Hand-written definitions have some kilobytes at most.
_LARGEST_TEXT = 2**16  # bytes
# Most types that one type may use, directly or not; common packages need six.
_MOST_TYPES = 200


@cache
def find_definition(type_name: str) -> TypeDefinition | None:
    """Return the definition of a type as a bag stores it, None if it is not installed.

    Types of ROS 2 Jazzy and of this package need no installation. All others are read from the
    share folder of their package, where every ROS build puts them.

    Args:
        type_name: full name such as sensor_msgs/msg/Imu.
    """
    if type_name in typestore().fielddefs:
        return type_definition(type_name)
    try:
        return _installed(type_name)
    except (OSError, UnicodeDecodeError, TypesysError):
        return None


def _installed(type_name: str) -> TypeDefinition | None:
    """Read a type and all types that it uses, each from its own file."""
    store = get_typestore(Stores.ROS2_JAZZY)
    wanted = [type_name]
    found: Typesdict = {}
    while wanted and len(found) < _MOST_TYPES:
        name = wanted.pop()
        if name in found or name in store.fielddefs:
            continue
        text = _text(name)
        if text is None:
            return None
        found |= get_types_from_msg(text, name)
        wanted += _used_by(text, name)
    store.register(found)
    definition, _ = store.generate_msgdef(type_name, ros_version=2)
    return TypeDefinition(definition, store.hash_rihs01(type_name))


def _used_by(text: str, type_name: str) -> list[str]:
    """Return the full names of the message types in the fields of a definition."""
    package = type_name.partition('/')[0]
    names = []
    for line in text.splitlines():
        field = re.match(r'\s*(?:([a-z][a-z0-9_]*)/(?:msg/)?)?([A-Z][A-Za-z0-9]*)\b', line)
        if field:
            names.append(f'{field[1] or package}/msg/{field[2]}')
    return names


def _text(type_name: str) -> str | None:
    parts = _NAME.fullmatch(type_name)
    if parts is None:
        return None
    prefixes = [*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix]
    for prefix in filter(None, prefixes):
        path = Path(prefix, 'share', parts[1], 'msg', f'{parts[2]}.msg')
        if path.is_file() and path.stat().st_size <= _LARGEST_TEXT:
            return path.read_text(encoding='utf-8')
    return None
