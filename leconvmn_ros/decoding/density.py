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

"""The density of the Gaussian mixture in a checkpoint."""

from leconvmn_ros.decoding.feature_mixture import FeatureMixture
import numpy as np
from numpy.typing import NDArray

# Shrinkage of the covariance towards independent channels. Between electrodes of one band it is
# nearly singular, so that small differences of the band would dominate.
SHRINKAGE = 0.1
LEAST_VARIANCE = 1e-3


def shrunk(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a covariance, shape (channels, channels), shrunk towards its diagonal."""
    variances = np.maximum(np.diag(covariance), LEAST_VARIANCE)
    result: NDArray[np.float64] = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.diag(variances)
    return result


def half_squared_distances(
    white: NDArray[np.float64], means: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return half of the squared distance of each sample to each mean, both whitened.

    Args:
        white: samples, shape (samples, channels).
        means: shape (movements, channels).
    """
    result: NDArray[np.float64] = 0.5 * (
        np.square(white).sum(axis=1)[:, None] - 2 * white @ means.T + np.square(means).sum(axis=1)
    )
    return result


class Density:
    """Likelihood of features under the mixture.

    Attributes:
        shares: prior of each movement, shape (movements,).
    """

    def __init__(self, mixture: FeatureMixture) -> None:
        """Prepare; the covariance is slightly shrunk towards its diagonal."""
        self.shares = np.array(mixture.shares) / sum(mixture.shares)
        lower = np.linalg.cholesky(shrunk(np.array(mixture.covariance)))
        self._whitening = np.linalg.inv(lower).T
        self._constant = -np.log(np.diag(lower)).sum() - 0.5 * len(lower) * np.log(2 * np.pi)
        self._white_means = np.array(mixture.means) @ self._whitening

    def jointly(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log of likelihood times prior, shape (samples, movements).

        Args:
            features: shape (samples, channels).
        """
        distances = half_squared_distances(features @ self._whitening, self._white_means)
        result: NDArray[np.float64] = self._constant - distances + np.log(self.shares)
        return result
