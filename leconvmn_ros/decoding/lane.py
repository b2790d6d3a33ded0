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

"""One source of EMG in a decoder: all stages except the network and its hidden states.

Before the network: intake, signal path, level, quality, images. After it: conversion to radians,
the range of the training, limits of speed and time.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.decoding.checkpoint import Description
from leconvmn_ros.decoding.input_map import InputMap
from leconvmn_ros.decoding.output_limits import OutputLimits
from leconvmn_ros.emg.emg_memory import EmgMemory
from leconvmn_ros.emg.intake import Intake, IntakeCounts, Piece
from leconvmn_ros.emg.level import IMPOSSIBLE, level_words, LevelMeter
from leconvmn_ros.emg.signal_path import Image, LongExposure, SignalPath
from leconvmn_ros.emg.signal_quality import SignalQuality
import numpy as np
from numpy.typing import NDArray

# Duration of available EMG that passes the signal path at once (s).
_AT_ONCE = 1.0


class Estimate(NamedTuple):
    """One state of the hand.

    Attributes:
        stamp_ns: acquisition time of the last sample used (ns).
        positions: angles in the order of `Decoder.joint_names` (rad), shape (joints,).
    """

    stamp_ns: int
    positions: NDArray[np.float64]


class Completed(NamedTuple):
    """An image, the time of its last sample (ns), and whether the input can be trusted."""

    stamp_ns: int
    image: Image
    believed: bool


class Accepted(NamedTuple):
    """A piece of EMG, and whether the stated rate of its source was contradicted."""

    piece: Piece
    contradicts: bool


class Batch(NamedTuple):
    """Images of different streams in order of time; streams in `fresh` are reset first."""

    completed: list[Completed]
    fresh: bool


class Lane:
    """Turns the EMG of one source into images, and the network's outputs into angles.

    Attributes:
        quality: which channels are reliable.
        input_map: maps the features for the network, and compares them with the training.
        memory: memory of the newest EMG; None = none.
        angles: number of angles so far.
        angles_at_a_limit: number of these that were outside their range in training.
    """

    def __init__(
        self,
        description: Description,
        streams: int,
        greatest_age: float,
        speed_limit: float,
        *,
        follow_drift: bool = False,
    ) -> None:
        """Expect a source.

        Args:
            description: description of the decoder.
            streams: images per exposure.
            greatest_age: age beyond which arriving chunks are rejected (s); 0 = none.
            speed_limit: largest speed of an angle between estimates (rad/s); 0 = none.
            follow_drift: follow slow drift of each channel, see `drift.py`.

        Raises:
            ConfigurationError: drift cannot be followed.
        """
        path, statistics = description.signal_path, description.statistics
        self._rate, self._streams = path.sampling_rate, streams
        self._at_once = round(_AT_ONCE * path.sampling_rate)
        self._intake = Intake(path.channels, path.sampling_rate, greatest_age=greatest_age)
        self._signal_path = SignalPath(path, statistics)
        self._level = LevelMeter(path, statistics)
        self.memory: EmgMemory | None = None
        self.input_map = InputMap(description, streams / path.exposure, follow_drift=follow_drift)
        self.quality = SignalQuality(
            path,
            self.counts,
            can_mask=description.standardised,
            usual=self.input_map.usual,
        )
        self._images = LongExposure(
            path.image_length, path.channels, column_step=path.column_step, streams=streams
        )
        joints = description.joints
        self._mean = np.array([joint.mean for joint in joints])
        self._scale = np.array([joint.scale for joint in joints])
        self._lower = np.array([joint.lower for joint in joints])
        self._upper = np.array([joint.upper for joint in joints])
        self.angles = self.angles_at_a_limit = 0
        period = path.image_length / path.sampling_rate / streams
        self._output = OutputLimits(speed_limit, period, self.counts)

    @property
    def counts(self) -> IntakeCounts:
        """Counts of what was received, and of faults."""
        return self._intake.counts

    @property
    def not_finite_values(self) -> NDArray[np.int64]:
        """Number of NaN or infinite values so far, shape (channels,)."""
        return self._intake.not_finite_values

    @property
    def contradiction(self) -> str:
        """Why the source cannot be trusted at all, in words; empty if it can."""
        measured = self._intake.measured_rate
        if measured is not None and self._intake.rate_contradicts:
            return (
                f'the source states {self._rate:g} Hz, but by stamps and counter it takes '
                f'{measured:.4g} samples a second: no estimates'
            )
        return f'{self.level_remark} No estimates' if self._too_loud else ''

    @property
    def level_remark(self) -> str:
        """A message if the EMG is far louder or quieter than in training, else ''."""
        return level_words(self._level.ratio)

    @property
    def _too_loud(self) -> bool:
        ratio = self._level.ratio
        return ratio is not None and ratio > IMPOSSIBLE

    def accept(self, chunk: EmgChunk, now_ns: int | None = None) -> Iterator[Accepted]:
        """Check a chunk, see `Intake.accept`; if a piece says so, `restart` before it."""
        for piece in self._intake.accept(chunk, now_ns):
            yield Accepted(piece, self._intake.rate_contradicts)

    def completed(self, pieces: Sequence[Accepted]) -> Iterator[Completed]:
        """Yield the images completed by contiguous pieces, in order of time."""
        parts = [piece.samples for piece, _ in pieces]
        samples = parts[0] if len(parts) == 1 else np.concatenate(parts)
        features = self._signal_path.push(samples)
        starts, possible, end = [], [], 0
        for part, ((_, _, restart), contradicts) in zip(parts, pieces, strict=True):
            starts.append(end)
            end += len(part)
            self._level.add(features[starts[-1] : end])
            possible.append(not (contradicts or self._too_loud))
            if self.memory is not None:
                self.memory.add(part, restart=restart)
        masking = self.quality.mask(samples, features)
        whole = masking.whole & np.repeat(possible, [len(part) for part in parts])
        watched = 0
        for image in self._images.push(features):
            place = bisect_right(starts, image.last) - 1
            since_ns = round((image.last - starts[place]) * NANOSECONDS / self._rate)
            believed = bool(masking.enough[image.last]) and possible[place]
            # In order of time, so that the result does not depend on how samples were cut.
            news = slice(watched, image.last + 1)
            self.input_map.watch(features[news], whole[news])
            watched = news.stop
            mapped = image._replace(pixels=self.input_map.apply(image.pixels))
            yield Completed(pieces[place].piece.stamp_ns + since_ns, mapped, believed)
        self.input_map.watch(features[watched:], whole[watched:])

    def batches(self, chunks: Iterable[EmgChunk]) -> Iterator[Batch]:
        """Yield the images of available chunks in batches with one of every stream.

        The images are those of `accept` and `completed`, chunk by chunk.
        """
        waiting: list[Completed] = []
        fresh = False
        for pieces in self._gapless(chunks):
            if pieces[0].piece.restart:
                if waiting:
                    yield Batch(waiting, fresh)
                waiting, fresh = [], True
                self.restart()
            for image in self.completed(pieces):
                waiting.append(image)
                if len(waiting) == self._streams:
                    yield Batch(waiting, fresh)
                    waiting, fresh = [], False
        if waiting:
            yield Batch(waiting, fresh)

    def _gapless(self, chunks: Iterable[EmgChunk]) -> Iterator[list[Accepted]]:
        """Yield groups of pieces of about a second, with restarts only at the start of a group."""
        pieces: list[Accepted] = []
        samples = 0
        for chunk in chunks:
            for accepted in self.accept(chunk):
                if pieces and (accepted.piece.restart or samples >= self._at_once):
                    yield pieces
                    pieces, samples = [], 0
                pieces.append(accepted)
                samples += len(accepted.piece.samples)
        if pieces:
            yield pieces

    def estimates(
        self, completed: Sequence[Completed], outputs: Sequence[NDArray[np.float32]]
    ) -> tuple[list[Estimate], list[int]]:
        """Return the estimates of images, and the streams whose state must be reset.

        Args:
            completed: images of different streams.
            outputs: outputs of the network for each of them, in standardised units.
        """
        if not completed:
            return [], []
        values = np.array(outputs)
        positions = values * self._scale + self._mean
        sound = np.logical_and.reduce(np.isfinite(values), axis=1).tolist()
        clipped = positions.clip(self._lower, self._upper)
        beyond = np.count_nonzero(clipped != positions, axis=1).tolist()
        estimates: list[Estimate] = []
        failed = []
        for number, (stamp_ns, image, believed) in enumerate(completed):
            if not sound[number]:
                # The fault would stay in the hidden state of the stream.
                failed.append(image.stream)
                self.counts.failed_estimates += 1
            elif not believed:
                self.counts.withheld_estimates += 1
            else:
                estimates += self._limited(stamp_ns, clipped[number], beyond[number])
        return estimates, failed

    def rest(self, stamp_ns: int) -> list[Estimate]:
        """Return the mean of the training angles; see `Decoder.rest`."""
        return self._limited(stamp_ns, self._mean.clip(self._lower, self._upper), 0)

    def _limited(self, stamp_ns: int, clipped: NDArray[np.float64], beyond: int) -> list[Estimate]:
        self.angles += len(clipped)
        self.angles_at_a_limit += beyond
        limited = self._output.limited(stamp_ns, clipped)
        return [] if limited is None else [Estimate(stamp_ns, limited)]

    def reset(self) -> None:
        """Expect a new source: reset everything except the counts."""
        self._intake.reset()
        self._level.reset()
        self.quality.reset()
        self.input_map.reset()
        if self.memory is not None:
            self.memory.clear()
        self._output.reset()
        self.restart()

    def restart(self) -> None:
        """Reset everything except the intake: the next sample does not follow the last one."""
        self._signal_path.reset()
        self.quality.interrupt()
        self.input_map.interrupt()
        self._output.restart()
        self._images.reset()
