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

"""Tells when no EMG has come for too long, and what time it would be at its source meanwhile."""

from leconvmn_ros.core.recording import NANOSECONDS


class StaleInput:
    """Follows when EMG came, on a clock of the caller's that is never set (such as monotonic).

    Attributes:
        stale: whether the input is stale.
        interruptions: how often it became stale.
    """

    def __init__(self, timeout: float) -> None:
        """Wait for the first EMG; without it nothing is stale.

        Args:
            timeout: time without EMG after which the input is stale (s); 0 = never.
        """
        self.stale = False
        self.interruptions = 0
        self._timeout = timeout
        self._heard: float | None = None
        self._end_ns = 0

    def silent_for(self, now: float) -> float | None:
        """Return the time since the last EMG (s), None if there was none yet."""
        return None if self._heard is None else now - self._heard

    def heard(self, now: float, end_ns: int) -> float | None:
        """Take note of EMG that ends at a stamp; return how long it was stale (s), None if not."""
        silence = self.silent_for(now) if self.stale else None
        self._heard, self._end_ns = now, end_ns
        self.stale = False
        return silence

    def became_stale(self, now: float) -> bool:
        """Look at the clock; return whether the input is stale since this very look."""
        silence = self.silent_for(now)
        if self.stale or silence is None or not 0 < self._timeout < silence:
            return False
        self.stale = True
        self.interruptions += 1
        return True

    def source_time_ns(self, now: float) -> int:
        """Return the stamp that EMG which ends now would have (ns), if it had gone on."""
        return self._end_ns + round((self.silent_for(now) or 0) * NANOSECONDS)
