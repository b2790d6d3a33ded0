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

"""Turns EMG into long-exposure images: filters, sliding RMS, mu-law, standardisation, images.

Everything here works on streams: chunks may have any size, and a whole recording is one big chunk.
The results do not depend on how the samples are cut into chunks, and the time for a chunk is
proportional to its length.

Source: Guo et al., J. Neural Eng. 18 (2021) 026027.
"""

from itertools import pairwise
from typing import Literal, NamedTuple

from leconvmn_ros.core.strict_model import StrictModel
from leconvmn_ros.emg.filters import Cascade, sections
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

# Constant of the mu-law. The RMS of surface EMG is 1e-6 to 1e-3 V, so mu |r| is 1 to 1000: the law
# is roughly logarithmic over the working range and linear below one microvolt.
MU = 2**20
_LOG_MU = np.log1p(MU)
# Recordings are processed in blocks of this many values, which fit the processor's caches.
_VALUES_AT_ONCE = 2**18
# With at least this many channels in all, blocks of the sliding RMS are computed side by side.
_SIDE_BY_SIDE = 128


HIGHEST_CORNER = 0.4  # of the rate


class ExposureConfig(StrictModel):
    """Features and images, defined in seconds: one setting serves every rate."""

    rms_window: float = Field(default=0.1, ge=0, le=2, description='length of the sliding RMS (s)')
    exposure: float = Field(default=0.1, gt=0, le=2, description='length of one image (s)')
    column_period: float = Field(
        default=0,
        ge=0,
        le=1,
        description='time between columns of an image (s); 0 = every sample, as in the paper',
    )
    companding: bool = Field(default=True, description='apply the mu-law')
    standardise: bool = Field(
        default=True, description='centre and scale each channel by training statistics'
    )


class SignalPathConfig(ExposureConfig):
    """All settings from the samples of one source to images."""

    channels: int = Field(ge=1, le=256, description='electrodes')
    sampling_rate: float = Field(
        gt=0, le=100_000, description='samples per second of each channel (Hz)'
    )
    high_pass: float = Field(
        default=0, ge=0, le=1000, description='corner of the high-pass of raw EMG (Hz); 0 = none'
    )
    mains: Literal[0, 50, 60] = Field(
        default=0, description='mains frequency that notches take out (Hz); 0 = none'
    )

    @model_validator(mode='after')
    def _below_half_the_rate(self) -> 'SignalPathConfig':
        if self.high_pass >= HIGHEST_CORNER * self.sampling_rate:
            raise ValueError(
                f'high-pass of {self.high_pass:g} Hz at a rate of {self.sampling_rate:g} Hz; '
                f'it must be below {HIGHEST_CORNER * self.sampling_rate:g} Hz'
            )
        return self

    @model_validator(mode='after')
    def _long_enough(self) -> 'SignalPathConfig':
        if self.image_columns < 2:
            raise ValueError(
                f'exposure of {self.exposure} s holds {self.image_columns} columns '
                f'at {self.sampling_rate} Hz; '
                f'at least 2 are needed, so {2 * self.column_step / self.sampling_rate:g} s'
            )
        return self

    @property
    def window_length(self) -> int:
        """Samples in the RMS window, at least 1."""
        return max(1, round(self.rms_window * self.sampling_rate))

    @property
    def column_step(self) -> int:
        """Samples from one column of an image to the next."""
        return max(1, round(self.column_period * self.sampling_rate))

    @property
    def image_columns(self) -> int:
        """Columns of one image."""
        return round(self.exposure * self.sampling_rate / self.column_step)

    @property
    def image_length(self) -> int:
        """Samples that one image spans."""
        return self.image_columns * self.column_step

    @property
    def image_size(self) -> tuple[int, int]:
        """Channels and columns of one image."""
        return self.channels, self.image_columns


class FeatureStatistics(StrictModel):
    """Mean and standard deviation of each channel's features over the training data."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @model_validator(mode='after')
    def _usable(self) -> 'FeatureStatistics':
        if len(self.mean) != len(self.scale) or not self.mean:
            raise ValueError(
                f'{len(self.mean)} means for {len(self.scale)} scales; '
                'one of each per channel is needed'
            )
        if min(self.scale) <= 0:
            raise ValueError(f'feature scale {min(self.scale)}; it must be above 0')
        return self

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> 'FeatureStatistics':
        """Compute them from features (samples, channels); a constant channel gets scale 1."""
        mean = features.mean(axis=0, dtype=np.float64)
        deviation = features.std(axis=0, dtype=np.float64)
        # The mean of equal values has a rounding error, so their deviation is not exactly 0.
        constant = deviation <= 1e-12 * np.maximum(1.0, np.abs(mean))
        scale = np.where(constant, 1.0, deviation)
        return cls(mean=tuple(mean.tolist()), scale=tuple(scale.tolist()))


def mu_law(values: NDArray[np.floating], mu: float = MU) -> NDArray[np.floating]:
    """Compress amplitudes: sign(r) ln(1 + mu |r|) / ln(1 + mu), elementwise (ITU-T G.711)."""
    companded: NDArray[np.floating] = np.log1p(mu * np.abs(values)) / np.log1p(mu)
    signed: NDArray[np.floating] = np.copysign(companded, values)
    return signed


class SlidingRms:
    """RMS over the last `window` samples, one value per sample (step of one sample).

    Each sum has two parts that are only ever added to: the samples of the current block, and
    those of the block before that are still in the window (van Herk 1992, Gil and Werman 1993).
    Nothing is subtracted, so no rounding error accumulates, however long the stream, and a loud
    artefact leaves no trace once the window has passed it.

    Before `window` samples have come, the RMS covers those available.
    """

    def __init__(self, window: int, channels: int) -> None:
        self._window = window
        self._squares = np.zeros((window, channels))
        # _newer[k]: sum of the current block's first k squares. _older[k]: sum of the previous
        # block's squares from position k on; the last stays 0.
        self._newer = np.zeros((window + 1, channels))
        self._older = np.zeros((window + 1, channels))
        # One column per channel, because dividing by a broadcast column takes three times as long.
        self._counts = np.repeat(np.arange(1.0, window + 1)[:, None], channels, axis=1)
        self._position, self._full = 0, False

    def reset(self) -> None:
        """Forget all samples."""
        self.__init__(*self._squares.shape)  # type: ignore[misc]

    def push(self, samples: NDArray[np.floating]) -> NDArray[np.float64]:
        """Take samples (samples, channels) in V and return the RMS at each of them, same shape."""
        if self._window == 1:  # blocks of one sample would be a loop over all samples
            return np.abs(samples.astype(np.float64))
        rms = np.empty(samples.shape)
        done, count = 0, len(samples)
        while done < count:
            blocks = (count - done) // self._window
            side_by_side = blocks * samples.shape[1] >= _SIDE_BY_SIDE
            if side_by_side and self._position == 0 and self._full:
                after = done + blocks * self._window
                self._push_blocks(samples[done:after], rms[done:after])
                done = after
                continue
            first = self._position
            last = min(self._window, first + count - done)
            after = done + last - first
            part = rms[done:after]
            squares = self._squares[first:last]
            np.square(samples[done:after], out=squares, dtype=np.float64)
            sums = self._newer[first : last + 1]
            sums[1:] = squares
            np.add.accumulate(sums, axis=0, out=sums)
            np.add(sums[1:], self._older[first + 1 : last + 1], out=part)
            np.divide(part, self._counts[first:last], out=part)
            np.sqrt(part, out=part)
            self._position = last
            if last == self._window:
                self._close_block()
            done = after
        return rms

    def _close_block(self) -> None:
        np.add.accumulate(self._squares[::-1], axis=0, out=self._older[-2::-1])
        # Later parts add to this sum; the others are written before they are read.
        self._newer[0] = 0
        if not self._full:
            self._counts[:] = self._window
            self._full = True
        self._position = 0

    def _push_blocks(self, samples: NDArray[np.floating], rms: NDArray[np.float64]) -> None:
        """Process whole blocks with the same additions in the same order, one for all at once.

        A sum depends on the one before it, but not on those of other blocks.
        """
        window, channels = self._squares.shape
        by_block = (-1, window, channels)
        squares = np.square(samples.reshape(by_block).swapaxes(0, 1), dtype=np.float64, order='C')
        older = np.empty((window + 1, squares.shape[1] + 1, channels))
        older[:, 0], older[-1] = self._older, 0
        for after, square, to in zip(
            older[:0:-1, 1:], squares[::-1], older[-2::-1, 1:], strict=True
        ):
            np.add(after, square, out=to)
        self._older[:] = older[:, -1]
        for before, sums in pairwise(squares):
            np.add(before, sums, out=sums)
        np.add(squares, older[1:, :-1], out=squares)
        np.divide(squares, window, out=squares)
        np.sqrt(squares, out=rms.reshape(by_block).swapaxes(0, 1))


class SignalPath:
    """Computes features from samples: filters, RMS, mu-law, standardisation; one row each."""

    def __init__(
        self, config: SignalPathConfig, statistics: FeatureStatistics | None = None
    ) -> None:
        """Prepare the path; without statistics the features are not standardised.

        Raises:
            ValueError: the statistics are for another number of channels.
        """
        if statistics is not None and len(statistics.mean) != config.channels:
            raise ValueError(
                f'statistics of {len(statistics.mean)} channels for a path of {config.channels}'
            )
        self._config = config
        filters = sections(config.high_pass, config.mains, config.sampling_rate)
        self._filters = Cascade(filters, config.channels) if filters else None
        self._rms = SlidingRms(config.window_length, config.channels)
        self._at_once = max(1, _VALUES_AT_ONCE // config.channels)
        self._standardise = statistics if config.standardise else None
        if self._standardise is not None:
            self._mean = np.array(self._standardise.mean)
            self._inverse_scale = 1 / np.array(self._standardise.scale)

    def reset(self) -> None:
        """Forget all samples."""
        self._rms.reset()
        if self._filters is not None:
            self._filters.reset()

    def push(self, samples: NDArray[np.floating]) -> NDArray[np.float32]:
        """Take samples (samples, channels) in V and return their features, same shape."""
        if len(samples) <= self._at_once:
            return self._features(samples).astype(np.float32)
        features = np.empty(samples.shape, dtype=np.float32)
        for first in range(0, len(samples), self._at_once):
            part = slice(first, first + self._at_once)
            features[part] = self._features(samples[part])
        return features

    def _features(self, samples: NDArray[np.floating]) -> NDArray[np.float64]:
        filtered = samples if self._filters is None else self._filters.push(samples)
        values = self._rms.push(filtered)
        if self._config.companding:
            # The mu-law in place, for values that are never negative.
            np.multiply(values, MU, out=values)
            np.log1p(values, out=values)
            np.divide(values, _LOG_MU, out=values)
        if self._standardise is not None:
            np.subtract(values, self._mean, out=values)
            np.multiply(values, self._inverse_scale, out=values)
        return values


class Image(NamedTuple):
    """One long exposure.

    Attributes:
        stream: number of the interleaved stream, from 0.
        last: index of its last sample in the features just pushed.
        pixels: features, shape (channels, columns).
    """

    stream: int
    last: int
    pixels: NDArray[np.float32]


def columns_of(span: NDArray[np.float32], column_step: int) -> NDArray[np.float32]:
    """Turn spanned features (..., samples, channels) into pixels (..., channels, columns)."""
    # Always copy: with one channel it would be a view of a buffer that is overwritten.
    return np.array(np.swapaxes(span[..., column_step - 1 :: column_step, :], -1, -2), order='C')


class LongExposure:
    """Cuts a stream of features into images that do not overlap within a stream.

    With K streams there are K such sequences, each delayed by 1/K of an image against the one
    before: a polyphase decoder gets K images per exposure, while each stream still sees
    consecutive, non-overlapping images.
    """

    def __init__(
        self, length: int, channels: int, *, column_step: int = 1, streams: int = 1
    ) -> None:
        """Prepare images that span `length` samples and take every `column_step`-th of them.

        The newest sample is always among them.

        Raises:
            ValueError: more streams than samples in an image.
        """
        if not 1 <= streams <= length:
            raise ValueError(
                f'{streams} streams over images of {length} samples; allowed are 1 to {length}'
            )
        self.length = length
        self._column_step = column_step
        self._streams = streams
        # Room for several images, so that the newest is seldom moved to the front.
        self._buffer = np.zeros((8 * length, channels), dtype=np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget all features; the next image starts with the next sample."""
        self._filled = 0
        self._missing = self.length
        self._images = 0

    def push(self, features: NDArray[np.float32]) -> list[Image]:
        """Take features (samples, channels) and return the images they complete, in time order."""
        images = []
        done = 0
        while len(features) - done >= self._missing:
            done += self._missing
            self._append(features[done - self._missing : done])
            span = self._buffer[self._filled - self.length : self._filled]
            images.append(
                Image(self._images % self._streams, done - 1, columns_of(span, self._column_step))
            )
            self._missing = self._end_of(self._images + 1) - self._end_of(self._images)
            self._images += 1
        self._append(features[done:])
        self._missing -= len(features) - done
        return images

    def _end_of(self, image: int) -> int:
        exposures, phase = divmod(image, self._streams)
        return exposures * self.length + phase * self.length // self._streams

    def _append(self, features: NDArray[np.float32]) -> None:
        if self._filled + len(features) > len(self._buffer):
            self._buffer[: self.length] = self._buffer[self._filled - self.length : self._filled]
            self._filled = self.length
        self._buffer[self._filled : self._filled + len(features)] = features
        self._filled += len(features)
