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
"""The latency floor of a machine: how late plain arithmetic is after a sleep.

A tail of the whole path says something about the software only if it is above this floor: on a
busy or shared machine the scheduler alone causes such tails.
"""

from math import ceil
import time
from typing import Any

from leconvmn_ros.core.percentiles import percentiles
import numpy as np

# A tail of up to this multiple of the floor's is attributed to the machine.
AT_FLOOR = 1.25
_CALIBRATION = 20


def measure_floor(work: float, period: float, seconds: float) -> dict[str, Any]:
    """Do arithmetic of a given duration after each sleep, at a steady rate.

    Args:
        work: duration of the arithmetic on an idle machine (s).
        period: time between two starts (s).
        seconds: duration of the measurement (s).

    Returns:
        `work_ms`, the intended duration, and `latency_ms`, from the time when a turn was due to
        its end, see `percentiles`.
    """
    values = np.linspace(0.0, 1.0, 256)
    rounds = max(1, round(work / min(_seconds(values, 100) for _ in range(_CALIBRATION)) * 100))
    lateness = []
    start = time.perf_counter()
    for turn in range(1, max(1, ceil(seconds / period)) + 1):
        due = start + turn * period
        if (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        _seconds(values, rounds)
        lateness.append(time.perf_counter() - due)
    return {'work_ms': 1e3 * work, 'latency_ms': percentiles(1e3 * np.array(lateness))}


def _seconds(values: 'np.ndarray[Any, Any]', rounds: int) -> float:
    started = time.perf_counter()
    for _ in range(rounds):
        values @ values
    return time.perf_counter() - started


def is_at_floor(p99: float, floor: float) -> bool:
    """Whether a tail is within that of the machine itself; both in the same unit."""
    return p99 <= AT_FLOOR * floor
