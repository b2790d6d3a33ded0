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

"""Counts missing estimates in a stream that should have a steady rate."""

import numpy as np
from numpy.typing import NDArray


def missing_between(stamps_ns: NDArray[np.int64]) -> int:
    """Count the messages missing in the gaps of a steady stream.

    The expected step is the median step, so the rate need not be known.

    Args:
        stamps_ns: stamps in order of time (ns), shape (stamps,).
    """
    if len(stamps_ns) < 3:
        return 0
    steps = np.diff(stamps_ns)
    usual = np.median(steps)
    return int((np.rint(steps / usual) - 1).clip(0).sum()) if usual > 0 else 0
