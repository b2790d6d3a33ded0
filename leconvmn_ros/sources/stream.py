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

"""Turns the readings of a device into the chunks of EMG messages.

It is common to all sources: volts, selected channels, running numbers and acquisition times. A
backlog after an interruption is dropped and counted: a hand must not do now what was intended
seconds ago.
"""

from dataclasses import asdict, dataclass

from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.sources.contract import Reading, SourceDescription
from leconvmn_ros.sources.sample_clock import SampleClock
from leconvmn_ros.sources.sample_numbers import Numbered, SampleNumbers
import numpy as np
from numpy.typing import NDArray

# Silence after which the link counts as interrupted (s); stalls of a healthy link are shorter.
SILENCE = 0.5
# Samples that arrive later than this after they were taken are outdated (s).
GREATEST_AGE = 0.5
# After an interruption, a reading that covers more than this time is a backlog (s).
_BURST = 0.05
# How long samples must be late before losses or a changed clock are assumed (s).
_PATIENCE = 1.0
# Lateness of a link that is only slow (s).
_USUAL_LATENESS = 0.1


@dataclass
class StreamCounts:
    """Counts of samples received and lost; samples per channel."""

    samples: int = 0
    lost_samples: int = 0
    backlog_samples: int = 0
    repeated_samples: int = 0
    interruptions: int = 0
    clock_jumps: int = 0

    def faults(self) -> dict[str, int]:
        """Return the counters that indicate a fault and are not 0."""
        return {name: count for name, count in asdict(self).items() if count and name != 'samples'}


class EmgStream:
    """Turns the readings of one device into chunks.

    Attributes:
        counts: counts of samples received and lost.
        clock: estimates acquisition times.
        numbers: numbers the samples.
    """

    def __init__(
        self,
        description: SourceDescription,
        volts: float,
        columns: NDArray[np.intp],
        *,
        delay: float = 0.0,
        silence: float = SILENCE,
    ) -> None:
        """Prepare for one device.

        Args:
            description: its description.
            volts: volts per unit of the device.
            columns: its channels to pass on, in order.
            delay: known minimal time from skin to arrival (s).
            silence: time without samples after which the link counts as interrupted (s).
        """
        self.counts = StreamCounts()
        self.clock = SampleClock(description.sampling_rate)
        self.numbers = SampleNumbers(description.counter)
        self._rate = description.sampling_rate
        self._packet = description.packet
        self._volts = volts
        self._columns = columns
        self._delay = delay
        self._silence = silence
        self._polled: float | None = None
        self._newest: float | None = None
        self._numbered_at = 0.0
        self._interrupted = False
        self._device_restarted = False
        self._dropped = 0
        self._least_delay = np.inf
        self._watched_since = 0.0

    def reopened(self, now: float) -> None:
        """Note that the device was reopened: its counter may have restarted."""
        self._polled = now
        self._device_restarted = True
        if self._newest is not None and not self._interrupted:
            self._interrupt()

    def take(self, reading: Reading | None, now: float) -> list[EmgChunk]:
        """Return the chunks of a reading: one, or several if samples are missing between them.

        Args:
            reading: the samples since the last call, None if there are none.
            now: the time (s since 1970).
        """
        since_last_poll = 0.0 if self._polled is None else max(now - self._polled, 0.0)
        self._polled = now
        if reading is None or len(reading.times) == 0:
            return []
        newest, self._newest = self._newest, float(reading.times[-1])
        if newest is not None and reading.times[0] - newest > self._silence:
            self._interrupt()
        reading = self._without_the_past(reading, now, since_last_poll)
        if len(reading.times) == 0:
            return []
        numbered = self._number(reading)
        samples, times = reading.samples, reading.times
        if numbered.keep is not None:
            self.counts.repeated_samples += int(np.sum(~numbered.keep))
            samples, times = samples[numbered.keep], times[numbered.keep]
        if len(times) == 0:
            return []
        self.counts.samples += len(times)
        self._numbered_at = float(times[-1])
        self._follow(times, numbered.numbers)
        return self._chunks(samples, numbered.numbers)

    def _interrupt(self) -> None:
        if not self._interrupted:
            self.counts.interruptions += 1
        self._interrupted = True

    def _without_the_past(self, reading: Reading, now: float, since_last_poll: float) -> Reading:
        if not self._interrupted and reading.times[0] >= now - GREATEST_AGE:
            return reading
        old = reading.times < now - GREATEST_AGE
        if self._interrupted:
            most = self._rate * (since_last_poll + _BURST) + self._packet
            old |= len(reading.times) > most
        if not old.any():
            return reading
        if self.counts.samples:  # data that came while the link was opening are not a backlog
            self.counts.backlog_samples += int(np.sum(old))
            self._dropped += int(np.sum(old))
            # With samples dropped in between, time must give the numbers of those that follow.
            self._interrupted = True
        counter = None if reading.counter is None else reading.counter[~old]
        return Reading(reading.samples[~old], reading.times[~old], counter)

    def _number(self, reading: Reading) -> Numbered:
        before = self.numbers.next_number
        count, raw = len(reading.times), reading.counter
        if self._interrupted and self.counts.samples:
            elapsed = (float(reading.times[-1]) - self._numbered_at) * self.clock.rate
            trusted = None if self._device_restarted else raw
            numbered = self.numbers.resume(count, trusted, elapsed)
            self.clock.restart()
        else:
            numbered = self.numbers.number(count, raw)
        if self._interrupted or self._device_restarted:
            self._least_delay, self._watched_since = np.inf, float(reading.times[-1])
        self._interrupted = self._device_restarted = False
        missing = self.numbers.next_number - before - len(numbered.numbers)
        self.counts.lost_samples += max(missing - self._dropped, 0)
        self._dropped = 0
        return numbered

    def _follow(self, times: NDArray[np.float64], numbers: NDArray[np.int64]) -> None:
        """Give the clock the least late sample, and check whether all samples are late."""
        place = int(np.argmin(times - numbers / self.clock.rate))
        number, time = int(numbers[place]), float(times[place])
        if self.clock.started:
            delay = self.clock.delay(number, time)
            if delay < -_USUAL_LATENESS:
                self._restart_clock()
            self._least_delay = min(self._least_delay, delay)
        self.clock.add(number, time)
        if time - self._watched_since >= _PATIENCE:
            self._explain_lateness()
            self._least_delay, self._watched_since = np.inf, time

    def _explain_lateness(self) -> None:
        """Attribute lasting lateness to a loss that the counter could not show."""
        turn = self.numbers.turn
        lateness = self._least_delay
        if not np.isfinite(lateness) or lateness < max(
            _USUAL_LATENESS, turn / 2 * self.clock.period
        ):
            return
        lost = turn * round(lateness * self.clock.rate / turn) if turn else 0
        if lost:
            self.numbers.skip(lost)
            self.counts.lost_samples += lost
        else:
            self._restart_clock()

    def _restart_clock(self) -> None:
        self.clock.restart()
        self.counts.clock_jumps += 1
        self._least_delay = np.inf

    def _chunks(self, samples: NDArray[np.floating], numbers: NDArray[np.int64]) -> list[EmgChunk]:
        volts = np.asarray(samples[:, self._columns] * self._volts, dtype=np.float32)
        ends = [len(numbers)]
        if numbers[-1] - numbers[0] >= len(numbers):
            ends = [*(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
        chunks, begin = [], 0
        for end in ends:
            first = int(numbers[begin])
            stamp = self.clock.stamp(first) - self._delay
            chunks.append(
                EmgChunk(round(stamp * NANOSECONDS), self._rate, first, volts[begin:end])
            )
            begin = end
        return chunks
