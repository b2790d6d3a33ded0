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

Neither labels nor angles are used. The steps: find the working electrodes and the turn of the
bands; match the features of the movements in the recording; skip each step for which the evidence
is not clear.
"""

from dataclasses import dataclass, replace

from leconvmn_ros.adaptation.affine_fit import Affine
from leconvmn_ros.adaptation.matching import Match, match
from leconvmn_ros.adaptation.turn_search import find_turn, FoundTurn, Session
from leconvmn_ros.adaptation.turns import Rings
from leconvmn_ros.core.errors import CheckpointError, ConfigurationError, RecordingError
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.dataset.segments import gapless_runs
from leconvmn_ros.decoding.checkpoint import Checkpoint, Description
from leconvmn_ros.decoding.feature_mixture import FeatureMixture
from leconvmn_ros.emg.electrode_map import ElectrodeMap
from leconvmn_ros.emg.signal_path import FeatureStatistics, SignalPath
from leconvmn_ros.emg.source_clock import RATE_TOLERANCE
import numpy as np
from numpy.typing import NDArray

LEAST_DURATION = 25.0  # s
DEFAULT_CONFIDENCE = 0.9
# Features are slow; this many per second are compared.
COMPARED_RATE = 20.0  # Hz
# A channel that changes less than this (standard deviations of the training) is dead.
LEAST_DEVIATION = 0.05
# Largest share of dead channels that can be filled in from the others.
MOST_DEAD = 0.5
# Median over the live channels: below it the arm did not move.
LEAST_ACTIVITY = 0.3
LEAST_MOVEMENTS = 3
# Least share of the time for a movement to count as made.
MADE_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Adaptation:
    """The findings, and the adapted decoder.

    Attributes:
        checkpoint: with the new map; without one if nothing moved.
        found: the turn of the bands, with its confidence.
        shifts: by how much each live channel's mean had moved, shape (live,), in standard
            deviations of the training.
        matched: whether features are matched, because the gains changed.
        free: whether the map mixes channels in a way that no turn explains.
        dead: channels that do not work, which the map fills in from the others.
        duration: of the EMG that was used (s).
        fine_tuned: whether the weights were changed.
        prompted: whether movement labels were used.
    """

    checkpoint: Checkpoint
    found: FoundTurn
    shifts: NDArray[np.float64]
    matched: bool
    free: bool
    dead: tuple[int, ...]
    duration: float

    fine_tuned: bool = False
    prompted: bool = False

    @property
    def moved(self) -> bool:
        """Whether there was anything to adapt to."""
        return self.fine_tuned or self.checkpoint.description.electrode_map is not None


def adapt(
    checkpoint: Checkpoint,
    recording: Recording,
    rings: Rings,
    *,
    least_confidence: float = DEFAULT_CONFIDENCE,
) -> Adaptation:
    """Adapt a decoder to a new session by its EMG alone.

    The map of an earlier adaptation is discarded: electrodes are compared with the training.

    Args:
        checkpoint: the decoder.
        recording: EMG of the new session; everything else in it is ignored.
        rings: channels of each band in their order around the forearm.
        least_confidence: reject a turn of the bands with less confidence, 0 to 1.

    Raises:
        CheckpointError: the decoder holds no training statistics to compare with.
        ConfigurationError: the rings do not fit its channels.
        RecordingError: the EMG is of another source, too short, without movement, or does not
            determine the turn of the bands.
    """
    mixture = mixture_in(checkpoint.description)
    check_rings(rings, mixture.channels)
    runs = compared_features(checkpoint.description, recording)
    features = np.concatenate([features for features, _ in runs])
    duration = len(features) / COMPARED_RATE
    if duration < LEAST_DURATION:
        raise RecordingError(
            f'{recording.name} has {duration:.0f} s of EMG; at least {LEAST_DURATION:g} s are '
            'needed, with several movements'
        )
    live = live_channels(recording, features)
    statistics = statistics_in(checkpoint.description)
    session = Session(mixture, statistics, rings, features, COMPARED_RATE, live)
    found = sure_turn(session, recording, least_confidence)
    matched = match(session, found.turn)
    made = int(np.sum(matched.shares >= MADE_SHARE))
    if made < min(LEAST_MOVEMENTS, len(mixture.movements)):
        raise RecordingError(
            f'{recording.name} seems to hold {made} of the {len(mixture.movements)} movements of '
            f'the training, rest included; at least {LEAST_MOVEMENTS} are needed'
        )
    return mapped(checkpoint, session, found, matched)


def mapped(
    checkpoint: Checkpoint, session: Session, found: FoundTurn, matched: Match
) -> Adaptation:
    """Return the decoder with the map that was found; without one if nothing moved."""
    moved = bool(found.turn or matched.offsets or matched.free or session.dead)
    electrode_map = _map(matched.map, session.features.mean(axis=0)) if moved else None
    description = checkpoint.description.model_copy(update={'electrode_map': electrode_map})
    return Adaptation(
        replace(checkpoint, description=description),
        found,
        matched.shifts,
        matched.offsets,
        matched.free,
        session.dead,
        len(session.features) / session.rate,
    )


def sure_turn(session: Session, recording: Recording, least_confidence: float) -> FoundTurn:
    """Find the turn of the bands; reject one of too little confidence.

    Raises:
        RecordingError: the confidence is too low.
    """
    found = find_turn(session)
    if found.confidence < least_confidence:
        raise RecordingError(
            f'{recording.name} does not tell clearly how the electrodes sit: the best answer '
            f'({turn_words(found)}) has a confidence of {found.confidence:.2f}, '
            f'{least_confidence:g} is needed. Record a minute or more with all movements'
        )
    return found


def mixture_in(description: Description) -> FeatureMixture:
    """Return the training statistics of a decoder.

    Raises:
        CheckpointError: it has none.
    """
    if description.mixture is None:
        raise CheckpointError(
            'the decoder keeps no statistics of the movements of its training, which adaptation '
            'compares with: it was trained before version 0.2.0, on bags without movement labels, '
            'or on features that are not standardised. Train it again'
        )
    return description.mixture


def turn_words(found: FoundTurn) -> str:
    """Describe the turn of the bands."""
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


def check_rings(rings: Rings, channels: int) -> None:
    """Check rings against the number of channels of a decoder.

    Raises:
        ConfigurationError: they do not fit.
    """
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


def statistics_in(description: Description) -> FeatureStatistics:
    """Return the statistics that standardise the features of a decoder.

    Raises:
        CheckpointError: it has none.
    """
    if description.statistics is None:
        raise CheckpointError('the decoder keeps no statistics of its features')
    return description.statistics


def compared_features(
    description: Description, recording: Recording
) -> list[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Return features standardised by the training, and their times, for each gapless run.

    Returns:
        Features, shape (samples, channels), at COMPARED_RATE or slower, and times (ns).

    Raises:
        RecordingError: the EMG is of another source, or not usable.
    """
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
    runs = []
    for run in gapless_runs(recording):
        features = SignalPath(path, description.statistics).push(run.samples)
        # The first window is not full yet.
        part = slice(path.window_length, None, step)
        runs.append((features[part].astype(np.float64), run.stamps_ns[part]))
    return runs


def live_channels(recording: Recording, features: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return which channels work, shape (live,).

    Raises:
        RecordingError: too few, or the arm does not move.
    """
    if not np.isfinite(features).all():
        raise RecordingError(f'{recording.name} has EMG that is not finite')
    deviation = features.std(axis=0)
    alive = deviation >= LEAST_DEVIATION
    if 1 - alive.mean() > MOST_DEAD:
        dead = ', '.join(map(str, np.flatnonzero(~alive)))
        raise RecordingError(
            f'{recording.name}: nothing changes on channel {dead}; at least half of the '
            'electrodes must work'
        )
    if np.median(deviation[alive]) < LEAST_ACTIVITY:
        raise RecordingError(
            f'{recording.name}: the arm hardly moved (the features vary '
            f'{np.median(deviation[alive]):.2f} times as much as in the training, '
            f'{LEAST_ACTIVITY:g} are needed); make all the movements'
        )
    return np.flatnonzero(alive)


def _map(found: Affine, usual: NDArray[np.float64]) -> ElectrodeMap:
    return ElectrodeMap(
        matrix=tuple(tuple(row) for row in np.round(found.matrix, 6).tolist()),
        offset=tuple(np.round(found.offset, 6).tolist()),
        usual=tuple(np.round(usual, 6).tolist()),
    )
