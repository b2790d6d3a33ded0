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

"""The intake between an EMG source and the decoder: it checks, orders and counts every chunk.

Rules, one per fault:

=================================  ==============================================================
fault                              response
=================================  ==============================================================
other channel count or rate        the chunk is rejected; if the source measures its rate anew for
                                   each message, the median of the last rates counts
NaN or infinite sample             the chunk is rejected
older than `greatest_age`          the chunk is rejected; off by default, since it needs stamps
                                   and arrival times of one clock
samples missing, short gap         bridged by the newest samples in reverse, which keeps their RMS
samples missing, long gap          the decoder resets
samples repeated or late           those already decoded (or bridged) are dropped
counter or time fell back          the source restarted, or a bag loops: the decoder resets
counter goes on, time jumps        the clock was set, or source and counter paused: the decoder
                                   resets
=================================  ==============================================================

A rejected chunk leaves a gap in the counter, so its samples are counted as missing when the next
chunk arrives. The same rules apply after a silence of the source: if no sample is missing by the
counter (a replay was paused), decoding continues; a short gap is bridged; after a long one, the
decoder resets.

Other faults, and where they are handled:

=================================  ==============================================================
fault                              response
=================================  ==============================================================
channel flat or saturated          masked, see `signal_quality.py`; no estimates while more than
                                   half of the channels are masked
mains hum                          counted and reported, see `signal_quality.py`
estimate not finite                dropped, and its stream resets, see `decoder.py`
estimate no later than the last    dropped, see `output_limits.py`
reader blocked for seconds         the estimate is dropped, see `nodes/decoder.py`
message contradicts itself         rejected, see `message.py`
no EMG for `input_timeout`         no estimates, or the rest pose, see `nodes/decoder.py`
more EMG than can be decoded       EMG that has waited for `longest_wait` is dropped, see
                                   `nodes/decoder.py`
several publishers, incompatible   reported, see `nodes/input_events.py`
QoS, missed deadline
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

# Number of recent messages whose median rate counts, if it is measured for each message.
_RATES = 50
_FEWEST_RATES = 5
_VARYING_RATE = 0.05
# Counters that do not indicate a fault.
NO_FAULTS = frozenset({'messages', 'samples', 'limited_estimates'})


class Piece(NamedTuple):
    """Samples fit for decoding, contiguous with the piece before unless `restart` is set.

    Attributes:
        stamp_ns: acquisition time of the first sample (ns).
        samples: amplitudes (V), shape (samples, channels), all finite.
        restart: whether the decoder must reset first.
    """

    stamp_ns: int
    samples: NDArray[np.float32]
    restart: bool


@dataclass(slots=True)
class IntakeCounts:
    """Counts of messages, samples (per channel) and estimates, and of what happened to them."""

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
        """Return the counters that indicate a fault and are not 0."""
        return {
            name: count for name, count in asdict(self).items() if count and name not in NO_FAULTS
        }


class Intake:
    """Turns arriving chunks into contiguous pieces of finite samples.

    Attributes:
        counts: counts of what was received and of faults.
        not_finite_values: NaN and infinite values so far, shape (channels,).
        measured_rate: rate of the source by its stamps and its counter (Hz), updated every second,
            None while unknown.
    """

    def __init__(
        self,
        channels: int,
        sampling_rate: float,
        longest_bridge: float = 0.1,
        greatest_age: float = 0,
    ) -> None:
        """Prepare for one source.

        Args:
            channels: number of channels that every chunk must have.
            sampling_rate: rate that every chunk must have, within 1 % (Hz).
            longest_bridge: longest gap that is bridged (s); 0 bridges none.
            greatest_age: age beyond which a chunk is rejected (s); 0 rejects none.
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
        """Expect a new source: the next chunk continues nothing. Counts are kept."""
        self._recent.clear()
        self._recent_length = 0
        self._clock.reset()
        self.measured_rate: float | None = None
        self._until_measured = 0

    @property
    def rate_contradicts(self) -> bool:
        """Whether the real rate contradicts the stated one, so that samples get wrong times."""
        return contradicts(self._rate, self.measured_rate)

    def accept(self, chunk: EmgChunk, now_ns: int | None = None) -> Iterator[Piece]:
        """Check one chunk; yield nothing, the chunk, or a bridge and the chunk.

        Args:
            chunk: the chunk.
            now_ns: its time of arrival, by the clock of its stamp (ns); None = ignore its age.
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
        """Update the measured rate once a second."""
        self._until_measured -= samples
        if self._until_measured <= 0:
            self.measured_rate = self._clock.rate.measured()
            self._until_measured = round(self._rate)

    def _rate_fits(self, rate: float) -> bool:
        """Whether the rate of a message fits, or the median of the last if they vary."""
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
