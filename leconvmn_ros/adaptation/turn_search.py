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

"""Finds by how much the bands turned, and how sure that is.

For each candidate the features are turned back, standardised, and compared with the training by
their likelihood. How sure the choice is comes from a bootstrap over stretches of the recording:
samples that follow one another say the same.
"""

from collections.abc import Sequence
from typing import NamedTuple

from leconvmn_ros.adaptation.turns import common_turns, Rings, Turn, turning_back, turns_of_ring
from leconvmn_ros.decoding.density import Density
import numpy as np
from numpy.typing import NDArray

STRETCH = 2.0  # s
RESAMPLES = 500
# By how much a turn must explain the features better than none, in nats per sample. Chosen on
# Ninapro DB5 S1, S3 and the re-donning data of subject 1, where nothing moved and where it did.
LEAST_ADVANTAGE = 0.5


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


def find_turn(
    density: Density, features: NDArray[np.float64], rings: Rings, samples_per_stretch: int
) -> FoundTurn:
    """Find how the bands sit.

    Args:
        density: of the training.
        features: standardised by the training, shape (samples, channels).
        rings: channels of each band in their order around the forearm.
        samples_per_stretch: of `features`, in STRETCH.
    """
    found = _best(density, features, rings, common_turns(rings), samples_per_stretch)
    for ring in range(len(rings)) if len(rings) > 1 else ():
        turns = turns_of_ring(found.turn, ring, rings)
        own = _best(density, features, rings, turns, samples_per_stretch)
        if own.turn != found.turn:
            confidence = min(own.confidence, found.confidence)
            found = FoundTurn(own.turn, confidence, found.advantage + own.advantage)
    return found


def _best(
    density: Density,
    features: NDArray[np.float64],
    rings: Rings,
    turns: Sequence[Turn],
    samples_per_stretch: int,
) -> FoundTurn:
    """Choose one of the turns; the first one needs no advantage."""
    stretches = max(1, len(features) // samples_per_stretch)
    rows = features[: stretches * samples_per_stretch]
    own = standardised(rows)
    likelihoods = np.stack(
        [
            density.of(standardised(own @ turning_back(turn, rings, features.shape[1]).T))
            .reshape(stretches, -1)
            .mean(axis=1)
            for turn in turns
        ],
        axis=1,
    )
    likelihoods[:, 1:] -= LEAST_ADVANTAGE
    scores = likelihoods.mean(axis=0)
    best = int(np.argmax(scores))
    random = np.random.default_rng(0)
    picks = random.integers(stretches, size=(RESAMPLES, stretches))
    chosen = np.argmax(likelihoods[picks].mean(axis=1), axis=1)
    same = np.array([turns[best].close_to(turn) for turn in turns])
    others = np.delete(scores, best) if best == 0 else scores[:1] - LEAST_ADVANTAGE
    return FoundTurn(turns[best], float(same[chosen].mean()), float(scores[best] - others.max()))


def standardised(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return features with the mean 0 and deviation 1 of each channel; a constant one is 0."""
    centred = features - features.mean(axis=0)
    deviation = centred.std(axis=0)
    scaled: NDArray[np.float64] = centred / np.where(deviation > 1e-6, deviation, 1.0)
    return scaled
