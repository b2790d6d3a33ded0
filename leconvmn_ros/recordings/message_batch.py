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

"""Serialized messages of one topic, many at a time.

A bag of one hour holds half a million messages. Handling them one by one costs more than all
other processing; handling them as arrays costs next to nothing.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 2**22


class BagMessage(NamedTuple):
    """A serialized message of a bag.

    Attributes:
        topic: topic name.
        type_name: message type.
        log_ns: log time (ns).
        data: serialized message (CDR).
    """

    topic: str
    type_name: str
    log_ns: int
    data: bytes


class MessageBatch(NamedTuple):
    """Messages of one topic and one type.

    Attributes:
        topic: topic name.
        type_name: message type.
        log_ns: log times (ns), shape (messages,).
        data: memory that holds the serialized messages (CDR).
        starts: offset of each message in `data`, shape (messages,).
        ends: end of each message in `data`, shape (messages,).
    """

    topic: str
    type_name: str
    log_ns: NDArray[np.int64]
    data: bytes
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def message(self, number: int) -> bytes:
        """Return one serialized message."""
        return self.data[int(self.starts[number]) : int(self.ends[number])]

    def by_length(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Yield, for each length, the numbers of the messages and their bytes, one per row."""
        lengths = self.ends - self.starts
        view = memoryview(self.data)
        for length in np.unique(lengths).tolist():
            numbers = np.flatnonzero(lengths == length)
            parts = [view[start : start + length] for start in self.starts[numbers].tolist()]
            joined = np.frombuffer(b''.join(parts), dtype=np.uint8)
            yield numbers, joined.reshape(len(numbers), length)


def batched(messages: Iterable[BagMessage]) -> Iterator[MessageBatch]:
    """Gather messages of any topics into batches, keeping the order within each topic."""
    waiting: dict[tuple[str, str], list[BagMessage]] = {}
    size = 0
    for message in messages:
        waiting.setdefault((message.topic, message.type_name), []).append(message)
        size += len(message.data)
        if size > MOST_BYTES:
            yield from map(_batch, waiting.values())
            waiting, size = {}, 0
    yield from map(_batch, waiting.values())


def _batch(messages: list[BagMessage]) -> MessageBatch:
    ends = np.cumsum([len(message.data) for message in messages], dtype=np.int64)
    return MessageBatch(
        messages[0].topic,
        messages[0].type_name,
        np.array([message.log_ns for message in messages], dtype=np.int64),
        b''.join(message.data for message in messages),
        np.concatenate(([0], ends[:-1])),
        ends,
    )
