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

"""Keeps the newest EMG in bounded memory, whatever comes in."""

from collections import deque
from itertools import pairwise

from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
import numpy as np
from numpy.typing import NDArray

LARGEST = 64 * 2**20  # bytes
# Stretches without a gap; of a source with more of them the newest are kept.
MOST_STRETCHES = 100
# Between stretches, in what `chunks` returns (s).
_GAP = 10


class EmgMemory:
    """A ring of samples, and where in it a stretch without a gap begins."""

    def __init__(self, channels: int, sampling_rate: float, seconds: float) -> None:
        """Prepare.

        Args:
            channels: of every sample.
            sampling_rate: of the samples (Hz).
            seconds: how much is kept, if that is no more than LARGEST.
        """
        most = max(1, LARGEST // (4 * channels))
        length = max(1, min(most, round(seconds * sampling_rate)))
        self._ring = np.zeros((length, channels), dtype=np.float32)
        self._rate = sampling_rate
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        # Both count all samples that ever came.
        self._end = 0
        self._begins: deque[int] = deque([0], maxlen=MOST_STRETCHES)

    def __len__(self) -> int:
        """Return how many samples are kept."""
        return self._end - self._oldest

    @property
    def _oldest(self) -> int:
        return max(self._begins[0], self._end - len(self._ring))

    def add(self, samples: NDArray[np.float32], *, restart: bool) -> None:
        """Take samples.

        Args:
            samples: amplitudes (V), shape (samples, channels).
            restart: whether they do not follow the last ones.
        """
        if restart and self._end > self._begins[-1]:
            self._begins.append(self._end)
        new = samples[-len(self._ring) :]
        self._end += len(samples)
        first = (self._end - len(new)) % len(self._ring)
        until_wrap = min(len(new), len(self._ring) - first)
        self._ring[first : first + until_wrap] = new[:until_wrap]
        self._ring[: len(new) - until_wrap] = new[until_wrap:]
        while len(self._begins) > 1 and self._begins[1] <= self._end - len(self._ring):
            self._begins.popleft()

    def chunks(self) -> list[EmgChunk]:
        """Return a copy, one chunk for each stretch, oldest first.

        Stamps and counter are made up: what the source says may be anything.
        """
        bounds = [self._oldest, *(b for b in self._begins if b > self._oldest), self._end]
        chunks = []
        for number, (begin, end) in enumerate(pairwise(bounds)):
            if begin == end:
                continue
            # Time zero could be taken for a missing stamp.
            gap = (number + 1) * _GAP
            place = begin - self._oldest
            stamp_ns = gap * NANOSECONDS + round(place * NANOSECONDS / self._rate)
            samples = self._ring.take(range(begin, end), axis=0, mode='wrap')
            chunks.append(EmgChunk(stamp_ns, self._rate, place + round(gap * self._rate), samples))
        return chunks
