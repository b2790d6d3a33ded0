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

"""The finger motion of a synthetic subject: minimum jerk, enslaving, drift, tremor.

Sources:
    Flash and Hogan, J. Neurosci. 5 (1985) 1688: minimum-jerk trajectories.
    Zatsiorsky, Li and Latash, Exp. Brain Res. 131 (2000) 187: enslaving of the other fingers.
    Hager-Ross and Schieber, J. Neurosci. 20 (2000) 8542: which fingers move independently.
"""

from math import sqrt
from typing import NamedTuple

from leconvmn_ros.core.joints import JOINTS
from leconvmn_ros.synthetic.config import MOVEMENTS, SyntheticSubjectConfig
import numpy as np
from numpy.typing import NDArray

# Rate of movements and muscle drive (Hz), independent of the EMG's. Voluntary motion ends below
# 5 Hz and tremor at 12 Hz: linear interpolation from this rate is accurate to 1e-3 rad.
CONTROL_RATE = 200.0


# Joint angles of the resting hand, and the changes for full flexion and extension, in the order
# of JOINTS (rad): a half open hand, with room for variation within the limits.
REST = np.radians([12, 10] + 4 * [22, 28])
FLEXION = np.radians([25, 48] + 4 * [48, 54])
EXTENSION = np.radians([9, 18] + 4 * [35, 22])

# Relative enslaving, row = moving digit, column = digit dragged along; the strongest pair is 1.
# Neighbours first, ring and little most, thumb and index least (the order of Zatsiorsky et al.
# 2000, Hager-Ross and Schieber 2000).
ENSLAVING = np.array([
    [0.0, 0.2, 0.1, 0.1, 0.1],
    [0.1, 0.0, 0.6, 0.3, 0.2],
    [0.1, 0.5, 0.0, 0.9, 0.4],
    [0.1, 0.3, 0.9, 0.0, 1.0],
    [0.1, 0.2, 0.4, 1.0, 0.0],
])  # fmt: skip

# Variation of enslaving between repetitions (log ratio), a plausible value.
ENSLAVING_VARIABILITY = 0.3

JOINTS_PER_DIGIT = 2

# Frequencies (Hz) of the drift of a resting hand, and of finger tremor (Elble and Randall,
# Electroencephalogr. Clin. Neurophysiol. 44 (1978) 72).
DRIFT_BAND = (0.005, 0.1)
TREMOR_BAND = (8.0, 12.0)
WAVES = 12


class HandMotion(NamedTuple):
    """Finger motion at CONTROL_RATE from time 0 on.

    Attributes:
        positions: joint angles (rad), shape (times, 10).
        active: the part of them that muscles produce, 0 at rest (rad), shape (times, 10).
    """

    positions: NDArray[np.float64]
    active: NDArray[np.float64]


class Timing(NamedTuple):
    """Start and end times of each trial's motion, each of shape (trials, joints) (s)."""

    flexion_start: NDArray[np.float64]
    flexion_duration: NDArray[np.float64]
    return_start: NDArray[np.float64]
    return_duration: NDArray[np.float64]


def move_fingers(config: SyntheticSubjectConfig, seed: np.random.SeedSequence) -> HandMotion:
    """Perform the whole exercise; the angles never leave the limits of JOINTS."""
    timing_seed, pose_seed, wander_seed = seed.spawn(3)
    timing = _draw_timing(config, np.random.default_rng(timing_seed))
    poses, postures = _draw_poses(config, np.random.default_rng(pose_seed))
    times = np.arange(int(np.ceil(config.duration * CONTROL_RATE)) + 1) / CONTROL_RATE
    active = np.zeros((len(times), len(JOINTS)))
    posture = np.tile(REST + postures[0], (len(times), 1))
    for trial, cue in enumerate(config.cues):
        first = int(cue * CONTROL_RATE)
        within = slice(first, first + int(config.trial_period * CONTROL_RATE) + 1)
        now = times[within, None]
        flexed = minimum_jerk(now, timing.flexion_start[trial], timing.flexion_duration[trial])
        returned = minimum_jerk(now, timing.return_start[trial], timing.return_duration[trial])
        active[within] += poses[trial] * (flexed - returned)
        step = postures[trial + 1] - postures[trial]
        posture[within] += step * returned
        posture[within.stop :] += step
    rng = np.random.default_rng(wander_seed)
    posture += config.posture_drift / 2 * waves(times, DRIFT_BAND, len(JOINTS), rng)
    active += config.tremor * waves(times, TREMOR_BAND, len(JOINTS), rng)
    lower, upper = ([getattr(joint, side) for joint in JOINTS] for side in ('lower', 'upper'))
    return HandMotion(np.clip(posture + active, lower, upper), active)


def minimum_jerk(
    times: NDArray[np.float64], start: NDArray[np.float64], duration: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Go from 0 to 1 with the least jerk: 10 s^3 - 15 s^4 + 6 s^5 (Flash and Hogan 1985).

    s is the elapsed part of `duration` (s) since `start` (s); the arguments broadcast.
    """
    part: NDArray[np.float64] = np.clip((times - start) / duration, 0.0, 1.0)
    return part**3 * (10.0 + part * (6.0 * part - 15.0))


def waves(
    times: NDArray[np.float64], band: tuple[float, float], columns: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Sum sinusoids of random phase and frequency in `band` (Hz), shape (times, columns).

    Their RMS is 1. Unlike filtered noise they need no settling and few random numbers, however
    long they go on.
    """
    frequency = rng.uniform(*band, (WAVES, columns))
    phase = rng.uniform(0.0, 2.0 * np.pi, (WAVES, columns))
    total = np.zeros((len(times), columns))
    for wave in range(WAVES):
        total += np.sin(2.0 * np.pi * times[:, None] * frequency[wave] + phase[wave])
    return total * sqrt(2.0 / WAVES)


def on_time_base(rows: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sample rows, (rows, times at CONTROL_RATE), at `times` (s); shape (rows, times).

    Linear, so that nothing leaves the range of the values it came from.
    """
    control_times = np.arange(rows.shape[1]) / CONTROL_RATE
    return np.stack([np.interp(times, control_times, row) for row in rows])


def _draw_timing(config: SyntheticSubjectConfig, rng: np.random.Generator) -> Timing:
    """Draw when each trial's two transitions happen; the joints set out a little apart."""
    shape = (config.trials, 1)
    onset = (config.onset_earliest, config.onset_latest)
    transition = (config.transition_shortest, config.transition_longest)
    flexion_start = config.cues[:, None] + rng.uniform(*onset, shape)
    return_end = config.cues[:, None] + config.movement_duration - rng.uniform(*onset, shape)
    flexion, back = rng.uniform(*transition, shape), rng.uniform(*transition, shape)
    # A joint sets out up to a fifth of the transition after the first one and arrives with it.
    lag = 0.2 * rng.uniform(size=(2, config.trials, len(JOINTS)))
    return Timing(
        flexion_start + lag[0] * flexion,
        (1 - lag[0]) * flexion,
        return_end - (1 - lag[1]) * back,
        (1 - lag[1]) * back,
    )


def _draw_poses(
    config: SyntheticSubjectConfig, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw what the trials do.

    Returns:
        What each adds to the rest, shape (trials, 10), and by how much the rest around them is
        off, shape (trials + 1, 10) (rad).
    """
    asked = np.array(list(MOVEMENTS.values()), dtype=np.float64)[: config.movements]
    meant = np.repeat(asked, config.repetitions, axis=0)
    dragged = meant @ (config.enslaving * ENSLAVING)
    dragged *= np.exp(ENSLAVING_VARIABILITY * rng.standard_normal((config.trials, 1)))
    # A finger that is meant to move goes where it is meant to; the others are dragged along.
    command = np.where(meant != 0, meant, np.clip(dragged, -0.8, 0.8))
    # The joints of a digit share most of the variation: the two are coupled by tendons.
    shared = 1 + config.amplitude_variability * _bounded_normal(rng, command.shape)
    own = 1 + config.amplitude_variability / 2 * _bounded_normal(rng, (len(meant), len(JOINTS)))
    joint_command = np.repeat(command * shared, JOINTS_PER_DIGIT, axis=1) * own
    poses = joint_command * np.where(joint_command > 0, FLEXION, EXTENSION)
    postures = config.posture_drift * _bounded_normal(rng, (config.trials + 1, len(JOINTS)))
    return poses, postures


def _bounded_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw from a normal distribution, cut at 2: subjects do not do the absurd."""
    return np.clip(rng.standard_normal(shape), -2.0, 2.0)
