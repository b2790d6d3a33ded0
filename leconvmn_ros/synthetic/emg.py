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

"""The EMG that a ring of electrodes records from a synthetic forearm as its fingers move.

Sources:
    Zajac, Crit. Rev. Biomed. Eng. 17 (1989) 359, Thelen, J. Biomech. Eng. 125 (2003) 70,
        Millard et al., J. Biomech. Eng. 135 (2013) 021005: activation dynamics.
    Hogan and Mann, IEEE Trans. Biomed. Eng. 27 (1980) 382: EMG as Gaussian noise that the activity
        of the muscle modulates.
    Shwedyk, Balasubramanian and Scott, IEEE Trans. Biomed. Eng. 24 (1977) 417, in the form of
        Farina and Merletti, J. Electromyogr. Kinesiol. 10 (2000) 337: its power spectrum.
    De Luca et al., J. Biomech. 43 (2010) 1573: the band of surface EMG.
    Huigen, Peper and Grimbergen, Med. Biol. Eng. Comput. 40 (2002) 332: the noise of electrodes.
    Kuiken, Lowery and Stoykov, Prosthet. Orthot. Int. 27 (2003) 48: amplitude and crosstalk.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from leconvmn_ros.synthetic.config import SyntheticSubjectConfig
from leconvmn_ros.synthetic.motion import (
    CONTROL_RATE,
    FLEXION,
    JOINTS_PER_DIGIT,
    on_time_base,
    waves,
)
import numpy as np
from numpy.typing import NDArray
from scipy import signal

# Rate of the raw EMG from which the envelope is computed, at least (Hz).
ENVELOPE_SOURCE_RATE = 1000.0
# The band of surface EMG (Hz), and its largest upper end as a part of the sampling rate.
BAND = (20.0, 450.0)
BAND_END = 0.45
# Corner frequencies (Hz) of the spectrum of Shwedyk et al.
SPECTRUM_LOW, SPECTRUM_HIGH = 60.0, 120.0

# Attenuation with depth (mm) and growth of the width of crosstalk with depth (degrees per mm),
# fitted to Kuiken et al.: 31, 80 and 90 % less amplitude under 3, 9 and 18 mm; 5 % of it reached
# at 14, 17, 34 and 47 degrees.
ATTENUATION_LENGTH = 7.0
WIDENING = 0.8

# Drive to hold a joint at full flexion (part of the maximum), and per full flexion a second while
# moving (s): free finger movements need a small part of the strength. The sum gives 0.1 to 0.3 mV;
# the ratio keeps the lead of EMG over the angle to about 0.2 s at most.
HOLDING_DRIVE = 0.22
MOVING_DRIVE = 0.03

# The firing rates of a muscle's motor units fluctuate together, below 2 Hz (De Luca and Erim,
# Trends Neurosci. 17 (1994) 299).
DRIVE_BAND = (0.1, 2.0)

# Individual deviations of the position (degrees) and strength (log ratio) of muscles from their
# textbook values, and of the position (degrees) and contact (log ratio) of electrodes. Plausible
# values, not measured ones.
ANATOMY_JITTER, STRENGTH_JITTER = 8.0, 0.25
PLACEMENT_JITTER, CONTACT_JITTER = 2.0, 0.15

# Samples generated at a time, so that memory use does not grow with the recording.
BLOCK = 1 << 15


class Muscle(NamedTuple):
    """An extrinsic muscle of the fingers, or the part of one that serves one finger.

    Attributes:
        name: anatomical abbreviation and finger.
        digit: 0 = thumb to 4 = little.
        proximal: moment at the MCP joint, positive = flexion, relative.
        distal: moment at the PIP (thumb: IP) joint, likewise.
        angle: place around the upper forearm, 0 = palmar, 90 = ulnar, 180 = dorsal (degrees).
        depth: depth below the superficial muscles (mm).
    """

    name: str
    digit: int
    proximal: float
    distal: float
    angle: float
    depth: float


# Positions roughly as in anatomical cross-sections of the forearm. FDS flexes PIP and MCP, FDP
# also the fingertip, ED mostly extends the MCP joint; the shares are rough, too.
MUSCLES = (
    Muscle('FPL', 0, 0.3, 0.7, 320, 6),
    Muscle('EPB', 0, -0.8, -0.2, 235, 4),
    Muscle('EPL', 0, -0.3, -0.7, 205, 4),
    Muscle('FDS index', 1, 0.4, 0.6, 350, 3),
    Muscle('FDP index', 1, 0.5, 0.5, 25, 7),
    Muscle('ED index', 1, -0.7, -0.3, 205, 1),
    Muscle('FDS middle', 2, 0.4, 0.6, 10, 0),
    Muscle('FDP middle', 2, 0.5, 0.5, 50, 6),
    Muscle('ED middle', 2, -0.7, -0.3, 190, 0),
    Muscle('FDS ring', 3, 0.4, 0.6, 35, 0),
    Muscle('FDP ring', 3, 0.5, 0.5, 75, 5),
    Muscle('ED ring', 3, -0.7, -0.3, 172, 0),
    Muscle('FDS little', 4, 0.4, 0.6, 58, 2),
    Muscle('FDP little', 4, 0.5, 0.5, 98, 4),
    Muscle('EDM', 4, -0.7, -0.3, 152, 0),
)

Filter = NDArray[np.float64]  # second-order sections, shape (sections, 6)


def muscle_excitation(
    config: SyntheticSubjectConfig, active: NDArray[np.float64], seed: np.random.SeedSequence
) -> NDArray[np.float64]:
    """Compute the neural excitation of each muscle that causes a motion.

    Args:
        config: the subject.
        active: the part of the angles that muscles produce, at CONTROL_RATE (rad), shape
            (times, 10).
        seed: seed of the variation of effort.

    Returns:
        Excitations between 0 and 1 at CONTROL_RATE, shape (muscles, times).
    """
    bend = active / FLEXION
    moment = HOLDING_DRIVE * bend + MOVING_DRIVE * np.gradient(bend, 1 / CONTROL_RATE, axis=0)
    net = moment_shares() @ moment.T
    drive = np.maximum(net, 0) + config.co_contraction * np.maximum(-net, 0)
    times = np.arange(drive.shape[1]) / CONTROL_RATE
    drive = (config.resting_tone + drive) * _efforts(config, times, seed)
    activation = on_time_base(np.clip(drive, 0, 1), times + config.electromechanical_delay)
    return invert_activation(activation, config.activation_time, config.deactivation_time)


def invert_activation(
    activation: NDArray[np.float64], rise: float, decay: float
) -> NDArray[np.float64]:
    """Compute the excitation u whose activation is a: u = a + tau(a, u) da/dt (Thelen 2003).

    tau is rise (0.5 + 1.5 a) while the activation grows and decay / (0.5 + 1.5 a) while it falls.

    Args:
        activation: values between 0 and 1 at CONTROL_RATE, shape (muscles, times).
        rise: time constant of activation (s).
        decay: time constant of deactivation (s).

    Returns:
        Excitations clipped to 0 to 1, of the same shape.
    """
    change = np.gradient(activation, 1 / CONTROL_RATE, axis=-1)
    scale = 0.5 + 1.5 * activation
    excitation: NDArray[np.float64] = (
        activation + np.where(change > 0, rise * scale, decay / scale) * change
    )
    return np.clip(excitation, 0, 1)


def record_emg(
    config: SyntheticSubjectConfig,
    excitation: NDArray[np.float64],
    seeds: tuple[np.random.SeedSequence, np.random.SeedSequence, np.random.SeedSequence],
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Generate the EMG for given excitations.

    Args:
        config: the subject and the electrodes.
        excitation: excitations at CONTROL_RATE, shape (muscles, times).
        seeds: seeds of the anatomy, the muscles' noise, and the electrodes.
        progress: called with (samples done, samples in all).

    Returns:
        Amplitudes (V), shape (samples, channels); not negative if they are an envelope.
    """
    anatomy, source, electrodes = seeds
    mixing_seed, noise_seed = electrodes.spawn(2)
    mixing = config.contraction_amplitude * crosstalk(config, anatomy, mixing_seed)
    emg = np.empty((config.samples, config.channels), np.float32)
    done = 0
    for block in _blocks(config, mixing, excitation, (source, noise_seed)):
        emg[done : done + block.shape[1]] = block.T
        done += block.shape[1]
        if progress is not None:
            progress(done, config.samples)
    return emg


def crosstalk(
    config: SyntheticSubjectConfig,
    anatomy: np.random.SeedSequence,
    electrodes: np.random.SeedSequence,
) -> NDArray[np.float64]:
    """Return how strongly each electrode sees each muscle, shape (channels, muscles).

    1 is right above a superficial muscle. Exponential in depth and von Mises in angle, wider for
    deeper muscles (depth and widening fitted to Kuiken et al. 2003).
    """
    body, contact = np.random.default_rng(anatomy), np.random.default_rng(electrodes)
    ring_turn = body.uniform(0, 360)
    depth = np.array([muscle.depth for muscle in MUSCLES])
    place = np.array([muscle.angle for muscle in MUSCLES], dtype=np.float64)
    place += ANATOMY_JITTER * body.standard_normal(len(MUSCLES))
    strength = np.exp(STRENGTH_JITTER * body.standard_normal(len(MUSCLES)))
    strength *= np.exp(-depth / ATTENUATION_LENGTH)
    electrode = ring_turn + 360 / config.channels * np.arange(config.channels)
    electrode += PLACEMENT_JITTER * contact.standard_normal(config.channels)
    gain = np.exp(CONTACT_JITTER * contact.standard_normal(config.channels))
    width = np.radians(config.crosstalk_width + WIDENING * depth)
    apart = np.radians(electrode[:, None] - place)
    fall: NDArray[np.float64] = np.exp((np.cos(apart) - 1) / width**2)
    return gain[:, None] * strength * fall


def moment_shares() -> NDArray[np.float64]:
    """Return the moments that drive each muscle, shape (muscles, 10), negative = extensor."""
    shares = np.zeros((len(MUSCLES), len(FLEXION)))
    for row, muscle in enumerate(MUSCLES):
        first = JOINTS_PER_DIGIT * muscle.digit
        shares[row, first : first + JOINTS_PER_DIGIT] = muscle.proximal, muscle.distal
    return shares


def _efforts(
    config: SyntheticSubjectConfig, times: NDArray[np.float64], seed: np.random.SeedSequence
) -> NDArray[np.float64]:
    """Draw the effort of each muscle for the same motion, shape (muscles, times)."""
    between, within = (np.random.default_rng(part) for part in seed.spawn(2))
    effort = config.effort_variability * between.standard_normal((config.trials, len(MUSCLES)))
    # Effort changes in the middle of a rest, where hardly any drive could reveal the step.
    trial = np.searchsorted(config.cues[1:] - config.rest_duration / 2, times)
    fluctuation = config.drive_fluctuation * waves(times, DRIVE_BAND, len(MUSCLES), within)
    total: NDArray[np.float64] = np.exp(effort[trial] + fluctuation).T
    return total


def _blocks(
    config: SyntheticSubjectConfig,
    mixing: NDArray[np.float64],
    excitation: NDArray[np.float64],
    seeds: tuple[np.random.SeedSequence, np.random.SeedSequence],
) -> Iterator[NDArray[np.float64]]:
    """Yield the recording in blocks of shape (channels, samples of the block)."""
    electrodes = ElectrodeStream(config, mixing, seeds)
    length = BLOCK // electrodes.step * electrodes.step
    end = config.samples * electrodes.step
    for start in range(0, end, length):
        times = np.arange(start, min(start + length, end)) / electrodes.rate
        yield electrodes.record(on_time_base(excitation, times))


class ElectrodeStream:
    """Generates what the electrodes record of the muscles, piece by piece.

    Attributes:
        step: values of activity per EMG sample.
        rate: values of activity per second (Hz).
    """

    def __init__(
        self,
        config: SyntheticSubjectConfig,
        mixing: NDArray[np.float64],
        seeds: tuple[np.random.SeedSequence, np.random.SeedSequence],
    ) -> None:
        """Prepare to record.

        Args:
            config: the electrodes.
            mixing: EMG of each muscle at full activity at each electrode (V RMS), shape
                (channels, muscles).
            seeds: seeds of the muscles' and of the electrodes' noise.
        """
        self.step = (
            1 if config.raw_emg else int(np.ceil(ENVELOPE_SOURCE_RATE / config.sampling_rate))
        )
        self.rate = self.step * config.sampling_rate
        self._config, self._mixing = config, mixing
        self._source, self._noise = (np.random.default_rng(seed) for seed in seeds)
        amplify, spectrum = _amplifier(self.rate), _spectrum(self.rate)
        gain = 1 / _rms_gain(np.vstack([spectrum, amplify]))
        self._shape_source = _Stream(spectrum, gain, mixing.shape[1])
        self._amplifier = _Stream(amplify, 1.0, config.channels)
        self._smooth = _Stream(_smoother(config.envelope_time, self.rate), 1.0, config.channels)
        self._noise_scale = config.noise_floor / _rms_gain(amplify)
        self._hum_phase = self._noise.uniform(0, 2 * np.pi, (config.channels, 1))
        self._done = 0

    def record(self, activity: NDArray[np.float64]) -> NDArray[np.float64]:
        """Continue the recording.

        Args:
            activity: 0 to 1 at `rate`, shape (muscles, a multiple of `step`).

        Returns:
            EMG (V), shape (channels, samples).
        """
        config = self._config
        times = np.arange(self._done, self._done + activity.shape[1]) / self.rate
        self._done += activity.shape[1]
        noise = self._source.standard_normal(activity.shape)
        skin = self._mixing @ (activity * self._shape_source(noise))
        skin += self._noise_scale * self._noise.standard_normal(skin.shape)
        phase = 2 * np.pi * config.hum_frequency * times + self._hum_phase
        skin += config.hum_amplitude * np.sin(phase)
        recorded = self._amplifier(skin)
        if config.raw_emg:
            return recorded
        return np.sqrt(self._smooth(recorded**2)[:, :: self.step])


class _Stream:
    """A filter over rows that keeps its state between blocks."""

    def __init__(self, sections: Filter, gain: float, rows: int) -> None:
        self._sections = sections
        self._gain = gain
        self._state = np.zeros((len(sections), rows, 2))

    def __call__(self, block: NDArray[np.float64]) -> NDArray[np.float64]:
        filtered: NDArray[np.float64]
        filtered, self._state = signal.sosfilt(self._sections, block, axis=-1, zi=self._state)
        return self._gain * filtered


def _amplifier(rate: float) -> Filter:
    """Pass the band of surface EMG, as far as the sampling rate allows (De Luca et al. 2010)."""
    band = (BAND[0], min(BAND[1], BAND_END * rate))
    sections: Filter = signal.butter(2, band, 'bandpass', fs=rate, output='sos')
    return sections


def _spectrum(rate: float) -> Filter:
    """Colour white noise as EMG: power f^2 / ((f^2 + low^2) (f^2 + high^2)^2) (Shwedyk 1977)."""
    # The bilinear transform warps frequencies; pre-warp each corner.
    corners = np.minimum([SPECTRUM_LOW, SPECTRUM_HIGH, SPECTRUM_HIGH], BAND_END * rate)
    poles = -2 * rate * np.tan(np.pi * corners / rate)
    zeros, poles, gain = signal.bilinear_zpk([0.0], poles, 1.0, rate)
    sections: Filter = signal.zpk2sos(zeros, poles, gain)
    return sections


def _smoother(time_constant: float, rate: float) -> Filter:
    """Average exponentially over `time_constant` (s)."""
    keep = np.exp(-1 / (time_constant * rate))
    return np.array([[1 - keep, 0, 0, 1, -keep, 0]])


def _rms_gain(sections: Filter) -> float:
    """RMS of the filter's output for white noise of unit variance."""
    _, response = signal.sosfreqz(sections, worN=1 << 14)
    return float(np.sqrt(np.mean(np.abs(response) ** 2)))
