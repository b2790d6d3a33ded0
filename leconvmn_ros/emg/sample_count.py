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

"""Counts the samples of a source that never arrived."""

from collections import deque

from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.emg.source_clock import SourceClock, Step

# Gaps kept that a late message may still fill.
MOST_HOLES = 100


class SampleCount:
    """Follows the counter in the messages of one source.

    Attributes:
        lost: samples that never arrived; late ones are not lost.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._clock = SourceClock()
        # First sample, last + 1.
        self._holes: deque[tuple[int, int]] = deque(maxlen=MOST_HOLES)

    def add(self, chunk: EmgChunk) -> None:
        """Count the next message."""
        chunk, step, missing = self._clock.read(chunk)
        first = chunk.first_sample
        if step is Step.STARTED_AGAIN:
            self._holes.clear()
        elif step is Step.LATE:
            self._fill(first, first + len(chunk.samples))
        elif missing > 0:
            self.lost += missing
            self._holes.append((first - missing, first))

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
