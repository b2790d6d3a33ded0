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

"""Writes a bag while its messages arrive, so that a killed process loses at most the last second.

`BagWriter` shows nothing before the bag is complete. A recording of a person cannot be repeated:
here everything goes into the target folder at once, in MCAP chunks that are closed every second. A
folder with `unfinished.json` was not closed properly; `recover_bag` makes a complete bag of it.
"""

from collections import Counter
from collections.abc import Mapping
import fcntl
import json
import os
from pathlib import Path
import time
from types import TracebackType
from typing import Final, TYPE_CHECKING

from leconvmn_ros.core.errors import OutputError
from leconvmn_ros.recordings.bag_qos import offered_qos
from leconvmn_ros.recordings.installed_types import find_definition
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter

if TYPE_CHECKING:
    from typing_extensions import Self

# Version 9 is what ROS 2 Jazzy and Kilted write.
METADATA_VERSION: Final = 9
# Marks a folder as being recorded, or its recorder as killed; locked while the recorder lives.
MARKER: Final = 'unfinished.json'
FLUSH_PERIOD = 1.0  # s


class BagRecorder:
    """Writes serialized messages of any type to one bag (MCAP) as they arrive.

    A context manager. Leaving it for any reason closes the bag and keeps what was recorded.

    Attributes:
        path: folder of the bag.
        counts: messages written on each topic.
    """

    def __init__(self, path: str | Path, *, information: Mapping[str, str] | None = None) -> None:
        """Prepare to record; the disk is not touched before the context is entered.

        Args:
            path: folder to make; it must not exist.
            information: text to keep in the bag's metadata (rosbag2 'custom_data').
        """
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - '.' has no name; keep links
        self.counts: Counter[str] = Counter()
        self._information = dict(information or {})
        self._connections: dict[str, Connection] = {}
        self._flushed = time.monotonic()
        self._marker: int | None = None
        self._writer: Writer

    def __enter__(self) -> 'Self':
        """Make the folder and open the bag in it.

        Raises:
            OutputError: the folder exists, or cannot be made.
        """
        if os.path.lexists(self.path):
            raise OutputError(f'{self.path} exists already and is not overwritten')
        self._writer = Writer(
            self.path, version=METADATA_VERSION, storage_plugin=StoragePlugin.MCAP
        )
        try:
            for key, value in self._information.items():
                self._writer.set_custom_data(key, value)
            self._writer.open()
            self._marker = _mark(self.path, self._information)
            self._storage.bio.flush()
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def add_topic(self, topic: str, type_name: str, *, latched: bool = False) -> bool:
        """Prepare to write a topic; adding it again has no effect.

        Args:
            topic: absolute name.
            type_name: full name such as sensor_msgs/msg/JointState.
            latched: whether a player must keep its last message for late joiners.

        Returns:
            False if its type is not installed, so that the topic cannot be recorded.
        """
        if topic in self._connections:
            return True
        definition = find_definition(type_name)
        if definition is None:
            return False
        self._connections[topic] = self._writer.add_connection(
            topic,
            type_name,
            msgdef=definition.text,
            rihs01=definition.digest,
            offered_qos_profiles=[offered_qos(latched=latched)],
        )
        return True

    def write(self, topic: str, log_ns: int, data: bytes) -> None:
        """Write a message; once a second, flush everything written so far.

        Args:
            topic: a topic that was added.
            log_ns: time of arrival (ns).
            data: serialized message (CDR).

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self._writer.write(self._connections[topic], int(log_ns), data)
        except OSError as error:
            raise self._unwritable(error) from error
        self.counts[topic] += 1
        if time.monotonic() - self._flushed >= FLUSH_PERIOD:
            self.flush()

    def flush(self) -> None:
        """Hand everything written to the operating system, where it survives a killed process.

        Call it about once a second if messages may stop arriving.

        Raises:
            OutputError: it cannot be written.
        """
        self._flushed = time.monotonic()
        try:
            if self._storage.chunk.msgs:
                self._storage.close_chunk()
            self._storage.bio.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write index and metadata.

        Raises:
            OutputError: they cannot be written; what was recorded can be recovered.
        """
        try:
            self._writer.close()
            (self.path / MARKER).unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            if self._marker is not None:
                os.close(self._marker)
                self._marker = None

    @property
    def _storage(self) -> McapWriter:
        storage = self._writer.storage
        if not isinstance(storage, McapWriter):
            raise OutputError(f'{self.path} is not open')
        return storage

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(f'cannot write {self.path}: {error.strerror or error}')


def _mark(folder: Path, information: Mapping[str, str]) -> int:
    """Write the marker with the information, and lock it for this process."""
    marker = os.open(folder / MARKER, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    fcntl.flock(marker, fcntl.LOCK_EX)
    os.write(marker, json.dumps(information).encode())
    return marker
