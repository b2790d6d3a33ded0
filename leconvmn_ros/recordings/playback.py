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

"""Determines when each message of a bag is due during replay."""

from collections.abc import Callable
from threading import Condition
import time

from leconvmn_ros.core.recording import NANOSECONDS

# Python's longest wait is a few centuries; a slow replay may wait longer at a gap in the stamps.
LONGEST_WAIT = 3600.0  # s


class Playback:
    """Keeps the time of a replay: each message is due at a fixed distance from the start.

    Nothing accumulates from message to message, so there is no drift, and a late message does not
    delay the next one. Thread-safe: one thread waits for messages, others pause, resume and stop.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Create a playback.

        Args:
            rate: bag seconds per second; 0 = every message is due at once.
            clock: a monotonic clock (s).
        """
        self._rate = rate
        self._clock = clock
        self._changed = Condition()
        self._paused_at: float | None = None
        self._stopped = False
        self._started = 0.0
        self._first_ns = 0

    def start(self, first_ns: int) -> None:
        """Map the bag time first_ns (ns) to the present."""
        with self._changed:
            self._first_ns = first_ns
            self._started = self._clock()
            if self._paused_at is not None:
                self._paused_at = self._started

    def pause(self) -> None:
        """Hold all messages until `resume`."""
        with self._changed:
            if self._paused_at is None:
                self._paused_at = self._clock()

    def resume(self) -> None:
        """Continue where `pause` stopped."""
        with self._changed:
            if self._paused_at is not None:
                self._started += self._clock() - self._paused_at
                self._paused_at = None
                self._changed.notify_all()

    def stop(self) -> None:
        """Make every wait return at once."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def wait(self, log_ns: int) -> bool:
        """Wait until the message logged at log_ns (ns) is due.

        Returns:
            False if the playback was stopped.
        """
        with self._changed:
            while not self._stopped:
                if self._paused_at is not None:
                    self._changed.wait()
                    continue
                left = self._due(log_ns) - self._clock()
                if left <= 0:
                    break
                self._changed.wait(min(left, LONGEST_WAIT))
            return not self._stopped

    def _due(self, log_ns: int) -> float:
        if self._rate == 0:
            return self._started
        return self._started + (log_ns - self._first_ns) / NANOSECONDS / self._rate
