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

"""Collects the messages of a bag's topics into the arrays of a Recording.

A message that contradicts itself, or that is of another kind than most on its topic, is left out
and counted with the reason; all others are used.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from typing import Any

from leconvmn_ros.core.recording import EmgChunk, JointTrack, LabelTrack
from leconvmn_ros.emg.message import emg_fault, HIGHEST_RATE, LOWEST_RATE, stamp_to_ns
from leconvmn_ros.recordings.bag_types import EMG_TYPE, LABEL_TYPE, REFERENCE_TYPE, typestore
from leconvmn_ros.recordings.cdr import (
    emg_table,
    EmgTable,
    label_table,
    LabelTable,
    stamped_tables,
    StampedTable,
    state_tables,
    StateTable,
)
from leconvmn_ros.recordings.left_out import LeftOut
from leconvmn_ros.recordings.memory import check_memory, GrowingArray
from leconvmn_ros.recordings.message_batch import MessageBatch
from leconvmn_ros.recordings.reference_track import ReferenceRows
import numpy as np
from numpy.typing import NDArray
from rosbags.serde import SerdeError

_BYTES_PER_CHUNK = 400  # of an EmgChunk, beside its samples


class Collector(ABC):
    """Takes the messages of one topic, a batch at a time.

    Attributes:
        type_name: message type.
        left_out: counts of the messages left out, by reason.
        any_stamp: whether any header stamp has been set so far.
    """

    type_name: str

    def __init__(self) -> None:
        """Start without messages."""
        self.left_out = LeftOut()
        self.any_stamp = False
        self._log_ns: list[NDArray[np.int64]] = []

    def add(self, batch: MessageBatch) -> None:
        """Take messages; those of another type are left out."""
        self.left_out.messages += len(batch.log_ns)
        for numbers, rows in batch.by_length():
            for table in stamped_tables(numbers, rows):
                for readable in (
                    self._tables(table) if isinstance(table, StampedTable) else [table]
                ):
                    if isinstance(readable, np.ndarray):
                        self._add_one_by_one(batch, readable)
                    else:
                        self._note(batch, readable)

    def _note(self, batch: MessageBatch, table: Any) -> None:
        self.any_stamp |= bool(table.stamps_ns.any())
        turns = self.left_out.messages - len(batch.log_ns) + table.numbers
        self._take(table, batch.log_ns[table.numbers], turns)

    def _add_one_by_one(self, batch: MessageBatch, numbers: NDArray[np.int64]) -> None:
        """Read messages that the tables cannot handle, such as big-endian ones."""
        store = typestore()
        for number in numbers.tolist():
            try:
                message = store.deserialize_cdr(batch.message(number), self.type_name)
            except (SerdeError, UnicodeDecodeError, ValueError, IndexError) as error:
                self.left_out.add(f'malformed: {str(error)[:100] or type(error).__name__}')
                continue
            self._note(batch, self._table_of(message, np.array([number])))

    @abstractmethod
    def _tables(self, table: StampedTable) -> Iterator[Any]:
        """Yield the messages as tables, or the numbers of unreadable ones."""

    @abstractmethod
    def _table_of(self, message: Any, numbers: NDArray[np.int64]) -> Any:
        """Return a table of one message that rosbags read."""

    @abstractmethod
    def _take(self, table: Any, log_ns: NDArray[np.int64], turns: NDArray[np.int64]) -> None:
        """Keep the usable messages of a table.

        Args:
            table: the messages.
            log_ns: their log times (ns), shape (messages,).
            turns: their positions among all messages of the topic, same shape.
        """


class EmgCollector(Collector):
    """Collects EmgArray messages."""

    type_name = EMG_TYPE

    def __init__(self, expected: int) -> None:
        """Start without messages.

        Args:
            expected: number of messages according to the bag.
        """
        super().__init__()
        self._expected = expected
        self._values = GrowingArray()
        self._columns: list[tuple[NDArray[Any], ...]] = []
        self._frames: Counter[str] = Counter()

    def chunks(self) -> list[EmgChunk]:
        """Return the messages with the most common number of channels, in recorded order."""
        if not self._columns:
            return []
        log_ns, turns, stamps, rates, first, channels, start, count = (
            np.concatenate(column) for column in zip(*self._columns, strict=True)
        )
        self._columns.clear()
        shapes = Counter(channels.tolist())
        usual, most = shapes.most_common(1)[0]
        for other, times in shapes.items():
            if other != usual:
                self.left_out.add(f'{other} channels, {most} messages have {usual}', times)
        order = np.lexsort((turns, log_ns))
        order = order[channels[order] == usual]
        values = self._values.finish()
        columns = (column[order].tolist() for column in (stamps, rates, first, start, count))
        return [
            EmgChunk(stamp, rate, number, values[at : at + size].reshape(-1, usual))
            for stamp, rate, number, at, size in zip(*columns, strict=True)
        ]

    def _tables(self, table: StampedTable) -> Iterator[EmgTable | NDArray[np.int64]]:
        read = emg_table(table)
        yield table.numbers if read is None else read

    def _table_of(self, message: Any, numbers: NDArray[np.int64]) -> EmgTable:
        return EmgTable(
            numbers,
            np.array([stamp_to_ns(message.header.stamp)]),
            str(message.header.frame_id),
            np.array([message.sampling_rate], dtype=np.float64),
            np.array([message.first_sample], dtype=np.uint64),
            np.array([message.channels], dtype=np.int64),
            np.asarray(message.samples, dtype=np.float32).reshape(1, -1),
        )

    def _take(self, table: EmgTable, log_ns: NDArray[np.int64], turns: NDArray[np.int64]) -> None:
        size = table.values.shape[1]
        channels, rates = table.channels, table.rates
        sound = (channels >= 1) & (size > 0) & (rates >= LOWEST_RATE) & (rates <= HIGHEST_RATE)
        sound &= size % np.maximum(channels, 1) == 0
        for place in np.flatnonzero(~sound).tolist():
            fault = emg_fault(int(channels[place]), size, float(rates[place]))
            self.left_out.add(f'malformed: {fault}')
        if not sound.any():
            return
        if not self._columns:
            needed = self._expected * (size * 4 + _BYTES_PER_CHUNK)
            check_memory(needed, f'EMG of {self._expected} messages')
        kept = int(sound.sum())
        starts = self._values.size + size * np.arange(kept)
        self._values.append(table.values if kept == len(sound) else table.values[sound])
        self._columns.append(
            (
                log_ns[sound],
                turns[sound],
                table.stamps_ns[sound],
                rates[sound],
                table.first[sound],
                channels[sound],
                starts,
                np.full(kept, size),
            )
        )


class ReferenceCollector(Collector):
    """Collects JointState messages with any joints."""

    type_name = REFERENCE_TYPE

    def __init__(self) -> None:
        """Start without messages."""
        super().__init__()
        self._rows = ReferenceRows(self.left_out)

    def track(self) -> JointTrack | None:
        """Return the angles in order of their stamps, None without a message."""
        return self._rows.track()

    def _tables(self, table: StampedTable) -> Iterator[StateTable | NDArray[np.int64]]:
        return state_tables(table)

    def _table_of(self, message: Any, numbers: NDArray[np.int64]) -> StateTable:
        return StateTable(
            numbers,
            np.array([stamp_to_ns(message.header.stamp)]),
            tuple(message.name),
            np.asarray(message.position, dtype=np.float64).reshape(1, -1),
        )

    def _take(
        self,
        table: StateTable,
        log_ns: NDArray[np.int64],  # noqa: ARG002 - one signature for all
        turns: NDArray[np.int64],
    ) -> None:
        self._rows.add(turns, table.stamps_ns, table.names, table.positions)


class LabelCollector(Collector):
    """Collects MovementLabel messages into a track."""

    type_name = LABEL_TYPE

    def __init__(self) -> None:
        """Start without messages."""
        super().__init__()
        self._columns: list[tuple[NDArray[np.int64], ...]] = []

    def track(self) -> LabelTrack | None:
        """Return the labels in order of their stamps, None without a message."""
        if not self._columns:
            return None
        log_ns, turns, stamps, movement, repetition = (
            np.concatenate(column) for column in zip(*self._columns, strict=True)
        )
        order = np.lexsort((turns, log_ns, stamps))
        return LabelTrack(stamps[order], movement[order], repetition[order])

    def _tables(self, table: StampedTable) -> Iterator[LabelTable | NDArray[np.int64]]:
        read = label_table(table)
        yield table.numbers if read is None else read

    def _table_of(self, message: Any, numbers: NDArray[np.int64]) -> LabelTable:
        return LabelTable(
            numbers,
            np.array([stamp_to_ns(message.header.stamp)]),
            np.array([message.movement], dtype=np.int64),
            np.array([message.repetition], dtype=np.int64),
        )

    def _take(
        self, table: LabelTable, log_ns: NDArray[np.int64], turns: NDArray[np.int64]
    ) -> None:
        self._columns.append((log_ns, turns, table.stamps_ns, table.movement, table.repetition))
