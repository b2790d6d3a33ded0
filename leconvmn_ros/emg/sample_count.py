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

"""Counts the samples that a source took but that never came."""

from collections import deque

from leconvmn_ros.emg.intake import RESTART_AFTER_NS
from leconvmn_ros.recording import EmgChunk, NANOSECONDS

# Holes that a late message may still fill.
MOST_HOLES = 100


class SampleCount:
    """Follows the counter in the messages of one source.

    Attributes:
        lost: samples that did not come; one that comes late is not lost.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._next: int | None = None
        self._end_ns = 0
        # First sample, last + 1.
        self._holes: deque[tuple[int, int]] = deque(maxlen=MOST_HOLES)

    def add(self, chunk: EmgChunk) -> None:
        """Take note of the next message."""
        first, end = chunk.first_sample, chunk.first_sample + len(chunk.samples)
        if self._next is None or self._restarts(chunk, self._next - end):
            self._holes.clear()
        elif first > self._next:
            self.lost += first - self._next
            self._holes.append((self._next, first))
        else:
            self._fill(first, end)
            if end <= self._next:
                return
        self._next, self._end_ns = end, chunk.end_ns

    def _restarts(self, chunk: EmgChunk, behind: int) -> bool:
        """Tell a source that starts again, or a bag that loops, from a late message."""
        sample_ns = NANOSECONDS / chunk.sampling_rate
        fell_back_ns = max(self._end_ns - chunk.end_ns, behind * sample_ns)
        # Half a sample: stamps are rounded.
        counter_alone = behind > -len(chunk.samples) and (
            chunk.stamp_ns > self._end_ns - sample_ns / 2
        )
        return counter_alone or fell_back_ns > RESTART_AFTER_NS

    def _fill(self, first: int, end: int) -> None:
        for _ in range(len(self._holes)):
            start, stop = self._holes.popleft()
            filled = range(max(start, first), min(stop, end))
            if not filled:
                self._holes.append((start, stop))
                continue
            self.lost -= len(filled)
            rest = ((start, filled.start), (filled.stop, stop))
            self._holes.extend(hole for hole in rest if hole[0] < hole[1])
