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

"""Detects that no EMG has come for too long, and extrapolates the time of its source."""

from leconvmn_ros.core.recording import NANOSECONDS


class StaleInput:
    """Tracks the arrival of EMG, on a monotonic clock of the caller.

    Attributes:
        stale: whether the input is stale.
        interruptions: number of times it became stale.
    """

    def __init__(self, timeout: float) -> None:
        """Wait for the first EMG; until then the input is not stale.

        Args:
            timeout: time without EMG after which the input is stale (s); 0 = never.
        """
        self.stale = False
        self.interruptions = 0
        self._timeout = timeout
        self._heard: float | None = None
        self._end_ns = 0

    def silent_for(self, now: float) -> float | None:
        """Return the time since the last EMG (s), None if there was none."""
        return None if self._heard is None else now - self._heard

    def heard(self, now: float, end_ns: int) -> float | None:
        """Note EMG that ends at a stamp; return how long input was stale (s), None if not."""
        silence = self.silent_for(now) if self.stale else None
        self._heard, self._end_ns = now, end_ns
        self.stale = False
        return silence

    def became_stale(self, now: float) -> bool:
        """Check the time; return whether the input has become stale since the last check."""
        silence = self.silent_for(now)
        if self.stale or silence is None or not 0 < self._timeout < silence:
            return False
        self.stale = True
        self.interruptions += 1
        return True

    def source_time_ns(self, now: float) -> int:
        """Return the stamp (ns) of EMG that ended now, if the source had gone on."""
        return self._end_ns + round((self.silent_for(now) or 0) * NANOSECONDS)
