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

"""Times functions that are to be compared with one another."""

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray


def interleaved(
    calls: Sequence[Callable[[], object]],
    repetitions: int,
    clock: Callable[[], float] = perf_counter,
) -> NDArray[np.float64]:
    """Time functions in turn, so that any disturbance of the machine affects all of them alike.

    Args:
        calls: the functions; each is called twice beforehand.
        repetitions: number of timed calls of each.
        clock: returns the time (s).

    Returns:
        Times (s), shape (calls, repetitions).
    """
    for call in calls:
        call()
        call()
    times = np.empty((len(calls), repetitions))
    for repetition in range(repetitions):
        for row, call in zip(times, calls, strict=True):
            started = clock()
            call()
            row[repetition] = clock() - started
    return times
