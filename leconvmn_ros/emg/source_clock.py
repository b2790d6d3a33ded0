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

"""One interpretation of the counter and the stamps of an EMG source: order, gaps and times.

All code that asks whether a source restarted, whether samples are missing or when a sample was
taken asks here: the decoder and its training, the evaluation, the live view, latencies.

**Restarts.** A chunk belongs to a restart if its counter falls back while its stamp goes on, or if
its end is more than a second behind by counter or by clock (a looping bag). If it is less behind,
it is late or a duplicate. If the counter goes on while the stamp is off by more than a second, the
clock was set.

**Wrapping counters.** Many devices count in one or two bytes. A counter has wrapped if it falls
back by a power of two while its stamps go on as they should, or if it falls back twice by the same
amount. From then on it is unwrapped.

**Stamps.** A stamp is used as long as it agrees with the counter within half a sample, or 15 % of
the duration of a message: this follows a rate that drifts, or differs slightly from the stated
one. A stamp that disagrees (one for a whole batch, or transport jitter) is replaced by the time
that the counter gives. Stamps are used again once they have stayed early or late for half a
second, or are off by more than a batch can explain. A stamp equal to the one before carries no
information.
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum
from math import log2
from typing import NamedTuple

from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
import numpy as np
from numpy.typing import NDArray

# A chunk whose end lies further back than this, by counter or by clock, belongs to a restart.
RESTART_AFTER_NS = NANOSECONDS
JITTER = 0.15  # of the duration of a message
PERSISTENT_NS = NANOSECONDS // 2
LONGEST_BATCH_NS = NANOSECONDS // 4
_FEWEST_PERSISTENT = 5
_LEAST_MODULUS = 2**7
_GREATEST_MODULUS = 2**32

# Allowed deviation of the measured rate from the stated one.
RATE_TOLERANCE = 0.01
CONTRADICTION = 0.2
_POINT_EVERY_NS = NANOSECONDS // 5
_MOST_POINTS = 150
_SHORTEST_NS = 5 * NANOSECONDS


class Step(Enum):
    """The relation of a chunk to the one before."""

    FIRST = 'first'
    NEXT = 'next'
    LATE = 'late'
    STARTED_AGAIN = 'started again'
    CLOCK_SET = 'clock set'


class Reading(NamedTuple):
    """A chunk as interpreted.

    Attributes:
        chunk: the chunk with an unwrapped counter and the time of its first sample.
        step: its relation to the chunk before.
        missing: samples missing before it; negative = that many samples are already known.
    """

    chunk: EmgChunk
    step: Step
    missing: int


class SourceClock:
    """Follows the chunks of one source.

    Attributes:
        modulus: value at which the counter wraps, None if it has not been seen to wrap.
        wraps: number of wraps.
        counted_on: chunks whose stamp was replaced.
    """

    def __init__(self, sampling_rate: float | None = None) -> None:
        """Expect a source of this rate (Hz), or of the rate stated in its chunks."""
        self._known_rate = sampling_rate
        self.modulus: int | None = None
        self.wraps = 0
        self.counted_on = 0
        self.reset()

    def reset(self) -> None:
        """Expect a new source."""
        self.modulus = None
        self._fell_by: int | None = None
        self._next: int | None = None
        self._offset = 0
        self._end_ns = 0
        self._last_stamp_ns = 0
        self._off: deque[tuple[int, int]] = deque()
        self.rate = RateMeter()

    def read(self, chunk: EmgChunk) -> Reading:
        """Interpret the next chunk."""
        self._period_ns = NANOSECONDS / (self._known_rate or chunk.sampling_rate)
        if self._next is None:
            return self._start(chunk, Step.FIRST)
        first = self._unwrapped(chunk, self._next)
        if first != chunk.first_sample:
            chunk = chunk._replace(first_sample=first)
        missing = first - self._next
        late = missing < 0
        if late and self._started_again(chunk, missing):
            return self._start(chunk, Step.STARTED_AGAIN)
        if self._end_ns - self._own_end_ns(chunk) > RESTART_AFTER_NS:
            return self._start(chunk, Step.CLOCK_SET if not late else Step.STARTED_AGAIN)
        due_ns = self._end_ns + round(missing * self._period_ns)
        if not late and abs(chunk.stamp_ns - due_ns) > RESTART_AFTER_NS:
            return self._start(chunk, Step.CLOCK_SET, missing)
        if late:
            taken = chunk._replace(stamp_ns=self._late_stamp_ns(chunk, due_ns))
            if first + len(chunk.samples) > self._next:
                self._advance(taken)
            return Reading(taken, Step.LATE, missing)
        believed_ns = self._believed_ns(chunk, due_ns)
        taken = chunk if believed_ns == chunk.stamp_ns else chunk._replace(stamp_ns=believed_ns)
        self.rate.add(first, chunk.stamp_ns)
        self._last_stamp_ns = chunk.stamp_ns
        self._advance(taken)
        return Reading(taken, Step.NEXT, missing)

    def _start(self, chunk: EmgChunk, step: Step, missing: int = 0) -> Reading:
        if step is Step.STARTED_AGAIN:
            chunk = chunk._replace(first_sample=chunk.first_sample - self._offset)
            self._offset = 0
        self._off.clear()
        self.rate = RateMeter()
        self.rate.add(chunk.first_sample, chunk.stamp_ns)
        self._last_stamp_ns = chunk.stamp_ns
        self._advance(chunk)
        return Reading(chunk, step, missing)

    def _advance(self, chunk: EmgChunk) -> None:
        self._next = chunk.first_sample + len(chunk.samples)
        self._end_ns = self._own_end_ns(chunk)

    def _own_end_ns(self, chunk: EmgChunk) -> int:
        return chunk.stamp_ns + round(len(chunk.samples) * self._period_ns)

    def _goes_on(self, chunk: EmgChunk) -> bool:
        """Whether the stamp is later than all samples so far, with rounding."""
        return chunk.stamp_ns > self._end_ns - self._period_ns / 2

    def _started_again(self, chunk: EmgChunk, missing: int) -> bool:
        """Tell a restart from a late message, when a counter fell back."""
        # Compare ends: a long duplicate chunk starts far back.
        behind_ns = (-missing - len(chunk.samples)) * self._period_ns
        return self._goes_on(chunk) or behind_ns > RESTART_AFTER_NS

    def _unwrapped(self, chunk: EmgChunk, following: int) -> int:
        """Return the unwrapped counter."""
        counter = chunk.first_sample + self._offset
        fell_by = following - counter
        since_ns = chunk.stamp_ns - self._end_ns
        if fell_by <= 0 or not self._goes_on(chunk) or since_ns > LONGEST_BATCH_NS:
            return counter
        by_stamps = fell_by + since_ns / self._period_ns
        if self.modulus is None:
            self.modulus = self._found_modulus(chunk, following - self._offset, fell_by, by_stamps)
        if self.modulus is None:
            return counter
        turns = round(by_stamps / self.modulus)
        self._offset += turns * self.modulus
        self.wraps += turns
        return counter + turns * self.modulus

    def _found_modulus(
        self, chunk: EmgChunk, following: int, fell_by: int, by_stamps: float
    ) -> int | None:
        power = 1 << max(0, round(log2(max(by_stamps, 1.0))))
        tolerance = 2 + 0.02 * NANOSECONDS / self._period_ns
        lost = power - fell_by
        if (
            _LEAST_MODULUS <= power <= _GREATEST_MODULUS
            and following <= power
            and lost >= 0
            and (lost == 0 or abs(power - by_stamps) <= min(tolerance, power / 8))
        ):
            return power
        repeated = fell_by == self._fell_by and fell_by > 2 * len(chunk.samples)
        self._fell_by = fell_by
        return fell_by if repeated else None

    def _believed_ns(self, chunk: EmgChunk, due_ns: int) -> int:
        """Return the time of the first sample (ns), from the stamp or from the counter."""
        off_ns = chunk.stamp_ns - due_ns
        if chunk.stamp_ns == self._last_stamp_ns:
            self.counted_on += 1
            return due_ns
        if abs(off_ns) <= self._tolerance_ns(chunk) or abs(off_ns) > LONGEST_BATCH_NS:
            self._off.clear()
            return chunk.stamp_ns
        self._off.append((due_ns, off_ns))
        while self._off[0][0] < due_ns - PERSISTENT_NS:
            self._off.popleft()
        offs = [off for _, off in self._off]
        long = due_ns - self._off[0][0] > 0.9 * PERSISTENT_NS - self._period_ns
        if len(offs) >= _FEWEST_PERSISTENT and long and min(offs) * max(offs) > 0:
            self._off.clear()
            return due_ns + min(offs, key=abs)
        self.counted_on += 1
        return due_ns

    def _late_stamp_ns(self, chunk: EmgChunk, due_ns: int) -> int:
        near = abs(chunk.stamp_ns - due_ns) <= self._tolerance_ns(chunk)
        return chunk.stamp_ns if near else due_ns

    def _tolerance_ns(self, chunk: EmgChunk) -> float:
        return max(0.5, JITTER * len(chunk.samples)) * self._period_ns


class ChunkColumns(NamedTuple):
    """Counters, lengths and stamps (ns) of chunks, shape (chunks,) each."""

    first: NDArray[np.int64]
    lengths: NDArray[np.int64]
    stamps_ns: NDArray[np.int64]


def chunk_columns(chunks: Sequence[EmgChunk]) -> ChunkColumns:
    """Return the columns of chunks; counters beyond 63 bits are cut."""
    count = len(chunks)
    mask = 2**63 - 1
    return ChunkColumns(
        np.fromiter((chunk.first_sample & mask for chunk in chunks), np.int64, count),
        np.fromiter((len(chunk.samples) for chunk in chunks), np.int64, count),
        np.fromiter((chunk.stamp_ns for chunk in chunks), np.int64, count),
    )


def follow_plainly(columns: ChunkColumns, sampling_rate: float) -> bool:
    """Whether a new clock of this rate (Hz) would take all chunks unchanged, each as the next one.

    True for most recordings, and ten times as fast as reading chunk by chunk.
    """
    first, lengths, stamps_ns = columns
    period_ns = NANOSECONDS / sampling_rate
    due_ns = stamps_ns[:-1] + np.round(lengths[:-1] * period_ns).astype(np.int64)
    allowed_ns = np.minimum(np.maximum(0.5, JITTER * lengths[1:]) * period_ns, RESTART_AFTER_NS)
    plain = first[1:] == first[:-1] + lengths[:-1]
    plain &= stamps_ns[1:] != stamps_ns[:-1]
    plain &= np.abs(stamps_ns[1:] - due_ns) <= allowed_ns
    return bool(plain.all())


class RateMeter:
    """Measures the rate of a source from counter and stamps over the last half minute."""

    def __init__(self) -> None:
        # Counter and stamp (ns) relative to the first message, in a ring buffer.
        self._points = np.empty((_MOST_POINTS, 2), dtype=np.int64)
        self._count = 0
        self._start, self._newest_ns = (0, 0), 0

    def add(self, first_sample: int, stamp_ns: int) -> None:
        """Add the counter and stamp of a message."""
        if not self._count:
            self._start = (first_sample, stamp_ns)
        elif stamp_ns - self._start[1] - self._newest_ns < _POINT_EVERY_NS:
            return
        point = (first_sample - self._start[0], stamp_ns - self._start[1])
        if max(map(abs, point)) >= 2**62:
            return
        self._points[self._count % _MOST_POINTS] = point
        self._count += 1
        self._newest_ns = point[1]

    def measured(self) -> float | None:
        """Return the rate (Hz), None while there are too few messages."""
        known = min(self._count, _MOST_POINTS)
        points = np.roll(self._points[:known], -(self._count % known) if known else 0, axis=0)
        if not known or points[-1, 1] - points[0, 1] < _SHORTEST_NS:
            return None
        return fitted_rate(points[:, 0], points[:, 1])


def fitted_rate(counters: NDArray[np.int64], stamps_ns: NDArray[np.int64]) -> float | None:
    """Return the rate of a source (Hz): the median slope over half of the time.

    It is robust against jitter and single wrong stamps (Theil and Sen; Sen, J. Am. Stat. Assoc. 63
    (1968) 1379, for pairs that are half of the points apart).

    Args:
        counters: number of samples before each message, shape (messages,).
        stamps_ns: times of their first samples (ns), shape (messages,).
    """
    half = len(counters) // 2
    if half < 1:
        return None
    samples = counters[half:] - counters[: len(counters) - half]
    durations = stamps_ns[half:] - stamps_ns[: len(stamps_ns) - half]
    usable = durations > 0
    if not usable.any():
        return None
    return float(np.median(samples[usable] / durations[usable])) * NANOSECONDS


def contradicts(said: float, measured: float | None) -> bool:
    """Whether a measured rate is too far from the stated one (Hz) to be accepted."""
    return measured is not None and not abs(measured - said) <= CONTRADICTION * said
