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

"""Estimates acquisition times from bursty arrivals.

A sample can arrive late (a full buffer, a radio, a scheduler), but never early. Therefore the line
below all pairs (sample number, time of arrival) that is closest to them is the clock of the
device, plus the shortest delay of the link. Its slope is the true rate, which often differs from
the claimed one.

Source: Moon, Skelly and Towsley, Estimation and removal of clock skew from network delay
measurements, IEEE INFOCOM 1999: the edge of the lower convex hull over the mean sample number.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

# Length of the past used to fit the rate (s): quartz drifts with temperature within minutes.
WINDOW = 60.0
# In each bin of this length (s), only the point with the shortest delay is kept.
BIN = 0.5
# Before this time the claimed rate is more certain than a fitted one (s).
SHORTEST_FIT = 3.0
# A larger error of the rate is a wrong claim, not drift of a clock.
LARGEST_SKEW = 0.02
# To follow a new fit, stamps may run this much faster or slower than the clock.
SLEW = 0.1


class _Arrival(NamedTuple):
    number: int
    time: float


class SampleClock:
    """Estimates when each sample of one device was taken.

    Attributes:
        claimed_rate: rate that the device claims (Hz).
    """

    def __init__(self, claimed_rate: float) -> None:
        """Start without arrivals.

        Args:
            claimed_rate: rate that the device claims (Hz).
        """
        self.claimed_rate = claimed_rate
        self._arrivals: deque[_Arrival] = deque()
        self._anchor = _Arrival(0, 0.0)
        self._period = 1 / claimed_rate
        self._bin_start = 0.0
        self._last: _Arrival | None = None

    @property
    def rate(self) -> float:
        """Fitted rate (Hz)."""
        return 1 / self._period

    @property
    def period(self) -> float:
        """Fitted time between samples (s)."""
        return self._period

    @property
    def started(self) -> bool:
        """Whether any arrival is known."""
        return bool(self._arrivals)

    def restart(self) -> None:
        """Forget the arrivals, such as after an interruption, but keep the rate."""
        self._arrivals.clear()
        self._last = None

    def add(self, number: int, time: float) -> None:
        """Note that the sample `number` had arrived at `time` (s, any epoch)."""
        arrival = _Arrival(number, time)
        if self._arrivals and time - self._bin_start < BIN:
            if self.delay(*arrival) < self.delay(*self._arrivals[-1]):
                self._arrivals[-1] = arrival
                if self.delay(*arrival) < 0:
                    # Until the next fit, shift the line down to this point.
                    self._anchor = arrival
            return
        self._arrivals.append(arrival)
        self._bin_start = time
        while time - self._arrivals[0].time > WINDOW:
            self._arrivals.popleft()
        self._fit()

    def delay(self, number: int, time: float) -> float:
        """Return the delay of a sample beyond the shortest delay so far (s)."""
        return time - self._line(number)

    def stamp(self, number: int) -> float:
        """Return the acquisition time of a sample plus the shortest delay of the link (s).

        Numbers must not decrease from call to call. Stamps never go back: they approach a better
        fit at most SLEW faster or slower than the samples.
        """
        time = self._line(number)
        if self._last is not None:
            steady = (number - self._last.number) * self._period
            lowest, highest = ((1 + sign * SLEW) * steady for sign in (-1, 1))
            time = min(max(time, self._last.time + lowest), self._last.time + highest)
        self._last = _Arrival(number, time)
        return time

    def _line(self, number: int) -> float:
        return self._anchor.time + (number - self._anchor.number) * self._period

    def _fit(self) -> None:
        first, last = self._arrivals[0], self._arrivals[-1]
        if last.time - first.time >= SHORTEST_FIT:
            before, after = _edge_over_the_mean(_lower_hull(self._arrivals), self._arrivals)
            period = (after.time - before.time) / (after.number - before.number)
            if abs(period * self.claimed_rate - 1) <= LARGEST_SKEW:
                self._period, self._anchor = period, before
                return
        # Too short to fit a rate: the line with the known rate below all points.
        self._anchor = min(
            self._arrivals, key=lambda point: point.time - point.number * self._period
        )


def _lower_hull(points: Sequence[_Arrival] | deque[_Arrival]) -> list[_Arrival]:
    """Return the lower convex hull of points ordered by number."""
    hull: list[_Arrival] = []
    for point in points:
        if hull and point.number <= hull[-1].number:
            continue
        while len(hull) > 1 and _turns_right(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return hull


def _turns_right(first: _Arrival, second: _Arrival, third: _Arrival) -> bool:
    return (second.number - first.number) * (third.time - first.time) <= (
        third.number - first.number
    ) * (second.time - first.time)


def _edge_over_the_mean(
    hull: list[_Arrival], points: Sequence[_Arrival] | deque[_Arrival]
) -> tuple[_Arrival, _Arrival]:
    mean = sum(point.number for point in points) / len(points)
    right = next(place for place in range(1, len(hull)) if hull[place].number >= mean)
    return hull[right - 1], hull[right]
