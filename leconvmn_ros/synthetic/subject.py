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

"""A synthetic subject for users without recordings: finger movements and matching EMG.

The chain follows physiology, backwards from the fingers to the electrodes:

    minimum-jerk finger trajectories -> muscle drive -> excitation (inverse activation dynamics)
    -> stochastic EMG of each muscle -> crosstalk onto a ring of electrodes -> noise and mains hum
    -> amplifier band

It replaces a recording for trying the package out; scores on it say nothing about people. Module
`motion` has the movements, `emg` the muscles and electrodes.
"""

from collections.abc import Callable

from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import SampledSubject
from leconvmn_ros.emg.description import EmgDescription, INFORMATION_KEY
from leconvmn_ros.synthetic.config import SyntheticSubjectConfig
from leconvmn_ros.synthetic.emg import muscle_excitation, record_emg
from leconvmn_ros.synthetic.motion import move_fingers, on_time_base
import numpy as np
from numpy.typing import NDArray

# Called with (samples done, samples in all) while the EMG is made.
Progress = Callable[[int, int], None]


def synthesize(
    config: SyntheticSubjectConfig, *, progress: Progress | None = None
) -> SampledSubject:
    """Generate the recording of a synthetic subject.

    The finger movements depend on seed, exercise and hand only: channel count, sampling rate and
    noise do not change them (beyond the sampling itself).

    Args:
        config: the subject, the exercise and the electrodes.
        progress: called with (samples done, samples in all) while the EMG is made.

    Returns:
        EMG, angles within the limits of JOINTS, and labels. Labels follow the cue; the motion lies
        within it. information['emg_kind'] is 'raw' or 'envelope', information['config'] the
        configuration as JSON; the electrodes are one ring.
    """
    kinematics, effort, anatomy, source, electrodes = np.random.SeedSequence(config.seed).spawn(5)
    motion = move_fingers(config, kinematics)
    excitation = muscle_excitation(config, motion.active, effort)
    times = np.arange(config.samples) / config.sampling_rate
    movement, repetition = label(config, times)
    return SampledSubject(
        name=f'synthetic_{config.seed}',
        sampling_rate=config.sampling_rate,
        emg=record_emg(config, excitation, (anatomy, source, electrodes), progress),
        positions=np.ascontiguousarray(on_time_base(motion.positions.T, times).T),
        movement=movement,
        repetition=repetition,
        information={
            'database': 'synthetic',
            'subject': str(config.seed),
            'emg_unit': 'V',
            'emg_kind': 'raw' if config.raw_emg else 'envelope',
            'joint_unit': 'rad',
            'joints': ' '.join(JOINT_NAMES),
            'config': config.model_dump_json(),
            INFORMATION_KEY: _electrodes(config).to_json(),
        },
    )


def _electrodes(config: SyntheticSubjectConfig) -> EmgDescription:
    return EmgDescription(
        source='synthetic',
        device=f'synthetic subject {config.seed}',
        sampling_rate=config.sampling_rate,
        channels=tuple(map(str, range(config.channels))),
        rings=(tuple(range(config.channels)),),
    )


def label(
    config: SyntheticSubjectConfig, times: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the movement and repetition cued at `times` (s), as in SampledSubject."""
    trial = np.searchsorted(config.cues, times, side='right') - 1  # -1 before the first cue
    since_cue = times - config.cues[np.maximum(trial, 0)]
    moving = (trial >= 0) & (since_cue < config.movement_duration)
    movement = np.where(moving, trial // config.repetitions + 1, 0)
    repetition = np.where(trial >= 0, trial % config.repetitions + 1, 0)
    return movement.astype(np.int64), repetition.astype(np.int64)
