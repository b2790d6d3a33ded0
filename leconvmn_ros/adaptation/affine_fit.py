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

"""An affine map of features that makes them as likely as possible under the training's Gaussians.

Method: constrained maximum likelihood linear regression, as speech recognisers adapt to a speaker
(Gales, Computer Speech and Language 12 (1998) 75): expectation maximisation, each row of the map
in closed form. A Gaussian prior keeps the map close to where it starts; how close says whether
only the offsets move (gains of logarithmic features) or the channels also mix.
"""

from typing import NamedTuple

from leconvmn_ros.decoding.density import half_squared_distances, shrunk
from leconvmn_ros.decoding.feature_mixture import FeatureMixture
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
# Strength of the prior on the matrix. In logarithmic features a gain is an offset, so a rigid
# matrix still matches gains; a free one also undoes changes that no turn explains. Chosen, like
# all numbers here, on Ninapro DB5 S1, S3, DB1 S1, S8 and re-donning subject 1.
RIGID, FREE = 3000.0, 30.0
# Strength of the prior on the offsets.
OFFSET_STRENGTH = 1.0
# Successive features are correlated: only this many per second count as independent.
EFFECTIVE_RATE = 2.0  # Hz
ROUNDS = 20
SWEEPS = 2
# Share of a movement that appears to be absent from the recording.
LEAST_SHARE = 1e-3


class Affine(NamedTuple):
    """An affine map: matrix @ features + offset.

    Attributes:
        matrix: shape (outputs, inputs).
        offset: shape (outputs,).
    """

    matrix: Matrix
    offset: Matrix

    def apply(self, features: Matrix) -> Matrix:
        """Return mapped features, shape (samples, outputs)."""
        return features @ self.matrix.T + self.offset

    def after(self, first: 'Affine') -> 'Affine':
        """Return the map that does `first` and then this one."""
        return Affine(self.matrix @ first.matrix, self.matrix @ first.offset + self.offset)


class Gaussians(NamedTuple):
    """One Gaussian per movement with a common covariance.

    Attributes:
        means: shape (movements, channels).
        covariance: shape (channels, channels).
        shares: of the movements, shape (movements,).
    """

    means: Matrix
    covariance: Matrix
    shares: Matrix

    @classmethod
    def of(cls, mixture: FeatureMixture) -> 'Gaussians':
        """Return those of a training."""
        shares = np.array(mixture.shares)
        return cls(np.array(mixture.means), np.array(mixture.covariance), shares / shares.sum())

    def before(self, back: Affine) -> 'Gaussians':
        """Return those of features that `back` maps to features of the training."""
        inverse = np.linalg.inv(back.matrix)
        return Gaussians(
            (self.means - back.offset) @ inverse.T,
            inverse @ self.covariance @ inverse.T,
            self.shares,
        )

    def of_channels(self, channels: NDArray[np.int64]) -> 'Gaussians':
        """Return those of some channels."""
        covariance = self.covariance[np.ix_(channels, channels)]
        return Gaussians(self.means[:, channels], covariance, self.shares)

    def whitening(self) -> Matrix:
        """Return what gives the covariance, shrunk a little, the unit matrix."""
        white: Matrix = np.linalg.inv(np.linalg.cholesky(shrunk(self.covariance)))
        return white

    def completing(self, live: NDArray[np.int64]) -> Affine:
        """Return the map from live channels to all: dead ones as is likely given the others.

        It is the regression on the live channels over all movements in their shares.
        """
        mean = self.shares @ self.means
        around = self.means - mean
        total = self.covariance + (around * self.shares[:, None]).T @ around
        total = shrunk(total)
        matrix = total[:, live] @ np.linalg.inv(total[np.ix_(live, live)])
        matrix[live] = np.eye(len(live))
        offset = mean - matrix @ mean[live]
        offset[live] = 0.0
        return Affine(matrix, offset)


class Fit(NamedTuple):
    """A map that was found.

    Attributes:
        map: from the features to those of the Gaussians.
        shares: of the movements in the features, shape (movements,).
        likelihoods: logarithm of the density of each sample, shape (samples,).
        penalty: what the prior takes off, in nats per sample.
    """

    map: Affine
    shares: Matrix
    likelihoods: Matrix
    penalty: float

    @property
    def evidence(self) -> float:
        """Mean log-likelihood less the penalty (nats per sample)."""
        return float(self.likelihoods.mean()) - self.penalty


def fit_shares(gaussians: Gaussians, features: Matrix, made: Matrix | None = None) -> Fit:
    """Find the shares of the movements alone: nothing is mapped; see `fit_map`."""
    channels = features.shape[1]
    shares = gaussians.shares
    whitening = gaussians.whitening()
    logs = -half_squared_distances(features @ whitening.T, gaussians.means @ whitening.T)
    if made is None:
        for _ in range(ROUNDS):
            shares = _shares(_weights(logs + np.log(shares)))
    else:
        shares = _shares(made)
    volume = np.linalg.slogdet(whitening)[1] - 0.5 * channels * np.log(2 * np.pi)
    return Fit(
        Affine(np.eye(channels), np.zeros(channels)),
        shares,
        _mixed(logs, shares, made) + volume,
        0.0,
    )


def fit_map(
    gaussians: Gaussians,
    features: Matrix,
    rate: float,
    strength: float,
    *,
    made: Matrix | None = None,
    rounds: int = ROUNDS,
) -> Fit:
    """Find the map, close to the identity.

    Args:
        gaussians: of the training, for electrodes as they sit now.
        features: shape (samples, channels).
        rate: of the features (Hz).
        strength: of the prior on the matrix: RIGID, FREE, or between.
        made: where it is known, which movement each sample is of, shape (samples, movements).
        rounds: of the search.
    """
    samples, channels = features.shape
    effective = max(1.0, samples / rate * EFFECTIVE_RATE)
    whitening = gaussians.whitening()
    means = gaussians.means @ whitening.T
    prior = np.concatenate((whitening, np.zeros((channels, 1))), axis=1)
    weights, shares = prior.copy(), gaussians.shares
    extended = np.column_stack((features, np.ones(samples)))
    strengths = np.append(np.full(channels, strength), OFFSET_STRENGTH)
    inverse = np.linalg.inv(extended.T @ extended * (effective / samples) + np.diag(strengths))
    for _ in range(rounds):
        weight = made
        if weight is None:
            weight = _weights(
                -half_squared_distances(extended @ weights.T, means) + np.log(shares)
            )
        shares = _shares(weight)
        wanted = means.T @ (weight.T @ extended) * (effective / samples) + prior * strengths
        for _ in range(SWEEPS):
            _sweep(weights, wanted, inverse, effective)
    volume = np.linalg.slogdet(weights[:, :channels])[1] - 0.5 * channels * np.log(2 * np.pi)
    found = np.linalg.solve(whitening, weights).astype(np.float64)
    return Fit(
        Affine(found[:, :channels], found[:, channels]),
        shares,
        _mixed(-half_squared_distances(extended @ weights.T, means), shares, made) + volume,
        0.5 * float((np.square(weights - prior) * strengths).sum()) / effective,
    )


def likelihood(gaussians: Gaussians, features: Matrix, fit: Fit, made: Matrix | None) -> float:
    """Return the mean log-likelihood of other features under a fit (nats per sample).

    Half of the shares are those of the training: other features may hold other movements.
    """
    whitening = gaussians.whitening()
    logs = -half_squared_distances(
        fit.map.apply(features) @ whitening.T, gaussians.means @ whitening.T
    )
    volume = np.linalg.slogdet(whitening @ fit.map.matrix)[1]
    volume -= 0.5 * features.shape[1] * np.log(2 * np.pi)
    shares = (fit.shares + gaussians.shares) / 2
    return float(_mixed(logs, shares, made).mean() + volume)


def _weights(logs: Matrix) -> Matrix:
    """Return how likely each sample is of each movement, shape (samples, movements)."""
    result: Matrix = np.exp(logs - np.logaddexp.reduce(logs, axis=1)[:, None])
    return result


def _shares(weights: Matrix) -> Matrix:
    shares = np.maximum(weights.mean(axis=0), LEAST_SHARE)
    result: Matrix = shares / shares.sum()
    return result


def _mixed(logs: Matrix, shares: Matrix, made: Matrix | None) -> Matrix:
    """Return the likelihood of each sample over the movements, or of the one that was made."""
    if made is not None:
        of_made: Matrix = (logs * made).sum(axis=1)
        return of_made
    mixed: Matrix = np.logaddexp.reduce(logs + np.log(shares), axis=1)
    return mixed


def _sweep(weights: Matrix, wanted: Matrix, inverse: Matrix, effective: float) -> None:
    """Improve each row of the map in place, the others held (Gales 1998, appendix A)."""
    channels = len(weights)
    for row in range(channels):
        # Along the cofactors of the row the determinant grows.
        direction = np.append(np.linalg.inv(weights[:, :channels])[:, row], 0.0)
        direction /= np.linalg.norm(direction)
        along = inverse @ direction
        square, linear = direction @ along, along @ wanted[row]
        root = np.sqrt(linear**2 + 4 * square * effective)
        steps = np.array([root - linear, -root - linear]) / (2 * square)
        gains = effective * np.log(np.abs(steps * square + linear)) - 0.5 * steps**2 * square
        weights[row] = inverse @ (steps[int(np.argmax(gains))] * direction + wanted[row])
