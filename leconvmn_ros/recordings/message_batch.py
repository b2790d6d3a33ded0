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

"""Messages of one topic as they lie in a bag, many at a time.

A bag of an hour holds half a million messages. Handled one by one they cost more than everything
else that is done with them; handled as arrays they cost next to nothing.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 2**22


class BagMessage(NamedTuple):
    """A message as it lies in the bag.

    Attributes:
        topic: topic name.
        type_name: message type.
        log_ns: when it was recorded (ns).
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
        log_ns: when each was recorded (ns), shape (messages,).
        data: memory that holds the serialized messages (CDR).
        starts: where each message starts in `data`, shape (messages,).
        ends: where each message ends in `data`, shape (messages,).
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
        """Yield the messages of each length: their numbers, and their bytes, one message a row."""
        lengths = self.ends - self.starts
        view = memoryview(self.data)
        for length in np.unique(lengths).tolist():
            numbers = np.flatnonzero(lengths == length)
            parts = [view[start : start + length] for start in self.starts[numbers].tolist()]
            joined = np.frombuffer(b''.join(parts), dtype=np.uint8)
            yield numbers, joined.reshape(len(numbers), length)


def batched(messages: Iterable[BagMessage]) -> Iterator[MessageBatch]:
    """Gather messages of any topics into batches; the order within a topic is kept."""
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
