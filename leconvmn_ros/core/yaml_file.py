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

"""Reads YAML files from untrusted sources: plain data, of bounded size and depth."""

from pathlib import Path
from typing import Any

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.files import read_input
from ruamel.yaml import YAML
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent

LARGEST_FILE = 2**16  # bytes
# Nesting of lists and mappings. The reader recurses, and Python allows a thousand calls.
DEEPEST = 16
# Scalars, lists and mappings of one document; a bag of an hour in a hundred files has thousands.
MOST_NODES = 2**17


def read_yaml(path: Path) -> Any:
    """Read one document of plain YAML 1.2 (lists, mappings, scalars).

    Raises:
        ConfigurationError: the file cannot be read, is too large or too deep, uses aliases or
            tags, or is not YAML.
    """
    try:
        content = read_input(path, LARGEST_FILE)
    except OSError as error:
        raise ConfigurationError(f'cannot read {path}: {error.strerror or error}') from error
    try:
        return parse_yaml(content.decode('utf-8'))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f'{path} is not UTF-8 text: {error}') from error
    except ConfigurationError as error:
        raise ConfigurationError(f'{path}: {error}') from error


def parse_yaml(text: str) -> Any:
    """Parse a text under the same rules as `read_yaml`.

    Raises:
        ConfigurationError: as `read_yaml`.
    """
    try:
        check_structure(text)
        return _reader().load(text)
    except ConfigurationError:
        raise
    except Exception as error:
        # The reader raises ValueError for the 31st of February and TypeError for a list as a key;
        # no list of such exceptions would be complete.
        raise ConfigurationError(f'not YAML: {_in_one_line(error)}') from error


def _reader() -> YAML:
    # 'safe' makes nothing but plain data; pure Python, because the C library may be missing.
    return YAML(typ='safe', pure=True)


def check_structure(text: str) -> None:
    """Refuse, before parsing, what takes a reader unbounded time, memory or recursion.

    Raises:
        ConfigurationError: it has aliases, which can stand for one another, is nested too deeply,
            or has too many parts.
        YAMLError: it is not YAML.
    """
    depth = nodes = 0
    for event in _reader().parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            raise ConfigurationError(
                f'line {line}: *{event.anchor} is an alias; aliases are not allowed'
            )
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise ConfigurationError(
                f'line {line}: more than {DEEPEST} lists and mappings within one another'
            )
        nodes += isinstance(event, NodeEvent)
        if nodes > MOST_NODES:
            raise ConfigurationError(
                f'line {line}: more than {MOST_NODES} scalars, lists and mappings'
            )


def _in_one_line(error: Exception) -> str:
    return ' '.join(str(error).split())[:300]
