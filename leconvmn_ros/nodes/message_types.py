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

"""Message types that are known by name alone."""

from importlib import import_module
import re
from typing import Any


def find_message_class(type_name: str) -> Any:
    """Find an installed message class such as std_msgs/msg/Bool, None if there is none.

    The name comes from a file, so it is checked before anything is imported.
    """
    parts = re.fullmatch(r'([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)', type_name)
    if parts is None:
        return None
    try:
        found = getattr(import_module(f'{parts[1]}.msg'), parts[2], None)
    except ImportError:
        return None
    return found if hasattr(found, 'get_fields_and_field_types') else None
