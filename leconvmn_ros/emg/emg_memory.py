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

"""Keeps the newest EMG in bounded memory, whatever is received."""

from collections import deque
from itertools import pairwise

from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
import numpy as np
from numpy.typing import NDArray

LARGEST = 64 * 2**20  # bytes
# Most stretches without a gap; beyond, the oldest are dropped.
MOST_STRETCHES = 100
# Gap between the stretches that `chunks` returns (s).
_GAP = 10


class EmgMemory:
    """A ring buffer of samples with the starts of its stretches without a gap."""

    def __init__(self, channels: int, sampling_rate: float, seconds: float) -> None:
        """Allocate the buffer.

        Args:
            channels: number of channels.
            sampling_rate: sampling rate (Hz).
            seconds: duration to keep (s), limited by LARGEST.
        """
        most = max(1, LARGEST // (4 * channels))
        length = max(1, min(most, round(seconds * sampling_rate)))
        self._ring = np.zeros((length, channels), dtype=np.float32)
        self._rate = sampling_rate
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        # Both count all samples ever added.
        self._end = 0
        self._begins: deque[int] = deque([0], maxlen=MOST_STRETCHES)

    def __len__(self) -> int:
        """Return the number of samples kept."""
        return self._end - self._oldest

    @property
    def _oldest(self) -> int:
        return max(self._begins[0], self._end - len(self._ring))

    def add(self, samples: NDArray[np.float32], *, restart: bool) -> None:
        """Add samples.

        Args:
            samples: amplitudes (V), shape (samples, channels).
            restart: whether there is a gap before them.
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

        Stamps and counters are synthetic, because those of the source may be wrong.
        """
        bounds = [self._oldest, *(b for b in self._begins if b > self._oldest), self._end]
        chunks = []
        for number, (begin, end) in enumerate(pairwise(bounds)):
            if begin == end:
                continue
            # Not at time 0, which would look like a missing stamp.
            gap = (number + 1) * _GAP
            place = begin - self._oldest
            stamp_ns = gap * NANOSECONDS + round(place * NANOSECONDS / self._rate)
            first_sample = place + round(gap * self._rate)
            chunks.append(EmgChunk(stamp_ns, self._rate, first_sample, self._copied(begin, end)))
        return chunks

    def _copied(self, begin: int, end: int) -> NDArray[np.float32]:
        first, length = begin % len(self._ring), len(self._ring)
        until_wrap = min(end - begin, length - first)
        # Two slices: an index for each sample would hold up the decoder.
        parts = (self._ring[first : first + until_wrap], self._ring[: end - begin - until_wrap])
        return np.concatenate(parts)
