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

"""Reads the messages of an MCAP file chunk by chunk, and verifies them.

The `mcap` library reads the records, and compares the checksums stored by the writer. Messages in
a chunk are located by their headers alone; decoding them is left to the caller.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from io import BytesIO
from pathlib import Path
import struct
from typing import NamedTuple
from zlib import crc32

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.recordings.bounded_reader import BoundedFile, DECOMPRESSORS, LARGEST_CHUNK
from leconvmn_ros.recordings.message_batch import MessageBatch
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Footer, Message, Schema, Statistics
from mcap.stream_reader import StreamReader
import numpy as np

_RECORD = struct.Struct('<BQ')
_BEHIND_SUMMARY = 4 + 8  # bytes of its checksum and the magic after it
_MESSAGE = struct.Struct('<HIQQ')


class _Topic(NamedTuple):
    name: str
    type_name: str


def mcap_batches(path: Path, topics: Collection[str]) -> Iterator[MessageBatch]:
    """Yield the messages of some topics in file order.

    Args:
        path: an .mcap file.
        topics: names of the topics wanted.

    Raises:
        RecordingError: a checksum does not match, or the numbers of messages differ from those in
            the index.
        Exception: any error that the library raises for a damaged file.
    """
    schemas: dict[int, str] = {}
    channels: dict[int, _Topic] = {}
    found: Counter[int] = Counter()
    indexed: Mapping[int, int] | None = None

    def note(record: Schema | Channel) -> None:
        if isinstance(record, Schema):
            schemas[record.id] = record.name
        else:
            channels[record.id] = _Topic(record.topic, schemas.get(record.schema_id, ''))

    with BoundedFile(path) as file:
        reader = StreamReader(
            file, emit_chunks=True, validate_crcs=True, record_size_limit=LARGEST_CHUNK
        )
        for record in reader.records:
            if isinstance(record, (Schema, Channel)):
                note(record)
            elif isinstance(record, Chunk):
                data = _inflated(path, record)
                places = _places(data, note)
                for channel, found_there in places.items():
                    found[channel] += len(found_there.log_ns)
                    topic = channels.get(channel)
                    if topic is not None and topic.name in topics:
                        yield found_there.batch(topic, data)
            elif isinstance(record, Message):
                found[record.channel_id] += 1
                topic = channels.get(record.channel_id)
                if topic is not None and topic.name in topics:
                    place = _Places([record.log_time], [0], [len(record.data)])
                    yield place.batch(topic, bytes(record.data))
            elif isinstance(record, Footer):
                _check_summary(path, record)
            elif isinstance(record, Statistics):
                indexed = record.channel_message_counts
    _compare_counts(path, found, indexed, channels)


class _Places(NamedTuple):
    """The log times (ns) and offsets of a channel's messages in a chunk."""

    log_ns: list[int]
    starts: list[int]
    ends: list[int]

    def batch(self, topic: _Topic, data: bytes) -> MessageBatch:
        return MessageBatch(
            topic.name,
            topic.type_name,
            np.array(self.log_ns, dtype=np.int64),
            data,
            np.array(self.starts, dtype=np.int64),
            np.array(self.ends, dtype=np.int64),
        )


def _inflated(path: Path, chunk: Chunk) -> bytes:
    """Return the content of a chunk.

    Raises:
        RecordingError: its size or checksum does not match.
    """
    if chunk.compression not in DECOMPRESSORS:
        raise RecordingError(f'{path}: compression {chunk.compression!r} is not known')
    data = bytes(DECOMPRESSORS[chunk.compression](bytes(chunk.data), chunk.uncompressed_size))
    if len(data) != chunk.uncompressed_size:
        raise RecordingError(
            f'{path} is damaged: a chunk of {chunk.uncompressed_size} bytes has {len(data)}'
        )
    if chunk.uncompressed_crc and crc32(data) != chunk.uncompressed_crc:
        raise RecordingError(f'{path} is damaged: the checksum of a chunk does not fit')
    return data


def _places(data: bytes, note: Callable[[Schema | Channel], None]) -> dict[int, _Places]:
    """Locate the messages in a chunk by channel; pass other records to `note`."""
    places: dict[int, _Places] = {}
    record, message = _RECORD.unpack_from, _MESSAGE.unpack_from
    at, length = 0, len(data)
    while at < length:
        kind, size = record(data, at)
        start, end = at + _RECORD.size, at + _RECORD.size + size
        if end > length:
            raise RecordingError('a record reaches beyond the end of its chunk')
        if kind == Opcode.MESSAGE:
            if size < _MESSAGE.size:
                raise RecordingError(f'a message record of {size} bytes')
            channel, _, log_ns, _ = message(data, start)
            if channel not in places:
                places[channel] = _Places([], [], [])
            log, starts, ends = places[channel]
            log.append(log_ns)
            starts.append(start + _MESSAGE.size)
            ends.append(end)
        elif kind == Opcode.SCHEMA:
            note(Schema.read(ReadDataStream(BytesIO(data[start:end]))))
        elif kind == Opcode.CHANNEL:
            note(Channel.read(ReadDataStream(BytesIO(data[start:end]))))
        at = end
    return places


def _check_summary(path: Path, footer: Footer) -> None:
    """Verify the checksum of the index.

    Raises:
        RecordingError: it does not match.
    """
    if not footer.summary_crc or not footer.summary_start:
        return
    with BoundedFile(path) as file:
        file.seek(footer.summary_start)
        covered = file.read()[:-_BEHIND_SUMMARY]
    if crc32(covered) != footer.summary_crc:
        raise RecordingError(f'{path} is damaged: the checksum of its index does not fit')


def _compare_counts(
    path: Path,
    found: Mapping[int, int],
    indexed: Mapping[int, int] | None,
    channels: Mapping[int, _Topic],
) -> None:
    """Compare the numbers of messages with the index.

    Raises:
        RecordingError: a message is missing or duplicated.
    """
    if indexed is None:
        return
    for channel in sorted({*found, *indexed}):
        there, expected = found.get(channel, 0), indexed.get(channel, 0)
        if there != expected:
            name = channels[channel].name if channel in channels else f'channel {channel}'
            raise RecordingError(
                f'{path} is damaged: it holds {there} messages on {name}, '
                f'its index says {expected}'
            )
