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

"""Loads the public names of a room on first use, so that importing the room stays cheap."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def public_names(room: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a room.

    Args:
        room: full name of its package.
        places: for each public name the module and the name there, such as 'bags.read_bag'.
    """

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f'module {room!r} has no attribute {name!r}')
        module, _, there = places[name].rpartition('.')
        return getattr(import_module(f'{room}.{module}'), there)

    return get
