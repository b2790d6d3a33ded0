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

"""Writes rosbag2 bags (MCAP) with checksums, so that readers notice a changed bag.

The `mcap` library writes the file, `rosbags` the metadata beside it. Each chunk, the data as a
whole and the index carry a CRC-32; the channels carry the type hash; the file is named
NAME_0.mcap, as in rosbag2.
"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinitionFormat
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.enums import CompressionMode

CHUNK_SIZE = 2**20  # bytes


class CheckedMcapStorage:
    """Storage of `rosbags` that writes one .mcap file with checksums.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, compression: CompressionMode) -> None:
        """Create the file in the bag's folder; an existing file is never replaced."""
        self.path = path / f'{path.name}_0.mcap'
        self._file = self.path.open('xb')
        stored = compression == CompressionMode.STORAGE
        self._writer: Any = McapWriter(
            self._file,
            chunk_size=CHUNK_SIZE,
            compression=CompressionType.ZSTD if stored else CompressionType.NONE,
            enable_crcs=True,
            enable_data_crcs=True,
        )
        self._writer.start(profile='ros2', library=f'leconvmn_ros, mcap {version("mcap")}')
        self._schemas: dict[str, int] = {}
        self._channels: dict[int, int] = {}

    def add_msgtype(self, connection: Connection) -> None:
        """Add the definition of a message type."""
        text = connection.msgdef.format is MessageDefinitionFormat.MSG
        self._schemas[connection.msgtype] = self._writer.register_schema(
            connection.msgtype,
            'ros2msg' if text else 'ros2idl',
            connection.msgdef.data.encode(),
        )

    def add_connection(self, connection: Connection, offered_qos_profiles: str) -> None:
        """Add a topic."""
        encoding = (
            connection.ext.serialization_format
            if isinstance(connection.ext, ConnectionExtRosbag2)
            else 'cdr'
        )
        self._channels[connection.id] = self._writer.register_channel(
            connection.topic,
            encoding,
            self._schemas[connection.msgtype],
            {
                'offered_qos_profiles': offered_qos_profiles,
                'topic_type_hash': connection.digest,
            },
        )

    def write(self, connection: Connection, timestamp: int, data: bytes | memoryview) -> None:
        """Write a message (CDR) with its log time (ns)."""
        self._writer.add_message(
            self._channels[connection.id], timestamp, bytes(data), publish_time=timestamp
        )

    def flush(self) -> None:
        """Hand everything written to the operating system, as a chunk of its own."""
        self._writer.flush()

    def close(self, version: int, metadata: str) -> None:  # noqa: ARG002 - as rosbags calls it
        """Write the index and close the file."""
        self._writer.add_metadata('rosbag2', {'serialized_metadata': metadata})
        self._writer.finish()
        self._file.close()

    def abort(self) -> None:
        """Close the file without an index."""
        self._file.close()


class CheckedWriter(Writer):
    """Writes bags as `rosbags.rosbag2.Writer` does, with checksums."""

    STORAGE_PLUGINS: Mapping[StoragePlugin, Any] = {StoragePlugin.MCAP: CheckedMcapStorage}
