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
"""Median, 99th percentile and maximum: the one way in which times are summarised."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def percentiles(values: Sequence[float] | NDArray[np.float64]) -> dict[str, float] | None:
    """Return `median`, `p99` and `most` of some times, None if there are none."""
    if len(values) == 0:
        return None
    median, late = np.percentile(values, [50, 99]).tolist()
    return {'median': median, 'p99': late, 'most': float(np.max(values))}
