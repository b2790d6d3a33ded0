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

"""Fits the weight of each part of a model."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

# Weight of the constraint on the sum of the shares, relative to all examples together.
_SUM_COUNTS = 1e3


def fit_member_weights(
    outputs: NDArray[np.float32], targets: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the shares of the convex combination of outputs with the least squared error.

    Source: stacked regressions, Breiman, Machine Learning 24 (1996), 49-64. Shares are not
    negative, so that similar parts do not cancel each other.

    Args:
        outputs: outputs of each part, shape (parts, examples, joints).
        targets: shape (examples, joints).

    Returns:
        Shares, shape (parts,); not negative, with a sum of 1.
    """
    columns = outputs.reshape(len(outputs), -1).T.astype(float)
    largest = max((columns**2).sum(axis=0).max(), float((targets.astype(float) ** 2).sum()), 1e-12)
    heavy = _SUM_COUNTS * np.sqrt(largest)
    system = np.vstack([columns, np.full(len(outputs), heavy)])
    shares, _ = nnls(system, np.append(targets.ravel(), heavy))
    return np.asarray(shares / shares.sum(), dtype=np.float32)
