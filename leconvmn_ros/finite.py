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

"""Finds NaN and infinity, so that an error can say where they are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def first_non_finite(values: NDArray[Any]) -> tuple[int, int] | None:
    """Return row and column of the first value that is NaN or infinite, None if all are finite.

    Args:
        values: numbers, shape (rows, columns); rows are searched in order.
    """
    finite = np.isfinite(values)
    if finite.all():
        return None
    row, column = np.unravel_index(np.argmin(finite), finite.shape)
    return int(row), int(column)
