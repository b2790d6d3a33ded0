# Copyright 2026 The leconvmn_ros authors
# SPDX-License-Identifier: Apache-2.0
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
