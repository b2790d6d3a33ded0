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

"""Maps features of a new session to those of the training, given the turn of the bands.

Matching the statistics of a few movements against those of the whole training does harm. Therefore
the share of each movement is estimated from the features themselves, alternately with the match.
Three maps are tried, from the simplest on, and each must improve enough on the one before: none,
other offsets (gains, in logarithmic features), and a free matrix (electrodes between the old
positions). Dead electrodes are filled in with their expectation given the others.
"""

from typing import NamedTuple

from leconvmn_ros.adaptation.affine_fit import (
    Affine,
    Fit,
    fit_map,
    fit_shares,
    FREE,
    Gaussians,
    likelihood,
    Matrix,
    RIGID,
)
from leconvmn_ros.adaptation.turn_search import Session
from leconvmn_ros.adaptation.turns import Turn
import numpy as np

# By how much other offsets must explain the features better than none: nats per sample and
# channel, times the duration (s), since estimates from a short recording are uncertain. On Ninapro
# DB5 S1, S3 and DB1 S1, S8 it was 1.3 at most where nothing moved; with gains drawn from 0.5 to 2
# it was 4.9 and more in 30 s, 13 and more in 90 s.
LEAST_EVIDENCE = 2.5
# The largest shift of a channel that is not worth a map (standard deviations of the training).
SMALL_SHIFT = 0.3
# By how much a free matrix must explain features better that it was not fitted to, in nats per
# sample and channel. It was 0.03 at most where nothing moved, 0.06 to 0.17 from one armband of DB5
# to the other.
LEAST_FREE_GAIN = 0.05
FOLDS = 4


class Match(NamedTuple):
    """How features were matched.

    Attributes:
        map: from standardised features to those of the training.
        shares: of the movements in the recording, shape (movements,).
        shifts: by how much each live channel moved on average, in standard deviations.
        offsets: whether other offsets improved the match enough.
        free: whether a free matrix did.
    """

    map: Affine
    shares: Matrix
    shifts: Matrix
    offsets: bool
    free: bool


def match(session: Session, turn: Turn) -> Match:
    """Match features, given the turn of the bands."""
    features = session.features[:, session.live]
    expected = session.expected(turn)
    fit = fit_shares(expected, features, session.made)
    offsets = free = False
    rigid = fit_map(expected, features, session.rate, RIGID, made=session.made)
    duration = len(features) / session.rate
    gain = (rigid.evidence - fit.evidence) / features.shape[1]
    if gain * duration > LEAST_EVIDENCE and _largest_shift(rigid, features) > SMALL_SHIFT:
        fit, offsets = rigid, True
    gains = _held_out(session, expected, FREE) - _held_out(session, expected, RIGID)
    if gains > LEAST_FREE_GAIN * features.shape[1]:
        fit = fit_map(expected, features, session.rate, FREE, made=session.made)
        free = True
    return Match(
        _whole(session, turn, fit.map),
        fit.shares,
        (features - fit.map.apply(features)).mean(axis=0),
        offsets,
        free,
    )


def misfit(session: Session, found: Match) -> float:
    """Return the distance of the movements from those of the training after the match.

    The square of the distance between the mean of a movement here and its mean in the training,
    per channel, in the variance within movements; mean over the movements that were made.
    """
    if session.made is None:
        raise ValueError('which movements were made is not known')
    gaussians = Gaussians.of(session.mixture)
    mapped = found.map.apply(session.features)
    whitening = gaussians.whitening()
    made = session.made[:, session.made.any(axis=0)]
    means = made.T @ mapped / made.sum(axis=0)[:, None]
    away = (means - gaussians.means[session.made.any(axis=0)]) @ whitening.T
    return float(np.square(away).mean())


def _largest_shift(fit: Fit, features: Matrix) -> float:
    return float(np.abs(fit.map.apply(features) - features).mean(axis=0).max())


def _held_out(session: Session, expected: Gaussians, strength: float) -> float:
    """Return the likelihood of held-out stretches under a map (nats per sample)."""
    features, made = session.features[:, session.live], session.made
    folds = np.arange(len(features)) * FOLDS // len(features)
    total = 0.0
    for fold in range(FOLDS):
        own, other = folds == fold, folds != fold
        fit = fit_map(
            expected,
            features[other],
            session.rate,
            strength,
            made=None if made is None else made[other],
        )
        held = likelihood(expected, features[own], fit, None if made is None else made[own])
        total += held / FOLDS
    return total


def _whole(session: Session, turn: Turn, inner: Affine) -> Affine:
    """Return the map of all channels: match the live ones, fill in the dead, turn back."""
    back = session.turned_back(turn)
    channels = session.features.shape[1]
    complete = Gaussians.of(session.mixture).before(back).completing(session.live)
    only_live = Affine(np.eye(channels)[session.live], np.zeros(len(session.live)))
    return back.after(complete).after(inner).after(only_live)
