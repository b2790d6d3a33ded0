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

"""Detects unreliable channels: flat and saturated ones are masked, mains hum is reported.

Samples are judged in blocks of half a second. A finding in two blocks in a row stands until it has
been absent for two seconds:

=========  ========================================================================  ============
finding    meaning                                                                   response
=========  ========================================================================  ============
flat       all samples are equal                                                     masked
saturated  half of the samples are the largest or the smallest, and the channel is   masked
           louder than in training (by two standard deviations)
humming    half of the power is at 50 or at 60 Hz                                    reported only
=========  ========================================================================  ============

The features of a masked channel are set to the mean of its training data (0 after
standardisation), so that the network sees nothing unusual there. Without standardisation this mean
is unknown, and nothing is masked. While more than half of the channels are masked, estimates are
withheld.

Some amplifiers (Ninapro DB1) deliver an envelope instead of raw EMG. It is never negative, and a
relaxed muscle kept one level of its coarse scale for up to 16 s in eight recordings. Therefore
a source that has never been negative must be constant for half a minute, unless it is 0. Raw EMG
of an 8-bit armband (DB5) was constant for at most 0.08 s, saturated for at most 0.02 s, and had at
most a fifth of its power at 50 or 60 Hz.

Not detected: a dead channel with noise of its own, and a source with nothing but noise on all
channels.
"""

from enum import IntEnum
from typing import NamedTuple

from leconvmn_ros.emg.intake import IntakeCounts
from leconvmn_ros.emg.signal_path import SignalPathConfig
import numpy as np
from numpy.typing import NDArray

BLOCK = 0.5  # s
ONSET_BLOCKS = 2
ONSET_BLOCKS_OF_ENVELOPE = 60
RECOVERY_BLOCKS = 4
SATURATED_SHARE = 0.5
SATURATED_LEVEL = 2.0  # standard deviations of the training features
HUM_SHARE = 0.5
MOST_MASKED = 0.5  # of the channels
LINE_FREQUENCIES = (50.0, 60.0)  # Hz


class Finding(IntEnum):
    """Faults of a channel; the rows of `SignalQuality.findings`."""

    FLAT = 0
    SATURATED = 1
    HUMMING = 2


class Masking(NamedTuple):
    """The effect of masking on samples.

    Attributes:
        enough: whether enough channels are left to trust an estimate, shape (samples,).
        whole: whether no channel is masked, shape (samples,).
    """

    enough: NDArray[np.bool_]
    whole: NDArray[np.bool_]


class SignalQuality:
    """Tracks the quality of each channel and masks the features of bad ones.

    Attributes:
        findings: present findings, shape (findings, channels), rows as in `Finding`.
        masked: channels whose features are replaced, shape (channels,).
        hum_share: share of power at the stronger line frequency in the newest block, shape
            (channels,).
    """

    def __init__(
        self,
        config: SignalPathConfig,
        counts: IntakeCounts,
        *,
        can_mask: bool = True,
        usual: NDArray[np.float64] | None = None,
    ) -> None:
        """Prepare for one source.

        Args:
            config: the signal path of the features.
            counts: counts of the times a channel became flat, saturated or humming.
            can_mask: whether the usual features are known.
            usual: features for masked channels, shape (channels,), read at every use, so that
                it may be changed in place. None = 0, the mean of the training.
        """
        self._counts = counts
        self._can_mask = can_mask
        self._usual = np.zeros(config.channels) if usual is None else usual
        self._length = max(2, round(BLOCK * config.sampling_rate))
        self._block = np.empty((self._length, config.channels), dtype=np.float32)
        self._lines = _line_waves(self._length, config.sampling_rate)
        self.reset()

    def reset(self) -> None:
        """Expect a new source, with no findings."""
        shape = (len(Finding), self._block.shape[1])
        self.findings = np.zeros(shape, dtype=np.bool_)
        self.masked = np.zeros(shape[1], dtype=np.bool_)
        self.hum_share = np.zeros(shape[1])
        # Blocks in a row that contradict the present finding.
        self._contrary = np.zeros(shape, dtype=np.int64)
        self._anything_masked = False
        self._was_negative = False
        self.interrupt()

    def interrupt(self) -> None:
        """Start a new block after a gap. Findings stay: a gap does not repair electrodes."""
        self._filled = 0

    @property
    def too_many_masked(self) -> bool:
        """Whether too few channels are left to trust an estimate."""
        return bool(self.masked.mean() > MOST_MASKED)

    def mask(self, samples: NDArray[np.float32], features: NDArray[np.float32]) -> Masking:
        """Check samples and replace the features of masked channels in place.

        Args:
            samples: amplitudes (V), shape (samples, channels), following the last ones.
            features: their standardised features, same shape.
        """
        enough, whole = np.ones((2, len(samples)), dtype=np.bool_)
        done = 0
        while done < len(samples):
            end = min(len(samples), done + self._length - self._filled)
            filled = self._filled + end - done
            self._block[self._filled : filled] = samples[done:end]
            level = features[end - 1].copy()
            if self._anything_masked:
                features[done:end, self.masked] = self._usual[self.masked]
                enough[done:end] = not self.too_many_masked
                whole[done:end] = False
            if filled == self._length:
                self._judge(level)
                filled = 0
            self._filled, done = filled, end
        return Masking(enough, whole)

    def _judge(self, level: NDArray[np.float32]) -> None:
        """Judge a full block; `level`: features at its end."""
        block = self._block
        low, high = block.min(axis=0), block.max(axis=0)
        self._was_negative |= bool(low.min() < 0)
        flat = low == high
        at_the_rails = np.mean((block == low) | (block == high), axis=0) >= SATURATED_SHARE
        saturated = self._was_negative & at_the_rails & ~flat & (level > SATURATED_LEVEL)
        self.hum_share = self._share_of_lines()
        bad = np.stack([flat, saturated, self.hum_share > HUM_SHARE])
        onset = np.full(bad.shape, ONSET_BLOCKS)
        if not self._was_negative:
            onset[Finding.FLAT, high != 0] = ONSET_BLOCKS_OF_ENVELOPE
        self._contrary = np.where(bad == self.findings, 0, self._contrary + 1)
        turned = self._contrary >= np.where(self.findings, RECOVERY_BLOCKS, onset)
        if turned.any():
            self._turn(turned)

    def _turn(self, turned: NDArray[np.bool_]) -> None:
        self.findings ^= turned
        self._contrary[turned] = 0
        begun = np.sum(turned & self.findings, axis=1)
        self._counts.flat_channels += int(begun[Finding.FLAT])
        self._counts.saturated_channels += int(begun[Finding.SATURATED])
        self._counts.humming_channels += int(begun[Finding.HUMMING])
        if self._can_mask:
            self.masked = self.findings[Finding.FLAT] | self.findings[Finding.SATURATED]
            self._anything_masked = bool(self.masked.any())

    def _share_of_lines(self) -> NDArray[np.float64]:
        """Return each channel's share of power at the stronger line, its offset removed."""
        # In float64: squares of float32 values can overflow float32.
        centred = self._block - self._block.mean(axis=0, dtype=np.float64)
        power = np.einsum('ij,ij->j', centred, centred)
        # A line of amplitude a has the power n a^2 / 2 and the components n a / 2 exp(i phase).
        of_lines = 2 / self._length * np.abs(self._lines @ centred) ** 2
        strongest = of_lines.max(axis=0, initial=0)
        share: NDArray[np.float64] = np.divide(
            strongest, power, out=np.zeros_like(power), where=power > 0
        )
        return share


def _line_waves(length: int, rate: float) -> NDArray[np.complex128]:
    """Return exp(-2 pi i f t) of the line frequencies below the rate's limit, one per row."""
    # Near half the rate, amplifiers have filtered them out, and they cannot be told apart.
    visible = np.array([line for line in LINE_FREQUENCIES if line < 0.45 * rate])
    waves: NDArray[np.complex128] = np.exp(
        -2j * np.pi * visible[:, None] * np.arange(length) / rate
    )
    return waves
