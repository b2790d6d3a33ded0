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

"""Whether EMG still fits the training, from its features alone.

The log-likelihood of the features under the mixture of the training is compared with what is usual
for the movement that they look most like: some movements are more spread than others, so this says
more than the likelihood alone. What is usual was measured at the training, on repetitions that
were left out of the mixture one after another. The comparison runs over a window of movement, not
of rest: a relaxed arm looks much the same wherever the band sits.
"""

from leconvmn_ros.decoding.density import Density
from leconvmn_ros.decoding.feature_mixture import FeatureMixture, mixture_of, rounded, UsualFit
import numpy as np
from numpy.typing import NDArray

COMPARED_RATE = 10.0  # Hz
# Samples of movement that are averaged (30 s), and how many the first answer needs.
WINDOW, LEAST_WINDOW = 300, 100
# No sample counts as worse than this against what is usual (nats): an artefact is no other fit.
WORST = 15.0
# How far below the least usual value the mean of a whole window must fall to be an alarm (nats per
# sample); further if the window is not full yet. The alarm ends where the value is usual again.
# Chosen on Ninapro DB5 S1, S3 and DB1 S1, S2, S8: unchanged test repetitions stayed 0.4 above the
# limit at least, a turn by one or two electrodes was 7 below it within 10 to 38 s.
MARGIN = 0.5
# Of the windows of the training; the lowest ones are left away.
_UNUSUAL = 0.01
# Fewer samples that look like a movement do not say how likely they are.
_LEAST_SAMPLES = 20
_REST = 0


class SignalFit:
    """Follows how well a stream of features fits the training.

    Attributes:
        score: log-likelihood against what is usual, mean over the window (nats per sample); None
            while too little movement came, or if the training left nothing to compare with.
        fits: whether it is usual, with hysteresis; None like `score`.
        compared: how many samples of movement were compared so far.
        unfit: at how many of them the signal did not fit.
    """

    def __init__(self, mixture: FeatureMixture | None) -> None:
        """Prepare; without a mixture that knows what is usual nothing is ever said."""
        self._usual = None if mixture is None else mixture.usual
        if mixture is not None and mixture.usual is not None:
            self._by_movement = np.array(mixture.usual.by_movement)
            self._moves = moves(mixture)
        self._window = np.zeros(WINDOW)
        self.compared = self.unfit = 0
        self.reset()

    @property
    def known(self) -> bool:
        """Whether the training left something to compare with."""
        return self._usual is not None

    @property
    def least(self) -> float | None:
        """Lowest usual score (nats per sample); None if nothing is known."""
        return None if self._usual is None else self._usual.least

    def reset(self) -> None:
        """Forget what came: another source, or another map of the electrodes."""
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
    """Return the mixture with how well features fit that are left out of it, group by group.

    Where that cannot be told, because there is one group only or too little movement, it is the
    same mixture.

    Args:
        mixture: of the training.
        features: of the training, `COMPARED_RATE` times a second, shape (samples, channels).
        movements: the movement at each sample, shape (samples,).
        groups: number of what is left out together, such as a repetition, shape (samples,).
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

    It is not the mean of the movement: what is labelled with it begins and ends with rest.
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
    """Return log-likelihoods against what is usual, and which movement each sample looks like.

    Args:
        logs: `Density.jointly` of the samples, shape (samples, movements).
        by_movement: what is usual for each movement (nats), shape (movements,).
    """
    nearest = logs.argmax(axis=1)
    scores = np.logaddexp.reduce(logs, axis=1) - by_movement[nearest]
    return np.maximum(scores, -WORST), nearest


def _windows(
    logs: NDArray[np.float64], by_movement: NDArray[np.float64], moving: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the mean scores of all windows of movement; of all of it if it is shorter."""
    scores, nearest = scores_of(logs, by_movement)
    scores = scores[moving[nearest]]
    length = min(WINDOW, len(scores))
    if length < _LEAST_SAMPLES:
        return np.empty(0)
    sums = np.cumsum(np.concatenate(([0.0], scores)))
    means: NDArray[np.float64] = (sums[length:] - sums[:-length]) / length
    return means
