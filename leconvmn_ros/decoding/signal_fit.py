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

"""Detects from the features alone whether EMG still fits the training.

The log-likelihood of the features under the training's mixture is compared with its usual value
for the movement that they look most like. Since some movements vary more than others, this says
more than the likelihood alone. The usual values were measured in training on repetitions that were
left out of the mixture one after another. The comparison covers a window of movement, not of rest:
a relaxed arm looks much the same wherever the band sits.
"""

from leconvmn_ros.decoding.density import Density
from leconvmn_ros.decoding.feature_mixture import FeatureMixture, mixture_of, rounded, UsualFit
import numpy as np
from numpy.typing import NDArray

COMPARED_RATE = 10.0  # Hz
# Number of samples of movement that are averaged (30 s), and the least for a first result.
WINDOW, LEAST_WINDOW = 300, 100
# Lower bound of a sample's score (nats), so that an artefact does not count as a misfit.
WORST = 15.0
# An alarm is raised if the mean of a full window falls this far below the least usual value (nats
# per sample), or further if the window is not full. It ends when the value is usual again. Chosen
# on Ninapro DB5 S1, S3 and DB1 S1, S2, S8: unchanged test repetitions stayed at least 0.4 above
# the limit, and a turn by one or two electrodes was 7 below it within 10 to 38 s.
MARGIN = 0.5
# Share of the training windows, the lowest ones, that is ignored.
_UNUSUAL = 0.01
# Fewer samples of a movement give no usual value.
_LEAST_SAMPLES = 20
_REST = 0


class SignalFit:
    """Tracks how well a stream of features fits the training.

    Attributes:
        score: log-likelihood minus its usual value, mean over the window (nats per sample); None
            with too little movement, or without usual values in the checkpoint.
        fits: whether the score is usual, with hysteresis; None like `score`.
        compared: number of samples of movement compared so far.
        unfit: number of these at which the signal did not fit.
    """

    def __init__(self, mixture: FeatureMixture | None) -> None:
        """Prepare; without usual values in the mixture there is never a result."""
        self._usual = None if mixture is None else mixture.usual
        if mixture is not None and mixture.usual is not None:
            self._by_movement = np.array(mixture.usual.by_movement)
            self._moves = moves(mixture)
        self._window = np.zeros(WINDOW)
        self.compared = self.unfit = 0
        self.reset()

    @property
    def known(self) -> bool:
        """Whether the checkpoint has usual values."""
        return self._usual is not None

    @property
    def least(self) -> float | None:
        """Lowest usual score (nats per sample); None if unknown."""
        return None if self._usual is None else self._usual.least

    def reset(self) -> None:
        """Reset, for another source or another map of the electrodes."""
        self._filled = self._next = 0
        self.score: float | None = None
        self.fits: bool | None = None

    def add(self, logs: NDArray[np.float64]) -> None:
        """Take samples.

        Args:
            logs: `Density.jointly` of features `COMPARED_RATE` times a second, shape (samples,
                movements).
        """
        if self._usual is None:
            return
        scores, nearest = scores_of(logs, self._by_movement)
        for score in scores[self._moves[nearest]].tolist():
            self._window[self._next] = score
            self._next = (self._next + 1) % WINDOW
            self._filled = min(WINDOW, self._filled + 1)
        if self._filled >= LEAST_WINDOW:
            self.score = float(self._window[: self._filled].mean())
            margin = 0.0 if self.fits is False else MARGIN * WINDOW / self._filled
            limit = self._usual.least - margin
            self.fits = self.score >= limit
            count = int(np.count_nonzero(self._moves[nearest]))
            self.compared += count
            self.unfit += 0 if self.fits else count


def moves(mixture: FeatureMixture) -> NDArray[np.bool_]:
    """Return which movements of a mixture are not rest, shape (movements,)."""
    result: NDArray[np.bool_] = np.array(mixture.movements) != _REST
    return result


def with_usual_fit(
    mixture: FeatureMixture,
    features: NDArray[np.floating],
    movements: NDArray[np.integer],
    groups: NDArray[np.integer],
) -> FeatureMixture:
    """Return the mixture with the usual fit of features left out of it, group by group.

    If it cannot be measured (a single group, or too little movement), the mixture is returned
    unchanged.

    Args:
        mixture: mixture of the training.
        features: features of the training at `COMPARED_RATE`, shape (samples, channels).
        movements: the movement at each sample, shape (samples,).
        groups: number of the group left out together, such as a repetition, shape (samples,).
    """
    rows, numbers = features.astype(np.float64), []
    logs = np.zeros((len(rows), len(mixture.movements)))
    for number in np.unique(groups):
        own = groups == number
        others = mixture_of([rows[~own]], [movements[~own]]) if not own.all() else None
        if others is not None and others.movements == mixture.movements:
            logs[own] = Density(others).jointly(rows[own])
            numbers.append(number)
    if len(numbers) < 2:
        return mixture
    used = np.isin(groups, numbers)
    by_movement = _usual_by_movement(logs[used])
    windows = [_windows(logs[groups == n], by_movement, moves(mixture)) for n in numbers]
    if not sum(map(len, windows)):
        return mixture
    usual = UsualFit(
        by_movement=rounded(by_movement),
        means=_usual_means(mixture, rows[used], logs[used], by_movement),
        least=round(float(np.quantile(np.concatenate(windows), _UNUSUAL)), 3),
    )
    return mixture.model_copy(update={'usual': usual})


def _usual_by_movement(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    likelihoods, nearest = np.logaddexp.reduce(logs, axis=1), logs.argmax(axis=1)
    usual = np.full(logs.shape[1], float(np.median(likelihoods)))
    for movement in range(logs.shape[1]):
        own = likelihoods[nearest == movement]
        if len(own) >= _LEAST_SAMPLES:
            usual[movement] = np.maximum(own, np.median(own) - WORST).mean()
    return usual


def _usual_means(
    mixture: FeatureMixture,
    rows: NDArray[np.float64],
    logs: NDArray[np.float64],
    by_movement: NDArray[np.float64],
) -> tuple[tuple[float, ...], ...]:
    """Return the mean of the samples that look most like each movement.

    It differs from the mean of the movement, whose labels include rest at both ends.
    """
    scores, nearest = scores_of(logs, by_movement)
    means = np.array(mixture.means)
    for movement in range(len(means)):
        own = (nearest == movement) & (scores > -WORST)
        if np.count_nonzero(own) >= _LEAST_SAMPLES:
            means[movement] = rows[own].mean(axis=0)
    return tuple(map(rounded, means))


def scores_of(
    logs: NDArray[np.float64], by_movement: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return log-likelihoods minus their usual values, and the most likely movements.

    Args:
        logs: `Density.jointly` of the samples, shape (samples, movements).
        by_movement: usual value for each movement (nats), shape (movements,).
    """
    nearest = logs.argmax(axis=1)
    scores = np.logaddexp.reduce(logs, axis=1) - by_movement[nearest]
    return np.maximum(scores, -WORST), nearest


def _windows(
    logs: NDArray[np.float64], by_movement: NDArray[np.float64], moving: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the mean scores of all windows of movement, or of all movement if it is shorter."""
    scores, nearest = scores_of(logs, by_movement)
    scores = scores[moving[nearest]]
    length = min(WINDOW, len(scores))
    if length < _LEAST_SAMPLES:
        return np.empty(0)
    sums = np.cumsum(np.concatenate(([0.0], scores)))
    means: NDArray[np.float64] = (sums[length:] - sums[:-length]) / length
    return means
