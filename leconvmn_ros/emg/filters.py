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

"""Causal filters of raw EMG: a high-pass against offset and movement, notches against mains hum.

The high-pass is a Butterworth filter of second order (12 dB per octave), at 20 Hz where the rate
allows: De Luca et al., J. Biomech. 43 (2010) 1573; ISEK's standards (Merletti, J. Electromyogr.
Kinesiol. 9 (1999) III) and SENIAM ask for at least that slope. Its delay falls with the square of
the frequency: at 20 Hz it is 0.45 ms for 100 Hz.

The results do not depend on how the samples are cut into chunks.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NOTCH_QUALITY = 30.0  # so a notch at 50 Hz is 1.7 Hz wide
_HIGHEST_HARMONIC = 5
# Near half the rate, the amplifier has already filtered hum out.
_HIGHEST_NOTCH = 0.45


class Section(NamedTuple):
    """A filter of second order; the coefficient of the newest output is 1.

    Attributes:
        gain: gain of all inputs.
        zeros: coefficients of the inputs one and two samples ago, before the gain.
        poles: coefficients of the outputs one and two samples ago.
    """

    gain: float
    zeros: tuple[float, float]
    poles: tuple[float, float]

    def response(self, frequency: float, rate: float) -> complex:
        """Return the complex response at a frequency (Hz)."""
        z = np.exp(-2j * np.pi * frequency / rate)
        above = 1 + self.zeros[0] * z + self.zeros[1] * z**2
        below = 1 + self.poles[0] * z + self.poles[1] * z**2
        return complex(self.gain * above / below)


def high_pass(corner: float, rate: float) -> Section:
    """Return a Butterworth high-pass of second order, by the bilinear transform.

    Args:
        corner: frequency at which the amplitude is 1 / sqrt(2) (Hz), below half the rate.
        rate: samples per second (Hz).
    """
    w = np.tan(np.pi * corner / rate)
    scale = 1 / (1 + np.sqrt(2) * w + w**2)
    poles = (float(2 * (w**2 - 1) * scale), float((1 - np.sqrt(2) * w + w**2) * scale))
    return Section(float(scale), (-2.0, 1.0), poles)


def notch(frequency: float, rate: float) -> Section:
    """Return a notch of NOTCH_QUALITY (bilinear transform as given by R. Bristow-Johnson)."""
    w = 2 * np.pi * frequency / rate
    alpha = np.sin(w) / (2 * NOTCH_QUALITY)
    cosine = float(-2 * np.cos(w))
    scale = float(1 / (1 + alpha))
    return Section(scale, (cosine, 1.0), (cosine * scale, float((1 - alpha) * scale)))


def sections(high_pass_corner: float, mains: float, rate: float) -> list[Section]:
    """Return the filters of a signal path; a frequency of 0 adds none.

    Args:
        high_pass_corner: corner of the high-pass (Hz).
        mains: frequency of the hum (Hz); its harmonics are filtered out as well.
        rate: samples per second (Hz).
    """
    found = [high_pass(high_pass_corner, rate)] if high_pass_corner else []
    if mains:
        hum = (mains * number for number in range(1, _HIGHEST_HARMONIC + 1))
        found += [notch(line, rate) for line in hum if line < _HIGHEST_NOTCH * rate]
    return found


class Cascade:
    """Runs filters in series over a stream of samples.

    It starts as if the first sample had always been there, so an offset causes no click.
    """

    def __init__(self, filters: list[Section], channels: int) -> None:
        """Prepare for a stream."""
        self._filters = filters
        self._channels = channels
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        shape = (len(self._filters), 2, self._channels)
        # The inputs and outputs one and two samples ago.
        self._inputs, self._outputs = np.zeros(shape), np.zeros(shape)
        self._started = False

    def push(self, samples: NDArray[np.floating]) -> NDArray[np.float64]:
        """Take samples (samples, channels) in V and return them filtered, same shape."""
        values = samples.astype(np.float64)
        if not len(values) or not self._filters:
            return values
        for number, section in enumerate(self._filters):
            values = self._run(number, section, values)
        self._started = True
        return values

    def _run(
        self, number: int, section: Section, values: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        inputs, outputs = self._inputs[number], self._outputs[number]
        if not self._started:
            inputs[:] = values[0]
            outputs[:] = values[0] * section.response(0, 1).real
        both = np.concatenate((inputs[::-1], values))
        driven = section.gain * (
            values + section.zeros[0] * both[1:-1] + section.zeros[1] * both[:-2]
        )
        self._recur(section, driven, outputs)
        inputs[:] = both[:-3:-1]
        return driven

    @staticmethod
    def _recur(
        section: Section, driven: NDArray[np.float64], outputs: NDArray[np.float64]
    ) -> None:
        """Add the outputs before to each row in place, one row at a time."""
        multiply, add = np.multiply, np.add
        one, two = (-pole for pole in section.poles)
        newer, older = outputs
        of_one, of_two = np.empty_like(newer), np.empty_like(newer)
        for row in driven:
            multiply(older, two, of_two)
            multiply(newer, one, of_one)
            add(of_one, of_two, of_one)
            add(row, of_one, row)
            older, newer = newer, row
        outputs[:] = np.stack((newer, older))
