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

"""Decodes messages of types that only their definitions in a bag describe."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from keyword import iskeyword
from pathlib import Path
import re
from typing import Any, NamedTuple, Protocol

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.recordings.bag_reader import open_bag
from leconvmn_ros.recordings.bag_types import typestore
from leconvmn_ros.recordings.bounded_reader import BoundedFile, Ros1Reader
from leconvmn_ros.recordings.installed_types import find_definition
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat, Nodetype
from rosbags.typesys import get_types_from_idl, get_types_from_msg, get_typestore, Stores
from rosbags.typesys.store import Typestore

ROS1_MAGIC = b'#ROSBAG'
# rosbags turns the names of a definition into Python code: allow only valid ROS names.
_FIELD = re.compile(r'[A-Za-z](_?[A-Za-z0-9]+)*_?')
_TYPE = re.compile(r'[A-Za-z](_?[A-Za-z0-9]+)*/msg/[A-Za-z][A-Za-z0-9_]*')
_MOST_TYPES = 300
_MOST_FIELDS = 1000
_LARGEST_DEFINITION = 2**20  # characters


class ForeignMessage(NamedTuple):
    """A message of a bag.

    Attributes:
        topic: its topic.
        log_ns: log time (ns).
        message: its fields as attributes.
    """

    topic: str
    log_ns: int
    message: Any


class ForeignBag(Protocol):
    """A bag of ROS 1 or ROS 2."""

    @property
    def topics(self) -> dict[str, str]:
        """Type of each topic."""

    def messages(self, topics: set[str]) -> Iterator[ForeignMessage]:
        """Yield the messages of some topics in recorded order."""


class _Bag(NamedTuple):
    topics: dict[str, str]
    messages: Callable[[set[str]], Iterator[ForeignMessage]]


@contextmanager
def open_foreign_bag(path: Path) -> Iterator[ForeignBag]:
    """Open a bag of ROS 1 or ROS 2, as a context.

    Raises:
        RecordingError: it is missing, damaged, or not a bag.
    """
    if path.is_file() and is_ros1(path):
        with _readable(path), Ros1Reader(path) as reader:
            definitions = {
                connection.msgtype: connection.msgdef for connection in reader.connections
            }

            def ros1_messages(topics: set[str]) -> Iterator[ForeignMessage]:
                known = [each for each in reader.connections if each.topic in topics]
                store = _store(
                    {each.msgtype: definitions[each.msgtype] for each in known},
                    Stores.ROS1_NOETIC,
                )
                with _readable(path):
                    for connection, log_ns, data in reader.messages(known) if known else ():
                        message = store.deserialize_ros1(data, connection.msgtype)
                        yield ForeignMessage(connection.topic, log_ns, message)

            yield _Bag({each.topic: each.msgtype for each in reader.connections}, ros1_messages)
        return
    with open_bag(path) as bag:

        def ros2_messages(topics: set[str]) -> Iterator[ForeignMessage]:
            store = _store(
                {bag.topics[topic].type_name: bag.topics[topic].definition for topic in topics}
            )
            with _readable(path):
                for topic, type_name, log_ns, data in bag.messages(topics=topics):
                    yield ForeignMessage(topic, log_ns, store.deserialize_cdr(data, type_name))

        yield _Bag({topic: info.type_name for topic, info in bag.topics.items()}, ros2_messages)


def is_ros1(path: Path) -> bool:
    """Whether a file is a bag of ROS 1, by its first bytes.

    Raises:
        OSError: it cannot be read.
    """
    with BoundedFile(path) as file:
        return file.read(len(ROS1_MAGIC)) == ROS1_MAGIC


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn any exception that damage causes in rosbags into one error."""
    try:
        yield
    except RecordingError:
        raise
    except MemoryError as error:
        raise RecordingError(f'{path} is damaged: it claims more than fits in memory') from error
    except Exception as error:
        reason = ' '.join(str(error).split())[:200] or type(error).__name__
        raise RecordingError(f'{path} is damaged, or not a bag: {reason}') from error


def _store(
    definitions: dict[str, MessageDefinition], base: Stores = Stores.ROS2_JAZZY
) -> Typestore:
    """Return a store of these types and those of ROS.

    Raises:
        RecordingError: a type is unknown, or its definition is not valid in ROS.
    """
    store = get_typestore(base)
    store.register({name: ([], typestore().fielddefs[name][1]) for name in _own()})
    for name, definition in definitions.items():
        if name in store.fielddefs:
            continue
        types = _parsed(name, definition)
        new: dict[str, Any] = {
            key: ([], fields) for key, (_, fields) in types.items() if key not in store.fielddefs
        }
        _check_names(name, new)
        store.register(new)
    return store


def _own() -> list[str]:
    return [name for name in typestore().fielddefs if name.startswith('leconvmn_ros/')]


def _parsed(name: str, definition: MessageDefinition) -> Any:
    text = definition.data
    if definition.format is MessageDefinitionFormat.NONE:
        found = find_definition(name)
        if found is None:
            raise RecordingError(
                f'the bag does not hold the definition of {name}, and it is not installed here: '
                'source the workspace that has it'
            )
        text = found.text
    if len(text) > _LARGEST_DEFINITION:
        raise RecordingError(f'the definition of {name} has {len(text)} characters')
    try:
        if definition.format is MessageDefinitionFormat.IDL:
            return get_types_from_idl(text)
        return get_types_from_msg(text, name)
    except Exception as error:  # the parser of rosbags raises errors of many kinds
        raise RecordingError(f'the definition of {name} is not readable') from error


def _check_names(name: str, types: dict[str, Any]) -> None:
    fields = [field for _, found in types.values() for field in found]
    strange = [
        text
        for text in (*types, *(text for _, kind in fields for text in _type_names(kind)))
        if not _TYPE.fullmatch(text)
    ] + [text for text, _ in fields if not _FIELD.fullmatch(text) or iskeyword(text)]
    if strange or len(types) > _MOST_TYPES or len(fields) > _MOST_FIELDS:
        problem = repr(strange[0][:40]) if strange else f'{len(types)} types'
        raise RecordingError(f'the definition of {name} is not valid in ROS: {problem}')


def _type_names(kind: Any) -> Iterator[str]:
    """Yield the names of the message types in the type of a field."""
    node, content = kind
    if node == Nodetype.NAME:
        yield content
    elif node in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        yield from _type_names(content[0])
