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

"""Opens rosbag2 bags, MCAP or sqlite3, from this package or from `ros2 bag record`."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
import heapq
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TYPE_CHECKING

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.files import check_input
from leconvmn_ros.recordings.bounded_reader import (
    BoundedDirectoryReader,
    BoundedMcapReader,
    BoundedReader,
    check_sizes,
    inflate,
)
from leconvmn_ros.recordings.mcap_batches import mcap_batches
from leconvmn_ros.recordings.message_batch import BagMessage, batched, MessageBatch
from rosbags.interfaces import MessageDefinition

if TYPE_CHECKING:
    from typing_extensions import Self

_FILE_SUFFIXES = ('.mcap', '.db3')


class BagTopic(NamedTuple):
    """A topic as a bag describes it.

    Attributes:
        type_name: message type, 'several types' if the topic has more than one.
        message_count: number of messages.
        definition: definition of the type, of format NONE if the bag has none.
        digest: ROS type hash (RIHS01), empty if the bag has none.
    """

    type_name: str
    message_count: int
    definition: MessageDefinition
    digest: str


class OpenBag:
    """An open bag; use `open_bag`.

    Attributes:
        path: folder or file that was opened.
        topics: topics by name.
        start_ns: log time of the first message (ns), 0 if there is none.
        end_ns: log time of the last message (ns), 0 if there is none.
        message_count: number of messages on all topics.
        information: text kept with the bag (rosbag2 'custom_data'), empty if there is none.
    """

    path: Path
    topics: Mapping[str, BagTopic]
    start_ns: int
    end_ns: int
    message_count: int
    information: Mapping[str, str]

    def __init__(self, path: str | Path) -> None:
        """Set the path; the bag is opened on entering the context.

        Args:
            path: bag folder, or one .mcap or .db3 file.
        """
        self.path = Path(path)
        self._reader: BoundedReader

    def __enter__(self) -> 'Self':
        """Open the bag and read its index.

        Raises:
            RecordingError: it does not exist, is not a bag, or is damaged.
        """
        _check_is_bag(self.path)
        with _readable(self.path):
            if self.path.is_dir():
                check_sizes(self.path)
            self._reader = BoundedReader(self.path)
            self._reader.open()
        try:
            with _readable(self.path):
                self._read_index()
        except RecordingError:
            self._reader.close()
            raise
        return self

    def messages(
        self, start_ns: int | None = None, topics: Collection[str] | None = None
    ) -> Iterator[BagMessage]:
        """Yield messages in the order of their log time, straight from disk.

        Args:
            start_ns: leave out what was logged before (ns).
            topics: leave out other topics; None = all.

        Raises:
            RecordingError: the bag is damaged.
        """
        with _readable(self.path):
            storage = self._reader.storage
            # The files of a split bag may overlap, because the recorder caches messages: merge
            # them, do not chain them.
            storages = (
                storage.storages if isinstance(storage, BoundedDirectoryReader) else [storage]
            )
            streams = [
                part.messages(
                    [
                        known
                        for known in part.connections
                        if topics is None or known.topic in topics
                    ],
                    start_ns,
                )
                for part in storages
            ]
            compressed = storage.metadata.compression_mode == 'message'
            for connection, log_ns, data in heapq.merge(*streams, key=itemgetter(1)):
                # sqlite3 keeps a value of any type in any column.
                if not (isinstance(data, bytes) and isinstance(log_ns, int)):
                    raise RecordingError(
                        f'{self.path} is damaged: a message on {connection.topic} has the time '
                        f'{log_ns!r:.40} and data of type {type(data).__name__}; '
                        'an integer and bytes are needed'
                    )
                content = inflate(data) if compressed else data
                yield BagMessage(connection.topic, connection.msgtype, log_ns, content)

    def batches(self, topics: Collection[str]) -> Iterator[MessageBatch]:
        """Yield the messages of some topics, many at a time.

        Messages of one topic come in file order, which is the order of log times except where a
        recorder wrote some a little late.

        Args:
            topics: the topics wanted.

        Raises:
            RecordingError: the bag is damaged, or its numbers of messages differ from those in its
                index.
        """
        storage = self._reader.storage
        storages = storage.storages if isinstance(storage, BoundedDirectoryReader) else [storage]
        files = [Path(str(part.path)) for part in storages if isinstance(part, BoundedMcapReader)]
        if storage.metadata.compression_mode == 'message' or len(files) < len(storages):
            yield from batched(self.messages(topics=topics))
            return
        with _readable(self.path):
            for file in files:
                yield from mcap_batches(file, topics)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the bag."""
        self._reader.close()

    def _read_index(self) -> None:
        self.message_count = int(self._reader.message_count)
        empty = self.message_count == 0
        self.start_ns = 0 if empty else int(self._reader.start_time)
        # rosbags reports the nanosecond after the last message.
        self.end_ns = 0 if empty else int(self._reader.end_time) - 1
        custom = self._reader.storage.metadata.custom or {}
        self.information = {str(key): str(value) for key, value in custom.items()}
        self.topics = {
            str(name): BagTopic(
                info.msgtype or 'several types',
                int(info.msgcount),
                info.msgdef,
                next((entry.digest for entry in info.connections if entry.digest), ''),
            )
            for name, info in self._reader.topics.items()
        }


def open_bag(path: str | Path) -> OpenBag:
    """Open a bag for reading, as a context manager.

    path: bag folder (MCAP or sqlite3), or one .mcap or .db3 file, which lacks the folder's
        metadata.
            kept in the folder.

    Returns:
        The bag, open inside the context; entering raises RecordingError if it is missing, of
        another format, or damaged.
    """
    return OpenBag(path)


def _check_is_bag(path: Path) -> None:
    if not path.exists():
        raise RecordingError(f'{path} does not exist')
    if path.is_dir():
        if not (path / 'metadata.yaml').is_file():
            raise RecordingError(
                f'{path} is not a rosbag2 bag, or its recorder was killed: it lacks metadata.yaml '
                f'(`leconvmn_ros record --recover {path}`, or `ros2 bag reindex` for other '
                'recorders, may make it readable)'
            )
        return
    if path.suffix == '.bag':
        raise RecordingError(
            f'{path} is a bag of ROS 1: `leconvmn_ros convert {path} --output FOLDER` makes a bag '
            'of it with the types that are needed (EmgArray, JointState, MovementLabel); '
            f'`rosbags-convert --src {path} --dst {path.with_suffix("")}` makes a bag of ROS 2 '
            'that keeps its messages as they are'
        )
    if path.suffix not in _FILE_SUFFIXES:
        raise RecordingError(
            f'{path} is not a rosbag2 bag: neither a folder nor a file ending in .mcap or .db3'
        )
    try:
        check_input(path)
    except OSError as error:
        raise RecordingError(f'cannot read {path}: {error.strerror}') from error


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn any exception that a damaged bag causes in the libraries into one error.

    They raise errors of zlib, zstd, lz4, struct, sqlite or YAML, assertions and type errors: no
    narrower list would stay complete.
    """
    try:
        yield
    except RecordingError:
        raise
    except MemoryError as error:
        raise RecordingError(
            f'{path} cannot be read: it holds, or claims to hold, more data than fit in memory'
        ) from error
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = lines[0][:200] if lines else type(error).__name__
        raise RecordingError(f'{path} is damaged or not a rosbag2 bag: {reason}') from error
