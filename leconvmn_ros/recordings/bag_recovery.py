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

"""Recovers a complete bag from the folder of a killed recorder."""

from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
import json
import os
from pathlib import Path
import struct
from tempfile import TemporaryDirectory

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.files import open_for_repair, open_input
from leconvmn_ros.recordings.bag_qos import offered_qos
from leconvmn_ros.recordings.bag_recorder import MARKER, METADATA_VERSION
from leconvmn_ros.recordings.bounded_reader import BoundedMcapReader, BoundedReader
from leconvmn_ros.recordings.installed_types import find_definition
from rosbags.interfaces import Connection, ConnectionExtRosbag2, QosDurability
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.errors import ReaderError
from rosbags.typesys import TypesysError

_MAGIC = b'\x89MCAP0\r\n'
_HEAD = struct.Struct('<BQ')
_DATA_END, _FOOTER = 0x0F, 0x02
# Data end and footer of a file without an index.
_END = _HEAD.pack(_DATA_END, 4) + bytes(4) + _HEAD.pack(_FOOTER, 20) + bytes(20) + _MAGIC
# The marker holds text from the caller of the recorder; allow it the size of a bag's metadata.
_LARGEST_MARKER = 2**22  # bytes


def is_unfinished(folder: Path) -> bool:
    """Whether a recorder has not closed a folder."""
    return (folder / MARKER).is_file() and not (folder / 'metadata.yaml').is_file()


def recover_bag(folder: Path) -> int:
    """Complete, in place, the bag that a killed recorder left in a folder.

    The last second may be missing. Recovery may be interrupted and repeated without losing a
    message.

    Returns:
        The number of messages recovered.

    Raises:
        RecordingError: the folder is not an unfinished recording, is still being recorded, or
            cannot be read or written.
    """
    if not is_unfinished(folder):
        raise RecordingError(
            f'{folder} is not an unfinished recording: there is nothing to recover'
        )
    folder = Path(os.path.abspath(folder))  # noqa: PTH100
    file = folder / f'{folder.name}.mcap'
    try:
        # An unpredictable name: nobody can have put a link there.
        with (
            _locked(folder / MARKER) as information,
            TemporaryDirectory(prefix=f'.{folder.name[:50]}.', dir=folder.parent) as scratch,
        ):
            copy = Path(scratch, folder.name)
            _complete(file)
            count = _copy(file, copy, information)
            (copy / file.name).replace(file)
            (copy / 'metadata.yaml').replace(folder / 'metadata.yaml')
            (folder / MARKER).unlink()
    except (OSError, ReaderError, TypesysError, ValueError) as error:
        raise RecordingError(f'cannot recover {folder}: {error}') from error
    return count


@contextmanager
def _locked(marker: Path) -> Iterator[dict[str, str]]:
    """Lock the marker, which a live recorder keeps locked, and yield its information."""
    with open_input(marker) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecordingError(
                f'{marker.parent} is being recorded by another process'
            ) from error
        text = file.read(_LARGEST_MARKER)
        known = json.loads(text) if text else {}
        yield {str(key): str(value) for key, value in dict(known).items()}


def _complete(file: Path) -> None:
    """Cut off a half-written record, and end the file as the format demands."""
    with open_for_repair(file) as content:
        length = os.fstat(content.fileno()).st_size
        if content.read(len(_MAGIC)) != _MAGIC:
            raise RecordingError(f'{file} is not an MCAP file')
        end = content.tell()
        while length - end >= _HEAD.size:
            kind, size = _HEAD.unpack(content.read(_HEAD.size))
            if kind == _DATA_END or size > length - end - _HEAD.size:
                break
            end = content.seek(end + _HEAD.size + size)
        content.seek(end)
        content.write(_END)
        content.truncate()


def _copy(file: Path, target: Path, information: dict[str, str]) -> int:
    """Write the messages of a file without an index into a bag with one."""
    writer = Writer(target, version=METADATA_VERSION, storage_plugin=StoragePlugin.MCAP)
    for key, value in information.items():
        writer.set_custom_data(key, value)
    # The bounded reader of a single file: damaged lengths allocate no memory.
    reader = BoundedReader(file)
    reader.open()
    writer.open()
    try:
        storage = reader.storage
        if not isinstance(storage, BoundedMcapReader):
            raise RecordingError(f'{file} is not an MCAP file')
        added = {known.id: _add(writer, known) for known in storage.connections}
        # File order, not time order: topics are buffered separately while they are recorded.
        for known, log_ns, data in storage.messages_scan(storage.connections):
            writer.write(added[known.id], log_ns, data)
    finally:
        reader.close()
        writer.close()
    return sum(writer.counts.values())


def _add(writer: Writer, known: Connection) -> Connection:
    definition = find_definition(known.msgtype)
    if definition is None:
        raise RecordingError(f'the type {known.msgtype} of {known.topic} is not installed')
    offered = known.ext.offered_qos_profiles if isinstance(known.ext, ConnectionExtRosbag2) else []
    latched = any(qos.durability is QosDurability.TRANSIENT_LOCAL for qos in offered)
    return writer.add_connection(
        known.topic,
        known.msgtype,
        msgdef=definition.text,
        rihs01=definition.digest,
        offered_qos_profiles=[offered_qos(latched=latched)],
    )
