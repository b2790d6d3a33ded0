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

"""Assigns running numbers to samples, from the device's counter and from time.

An 8-bit counter wraps every 256 samples, so 3 and 259 lost samples look alike; only the elapsed
time tells them apart. For a device without a counter there is only time.
"""

from typing import NamedTuple

from leconvmn_ros.sources.contract import DeviceCounter
import numpy as np
from numpy.typing import NDArray

# A counter is trusted if it grows as described for this many samples at first.
PROBATION = 100  # samples
LEAST_SHARE = 0.9


class Numbered(NamedTuple):
    """The samples of a reading with their numbers.

    Attributes:
        keep: whether each sample of the reading is new, shape (samples,), not a duplicate;
            None = all are.
        numbers: running number of each sample kept.
    """

    keep: NDArray[np.bool_] | None
    numbers: NDArray[np.int64]


class SampleNumbers:
    """Numbers the samples of one device; it uses no clock.

    Attributes:
        next_number: number of the next sample if none is lost.
        counter_ignored: whether the device's counter is ignored, because it does not grow as
            described.
    """

    def __init__(self, counter: DeviceCounter | None) -> None:
        """Start with the number 0."""
        self.next_number = 0
        self.counter_ignored = False
        self._counter = counter
        self._last_raw: int | None = None
        self._steps = 0
        self._expected_steps = 0

    @property
    def turn(self) -> int:
        """Largest loss that goes unseen in the counter; 1 = the device does not count."""
        if self._counter is None:
            return 1
        return 0 if self._counter.turn is None else self._counter.turn // self._counter.step

    def number(self, count: int, raw: NDArray[np.int64] | None) -> Numbered:
        """Number a contiguous reading; small losses show in the counter.

        Args:
            count: number of samples in the reading, at least 1.
            raw: counter of the device, if it has one.
        """
        if self._counter is None or raw is None:
            return self._one_after_another(count)
        differences = raw.copy()
        differences[1:] -= raw[:-1]
        differences[0] -= raw[0] - self._counter.step if self._last_raw is None else self._last_raw
        self._last_raw = int(raw[-1])
        self._judge(differences)
        if self._counter is None:
            return self._one_after_another(count)
        if self._counter.turn is None:
            # It falls back only when the device restarts; time then shows what was lost.
            return self._done(np.maximum(differences // self._counter.step, 1))
        return self._done(differences % self._counter.turn // self._counter.step)

    def resume(self, count: int, raw: NDArray[np.int64] | None, elapsed: float) -> Numbered:
        """Number the first reading after an interruption.

        Args:
            count: number of samples in the reading, at least 1.
            raw: counter of the device, if it has one that went on counting.
            elapsed: time from the last numbered sample to the last one of this reading, in
                samples.
        """
        steps = np.ones(count, dtype=np.int64)
        first = max(round(elapsed) - count + 1, 1)
        if raw is not None and self._counter is not None and self._last_raw is not None:
            if self._counter.turn is None:
                counted = (int(raw[0]) - self._last_raw) // self._counter.step
                first = counted if counted > 0 else first
            else:
                counted = (int(raw[0]) - self._last_raw) % self._counter.turn // self._counter.step
                first = max(counted + self.turn * round((first - counted) / self.turn), 1)
        steps[0] = first
        self._last_raw = None if raw is None else int(raw[-1])
        return self._done(steps)

    def skip(self, samples: int) -> None:
        """Note that this many more samples were lost than the counter shows."""
        self.next_number += samples

    def _one_after_another(self, count: int) -> Numbered:
        numbers = np.arange(self.next_number, self.next_number + count)
        self.next_number += count
        return Numbered(None, numbers)

    def _done(self, steps: NDArray[np.int64]) -> Numbered:
        numbers = steps.cumsum() + (self.next_number - 1)
        keep = None if steps.all() else steps > 0
        self.next_number = int(numbers[-1]) + 1
        return Numbered(keep, numbers if keep is None else numbers[keep])

    def _judge(self, differences: NDArray[np.int64]) -> None:
        """Ignore a counter that does not count samples, such as one for whole packets."""
        if self._counter is None or self._steps >= PROBATION:
            return
        modulo = differences if self._counter.turn is None else differences % self._counter.turn
        self._steps += len(differences)
        self._expected_steps += int(np.sum(modulo == self._counter.step))
        if self._steps >= PROBATION and self._expected_steps < LEAST_SHARE * self._steps:
            self._counter = None
            self.counter_ignored = True
