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

"""Between a source of EMG and the decoder: every chunk is checked, ordered and counted here.

The rules, one per fault:

=================================  ==============================================================
fault                              response
=================================  ==============================================================
other channel count or rate        the chunk is refused; where the rate is measured for each
                                   message, the median of the last ones counts
NaN or infinite sample             the chunk is refused
older than `greatest_age`          the chunk is refused; off by default, as stamps and arrival
                                   must be of one clock for that
samples missing, short gap         bridged: the newest samples are repeated backwards: the RMS
                                   stays
samples missing, long gap          the decoder resets
samples repeated or late           those already decoded (or bridged) are dropped
counter or time fell back          the source started again, or a bag loops: the decoder starts
                                   afresh
counter goes on, time jumps        the clock was set, or the counter stood still while the source
                                   did: the decoder resets
=================================  ==============================================================

A refused chunk leaves a hole in the counter, so its samples are counted and treated as missing
when the next one comes. The same rules hold for a source that was silent for a while: if the
counter says that nothing is missing (a replay that was paused), decoding goes on as if nothing had
been; if little is, it is bridged; else the decoder resets.

What else can be wrong, and where it is reported:

=================================  ==============================================================
fault                              response
=================================  ==============================================================
channel flat or saturated          masked, see `signal_quality.py`; no estimates while more than
                                   half of the channels are
mains hum                          counted and reported, see `signal_quality.py`
estimate not finite                dropped, and its stream resets, see `decoder.py`
estimate no later than the last    dropped, see `output_limits.py`
reader takes nothing for seconds   the estimate is dropped, see `nodes/decoder.py`
message contradicts itself         refused, see `emg_message.py`
no EMG for `input_timeout`         no estimates or the rest pose, see `nodes/decoder.py`
more EMG than can be decoded       what waited for `longest_wait` is dropped, see
                                   `nodes/decoder.py`
several publishers, QoS that does  reported, see `nodes/input_events.py`
not match, deadline missed
=================================  ==============================================================
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.emg.source_clock import contradicts, RATE_TOLERANCE, SourceClock, Step
import numpy as np
from numpy.typing import NDArray

# A rate that is measured for each message is judged by as many.
_RATES = 50
_FEWEST_RATES = 5
_VARYING_RATE = 0.05
# Counters that tell of no fault.
NO_FAULTS = frozenset({'messages', 'samples', 'limited_estimates'})


class Piece(NamedTuple):
    """Samples fit for decoding, without a gap to the piece before unless `restart` is set.

    Attributes:
        stamp_ns: acquisition time of the first sample (ns).
        samples: amplitudes (V), shape (samples, channels), all finite.
        restart: the decoder must forget everything first.
    """

    stamp_ns: int
    samples: NDArray[np.float32]
    restart: bool


@dataclass(slots=True)
class IntakeCounts:
    """What came in and what became of it, from message to estimate. Samples are per channel."""

    messages: int = 0
    samples: int = 0
    wrong_channels: int = 0
    wrong_rate: int = 0
    not_finite: int = 0
    stale_messages: int = 0
    dropped_backlog: int = 0
    malformed: int = 0
    lost_samples: int = 0
    bridged_samples: int = 0
    late_samples: int = 0
    clock_jumps: int = 0
    restarts: int = 0
    flat_channels: int = 0
    saturated_channels: int = 0
    humming_channels: int = 0
    failed_estimates: int = 0
    withheld_estimates: int = 0
    non_monotonic_stamps: int = 0
    undelivered_estimates: int = 0
    limited_estimates: int = 0

    def faults(self) -> dict[str, int]:
        """Return the counters that tell of a fault and are not 0."""
        return {
            name: count for name, count in asdict(self).items() if count and name not in NO_FAULTS
        }


class Intake:
    """Turns chunks as they arrive into gapless pieces of finite samples.

    Attributes:
        counts: what came in and what was wrong with it.
        not_finite_values: NaN and infinite values so far, shape (channels,).
        measured_rate: rate of the source by its stamps and its counter (Hz), renewed every second,
            None while it is not known.
    """

    def __init__(
        self,
        channels: int,
        sampling_rate: float,
        longest_bridge: float = 0.1,
        greatest_age: float = 0,
    ) -> None:
        """Prepare for a source.

        Args:
            channels: channels that every chunk must have.
            sampling_rate: rate that every chunk must have, within 1 % (Hz).
            longest_bridge: longest gap that is bridged (s); 0 bridges none.
            greatest_age: age beyond which a chunk is refused (s); 0 refuses none.
        """
        self.counts = IntakeCounts()
        self.not_finite_values = np.zeros(channels, dtype=np.int64)
        self._channels = channels
        self._rate = sampling_rate
        self._bridge_length = round(longest_bridge * sampling_rate)
        self._greatest_age_ns = greatest_age * NANOSECONDS
        self._recent: deque[NDArray[np.float32]] = deque()
        self._clock = SourceClock(sampling_rate)
        self._rates: deque[float] = deque(maxlen=_RATES)
        self.reset()

    def reset(self) -> None:
        """Expect a new source: the next chunk follows nothing. The counts go on."""
        self._recent.clear()
        self._recent_length = 0
        self._clock.reset()
        self.measured_rate: float | None = None
        self._until_measured = 0

    @property
    def rate_contradicts(self) -> bool:
        """Whether the source does something else than it says: its samples are of other times."""
        return contradicts(self._rate, self.measured_rate)

    def accept(self, chunk: EmgChunk, now_ns: int | None = None) -> Iterator[Piece]:
        """Check one chunk; yield nothing, the chunk, or a bridge and the chunk.

        Args:
            chunk: the chunk.
            now_ns: when it arrived, by the clock of its stamp (ns); None = age is not judged.
        """
        self.counts.messages += 1
        if self._refused(chunk, now_ns):
            return
        chunk, step, missing = self._clock.read(chunk)
        self._measure(len(chunk.samples))
        if step is Step.LATE:
            chunk = self._drop_known(chunk, -missing)
            if len(chunk.samples):
                yield self._take(chunk, restart=False)
            return
        self.counts.lost_samples += missing
        bridge = self._bridge(chunk, missing) if step is Step.NEXT and missing else None
        restart = step is not Step.NEXT or (missing > 0 and bridge is None)
        self.counts.clock_jumps += step is Step.CLOCK_SET and missing <= self._bridge_length
        self.counts.restarts += restart and step is not Step.FIRST
        if bridge is not None:
            yield bridge
        yield self._take(chunk, restart=restart)

    def _refused(self, chunk: EmgChunk, now_ns: int | None) -> bool:
        if chunk.samples.shape[1] != self._channels:
            self.counts.wrong_channels += 1
        elif not self._rate_fits(chunk.sampling_rate):
            self.counts.wrong_rate += 1
        elif not np.isfinite(chunk.samples).all():
            self.counts.not_finite += 1
            self.not_finite_values += np.sum(~np.isfinite(chunk.samples), axis=0)
        elif now_ns is not None and 0 < self._greatest_age_ns < now_ns - chunk.end_ns:
            self.counts.stale_messages += 1
        else:
            return False
        return True

    def _measure(self, samples: int) -> None:
        """Measure the rate once a second."""
        self._until_measured -= samples
        if self._until_measured <= 0:
            self.measured_rate = self._clock.rate.measured()
            self._until_measured = round(self._rate)

    def _rate_fits(self, rate: float) -> bool:
        """Whether the rate in a message fits, or the mean of rates that differ each time."""
        self._rates.append(rate)
        if abs(rate - self._rate) <= RATE_TOLERANCE * self._rate:
            return True
        if len(self._rates) < _FEWEST_RATES or len(set(self._rates)) <= len(self._rates) // 2:
            return False
        return abs(float(np.median(self._rates)) - self._rate) <= _VARYING_RATE * self._rate

    def _drop_known(self, chunk: EmgChunk, known: int) -> EmgChunk:
        known = min(known, len(chunk.samples))
        self.counts.late_samples += known
        return chunk._replace(
            stamp_ns=chunk.stamp_ns + self._duration_ns(known),
            first_sample=chunk.first_sample + known,
            samples=chunk.samples[known:],
        )

    def _bridge(self, chunk: EmgChunk, missing: int) -> Piece | None:
        if missing > self._bridge_length or missing > self._recent_length:
            return None
        self.counts.bridged_samples += missing
        newest = np.concatenate(self._recent)[-missing:]
        return Piece(chunk.stamp_ns - self._duration_ns(missing), newest[::-1], restart=False)

    def _take(self, chunk: EmgChunk, *, restart: bool) -> Piece:
        self.counts.samples += len(chunk.samples)
        if restart:
            self._recent.clear()
            self._recent_length = 0
        self._recent.append(chunk.samples)
        self._recent_length += len(chunk.samples)
        while self._recent_length - len(self._recent[0]) >= self._bridge_length:
            if len(self._recent) == 1:
                break
            self._recent_length -= len(self._recent.popleft())
        return Piece(chunk.stamp_ns, chunk.samples, restart)

    def _duration_ns(self, samples: int) -> int:
        return round(samples * NANOSECONDS / self._rate)
