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

"""The distribution of training features for adaptation: one Gaussian per movement.

The covariance is pooled over the movements, as in linear discriminant analysis.
"""

from collections.abc import Sequence

from leconvmn_ros.core.strict_model import StrictModel
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

# With more channels, the description in a checkpoint would have megabytes.
MOST_CHANNELS = 64
# Fewer samples do not characterise a movement.
LEAST_SAMPLES = 20
LEAST_MOVEMENTS = 2
_DIGITS = 6
_Row = tuple[float, ...]


class UsualFit(StrictModel):
    """How well EMG of the same session fits a mixture without that EMG.

    `decoding.signal_fit` computes and uses it.
    """

    by_movement: _Row = Field(
        description='mean log-likelihood of samples that look most like each movement (nats)'
    )
    means: tuple[_Row, ...] = Field(
        description='mean features of these samples, one value per channel'
    )
    least: float = Field(
        description='score that nearly every window of movement reached (nats per sample)'
    )


class FeatureMixture(StrictModel):
    """Standardised features of the training part: one Gaussian per movement, pooled covariance."""

    movements: tuple[int, ...] = Field(
        min_length=LEAST_MOVEMENTS, max_length=1000, description='movement numbers, 0 = rest'
    )
    shares: _Row = Field(description='share of the time of each movement')
    means: tuple[_Row, ...] = Field(description='mean of each movement, one value per channel')
    covariance: tuple[_Row, ...] = Field(
        max_length=MOST_CHANNELS, description='pooled covariance, channels x channels'
    )
    usual: UsualFit | None = Field(
        default=None, description='fit of left-out EMG; missing before version 0.2.0'
    )

    @model_validator(mode='after')
    def _consistent(self) -> 'FeatureMixture':
        kinds, channels = len(self.movements), len(self.covariance)
        if {len(self.shares), len(self.means)} != {kinds}:
            raise ValueError(
                f'{len(self.shares)} shares and {len(self.means)} means of {kinds} movements; '
                'one of each per movement is needed'
            )
        if {len(row) for row in (*self.means, *self.covariance)} != {channels}:
            raise ValueError(f'rows have other lengths than {channels}, the number of channels')
        if self.usual is not None:
            counts = {len(self.usual.by_movement), len(self.usual.means)}
            if counts != {kinds} or {len(row) for row in self.usual.means} != {channels}:
                raise ValueError(
                    f'the usual fit does not have {kinds} movements and {channels} channels'
                )
        if min(self.shares) <= 0:
            raise ValueError(f'share {min(self.shares)} of a movement; it must be above 0')
        matrix = np.array(self.covariance)
        if not np.allclose(matrix, matrix.T) or np.linalg.eigvalsh(matrix)[0] < -1e-6:
            raise ValueError('the covariance is not symmetric and positive semidefinite')
        return self

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.covariance)


def mixture_of(
    features: Sequence[NDArray[np.floating]], movements: Sequence[NDArray[np.integer]]
) -> FeatureMixture | None:
    """Describe features with known movements; None if there are too few or too many channels.

    Args:
        features: standardised, each of shape (samples, channels).
        movements: the movement at each sample, each of shape (samples,).
    """
    rows = np.concatenate(features).astype(np.float64)
    labels = np.concatenate(movements)
    numbers, counts = np.unique(labels, return_counts=True)
    numbers = numbers[counts >= LEAST_SAMPLES]
    if len(numbers) < LEAST_MOVEMENTS or rows.shape[1] > MOST_CHANNELS:
        return None
    used = np.isin(labels, numbers)
    rows, labels = rows[used], np.searchsorted(numbers, labels[used])
    means = np.stack([rows[labels == kind].mean(axis=0) for kind in range(len(numbers))])
    around = rows - means[labels]
    return FeatureMixture(
        movements=tuple(numbers.tolist()),
        shares=rounded(np.bincount(labels) / len(labels)),
        means=tuple(map(rounded, means)),
        covariance=tuple(map(rounded, around.T @ around / len(around))),
    )


def rounded(values: NDArray[np.float64]) -> _Row:
    """Return values rounded as in a checkpoint."""
    return tuple(float(f'{value:.{_DIGITS}g}') for value in values)
