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


class Density:
    """Likelihood of features under the mixture.

    Attributes:
        means: mean of each movement, shape (movements, channels).
        variances: variance of each channel around the means, shape (channels,).
        shares: prior of each movement, shape (movements,).
    """

    def __init__(self, mixture: FeatureMixture) -> None:
        """Prepare; the covariance is slightly shrunk towards its diagonal."""
        self.means = np.array(mixture.means)
        self.shares = np.array(mixture.shares) / sum(mixture.shares)
        covariance = np.array(mixture.covariance)
        self.variances = np.maximum(np.diag(covariance), 1e-3)
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.diag(self.variances)
        lower = np.linalg.cholesky(covariance)
        self._whitening = np.linalg.inv(lower).T
        self._constant = -np.log(np.diag(lower)).sum() - 0.5 * len(lower) * np.log(2 * np.pi)
        self._white_means = self.means @ self._whitening

    def of_movements(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-likelihood of each sample under each movement.

        Args:
            features: shape (samples, channels).

        Returns:
            Log-likelihoods, shape (samples, movements), without the priors.
        """
        white = features @ self._whitening
        squared = (
            np.square(white).sum(axis=1)[:, None]
            - 2 * white @ self._white_means.T
            + np.square(self._white_means).sum(axis=1)
        )
        result: NDArray[np.float64] = self._constant - 0.5 * squared
        return result

    def jointly(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log of likelihood times prior, shape (samples, movements)."""
        result: NDArray[np.float64] = self.of_movements(features) + np.log(self.shares)
        return result

    def of(
        self, features: NDArray[np.float64], shares: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return the log-likelihood of each sample, shape (samples,)."""
        logs = self.of_movements(features) + np.log(self.shares if shares is None else shares)
        result: NDArray[np.float64] = np.logaddexp.reduce(logs, axis=1)
        return result

    def responsibilities(
        self, features: NDArray[np.float64], shares: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the posterior of each movement, shape (samples, movements)."""
        logs = self.of_movements(features) + np.log(shares)
        result: NDArray[np.float64] = np.exp(logs - np.logaddexp.reduce(logs, axis=1)[:, None])
        return result
