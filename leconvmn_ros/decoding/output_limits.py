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

"""Limits of the decoder's output: the speed of angles, and stamps that never go back.

The stamps of one source increase. If the source restarts (as `Intake` detects), its clock may be
another one, so the first estimate after a restart may have any stamp. The elapsed time is then
unknown, and the angles continue from their last values at the allowed speed.
"""

from leconvmn_ros.core.recording import NANOSECONDS
from leconvmn_ros.emg.intake import IntakeCounts
import numpy as np
from numpy.typing import NDArray


class OutputLimits:
    """Limits the speed of the angles, and drops estimates with old stamps."""

    def __init__(self, speed_limit: float, period: float, counts: IntakeCounts) -> None:
        """Prepare for one reader.

        Args:
            speed_limit: largest speed of an angle (rad/s); 0 = none.
            period: time between two estimates (s).
            counts: counts of limited and dropped estimates.
        """
        self._speed_limit = speed_limit
        self._period = period
        self._counts = counts
        self.reset()

    def reset(self) -> None:
        """Expect a new reader, whose hand may be in any pose."""
        self._stamp_ns: int | None = None
        self._positions: NDArray[np.float64] | None = None

    def restart(self) -> None:
        """Expect stamps of a restarted source."""
        self._stamp_ns = None

    def limited(self, stamp_ns: int, positions: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return the angles to publish; None if their stamp is not later than the last.

        Args:
            stamp_ns: time of the angles (ns).
            positions: angles (rad), shape (joints,).
        """
        if self._stamp_ns is not None and stamp_ns <= self._stamp_ns:
            self._counts.non_monotonic_stamps += 1
            return None
        if self._speed_limit and self._positions is not None:
            # After a pause, move no further than in one period: the hand has not moved meanwhile.
            passed = self._period
            if self._stamp_ns is not None:
                passed = min(passed, (stamp_ns - self._stamp_ns) / NANOSECONDS)
            step = self._speed_limit * passed
            limited = positions.clip(self._positions - step, self._positions + step)
            self._counts.limited_estimates += bool(np.any(limited != positions))
            positions = limited
        self._stamp_ns, self._positions = stamp_ns, positions
        return positions
