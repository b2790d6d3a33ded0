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

"""Converts our three message types directly to and from their bytes (CDR), with NumPy.

Messages of one type and length have their fields at the same offsets, if their strings are equal.
So the messages of a topic are read as a table with a row for each message and a column for each
byte. Messages that do not fit (big-endian, strings of other lengths, extra bytes) are not judged
here but left to the reader of `rosbags`, one by one.

Layout: OMG Common Data Representation (DDS-RTPS 2.5, section 10), little-endian: four bytes of
encapsulation, then the fields in order, each aligned to its own size, counted from the end of the
encapsulation.
"""

from collections.abc import Iterator, Sequence
import struct
from typing import Any, NamedTuple

from leconvmn_ros.core.recording import NANOSECONDS
import numpy as np
from numpy.typing import NDArray

_LITTLE_ENDIAN = b'\x00\x01'
_HEAD = 4  # bytes of encapsulation
_FRAME_ID = _HEAD + 8
LONGEST_NAME = 1024
_MOST_PADDING = 3  # some middleware pads to a multiple of four bytes


class StampedTable(NamedTuple):
    """Messages of one layout.

    Attributes:
        rows: their bytes, shape (messages, bytes).
        numbers: their numbers in the batch, shape (messages,).
        stamps_ns: header stamps (ns), shape (messages,).
        frame_id: frame of all of them.
        body: offset at which the first field after the header may start.
    """

    rows: NDArray[np.uint8]
    numbers: NDArray[np.int64]
    stamps_ns: NDArray[np.int64]
    frame_id: str
    body: int

    def column(self, at: int, kind: str) -> NDArray[Any]:
        """Return the value of a NumPy type at an offset in each message."""
        size = np.dtype(kind).itemsize
        return np.ascontiguousarray(self.rows[:, at : at + size]).view(kind)[:, 0]

    def values(self, at: int, kind: str, count: int) -> NDArray[Any]:
        """Return `count` values from an offset on, shape (messages, count)."""
        size = count * np.dtype(kind).itemsize
        return np.ascontiguousarray(self.rows[:, at : at + size]).view(kind)


class EmgTable(NamedTuple):
    """EmgArray messages of one length.

    Attributes:
        numbers: their numbers in the batch, shape (messages,).
        stamps_ns: header stamps (ns), shape (messages,).
        frame_id: frame of all of them.
        rates: field `sampling_rate` (Hz), shape (messages,).
        first: field `first_sample`, shape (messages,).
        channels: field `channels`, shape (messages,).
        values: field `samples`, shape (messages, values).
    """

    numbers: NDArray[np.int64]
    stamps_ns: NDArray[np.int64]
    frame_id: str
    rates: NDArray[np.float64]
    first: NDArray[np.uint64]
    channels: NDArray[np.int64]
    values: NDArray[np.float32]


class StateTable(NamedTuple):
    """JointState messages with the same names.

    Attributes:
        numbers: their numbers in the batch, shape (messages,).
        stamps_ns: header stamps (ns), shape (messages,).
        names: field `name` of all of them.
        positions: field `position`, shape (messages, positions).
    """

    numbers: NDArray[np.int64]
    stamps_ns: NDArray[np.int64]
    names: tuple[str, ...]
    positions: NDArray[np.float64]


class LabelTable(NamedTuple):
    """MovementLabel messages of one length.

    Attributes:
        numbers: their numbers in the batch, shape (messages,).
        stamps_ns: header stamps (ns), shape (messages,).
        movement: field `movement`, shape (messages,).
        repetition: field `repetition`, shape (messages,).
    """

    numbers: NDArray[np.int64]
    stamps_ns: NDArray[np.int64]
    movement: NDArray[np.int64]
    repetition: NDArray[np.int64]


def emg_table(table: StampedTable) -> EmgTable | None:
    """Read messages as EmgArray; None if their bytes do not fit."""
    at = _aligned(table.body, 8)
    values = (table.rows.shape[1] - at - 24) // 4  # what is left over is padding
    if values < 0 or not (table.column(at + 20, '<u4') == values).all():
        return None
    return EmgTable(
        table.numbers,
        table.stamps_ns,
        table.frame_id,
        table.column(at, '<f8'),
        table.column(at + 8, '<u8'),
        table.column(at + 16, '<u4').astype(np.int64),
        table.values(at + 24, '<f4', values),
    )


def label_table(table: StampedTable) -> LabelTable | None:
    """Read messages as MovementLabel; None if their bytes do not fit."""
    at = _aligned(table.body, 2)
    if not 0 <= table.rows.shape[1] - at - 4 <= _MOST_PADDING:
        return None
    movement, repetition = table.values(at, '<u2', 2).astype(np.int64).T
    return LabelTable(table.numbers, table.stamps_ns, movement, repetition)


def state_tables(table: StampedTable) -> Iterator[StateTable | NDArray[np.int64]]:
    """Read messages as JointState; yield a table for each list of names.

    Of messages whose bytes do not fit, the numbers are yielded instead.
    """
    rows, left = table.rows, np.arange(len(table.rows))
    while len(left):
        layout = _StateLayout.of(rows[left[0]].tobytes(), table.body)
        if layout is None:
            yield table.numbers[left[:1]]
            left = left[1:]
            continue
        fixed = layout.fixed
        same = (rows[np.ix_(left, fixed)] == rows[left[0], fixed]).all(axis=1)
        own, left = left[same], left[~same]
        part = table._replace(rows=rows[own])
        yield StateTable(
            table.numbers[own],
            table.stamps_ns[own],
            layout.names,
            part.values(layout.positions_at, '<f8', layout.positions),
        )


class _StateLayout(NamedTuple):
    """The offsets of the fields of a JointState.

    Attributes:
        names: its joint names.
        positions_at: offset of the positions (bytes).
        positions: number of positions.
        fixed: the bytes that are equal in all messages with this layout.
    """

    names: tuple[str, ...]
    positions_at: int
    positions: int
    fixed: NDArray[np.int64]

    @classmethod
    def of(cls, message: bytes, body: int) -> '_StateLayout | None':
        try:
            return cls._of(message, body)
        except (struct.error, UnicodeDecodeError):
            return None

    @classmethod
    def _of(cls, message: bytes, body: int) -> '_StateLayout | None':
        names = []
        at = _aligned(body, 4)
        count = _uint32(message, at)
        at += 4
        if count > len(message):
            return None
        for _ in range(count):
            at = _aligned(at, 4)
            length = _uint32(message, at)
            if not 1 <= length <= len(message) - at - 4:
                return None
            names.append(message[at + 4 : at + 3 + length].decode())
            at += 4 + length
        fixed = [np.arange(body, at)]
        data_at = []
        counts = []
        for _ in ('position', 'velocity', 'effort'):
            at = _aligned(at, 4)
            counts.append(_uint32(message, at))
            fixed.append(np.arange(at, at + 4))
            at = _aligned(at + 4, 8) if counts[-1] else at + 4
            data_at.append(at)
            at += 8 * counts[-1]
        if not 0 <= len(message) - at <= _MOST_PADDING:
            return None
        return cls(tuple(names), data_at[0], counts[0], np.concatenate(fixed))


def stamped_tables(
    numbers: NDArray[np.int64], rows: NDArray[np.uint8]
) -> Iterator[StampedTable | NDArray[np.int64]]:
    """Read the headers of messages of one length; yield a table for each frame.

    Of messages without a header in little-endian CDR, the numbers are yielded instead.

    Args:
        numbers: numbers of the messages, shape (messages,).
        rows: their bytes, shape (messages, bytes).
    """
    if rows.shape[1] < _FRAME_ID + 4:
        yield numbers
        return
    readable = (rows[:, :2] == list(_LITTLE_ENDIAN)).all(axis=1)
    if not readable.all():
        yield numbers[~readable]
        numbers, rows = numbers[readable], rows[readable]
    while len(rows):
        length = _uint32(rows[0].tobytes(), _FRAME_ID)
        end = _FRAME_ID + 4 + length
        if not 1 <= length <= LONGEST_NAME or end > rows.shape[1]:
            own = np.arange(len(rows)) == 0
            frame_id = None
        else:
            own = (rows[:, _FRAME_ID:end] == rows[0, _FRAME_ID:end]).all(axis=1)
            frame_id = rows[0, _FRAME_ID + 4 : end - 1].tobytes().decode(errors='replace')
        everything = bool(own.all())
        part, those = (rows, numbers) if everything else (rows[own], numbers[own])
        if frame_id is None:
            yield those
        else:
            times = np.ascontiguousarray(part[:, _HEAD:_FRAME_ID])
            seconds, nanoseconds = times.view('<i4')[:, 0], times.view('<u4')[:, 1]
            stamps_ns = seconds.astype(np.int64) * NANOSECONDS + nanoseconds
            yield StampedTable(part, those, stamps_ns, frame_id, end)
        if everything:
            return
        numbers, rows = numbers[~own], rows[~own]


def _uint32(message: bytes, at: int) -> int:
    return int(struct.unpack_from('<I', message, at)[0])


def _aligned(at: int, size: int) -> int:
    """Return the first multiple of a size at or after an offset, as CDR counts."""
    return at + (_HEAD - at) % size


class Packer:
    """Writes messages of our types as CDR.

    The names of joints are packed once and reused for later messages.
    """

    def __init__(self) -> None:
        """Start without any joint names."""
        self._names: dict[tuple[str, ...], bytes] = {}

    def emg(
        self,
        stamp_ns: int,
        frame_id: str,
        rate: float,
        first_sample: int,
        samples: NDArray[np.float32],
    ) -> bytes:
        """Pack an EmgArray; samples (V) of shape (samples, channels)."""
        header = _header(stamp_ns, frame_id)
        header += bytes((_HEAD - len(header)) % 8)
        values = np.ascontiguousarray(samples, dtype='<f4')
        fields = struct.pack('<dQII', rate, first_sample, samples.shape[1], values.size)
        return header + fields + values.tobytes()

    def state(self, stamp_ns: int, names: Sequence[str], positions: NDArray[np.float64]) -> bytes:
        """Pack a JointState that has positions only (rad), shape (joints,)."""
        key = tuple(names)
        if key not in self._names:
            self._names[key] = _packed_names(key)
        head = bytearray(_header(stamp_ns, '') + self._names[key])
        values = np.ascontiguousarray(positions, dtype='<f8')
        head += struct.pack('<I', values.size)
        if values.size:
            head += bytes((_HEAD - len(head)) % 8)
        return bytes(head) + values.tobytes() + bytes(8)

    def label(self, stamp_ns: int, movement: int, repetition: int) -> bytes:
        """Pack a MovementLabel."""
        header = _header(stamp_ns, '')
        header += bytes((_HEAD - len(header)) % 2)
        return header + struct.pack('<HH', movement, repetition)


def _header(stamp_ns: int, frame_id: str) -> bytes:
    seconds, nanoseconds = divmod(int(stamp_ns), NANOSECONDS)
    frame = frame_id.encode() + b'\0'
    return _LITTLE_ENDIAN + struct.pack(
        f'<HiII{len(frame)}s', 0, seconds, nanoseconds, len(frame), frame
    )


def _packed_names(names: Sequence[str]) -> bytes:
    """Pack joint names as the field that follows a header with an empty frame."""
    start = len(_header(0, ''))
    packed = bytearray(start)
    packed += bytes((_HEAD - len(packed)) % 4) + struct.pack('<I', len(names))
    for name in names:
        text = name.encode() + b'\0'
        packed += bytes((_HEAD - len(packed)) % 4) + struct.pack('<I', len(text)) + text
    packed += bytes((_HEAD - len(packed)) % 4)
    return bytes(packed[start:])
