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

"""Records when the chunks of a source were published and when their estimates came back."""

from collections.abc import Iterator
from typing import Any

from leconvmn_ros.core.percentiles import percentiles
from leconvmn_ros.core.recording import NANOSECONDS
from leconvmn_ros.emg.steady_stream import missing_between
import numpy as np

# Logged by the source when it begins.
PUBLISHING = 'publishing'


class RoundTrip:
    """Keeps the times of published chunks and received estimates."""

    def __init__(self, chunk: int, sampling_rate: float, chunks: int) -> None:
        """Plan a number of chunks of `chunk` samples each."""
        self._period_ns = NANOSECONDS / sampling_rate
        self._chunk = chunk
        self._left_ns = np.zeros(chunks, dtype=np.int64)
        self._came: list[tuple[int, int]] = []
        self._start_ns = self._first_stamp_ns = 0

    def begin(self, now_ns: int, wall_ns: int) -> int:
        """Start now, with the first sample; return its stamp.

        Args:
            now_ns: the monotonic clock, used for all times.
            wall_ns: the same moment by the clock of the stamps.
        """
        self._start_ns, self._first_stamp_ns = now_ns, wall_ns
        return now_ns

    def plan(self) -> Iterator[tuple[int, int, int]]:
        """Yield number, stamp of the first sample and time due (ns) of each chunk.

        A chunk is due when its last sample has been taken.
        """
        for number in range(len(self._left_ns)):
            first = number * self._chunk
            yield (
                number,
                self._first_stamp_ns + round(first * self._period_ns),
                self._start_ns + round((first + self._chunk - 1) * self._period_ns),
            )

    def left(self, number: int, now_ns: int) -> None:
        """Note the publication of a chunk."""
        self._left_ns[number] = now_ns

    def came(self, stamp_ns: int, now_ns: int) -> None:
        """Note the arrival of an estimate with the stamp of its last sample."""
        self._came.append((stamp_ns, now_ns))

    def report(self) -> dict[str, Any]:
        """Return counts and latencies as JSON values.

        `latency_ms` runs from the publication of the chunk with the last sample of an estimate to
        the estimate's arrival; `gaps` are estimates missing between two others.
        """
        sent = self._left_ns[self._left_ns > 0]
        due = np.array([due for _, _, due in self.plan()])[: len(sent)]
        stamps, times = np.array(self._came, dtype=np.int64).reshape(-1, 2).T
        last = np.rint((stamps - self._first_stamp_ns) / self._period_ns).astype(np.int64)
        of_chunk = last // self._chunk
        known = (of_chunk >= 0) & (of_chunk < len(sent))
        latency_ms = (times[known] - sent[of_chunk[known]]) / 1e6
        return {
            'chunks': len(sent),
            'late_ms': percentiles((sent - due) / 1e6),
            'estimates': len(stamps),
            'gaps': missing_between(stamps),
            'latency_ms': percentiles(latency_ms),
        }
