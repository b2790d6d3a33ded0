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

"""The last seconds of EMG and angles for the live view, in bounded memory."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from math import ceil, isfinite
from statistics import median
import time
from typing import NamedTuple

from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.emg.latency import Latency
from leconvmn_ros.emg.sample_count import SampleCount
from leconvmn_ros.emg.source_clock import RESTART_AFTER_NS, SourceClock, Step
from leconvmn_ros.wearing.status import GuideStatus
import numpy as np
from numpy.typing import NDArray

WINDOW = 6.0  # s
# Each bin gives two points of a trace: some 600 in a panel of some 300 pixels.
BIN_NS = NANOSECONDS // 50
BINS = round(WINDOW * NANOSECONDS / BIN_NS)
# Angles change slowly: more points would be invisible.
ANGLE_PERIOD_NS = NANOSECONDS // 30
# How long a joint keeps its last angle while others are updated.
PARTIAL_MEMORY_NS = NANOSECONDS // 2
# Period for rates and latency (s).
RECENT = 2.0
# Users notice a prosthesis that responds later than this (s): Farrell & Weir, IEEE Trans. Neural
# Syst. Rehabil. Eng. 15, 2007.
LATE = 0.1


# A guide sends its status ten times a second; after this silence it counts as gone (s).
GUIDE_MEMORY = 3.0
# No armband has more channels, and the page could not hold them.
MOST_CHANNELS = 1024


class EmgEnvelope:
    """Minimum and maximum of each channel in each bin of time.

    Bins are fixed in time, so a peak keeps its shape while it moves through the window.
    """

    def __init__(self) -> None:
        self.end_ns: int | None = None
        self._clock = SourceClock()
        self._newest = 0
        self._low = self._high = np.empty((BINS, 0), dtype=np.float32)

    @property
    def channels(self) -> int:
        """Number of channels, 0 before the first message."""
        return self._low.shape[1]

    def add(self, chunk: EmgChunk) -> None:
        """Add a message; values that are not finite are left out."""
        chunk, step, _ = self._clock.read(chunk)
        # If a message is longer than the window, only its end is ever shown.
        skipped = max(0, len(chunk.samples) - ceil(WINDOW * chunk.sampling_rate) - 1)
        samples = chunk.samples[skipped:]
        samples = np.where(np.isfinite(samples), samples, np.nan)
        since_ns = np.arange(skipped, len(chunk.samples)) * (NANOSECONDS / chunk.sampling_rate)
        times = chunk.stamp_ns + since_ns
        bins = times.astype(np.int64) // BIN_NS
        first, last = int(bins[0]), int(bins[-1])
        new = step not in (Step.NEXT, Step.LATE)
        if new or samples.shape[1] != self.channels:
            self._low = np.full((BINS, samples.shape[1]), np.nan, dtype=np.float32)
            self._high = self._low.copy()
            self._newest = first - 1
        if last > self._newest:
            opened = np.arange(max(self._newest + 1, last - BINS + 1), last + 1) % BINS
            self._low[opened] = self._high[opened] = np.nan
            self._newest, self.end_ns = last, chunk.end_ns
        kept = bins > self._newest - BINS
        bins, samples = bins[kept], samples[kept]
        if not len(bins):
            return
        starts = np.flatnonzero(np.diff(bins, prepend=bins[0] - 1))
        rows = bins[starts] % BINS
        self._low[rows] = np.fmin(self._low[rows], np.fmin.reduceat(samples, starts))
        self._high[rows] = np.fmax(self._high[rows], np.fmax.reduceat(samples, starts))

    def trace(self) -> NDArray[np.float32]:
        """Return minimum and maximum of each bin alternately (V), oldest first.

        Shape (2 BINS, channels), NaN where there are no data.
        """
        rows = (self._newest + 1 + np.arange(BINS)) % BINS
        both = np.stack([self._low[rows], self._high[rows]], axis=1)
        return both.reshape(2 * BINS, self.channels)


class AngleTrace:
    """The ten joint angles over the last seconds.

    Attributes:
        latest: newest angle of each joint (rad).
        end_ns: stamp of the newest (ns), None before the first.
    """

    def __init__(self) -> None:
        self.latest: dict[str, float] = {}
        self.end_ns: int | None = None
        self._newest: dict[str, tuple[int, float]] = {}
        self._points: deque[tuple[int, list[float]]] = deque()

    def add(self, stamp_ns: int, angles: Mapping[str, float]) -> bool:
        """Add a joint state (rad, by name); return whether it has a joint of a hand.

        Values that are not finite are left out. A missing joint keeps its last angle for a while,
        because some sources send their joints in several messages. A state older than the newest
        is too late to be shown, unless time has started again.
        """
        came = {
            name: float(angles[name])
            for name in JOINT_NAMES
            if name in angles and isfinite(angles[name])
        }
        if not came:
            return False
        if self.end_ns is not None and stamp_ns <= self.end_ns:
            if self.end_ns - stamp_ns <= RESTART_AFTER_NS:
                return True
            self._points.clear()
            self._newest.clear()
        self._newest |= {name: (stamp_ns, angle) for name, angle in came.items()}
        self.latest = {
            name: angle
            for name, (came_ns, angle) in self._newest.items()
            if stamp_ns - came_ns <= PARTIAL_MEMORY_NS
        }
        self.end_ns = stamp_ns
        if self._points and stamp_ns - self._points[-1][0] < ANGLE_PERIOD_NS // 3:
            return True  # a reference may be as fast as the EMG
        self._points.append((stamp_ns, [self.latest.get(name, np.nan) for name in JOINT_NAMES]))
        oldest_ns = stamp_ns - 2 * WINDOW * NANOSECONDS  # another topic may lag behind
        while self._points[0][0] < oldest_ns:
            self._points.popleft()
        return True

    def trace(self, times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the angles at these times (rad), shape (times, 10), NaN outside the trace."""
        if not self._points:
            return np.full((len(times_ns), len(JOINT_NAMES)), np.nan)
        stamps = np.array([stamp for stamp, _ in self._points])
        values = np.array([row for _, row in self._points])
        lines = [np.interp(times_ns, stamps, line, np.nan, np.nan) for line in values.T]
        return np.stack(lines, axis=1)


class LiveStatus(NamedTuple):
    """The present state of the decoder.

    Attributes:
        channels: EMG channels, 0 before the first message.
        emg_rate: EMG samples received per second (Hz).
        estimate_rate: estimates received per second (Hz).
        latency: median time from the publication of the EMG that completed an estimate to the
            arrival of that estimate (s), None without estimates in the last seconds.
        late: number of estimates that took longer than LATE.
        lost: number of EMG samples that never arrived.
        refused: number of rejected messages.
    """

    channels: int
    emg_rate: float
    estimate_rate: float
    latency: float | None
    late: int
    lost: int
    refused: int


class LiveSignals:
    """The data of a live view.

    Attributes:
        emg: EMG of the last seconds.
        estimate: estimated angles.
        reference: measured angles.
        cue: angles of the hand to follow.
        rings: channels of each ring of electrodes, empty if unknown.
        robot: newest command of a robot hand (rad, by the names of its profile), or empty.
        movement: movement and repetition of the newest label, None before one.
        messages: number of messages received; if it is unchanged, so are the signals.
        refused: number of rejected messages, counted by the node.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without data; `clock` (s) determines what is recent."""
        self.emg, self.estimate, self.reference = EmgEnvelope(), AngleTrace(), AngleTrace()
        self.cue = AngleTrace()
        self.rings: tuple[tuple[int, ...], ...] = ()
        self.movement: tuple[int, int] | None = None
        self.robot: dict[str, float] = {}
        self.messages = self.refused = 0
        self._guide: tuple[float, GuideStatus] | None = None
        self._clock = clock
        self._samples = SampleCount()
        self._latency = Latency()
        self._late = 0
        # Time of arrival, with the number of samples or the latency.
        self._emg_arrivals: deque[tuple[float, int]] = deque()
        self._estimate_arrivals: deque[tuple[float, int]] = deque()
        self._latencies: deque[tuple[float, int]] = deque()

    def add_emg(self, chunk: EmgChunk, published_ns: int) -> None:
        """Add EMG that was published at this time of the system clock."""
        if chunk.samples.shape[1] > MOST_CHANNELS:
            self.refused += 1
            return
        self.messages += 1
        self.emg.add(chunk)
        self._samples.add(chunk)
        self._emg_arrivals.append((self._clock(), len(chunk.samples)))
        self._note_latencies(self._latency.add_emg(chunk, published_ns))

    def add_estimate(self, stamp_ns: int, angles: Mapping[str, float], received_ns: int) -> None:
        """Add an estimate (rad, by name), received at this time of the system clock."""
        if not self.estimate.add(stamp_ns, angles):
            return
        self.messages += 1
        self._estimate_arrivals.append((self._clock(), 1))
        self._note_latencies(self._latency.add_estimate(stamp_ns, received_ns))

    def add_reference(self, stamp_ns: int, angles: Mapping[str, float]) -> None:
        """Add a measured state (rad, by name)."""
        self.messages += self.reference.add(stamp_ns, angles)

    def add_cue(self, stamp_ns: int, angles: Mapping[str, float]) -> None:
        """Add a pose of the hand to follow (rad, by name)."""
        self.cue.add(stamp_ns, angles)

    def add_command(self, angles: Mapping[str, float]) -> None:
        """Add a command of a robot hand (rad, by the names of its profile)."""
        self.robot = {name: angle for name, angle in angles.items() if isfinite(angle)}

    def add_guide(self, status: GuideStatus) -> None:
        """Set the newest status of a guide."""
        self._guide = self._clock(), status

    @property
    def guide(self) -> GuideStatus | None:
        """The status of a guide in the last seconds, None without a guide."""
        if self._guide is None or self._clock() - self._guide[0] > GUIDE_MEMORY:
            return None
        return self._guide[1]

    @property
    def estimating(self) -> bool:
        """Whether there are recent estimates."""
        self._forget(self._estimate_arrivals)
        return bool(self._estimate_arrivals)

    def waiting_for(self) -> str:
        """Return what is missing as a sentence, empty if EMG and estimates arrive."""
        for arrivals in (self._emg_arrivals, self._estimate_arrivals):
            self._forget(arrivals)
        if not self._emg_arrivals:
            if self.emg.channels:
                return 'EMG has stopped: is the device on and in range?'
            return 'Waiting for EMG on the topic emg: start a source or a replay.'
        if not self._estimate_arrivals:
            if self.estimate.latest:
                return 'Estimates have stopped: see the log of the decoder.'
            return 'Waiting for estimates on the topic joint_states: start a decoder.'
        return ''

    def _note_latencies(self, latencies_ns: Sequence[int]) -> None:
        self._late += sum(value > LATE * NANOSECONDS for value in latencies_ns)
        self._latencies.extend((self._clock(), value) for value in latencies_ns)
        # Forget old ones here, too, in case nobody asks for the status for hours.
        for arrivals in (self._emg_arrivals, self._estimate_arrivals, self._latencies):
            self._forget(arrivals)

    def _forget(self, arrivals: deque[tuple[float, int]]) -> None:
        while arrivals and arrivals[0][0] < self._clock() - RECENT:
            arrivals.popleft()

    def angle_times(self) -> NDArray[np.int64]:
        """Return the times (ns) at which angles are drawn: the window up to the newest EMG."""
        ends = (self.emg.end_ns, self.estimate.end_ns, self.reference.end_ns)
        end_ns = next((end for end in ends if end is not None), 0)
        # Fixed in time, like the bins.
        newest = end_ns // ANGLE_PERIOD_NS
        count = round(WINDOW * NANOSECONDS / ANGLE_PERIOD_NS)
        return np.arange(newest - count + 1, newest + 1, dtype=np.int64) * ANGLE_PERIOD_NS

    def status(self) -> LiveStatus:
        """Return the present state of the decoder."""
        for arrivals in (self._emg_arrivals, self._estimate_arrivals, self._latencies):
            self._forget(arrivals)
        recent = [value for _, value in self._latencies]
        return LiveStatus(
            channels=self.emg.channels,
            emg_rate=sum(count for _, count in self._emg_arrivals) / RECENT,
            estimate_rate=sum(count for _, count in self._estimate_arrivals) / RECENT,
            latency=median(recent) / NANOSECONDS if recent else None,
            late=self._late,
            lost=self._samples.lost,
            refused=self.refused,
        )
