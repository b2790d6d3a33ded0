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

"""Compares the level of EMG with the training, to detect a wrong unit.

EMG in microvolts read as volts is a million times too large, and a decoder still produces angles,
most of them at a limit. Levels are compared in the domain of the features, which costs next to
nothing and is robust against short artefacts.
"""

from math import log10

from leconvmn_ros.emg.signal_path import FeatureStatistics, MU, SignalPathConfig
import numpy as np
from numpy.typing import NDArray

MEMORY = 5.0  # s
LEAST_HEARD = 1.0  # s
RENEWED = 0.5  # s
# Different electrode positions, gains and sweat change the level by less.
SUSPICIOUS = 10.0
# No electrode changes the level so much; a wrong unit does.
IMPOSSIBLE = 300.0
_UNITS = {3: 'mV', 6: 'uV', 9: 'nV'}
# Largest RMS of surface EMG (V); an envelope may have been amplified (Ninapro DB1).
LOUDEST_RAW = 0.02
LOUDEST_ENVELOPE = 10.0


class LevelMeter:
    """Tracks the level of a stream of features over the last seconds.

    Attributes:
        ratio: level relative to the training, updated twice a second; None while there is too
            little EMG.
    """

    def __init__(self, config: SignalPathConfig, statistics: FeatureStatistics | None) -> None:
        """Prepare for one source.

        Args:
            config: the signal path of the features.
            statistics: statistics of the training; without them nothing is compared.
        """
        self._known = statistics is not None
        self._companding = config.companding
        self._rate = config.sampling_rate
        if statistics is not None:
            self._mean = np.array(statistics.mean)
            standardised = config.standardise
            self._scale = np.array(statistics.scale) if standardised else np.ones(len(self._mean))
            self._offset = self._mean if standardised else np.zeros(len(self._mean))
            self._trained = self._level(self._mean)
        self.reset()

    def reset(self) -> None:
        """Expect a new source."""
        self._heard = 0
        self._until_renewed = LEAST_HEARD * self._rate
        self._average: NDArray[np.float64] | float = 0.0
        self.ratio: float | None = None

    def add(self, features: NDArray[np.float32]) -> None:
        """Add features (samples, channels) of the signal path."""
        if not self._known or not len(features):
            return
        self._heard += len(features)
        share = len(features) / min(self._heard, max(len(features), MEMORY * self._rate))
        mean = np.add.reduce(features, axis=0, dtype=np.float64) / len(features)
        self._average += share * (mean - self._average)
        self._until_renewed -= len(features)
        if self._until_renewed <= 0:
            self._until_renewed = RENEWED * self._rate
            self.ratio = self._compare()

    def _compare(self) -> float | None:
        level = self._level(self._offset + self._scale * self._average)
        alive = (level > 0) & (self._trained > 0)
        if not alive.any():
            return None
        return float(np.median(level[alive] / self._trained[alive]))

    def _level(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the RMS (V) that corresponds to unstandardised features."""
        if not self._companding:
            return features
        levels: NDArray[np.float64] = np.expm1(np.minimum(features, 5.0) * np.log1p(MU)) / MU
        return levels


def level_words(ratio: float | None) -> str:
    """Return a message if EMG is far louder or quieter than in training, else ''."""
    if ratio is None or 1 / SUSPICIOUS < ratio < SUSPICIOUS:
        return ''
    loud, times = ('loud', ratio) if ratio > 1 else ('quiet', 1 / ratio)
    figure = f'10^{log10(times):.0f}' if times >= IMPOSSIBLE else f'{times:.0f}'
    return f'EMG is {figure} times as {loud} as in training; is it in V{_hint(ratio)}?'


def unit_words(samples: NDArray[np.floating], *, envelope: bool) -> str:
    """Return a message if the size of samples rules out volts, else ''."""
    values = np.nan_to_num(samples).astype(np.float64)
    values -= values.mean(axis=0) if not envelope else 0
    rms = float(np.median(np.sqrt(np.mean(np.square(values), axis=0)))) if len(values) else 0.0
    loudest = LOUDEST_ENVELOPE if envelope else LOUDEST_RAW
    if rms <= loudest:
        return ''
    return (
        f'EMG with an RMS of {rms:.3g} V, surface EMG has up to {loudest:g} V: it must be in V; '
        'is it in mV, uV or counts?'
    )


def _hint(ratio: float) -> str:
    """Return the unit suggested by the ratio."""
    power = log10(ratio)
    near = next((power10 for power10 in _UNITS if abs(power - power10) < 1.0), None)
    return '' if near is None else f', or in {_UNITS[near]}'
