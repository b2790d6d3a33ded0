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

"""Adaptation without labels: from EMG of a new session to a decoder with a map in front of it.

Neither labels nor angles are looked at. The steps: find how the bands turned; match mean and scale
of each channel; leave both away where the evidence is not clear.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from leconvmn_ros.adaptation.matching import fit_of, Match, match
from leconvmn_ros.adaptation.turn_search import find_turn, FoundTurn, STRETCH
from leconvmn_ros.adaptation.turns import Rings, Turn, turning_back
from leconvmn_ros.core.errors import CheckpointError, ConfigurationError, RecordingError
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.dataset.segments import gapless_runs
from leconvmn_ros.decoding.checkpoint import Checkpoint, Description
from leconvmn_ros.decoding.density import Density
from leconvmn_ros.decoding.feature_mixture import FeatureMixture
from leconvmn_ros.emg.electrode_map import ElectrodeMap
from leconvmn_ros.emg.signal_path import SignalPath
from leconvmn_ros.emg.source_clock import RATE_TOLERANCE
import numpy as np
from numpy.typing import NDArray

LEAST_DURATION = 25.0  # s
DEFAULT_CONFIDENCE = 0.9
# Features are slow; so many per second are compared.
COMPARED_RATE = 20.0  # Hz
# A channel that changes less than this (standard deviations of the training) is not in use.
LEAST_DEVIATION = 0.05
# Median over the channels: below it the arm did not move.
LEAST_ACTIVITY = 0.3
LEAST_MOVEMENTS = 3
# Of the time, for a movement to count as made.
MADE_SHARE = 0.02
# By how much a match must explain the features better than none: nats per sample and channel,
# times the duration (s), since estimates from a short recording are uncertain. On Ninapro DB5 S1,
# S3 and DB1 S1, S2, S8 it was 9 at most in 30 s and 7 in 90 s of an unchanged session; with gains
# drawn from 0.5 to 2 it was 5 to 30 in 30 s (some are missed) and 12 and more in 90 s.
LEAST_EVIDENCE = 10.0
# The largest shift of a channel that is not worth a map (standard deviations of the training).
SMALL_SHIFT = 0.3


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What was found, and the decoder that it gives.

    Attributes:
        checkpoint: with the new map; without one if nothing moved.
        found: how the bands sit, and how sure that is.
        shifts: by how much each channel's mean had moved, shape (channels,), in standard
            deviations of the training.
        matched: whether mean and scale are matched, since the gains changed.
        duration: of the EMG that was used (s).
    """

    checkpoint: Checkpoint
    found: FoundTurn
    shifts: NDArray[np.float64]
    matched: bool
    duration: float

    @property
    def moved(self) -> bool:
        """Whether anything was found to adapt to."""
        return self.checkpoint.description.electrode_map is not None


def adapt(
    checkpoint: Checkpoint,
    recording: Recording,
    rings: Rings,
    *,
    least_confidence: float = DEFAULT_CONFIDENCE,
) -> Adaptation:
    """Adapt a decoder to a new session by its EMG alone.

    A map of an earlier adaptation is not built on: electrodes are compared with the training.

    Args:
        checkpoint: the decoder.
        recording: EMG of the new session; nothing else of it is looked at.
        rings: channels of each band in their order around the forearm.
        least_confidence: refuse to say how the bands sit with less, 0 to 1.

    Raises:
        CheckpointError: the decoder keeps nothing of its training to compare with.
        ConfigurationError: the rings do not fit its channels.
        RecordingError: the EMG is of another source, too short, without movement, or does not
            tell how the bands sit.
    """
    mixture = mixture_in(checkpoint.description)
    _check_rings(rings, mixture.channels)
    features, duration = _features(checkpoint.description, recording)
    _check_enough(recording, features, duration)
    density = Density(mixture)
    found = find_turn(density, features, rings, round(STRETCH * COMPARED_RATE))
    if found.confidence < least_confidence:
        raise RecordingError(
            f'{recording.name} does not tell clearly how the electrodes sit: the best answer '
            f'({turn_words(found)}) has a confidence of {found.confidence:.2f}, '
            f'{least_confidence:g} is needed. Record a minute or more with all movements'
        )
    back = _turned_back(checkpoint.description, found.turn, rings)
    features_back = features @ back.matrix.T + back.offset
    matched, worth = _matched(density, features_back, duration)
    made = int(np.sum(matched.shares >= MADE_SHARE))
    if made < min(LEAST_MOVEMENTS, len(mixture.movements)):
        raise RecordingError(
            f'{recording.name} seems to hold {made} of the {len(mixture.movements)} movements of '
            f'the training, rest included; at least {LEAST_MOVEMENTS} are needed'
        )
    moved = bool(found.turn) or worth
    if not worth:
        matched = match_shares(density, features_back)
    return Adaptation(
        replace(
            checkpoint,
            description=checkpoint.description.model_copy(
                update={
                    'electrode_map': _map(back, matched, features.mean(axis=0)) if moved else None
                }
            ),
        ),
        found,
        (features_back - matched.apply(features_back)).mean(axis=0),
        worth,
        duration,
    )


def mixture_in(description: Description) -> FeatureMixture:
    """Return what a decoder keeps of its training.

    Raises:
        CheckpointError: nothing.
    """
    if description.mixture is None:
        raise CheckpointError(
            'the decoder keeps no statistics of the movements of its training, which adaptation '
            'compares with: it was trained before version 0.2.0, on bags without movement labels, '
            'or on features that are not standardised. Train it again'
        )
    return description.mixture


def turn_words(found: FoundTurn) -> str:
    """Say how the bands sit."""
    turn = found.turn
    if not turn:
        return 'as in the training'
    sizes = set(turn.electrodes)
    by = (
        f'turned by {turn.electrodes[0]:+g} electrodes'
        if len(sizes) == 1
        else 'rings turned by '
        + ', '.join(f'{each:+g}' for each in turn.electrodes)
        + ' electrodes'
    )
    return f'worn the other way round, {by}' if turn.reversed else by


def _check_rings(rings: Rings, channels: int) -> None:
    used = [channel for ring in rings for channel in ring]
    if not rings or min(map(len, rings)) < 3 or len(set(used)) < len(used):
        raise ConfigurationError(
            f'rings of {[len(ring) for ring in rings]} electrodes; each needs 3 or more, and no '
            'channel may be in two'
        )
    if not set(used) <= set(range(channels)):
        raise ConfigurationError(
            f'the rings name channels {min(used)} to {max(used)}; the decoder has 0 to '
            f'{channels - 1}'
        )


def _features(description: Description, recording: Recording) -> tuple[NDArray[np.float64], float]:
    """Return features standardised by the training, and the duration of their EMG (s)."""
    path = description.signal_path
    if not recording.chunks:
        raise RecordingError(f'{recording.name} has no EMG')
    first = recording.chunks[0]
    channels, rate = first.samples.shape[1], first.sampling_rate
    if channels != path.channels or abs(rate / path.sampling_rate - 1) > RATE_TOLERANCE:
        raise RecordingError(
            f'{recording.name} has {channels} channels at {rate:g} Hz; the decoder takes '
            f'{path.channels} at {path.sampling_rate:g} Hz'
        )
    step = max(1, round(path.sampling_rate / COMPARED_RATE))
    rows, samples = [], 0
    for run in gapless_runs(recording):
        features = SignalPath(path, description.statistics).push(run.samples)
        # The first window is not full yet.
        rows.append(features[path.window_length :: step])
        samples += len(run.samples)
    return np.concatenate(rows).astype(np.float64), samples / path.sampling_rate


def _check_enough(recording: Recording, features: NDArray[np.float64], duration: float) -> None:
    if duration < LEAST_DURATION:
        raise RecordingError(
            f'{recording.name} has {duration:.0f} s of EMG; at least {LEAST_DURATION:g} s are '
            'needed, with several movements'
        )
    if not np.isfinite(features).all():
        raise RecordingError(f'{recording.name} has EMG that is not finite')
    deviation = features.std(axis=0)
    if (silent := np.flatnonzero(deviation < LEAST_DEVIATION)).size:
        raise RecordingError(
            f'{recording.name}: nothing changes on channel {", ".join(map(str, silent))}; '
            'adaptation needs all electrodes'
        )
    if np.median(deviation) < LEAST_ACTIVITY:
        raise RecordingError(
            f'{recording.name}: the arm hardly moved (the features vary '
            f'{np.median(deviation):.2f} times as much as in the training, {LEAST_ACTIVITY:g} '
            'are needed); make all the movements'
        )


class _Affine(NamedTuple):
    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]


def _turned_back(description: Description, turn: Turn, rings: Rings) -> _Affine:
    """Return what turns standardised features back, as if the gains were those of the training.

    Features are turned before they are standardised: the statistics belong to the places.
    """
    statistics = description.statistics
    if statistics is None:
        raise CheckpointError('the decoder keeps no statistics of its features')
    mean, scale = np.array(statistics.mean), np.array(statistics.scale)
    matrix = turning_back(turn, rings, len(mean))
    return _Affine(matrix * scale / scale[:, None], (matrix @ mean - mean) / scale)


def _matched(
    density: Density, features: NDArray[np.float64], duration: float
) -> tuple[Match, bool]:
    """Match the features of electrodes that are turned back; say whether that is worth it.

    Two starts: the gains are those of the training, or the recording's statistics are.
    """
    channels = features.shape[1]
    own = np.maximum(features.std(axis=0), 1e-6)
    starts = (
        Match(np.ones(channels), np.zeros(channels), density.shares),
        Match(1 / own, -features.mean(axis=0) / own, density.shares),
    )
    candidates = [match(density, features, start) for start in starts]
    fits = [fit_of(density, features, candidate).mean() for candidate in candidates]
    best = candidates[int(np.argmax(fits))]
    gain = max(fits) - fit_of(density, features, match_shares(density, features)).mean()
    shifted = np.abs(best.apply(features) - features).mean(axis=0).max()
    evidence = gain / channels * duration
    return best, bool(evidence > LEAST_EVIDENCE and shifted > SMALL_SHIFT)


def match_shares(density: Density, features: NDArray[np.float64]) -> Match:
    """Match the shares of the movements alone."""
    channels = features.shape[1]
    found = Match(np.ones(channels), np.zeros(channels), density.shares)
    for _ in range(10):
        shares = np.maximum(density.responsibilities(features, found.shares).mean(axis=0), 1e-3)
        found = found._replace(shares=shares / shares.sum())
    return found


def _map(back: _Affine, found: Match, usual: NDArray[np.float64]) -> ElectrodeMap:
    matrix = found.scale[:, None] * back.matrix
    offset = found.scale * back.offset + found.offset
    return ElectrodeMap(
        matrix=tuple(tuple(row) for row in np.round(matrix, 6).tolist()),
        offset=tuple(np.round(offset, 6).tolist()),
        usual=tuple(np.round(usual, 6).tolist()),
    )
