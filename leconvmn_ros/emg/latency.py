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

"""Measures latency: from the EMG message that completed an estimate to its arrival."""

from collections import deque
from typing import NamedTuple

from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.emg.source_clock import SourceClock, Step

# EMG messages kept to find the one that completed an estimate. An estimate may arrive up to this
# many messages later.
EMG_MEMORY = 2000
# Estimates kept that arrived before their EMG message; the two travel separately.
ESTIMATE_MEMORY = 100


class _Arrival(NamedTuple):
    stamp_ns: int
    received_ns: int


class _EmgMessage(NamedTuple):
    first_ns: int
    end_ns: int
    published_ns: int

    def completed(self, estimate: _Arrival) -> bool:
        return (
            self.first_ns <= estimate.stamp_ns < self.end_ns
            and self.published_ns <= estimate.received_ns
        )


class Latency:
    """Matches estimates with the EMG messages that completed them.

    `published_ns` and `received_ns` are times of the system clock as reported by the middleware,
    so they are comparable between processes of one machine, whatever the stamps in the messages.
    """

    def __init__(self) -> None:
        self._clock = SourceClock()
        self._emg: deque[_EmgMessage] = deque(maxlen=EMG_MEMORY)
        self._waiting: deque[_Arrival] = deque(maxlen=ESTIMATE_MEMORY)

    def add_emg(self, chunk: EmgChunk, published_ns: int) -> list[int]:
        """Add EMG, and return the latencies (ns) of estimates that arrived before it."""
        chunk, step, _ = self._clock.read(chunk)
        message = _EmgMessage(chunk.stamp_ns, chunk.end_ns, published_ns)
        again = step in (Step.STARTED_AGAIN, Step.CLOCK_SET)
        if again and self._emg and message.end_ns < self._emg[-1].end_ns:
            self._emg.clear()  # stamps repeat in a looping bag
        self._emg.append(message)
        matched = [arrival for arrival in self._waiting if message.completed(arrival)]
        for arrival in matched:
            self._waiting.remove(arrival)
        return [arrival.received_ns - published_ns for arrival in matched]

    def add_estimate(self, stamp_ns: int, received_ns: int) -> list[int]:
        """Add an estimate, and return its latency (ns), or nothing if its EMG has not arrived."""
        arrival = _Arrival(stamp_ns, received_ns)
        # The newest first: in a loop the stamps repeat.
        message = next((m for m in reversed(self._emg) if m.completed(arrival)), None)
        if message is None:
            self._waiting.append(arrival)
            return []
        return [received_ns - message.published_ns]
