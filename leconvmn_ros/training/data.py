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

"""Training data: features and standardised angles of a set of recordings.

Statistics and limits are computed from the training part only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.recording import EmgChunk, Recording
from leconvmn_ros.core.strict_model import first_problem
from leconvmn_ros.dataset.alignment import reference_joints
from leconvmn_ros.dataset.filter_choice import FilterChoice, NO_FILTERS
from leconvmn_ros.dataset.hold_out import HoldOut, Role
from leconvmn_ros.dataset.repetitions import repetitions_of
from leconvmn_ros.dataset.segments import cut_segments, Segment
from leconvmn_ros.decoding.checkpoint import JointOutput
from leconvmn_ros.decoding.feature_mixture import FeatureMixture, mixture_of
from leconvmn_ros.decoding.movement_templates import MovementTemplates
from leconvmn_ros.decoding.signal_fit import COMPARED_RATE, with_usual_fit
from leconvmn_ros.emg.signal_path import (
    ExposureConfig,
    FeatureStatistics,
    SignalPath,
    SignalPathConfig,
)
from leconvmn_ros.emg.source_clock import RATE_TOLERANCE
from leconvmn_ros.models.stateless import Examples
from leconvmn_ros.training.sequences import FeatureSegment, images_of
from leconvmn_ros.training.templates import gathered_templates
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The data of a training.

    Attributes:
        signal_path: definition of features and images.
        statistics: statistics of the features of the training part.
        joints: conversion of standardised targets to angles.
        mixture: distribution of the standardised training features; None without labels.
        templates: mean course of each movement in the training part; None without labels.
        training: segments to learn from.
        validation: segments for validation; empty if they are learnt, too.
    """

    signal_path: SignalPathConfig
    statistics: FeatureStatistics
    joints: tuple[JointOutput, ...]
    mixture: FeatureMixture | None
    templates: MovementTemplates | None
    training: list[FeatureSegment]
    validation: list[FeatureSegment]

    def examples(self) -> tuple[Examples, Examples | None]:
        """Return examples for training and, if there are any, validation of memoryless models."""
        return (
            Examples(*images_of(self.training, self.signal_path)),
            Examples(*images_of(self.validation, self.signal_path)) if self.validation else None,
        )


def gather(
    recordings: Sequence[Recording],
    exposure: ExposureConfig,
    hold_out: HoldOut,
    *,
    filters: FilterChoice = NO_FILTERS,
    learn_validation: bool = False,
    known_joints: Sequence[JointOutput] = (),
) -> TrainingData:
    """Gather the data of recordings that are not held out for the test.

    Args:
        recordings: recordings with reference angles; channel counts and rates must agree.
        exposure: definition of features and images.
        hold_out: the hold-out.
        filters: filters of the EMG.
        learn_validation: use the validation part for training, too.
        known_joints: outputs of an already trained model; they keep their meaning, and their
            limits are only widened.

    Raises:
        ConfigurationError: the exposure does not fit the recordings.
        RecordingError: the recordings cannot be trained on.
    """
    names = _common_joints(recordings)
    cut = [
        cut_segments(recording, names, hold_out, learn_validation=learn_validation)
        for recording in recordings
    ]
    owned = [
        (segment, recording)
        for recording, segments in zip(recordings, cut, strict=True)
        for segment in segments
    ]
    training = [(s, recording) for s, recording in owned if s.role is Role.TRAINING]
    validation = [(s, recording) for s, recording in owned if s.role is Role.VALIDATION]
    if not training or not (validation or learn_validation):
        raise RecordingError(
            f'{", ".join(r.name for r in recordings)}: with {hold_out.rule()} held out there are '
            f'{len(training)} stretches of EMG with reference to learn from and '
            f'{len(validation)} to choose the epoch; at least one of each is needed'
        )
    path = _signal_path(recordings[0].chunks[0], exposure, filters)
    features = [SignalPath(path).push(segment.samples) for segment, _ in training]
    statistics = FeatureStatistics.of(np.concatenate(features))
    joints = _outputs(names, np.concatenate([segment.angles for segment, _ in training]))
    if known_joints:
        joints = _widened(known_joints, joints)
    mean, scale = np.array([j.mean for j in joints]), np.array([j.scale for j in joints])

    own = _own_statistics(training, path, statistics)

    def stretch(segment: Segment, recording: Recording) -> FeatureSegment:
        # With a lead-in, so that the model is running when it is scored, as in use.
        samples, context = np.concatenate((segment.lead_in, segment.samples)), len(segment.lead_in)
        targets = np.zeros((len(samples), len(names)), dtype=np.float32)
        targets[context:] = (segment.angles - mean) / scale
        features = SignalPath(path, statistics).push(samples)
        return FeatureSegment(
            features, targets, context, _onsets(segment, recording), own.get(id(recording))
        )

    return TrainingData(
        path,
        statistics,
        joints,
        _mixture(features, training, path, statistics),
        gathered_templates(training),
        [stretch(*each) for each in training],
        [stretch(*each) for each in validation],
    )


def _mixture(
    features: Sequence[NDArray[np.float32]],
    training: Sequence[tuple[Segment, Recording]],
    path: SignalPathConfig,
    statistics: FeatureStatistics,
) -> FeatureMixture | None:
    """Return the feature distribution for adaptation, from movements with labels."""
    mean, scale = np.array(statistics.mean), np.array(statistics.scale)
    rows, movements, groups = [], [], []
    numbers: dict[int, int] = {}  # number of each recording, by its identity
    for row, (segment, recording) in zip(features, training, strict=True):
        if recording.labels is None or not path.standardise:
            return None
        labels = recording.labels
        entries = np.searchsorted(labels.stamps_ns, segment.stamps_ns, side='right') - 1
        known = entries >= 0
        rows.append((row[known] - mean) / scale)
        movements.append(labels.movement[entries[known]])
        repetitions = labels.repetition[entries[known]]
        number = numbers.setdefault(id(recording), len(numbers))
        groups.append(np.stack((np.full_like(repetitions, number), repetitions), axis=1))
    mixture = mixture_of(rows, movements)
    if mixture is None:
        return None
    # Skip the first window of a stream, which is not full, as in use.
    compared = slice(path.window_length, None, max(1, round(path.sampling_rate / COMPARED_RATE)))
    pairs = np.concatenate([part[compared] for part in groups])
    return with_usual_fit(
        mixture,
        np.concatenate([part[compared] for part in rows]),
        np.concatenate([part[compared] for part in movements]),
        np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1),
    )


def _own_statistics(
    training: Sequence[tuple[Segment, Recording]],
    path: SignalPathConfig,
    statistics: FeatureStatistics,
) -> dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return the mean and deviation of each recording's standardised features, by its identity.

    They are computed from its training part. A single recording has no statistics of its own.
    """
    if len({id(recording) for _, recording in training}) < 2:
        return {}
    features: dict[int, list[NDArray[np.float32]]] = {}
    for segment, recording in training:
        row = SignalPath(path, statistics).push(segment.samples)
        features.setdefault(id(recording), []).append(row)
    joined = {key: np.concatenate(rows) for key, rows in features.items()}
    return {
        # A floor for the deviation: a channel that was off in one donning must not be amplified.
        key: (rows.mean(axis=0), np.maximum(rows.std(axis=0), 0.1))
        for key, rows in joined.items()
    }


def _onsets(segment: Segment, recording: Recording) -> tuple[int, ...]:
    """Return the samples at which movements begin in a segment with lead-in."""
    if recording.labels is None:
        return ()
    starts = [each.start_ns for each in repetitions_of(recording.labels, recording.span_ns[1])]
    places = np.searchsorted(segment.stamps_ns, starts)
    inside = places[places < len(segment.samples)]
    return tuple(sorted({len(segment.lead_in) + place for place in inside.tolist()}))


def _signal_path(
    first: EmgChunk, exposure: ExposureConfig, filters: FilterChoice
) -> SignalPathConfig:
    try:
        return SignalPathConfig(
            channels=first.samples.shape[1],
            sampling_rate=first.sampling_rate,
            high_pass=filters.high_pass,
            mains=filters.mains,
            **exposure.model_dump(),
        )
    except ValidationError as error:
        raise ConfigurationError(
            f'the settings do not fit recordings of {first.samples.shape[1]} channels at '
            f'{first.sampling_rate:g} Hz: {first_problem(error)}'
        ) from error


def _common_joints(recordings: Sequence[Recording]) -> tuple[str, ...]:
    sources = {
        (r.chunks[0].samples.shape[1], r.chunks[0].sampling_rate) for r in recordings if r.chunks
    }
    rates = [rate for _, rate in sources]
    if len({channels for channels, _ in sources}) > 1 or max(rates, default=0) > (
        1 + RATE_TOLERANCE
    ) * min(rates, default=0):
        raise RecordingError(
            f'recordings of different electrodes (channels, Hz): {sorted(sources)}; '
            'they must agree'
        )
    joints = {reference_joints(r.reference) for r in recordings if r.reference is not None}
    if len(joints) > 1:
        raise RecordingError(
            f'recordings with different reference joints: {sorted(joints)}; they must agree'
        )
    if not joints:
        raise RecordingError(
            f'no reference angles in {", ".join(recording.name for recording in recordings)}'
        )
    return joints.pop()


def _outputs(names: Sequence[str], angles: NDArray[np.float64]) -> tuple[JointOutput, ...]:
    """Return the outputs described by the angles."""
    deviation = angles.std(axis=0)
    return tuple(
        JointOutput(
            name=name,
            mean=float(angles[:, j].mean()),
            scale=float(deviation[j]) if deviation[j] > 1e-9 else 1.0,
            lower=float(angles[:, j].min()),
            upper=float(angles[:, j].max()),
        )
        for j, name in enumerate(names)
    )


def _widened(known: Sequence[JointOutput], seen: Sequence[JointOutput]) -> tuple[JointOutput, ...]:
    """Widen the limits of existing outputs to the range of new angles.

    Raises:
        RecordingError: the joints differ.
    """
    if [joint.name for joint in known] != [joint.name for joint in seen]:
        raise RecordingError(
            f'the recordings have reference angles of {", ".join(joint.name for joint in seen)}; '
            f'the decoder to start from has {", ".join(joint.name for joint in known)}'
        )
    return tuple(
        old.model_copy(
            update={'lower': min(old.lower, new.lower), 'upper': max(old.upper, new.upper)}
        )
        for old, new in zip(known, seen, strict=True)
    )
