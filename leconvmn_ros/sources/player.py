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

"""Plays known samples in real time, as a device would send them."""

import time
from typing import NamedTuple

from leconvmn_ros.sources.contract import Reading
import numpy as np
from numpy.typing import NDArray


class Track(NamedTuple):
    """A run of samples.

    Attributes:
        samples: shape (samples, channels).
        due: time of each sample after the start (s), shape (samples,), not decreasing.
        numbers: number of each sample, shape (samples,); steps above 1 are losses.
    """

    samples: NDArray[np.floating]
    due: NDArray[np.float64]
    numbers: NDArray[np.int64]


class Player:
    """Plays a track in real time, once or in a loop."""

    def __init__(self, track: Track, *, speed: float = 1.0, loop: bool = False) -> None:
        """Start now.

        Args:
            track: the track to play.
            speed: seconds of the track per second.
            loop: start again at the end, with continuing numbers.
        """
        self._track = track
        self._speed = speed
        self._loop = loop
        self._place = 0
        self._start = time.time()
        self._laps = 0
        # Time from the first sample of a lap to that of the next.
        period = float(track.due[-1]) / max(len(track.due) - 1, 1)
        self._length = float(track.due[-1]) + period

    @property
    def over(self) -> bool:
        """Whether the track has ended."""
        return self._place == len(self._track.due) and not self._loop

    def read(self) -> Reading | None:
        """Return the samples that have become due since the last call."""
        if self._place == len(self._track.due):
            if not self._loop:
                return None
            self._place, self._laps = 0, self._laps + 1
            self._start += self._length / self._speed
        played = (time.time() - self._start) * self._speed
        end = int(np.searchsorted(self._track.due, played, 'right'))
        part = slice(self._place, end)
        if end <= self._place:
            return None
        self._place = end
        lap = self._laps * (int(self._track.numbers[-1]) + 1)
        return Reading(
            self._track.samples[part],
            self._start + self._track.due[part] / self._speed,
            self._track.numbers[part] + lap,
        )
