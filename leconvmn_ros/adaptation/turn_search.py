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

"""Search for the turn of the bands, with its confidence.

For each candidate the features are turned back, their offsets matched, and the result compared
with the training by its likelihood. The confidence of the choice comes from a bootstrap over
stretches of the recording, since successive samples are correlated.
"""

from collections.abc import Sequence
from typing import NamedTuple

from leconvmn_ros.adaptation.affine_fit import Affine, fit_map, Gaussians, Matrix, RIGID
from leconvmn_ros.adaptation.turns import common_turns, Rings, Turn, turning_back, turns_of_ring
from leconvmn_ros.decoding.feature_mixture import FeatureMixture
from leconvmn_ros.emg.signal_path import FeatureStatistics
import numpy as np
from numpy.typing import NDArray

STRETCH = 2.0  # s
RESAMPLES = 500
# By how much a turn must explain the features better than none, in nats per sample. Chosen on
# Ninapro DB5 S1, S3, DB1 S1, S8 and the re-donning data of subject 1: where nothing moved, none
# was ahead of a quarter of an electrode by 0.35 and more.
LEAST_ADVANTAGE = 0.2
# Rounds of a fit that is only used for comparison.
ROUNDS = 6


class FoundTurn(NamedTuple):
    """A turn that was found.

    Attributes:
        turn: how the bands sit.
        confidence: share of the resamples that give the same, within a step, 0 to 1.
        advantage: of the turn over none (nats per sample); over the next best if it is none.
    """

    turn: Turn
    confidence: float
    advantage: float


class Session(NamedTuple):
    """Features of a new session, and the training statistics to compare them with.

    Attributes:
        mixture: of the training.
        statistics: that standardised the features.
        rings: channels of each band in their order around the forearm.
        features: standardised by the training, shape (samples, channels).
        rate: of the features (Hz).
        live: channels that work, shape (live,).
        made: where it is known, which movement each sample is of, shape (samples, movements).
    """

    mixture: FeatureMixture
    statistics: FeatureStatistics
    rings: Rings
    features: Matrix
    rate: float
    live: NDArray[np.int64]
    made: Matrix | None = None

    @property
    def dead(self) -> tuple[int, ...]:
        """Channels that do not work."""
        return tuple(sorted(set(range(self.features.shape[1])) - set(self.live.tolist())))

    def turned_back(self, turn: Turn) -> Affine:
        """Return the map that turns standardised features back, with the gains of the training.

        Features are turned before they are standardised: the statistics belong to the positions.
        """
        mean, scale = np.array(self.statistics.mean), np.array(self.statistics.scale)
        matrix = turning_back(turn, self.rings, len(mean))
        return Affine(matrix * scale / scale[:, None], (matrix @ mean - mean) / scale)

    def expected(self, turn: Turn) -> Gaussians:
        """Return the training mixture as the live channels would measure it after a turn."""
        everywhere = Gaussians.of(self.mixture).before(self.turned_back(turn))
        return everywhere.of_channels(self.live)


def find_turn(session: Session) -> FoundTurn:
    """Find the turn of the bands."""
    rings = session.rings
    found = _best(session, common_turns(rings))
    for ring in range(len(rings)) if len(rings) > 1 else ():
        own = _best(session, turns_of_ring(found.turn, ring, rings))
        if own.turn != found.turn:
            confidence = min(own.confidence, found.confidence)
            found = FoundTurn(own.turn, confidence, found.advantage + own.advantage)
    return found


def _best(session: Session, turns: Sequence[Turn]) -> FoundTurn:
    """Choose one of the turns; the first one needs no advantage."""
    per_stretch = round(STRETCH * session.rate)
    stretches = max(1, len(session.features) // per_stretch)
    rows = slice(stretches * per_stretch)
    features = session.features[rows][:, session.live]
    made = None if session.made is None else session.made[rows]
    likelihoods = np.empty((stretches, len(turns)))
    for place, turn in enumerate(turns):
        expected = session.expected(turn)
        fit = fit_map(expected, features, session.rate, RIGID, made=made, rounds=ROUNDS)
        means = fit.likelihoods.reshape(stretches, -1).mean(axis=1)
        likelihoods[:, place] = means - fit.penalty
    likelihoods[:, 1:] -= LEAST_ADVANTAGE
    scores = likelihoods.mean(axis=0)
    best = int(np.argmax(scores))
    random = np.random.default_rng(0)
    picks = random.integers(stretches, size=(RESAMPLES, stretches))
    chosen = np.argmax(likelihoods[picks].mean(axis=1), axis=1)
    same = np.array([turns[best].close_to(turn) for turn in turns])
    others = np.delete(scores, best) if best == 0 else scores[:1] - LEAST_ADVANTAGE
    return FoundTurn(turns[best], float(same[chosen].mean()), float(scores[best] - others.max()))
