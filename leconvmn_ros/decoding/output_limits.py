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

"""What leaves the decoder: angles no faster than allowed, at stamps that never go back.

The stamps of one source increase. Where the source restarts (`Intake` says when) its time may
be another, so the first estimate of a new start may have any stamp; how much time has passed is
unknown then, so the angles go on from where they were at the speed allowed.
"""

from leconvmn_ros.core.recording import NANOSECONDS
from leconvmn_ros.emg.intake import IntakeCounts
import numpy as np
from numpy.typing import NDArray


class OutputLimits:
    """Limits the speed of the angles and drops what comes with an older stamp."""

    def __init__(self, speed_limit: float, period: float, counts: IntakeCounts) -> None:
        """Prepare to limit.

        Args:
            speed_limit: greatest change of an angle (rad/s); 0 = any.
            period: time between two estimates of a whole stream (s).
            counts: where it is counted what was limited and dropped.
        """
        self._speed_limit = speed_limit
        self._period = period
        self._counts = counts
        self.reset()

    def reset(self) -> None:
        """Expect a new reader, of whose hand nothing is known."""
        self._stamp_ns: int | None = None
        self._positions: NDArray[np.float64] | None = None

    def restart(self) -> None:
        """Expect stamps of a new start."""
        self._stamp_ns = None

    def limited(self, stamp_ns: int, positions: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return the angles to publish at a time; None if that is no later than the last one.

        Args:
            stamp_ns: time of the angles (ns).
            positions: angles (rad), shape (joints,).
        """
        if self._stamp_ns is not None and stamp_ns <= self._stamp_ns:
            self._counts.non_monotonic_stamps += 1
            return None
        if self._speed_limit and self._positions is not None:
            # After a pause no more than after a period: the hand has moved no further meanwhile.
            passed = self._period
            if self._stamp_ns is not None:
                passed = min(passed, (stamp_ns - self._stamp_ns) / NANOSECONDS)
            step = self._speed_limit * passed
            limited = positions.clip(self._positions - step, self._positions + step)
            self._counts.limited_estimates += bool(np.any(limited != positions))
            positions = limited
        self._stamp_ns, self._positions = stamp_ns, positions
        return positions
