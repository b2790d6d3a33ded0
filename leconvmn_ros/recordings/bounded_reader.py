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

"""Readers of rosbags that allocate no memory for the claims of a damaged or hostile bag.

rosbags allocates as much as the length field of a record says, and inflates compressed data
without a limit. Here a read is never longer than the file, inflating stops at a limit, and YAML
(the metadata and the QoS of each topic) may not use aliases, which can stand for one another.
rosbags has no hooks for that. This module therefore executes the reading modules of rosbags again
as private copies in which some names are replaced; rosbags itself is unchanged for all others.
"""

from bz2 import BZ2Decompressor
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.util import module_from_spec
from io import BufferedReader
import os
from pathlib import Path
import shutil
import sys
import tempfile
from types import ModuleType
from typing import Any, TYPE_CHECKING
from urllib.parse import quote

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.files import check_input, open_input, read_input
from leconvmn_ros.core.yaml_file import check_structure
from lz4.frame import LZ4FrameDecompressor
from rosbags.rosbag1 import reader as ros1_reader
from rosbags.rosbag2 import metadata, reader, storage_mcap, storage_sqlite3
from ruamel.yaml import YAML

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Recorders make chunks of some megabytes at most; a message is part of a chunk.
LARGEST_CHUNK = 2**29  # bytes
# The metadata of an hour in a hundred files take some ten kilobytes.
LARGEST_METADATA = 2**22  # bytes
_ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_BLOCK = 2**20  # bytes


class BoundedFile(BufferedReader):
    """A file in which no read allocates more than the size of the file."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            OSError: it cannot be opened.
        """
        super().__init__(open_input(path).detach())
        self._length = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most `size` bytes, less at the end of the file."""
        return super().read(-1 if size is None else min(size, self._length))


def inflate(data: bytes, limit: int = LARGEST_CHUNK) -> bytes:
    """Undo zstd compression.

    Raises:
        RecordingError: the result has more than `limit` bytes, or the data are damaged.
    """
    inflated = []
    while data:
        frame = zstd.ZstdDecompressor()
        inflated.append(_bounded(frame, data, limit))
        limit -= len(inflated[-1])
        data = frame.unused_data
    return b''.join(inflated)


def _bounded(inflater: Any, data: bytes, limit: int) -> bytes:
    inflated = bytes(inflater.decompress(data, max_length=limit + 1))
    if not inflater.eof or len(inflated) > limit:
        raise RecordingError(f'compressed data are cut, or inflate to more than {limit} bytes')
    return inflated


# For each compression of chunks, a function of the data and their claimed size.
DECOMPRESSORS = storage_mcap.DECOMPRESSORS | {
    'zstd': lambda data, size: inflate(data, min(size, LARGEST_CHUNK)),
    'lz4': lambda data, size: _bounded(LZ4FrameDecompressor(), data, min(size, LARGEST_CHUNK)),
}


class _BoundedYaml(YAML):
    def load(self, stream: Any) -> Any:
        check_structure(stream)
        return super().load(stream)


def _own_copy(original: ModuleType, **names: object) -> ModuleType:
    """Execute a module again as a private copy, with some of its names replaced."""
    spec = original.__spec__
    if spec is None or spec.loader is None:
        raise ImportError(f'{original} cannot be executed once more')
    copy = module_from_spec(spec)
    spec.loader.exec_module(copy)
    missing = names.keys() - vars(copy).keys()
    if missing:
        raise ImportError(f'{original.__name__} uses no {", ".join(missing)}')
    vars(copy).update(names)
    return copy


_parse_qos = _own_copy(metadata, YAML=_BoundedYaml).parse_qos
if TYPE_CHECKING:
    from rosbags.rosbag2.reader import DirectoryReader, Reader
    from rosbags.rosbag2.storage_mcap import McapReader
    from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader
else:
    McapReader = _own_copy(
        storage_mcap, parse_qos=_parse_qos, DECOMPRESSORS=DECOMPRESSORS
    ).McapReader
    Sqlite3Reader = _own_copy(storage_sqlite3, parse_qos=_parse_qos).Sqlite3Reader
    _reader = _own_copy(reader, parse_qos=_parse_qos, YAML=_BoundedYaml)
    DirectoryReader, Reader = _reader.DirectoryReader, _reader.Reader


class BoundedMcapReader(McapReader):
    """Reads one .mcap file."""

    def open(self) -> None:
        """Open the file, which must be a regular one.

        Raises:
            OSError: it is not.
            ReaderError: it is damaged.
        """
        self.bio = BoundedFile(Path(str(self.path)))
        try:
            self._open()
        except BaseException:
            with suppress(Exception):
                self.close()
            raise


class _SqliteReader(Sqlite3Reader):
    def __init__(self, path: Any) -> None:
        # The path becomes part of a URI, in which # ? and % are special.
        super().__init__(Path(quote(str(path))))
        self._file = path

    def open(self) -> None:
        check_input(self._file)
        super().open()


class BoundedDirectoryReader(DirectoryReader):
    """Reads the files of a bag folder."""

    STORAGE_PLUGINS: Mapping[str, Any] = {
        'mcap': BoundedMcapReader,
        'sqlite3': _SqliteReader,
    }


class BoundedReader(Reader):
    """Reads bag folders and single files as `rosbags.rosbag2.Reader` does."""

    STORAGE_PLUGINS: Mapping[str, Any] = {
        'dir': BoundedDirectoryReader,
        '.mcap': BoundedMcapReader,
        '.db3': _SqliteReader,
    }


def _inflate_bz2(data: bytes) -> bytes:
    return _bounded(BZ2Decompressor(), data, LARGEST_CHUNK)


def _inflate_lz4(data: bytes) -> bytes:
    return _bounded(LZ4FrameDecompressor(), data, LARGEST_CHUNK)


if TYPE_CHECKING:
    from rosbags.rosbag1 import Reader as _Ros1Reader
else:
    _Ros1Reader = _own_copy(
        ros1_reader,
        decompressors=ros1_reader.decompressors | {'bz2': _inflate_bz2, 'lz4': _inflate_lz4},
    ).Reader


class _BoundedPath(type(Path())):  # type: ignore[misc] # Path itself has no subclasses before 3.12
    def open(self, *_: Any, **__: Any) -> Any:
        return BoundedFile(Path(self))


class Ros1Reader(_Ros1Reader):
    """Reads bags of ROS 1 as `rosbags.rosbag1.Reader` does."""

    def __init__(self, path: Path) -> None:
        """Set the path; the file is opened on entering the context."""
        super().__init__(_BoundedPath(path))


def check_sizes(folder: Path) -> None:
    """Check the files that rosbags reads or inflates as a whole when it opens a bag folder.

    Raises:
        RecordingError: the metadata are too long, or a compressed file inflates to more than half
            of the free space for temporary files.
        OSError: a file cannot be read.
    """
    try:
        read_input(folder / 'metadata.yaml', LARGEST_METADATA)
    except OSError as error:
        raise RecordingError(f'cannot read {folder}/metadata.yaml: {error.strerror}') from error
    room = shutil.disk_usage(tempfile.gettempdir()).free // 2
    for path in folder.iterdir():
        if not path.is_dir() and _starts_with(path, _ZSTD_MAGIC):
            for length in _inflated(path):
                room -= length
                if room < 0:
                    raise RecordingError(
                        f'{path} inflates to more than half of the room for temporary files'
                    )


def _starts_with(path: Path, magic: bytes) -> bool:
    with open_input(path) as file:
        return file.read(len(magic)) == magic


def _inflated(path: Path) -> Iterator[int]:
    with open_input(path) as compressed, zstd.open(compressed, 'rb') as file:
        while block := file.read(_BLOCK):
            yield len(block)
