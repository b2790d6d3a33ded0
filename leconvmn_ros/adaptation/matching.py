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

"""Mean and scale of each channel, matched to those of the movements that the recording holds.

Statistics of a few movements matched against those of the whole training do harm. So the share of
each movement is estimated from the features themselves, in turn with the match: the features are
compared with what the training had in these movements, in these shares.
"""

from typing import NamedTuple

from leconvmn_ros.decoding.density import Density
import numpy as np
from numpy.typing import NDArray

ROUNDS = 30
# Of a movement that the recording seems not to hold.
LEAST_SHARE = 1e-3


class Match(NamedTuple):
    """Matched features are scale * features + offset.

    Attributes:
        scale: shape (channels,).
        offset: shape (channels,).
        shares: of the movements in the recording, shape (movements,).
    """

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    shares: NDArray[np.float64]

    def apply(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the matched features, shape (samples, channels)."""
        return features * self.scale + self.offset


def match(density: Density, features: NDArray[np.float64], start: Match) -> Match:
    """Match features, from a start on.

    Args:
        density: of the training.
        features: of electrodes that are turned back, shape (samples, channels).
        start: where the estimate of the shares begins.
    """
    mean = features.mean(axis=0)
    deviation = np.maximum(features.std(axis=0), 1e-6)
    found = start
    for _ in range(ROUNDS):
        each = density.responsibilities(found.apply(features), found.shares)
        shares = np.maximum(each.mean(axis=0), LEAST_SHARE)
        shares /= shares.sum()
        wanted = shares @ density.means
        variance = density.variances + shares @ np.square(density.means - wanted)
        scale = np.sqrt(variance) / deviation
        found = Match(scale, wanted - scale * mean, shares)
    return found


def fit_of(density: Density, features: NDArray[np.float64], found: Match) -> NDArray[np.float64]:
    """Return the log-likelihood of each sample after the match, as a density of `features`."""
    likelihood = density.of(found.apply(features), found.shares)
    likelihood += np.log(found.scale).sum()
    return likelihood
