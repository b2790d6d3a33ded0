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

"""Arranges features and targets as images: in lanes for recurrent models, shuffled for others."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.emg.signal_path import columns_of, SignalPathConfig
from leconvmn_ros.training.fit_settings import Order
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FeatureSegment:
    """A segment as input of a model.

    Attributes:
        features: shape (samples, channels).
        targets: standardised angles, shape (samples, joints); meaningless in the context.
        context: number of lead-in samples at its start, which are not scored.
        onsets: samples after the context at which movements begin, where it may be cut.
        own: mean and standard deviation of each channel's features over the training part of its
            own recording, if needed; shape (channels,) each.
    """

    features: NDArray[np.float32]
    targets: NDArray[np.float32]
    context: int = 0
    onsets: tuple[int, ...] = ()
    own: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def standardised(self, share: float) -> NDArray[np.float32]:
        """Return the features, shifted by a share towards standardisation by their own statistics.

        0 leaves them standardised over all recordings; 1 gives each channel mean 0 and standard
        deviation 1 over its own recording.
        """
        if self.own is None:
            return self.features
        mean, deviation = self.own
        moved: NDArray[np.float32] = (self.features - share * mean) / deviation**share
        return moved.astype(np.float32)

    def repetitions(self) -> list['FeatureSegment']:
        """Return the part without context, cut where movements begin."""
        edges = [
            self.context,
            *(onset for onset in self.onsets if onset > self.context),
            len(self.features),
        ]
        return [
            FeatureSegment(self.features[first:last], self.targets[first:last], own=self.own)
            for first, last in pairwise(edges)
        ]


@dataclass(frozen=True, slots=True)
class SequenceBatch:
    """Sequences of images side by side, as a batch for recurrent training.

    Attributes:
        images: features, shape (steps, lanes, channels, time).
        targets: standardised angles at the last sample of each image, shape (steps, lanes,
            joints).
        fresh: whether a segment starts, so that the state is reset before the step, shape (steps,
            lanes).
        used: whether there is an image to score; false in the context of a stretch and after the
            end of a lane, shape (steps, lanes).
    """

    images: NDArray[np.float32]
    targets: NDArray[np.float32]
    fresh: NDArray[np.bool_]
    used: NDArray[np.bool_]


def images_of(
    stretches: Sequence[FeatureSegment], config: SignalPathConfig, phases: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return all images that are scored, for a model without memory.

    Args:
        stretches: stretches to cut.
        config: definition of an image.
        phases: images per exposure; with more than one, images overlap.

    Returns:
        Images, shape (images, channels, columns), and targets, shape (images, joints).

    Raises:
        RecordingError: no stretch holds a whole image.
    """
    parts = []
    for stretch in stretches:
        for phase in range(phases):
            # An image may begin in the context as long as it ends beyond it.
            first = max(0, stretch.context - config.image_length + 1)
            first += phase * config.image_length // phases
            if len(stretch.features) - first >= config.image_length:
                parts.append(_images(stretch.features[first:], stretch.targets[first:], config))
    if not parts:
        raise _no_image(config)
    images, targets = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(targets)


class _Row(NamedTuple):
    """Images of one stretch.

    Attributes:
        images: shape (images, channels, columns).
        targets: shape (images, joints).
        context: number of images at the start that are not scored.
    """

    images: NDArray[np.float32]
    targets: NDArray[np.float32]
    context: int


def arrange_sequences(
    stretches: Sequence[FeatureSegment],
    config: SignalPathConfig,
    lanes: int,
    rng: np.random.Generator | None = None,
    *,
    random_phase: bool = True,
    order: Order = 'recording',
    donnings: bool = False,
) -> SequenceBatch:
    """Cut stretches into images and lay them out in parallel lanes of about equal length.

    Args:
        stretches: stretches to arrange.
        config: definition of an image.
        lanes: number of lanes; less if there are fewer stretches.
        rng: if given, shuffles the stretches.
        random_phase: if shuffled, shift the image grid of each by a random phase (augmentation).
        order: 'recording' keeps stretches whole and resets the state before each; 'repetitions'
            cuts them into single repetitions and carries the state from each to the next.
        donnings: if shuffled, standardise each stretch by a random mixture with the statistics of
            its own recording (augmentation).

    Raises:
        RecordingError: no stretch holds a whole image.
    """
    image_length = config.image_length
    if order == 'repetitions':
        stretches = [part for stretch in stretches for part in stretch.repetitions()]
    # The last image must end after the context; otherwise there would be nothing to score.
    places = [
        i
        for i, s in enumerate(stretches)
        if len(s.features) // image_length > s.context // image_length
    ]
    if not places:
        raise _no_image(config)
    if rng is not None:
        rng.shuffle(places)
    rows: list[list[_Row]] = [[] for _ in range(min(lanes, len(places)))]
    lengths = [0] * len(rows)
    for index in places:
        stretch = stretches[index]
        spare = len(stretch.features) - image_length
        phase = 0
        if rng is not None and random_phase:
            phase = int(rng.integers(0, min(image_length, spare + 1)))
        features = stretch.features
        if rng is not None and donnings:
            features = stretch.standardised(rng.uniform())
        images, targets = _images(features[phase:], stretch.targets[phase:], config)
        shortest = lengths.index(min(lengths))
        context = max(0, stretch.context - phase) // image_length
        rows[shortest].append(_Row(images, targets, context))
        lengths[shortest] += len(images)
    return _side_by_side(rows, max(lengths), carry=order == 'repetitions')


def _no_image(config: SignalPathConfig) -> RecordingError:
    return RecordingError(
        f'no stretch of the recording holds a whole image of {config.image_length} samples'
    )


def _images(
    features: NDArray[np.float32], targets: NDArray[np.float32], config: SignalPathConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    length = config.image_length
    count = len(features) // length
    images = columns_of(features[: count * length].reshape(count, length, -1), config.column_step)
    return images, targets[length - 1 : count * length : length]


def _side_by_side(rows: list[list[_Row]], steps: int, *, carry: bool) -> SequenceBatch:
    first = rows[0][0]
    lanes = SequenceBatch(
        images=np.zeros((steps, len(rows), *first.images.shape[1:]), dtype=np.float32),
        targets=np.zeros((steps, len(rows), first.targets.shape[1]), dtype=np.float32),
        fresh=np.zeros((steps, len(rows)), dtype=np.bool_),
        used=np.zeros((steps, len(rows)), dtype=np.bool_),
    )
    for lane, row in enumerate(rows):
        step = 0
        for images, targets, context in row:
            lanes.fresh[step, lane] = step == 0 or not carry
            lanes.images[step : step + len(images), lane] = images
            lanes.targets[step : step + len(images), lane] = targets
            lanes.used[step + context : step + len(images), lane] = True
            step += len(images)
    return lanes
