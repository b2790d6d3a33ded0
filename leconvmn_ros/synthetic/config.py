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

"""All settings of a synthetic subject, with their bounds."""

from typing import Literal

from leconvmn_ros.core.strict_model import StrictModel
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

# Largest recording, samples times channels: 2 GB.
MOST_VALUES = 500_000_000

# Motion of thumb, index, middle, ring and little finger in each movement: 1 = full flexion, -1 =
# full extension. In this order, every digit moves within the first five movements.
MOVEMENTS: dict[str, tuple[float, float, float, float, float]] = {
    'thumb flexion': (1, 0, 0, 0, 0),
    'index flexion': (0, 1, 0, 0, 0),
    'middle flexion': (0, 0, 1, 0, 0),
    'ring flexion': (0, 0, 0, 1, 0),
    'little flexion': (0, 0, 0, 0, 1),
    'fist': (1, 1, 1, 1, 1),
    'index and middle flexion': (0, 1, 1, 0, 0),
    'ring and little flexion': (0, 0, 0, 1, 1),
    'pinch': (0.7, 0.7, 0, 0, 0),
    'hand opening': (-1, -1, -1, -1, -1),
    'index pointing': (1, -1, 1, 1, 1),
    'thumb and little extension': (-1, 0, 0, 0, -1),
}

# At or below this rate (Hz) hardly any of the EMG's band is left; such slow devices deliver its
# envelope.
RAW_RATE_ABOVE = 150.0


class SyntheticSubjectConfig(StrictModel):
    """The person, the exercise and the recording device of a synthetic subject.

    The defaults are an armband of 8 electrodes at 200 Hz and an exercise in the manner of
    Ninapro's (Atzori et al., Sci. Data 2014): six repetitions of each movement, with rest between.

    Raises:
        pydantic.ValidationError: a value is outside its range, a movement does not fit its time,
            or the recording exceeds MOST_VALUES.
    """

    seed: int = Field(
        default=0,
        ge=0,
        le=2**32 - 1,
        description='number of the subject; the same seed gives the same subject',
    )

    # The exercise.
    movements: int = Field(
        default=6, ge=1, le=len(MOVEMENTS), description='movements, the first ones of MOVEMENTS'
    )
    repetitions: int = Field(
        default=6, ge=1, le=100, description='repetitions of each movement (Ninapro DB2, DB5: 6)'
    )
    movement_duration: float = Field(
        default=4.0, ge=0.5, le=60, description='time given to one movement (s)'
    )
    rest_duration: float = Field(
        default=2.0, ge=0.2, le=60, description='rest before and after each movement (s)'
    )
    onset_earliest: float = Field(
        default=0.1, ge=0, le=10, description='shortest time from cue to motion (s)'
    )
    onset_latest: float = Field(
        default=0.5,
        ge=0,
        le=10,
        description='longest time from cue to motion, and from its end to that of the cue (s)',
    )
    transition_shortest: float = Field(
        default=0.4, ge=0.1, le=10, description='shortest flexion or extension (s)'
    )
    transition_longest: float = Field(
        default=0.9,
        ge=0.1,
        le=10,
        description='longest flexion or extension (s); 0.4 to 0.9 gives the speeds of DB5',
    )

    # The hand.
    amplitude_variability: float = Field(
        default=0.15,
        ge=0,
        le=0.5,
        description='variation of the range of motion between repetitions (ratio; '
        'DB5 S1, S3, S4, S5: 0.14 to 0.18)',
    )
    enslaving: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description='motion of the most enslaved neighbour relative to the moving finger (ratio; '
        'Zatsiorsky, Li and Latash 2000 report 0.11 to 0.55 for forces)',
    )
    posture_drift: float = Field(
        default=0.06,
        ge=0,
        le=0.3,
        description='wandering of the resting posture, which no muscle shows (rad; '
        'DB5 S1, S3, S4, S5: 0.05 to 0.07)',
    )
    tremor: float = Field(
        default=0.001,
        ge=0,
        le=0.05,
        description='physiological tremor of each joint, 8 to 12 Hz (rad RMS; '
        'Growdon et al. 2000: 0.03 to 0.15 mm at the finger tip, so 4e-4 to 2e-3)',
    )

    # The muscles.
    electromechanical_delay: float = Field(
        default=0.05,
        ge=0,
        le=0.2,
        description='from activation to motion (s; Cavanagh and Komi 1979: 0.05 to 0.055)',
    )
    activation_time: float = Field(
        default=0.01,
        gt=0,
        le=0.2,
        description='time constant of activation (s; Millard et al. 2013)',
    )
    deactivation_time: float = Field(
        default=0.04,
        gt=0,
        le=0.5,
        description='time constant of deactivation (s; Millard et al. 2013)',
    )
    co_contraction: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description='drive of the antagonist relative to the agonist (ratio; 0.2 to 0.3 in leg '
        'muscles at a fifth of their strength, Exp. Brain Res. 239 (2021) 463, table 1)',
    )
    resting_tone: float = Field(
        default=0.02,
        ge=0,
        le=0.5,
        description='drive of every muscle at rest (part of the maximum; chosen for the ratio of '
        'rest to movement of DB5)',
    )
    effort_variability: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description='variation of the effort for one motion between repetitions (log ratio; '
        'chosen to make decoding nearly as hard as on DB5)',
    )
    drive_fluctuation: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description='fluctuation of the drive below 2 Hz (log ratio RMS; De Luca and Erim 1994 on '
        'its origin)',
    )

    # The electrodes.
    channels: int = Field(
        default=8, ge=1, le=256, description='electrodes, evenly spaced around the forearm'
    )
    sampling_rate: float = Field(
        default=200.0,
        ge=20,
        le=10_000,
        description='samples per second of each channel (Hz); '
        f'up to {RAW_RATE_ABOVE:g} Hz the EMG is an envelope',
    )
    contraction_amplitude: float = Field(
        default=1e-3,
        gt=0,
        le=0.01,
        description='EMG over a superficial muscle at full activation (V RMS; '
        'De Luca 2002: up to 1.5 mV)',
    )
    crosstalk_width: float = Field(
        default=22.0,
        ge=1,
        le=180,
        description='angle from a superficial muscle at which its EMG has fallen to 0.61 '
        '(degrees; 22 puts 5 % at 54: a muscle 34 degrees wide under 9 to 18 mm of fat in '
        'Kuiken et al. 2003)',
    )
    noise_floor: float = Field(
        default=4e-6,
        ge=0,
        le=1e-3,
        description='electrode noise (V RMS; Huigen et al. 2002: 1 to 20 uV)',
    )
    hum_frequency: Literal[50, 60] = Field(default=50, description='mains frequency (Hz)')
    hum_amplitude: float = Field(
        default=2e-6, ge=0, le=0.01, description='peak of the mains hum (V), 0 = none'
    )
    envelope_time: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description='smoothing of the envelope at low sampling rates (s, time constant)',
    )

    @model_validator(mode='after')
    def _fits(self) -> 'SyntheticSubjectConfig':
        for low, high in (
            ('onset_earliest', 'onset_latest'),
            ('transition_shortest', 'transition_longest'),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(
                    f'{low} of {getattr(self, low)} s is above {high} of {getattr(self, high)} s'
                )
        needed = 2 * (self.onset_latest + self.transition_longest)
        if self.movement_duration < needed:
            raise ValueError(
                f'movement_duration of {self.movement_duration} s is too short: '
                f'two onsets of up to {self.onset_latest} s and two transitions '
                f'of up to {self.transition_longest} s need {needed:g} s'
            )
        if self.samples * self.channels > MOST_VALUES:
            raise ValueError(
                f'{self.duration:g} s of {self.channels} channels at {self.sampling_rate:g} Hz '
                f'are {self.samples * self.channels} values; at most {MOST_VALUES} are allowed'
            )
        return self

    @property
    def trials(self) -> int:
        """Number of movements times repetitions."""
        return self.movements * self.repetitions

    @property
    def trial_period(self) -> float:
        """Time from one cue to the next (s)."""
        return self.movement_duration + self.rest_duration

    @property
    def duration(self) -> float:
        """Length of the whole recording, which starts with rest (s)."""
        return self.rest_duration + self.trials * self.trial_period

    @property
    def samples(self) -> int:
        """Samples of each channel in the whole recording."""
        return round(self.duration * self.sampling_rate)

    @property
    def cues(self) -> NDArray[np.float64]:
        """Times of the cues (s), shape (trials,)."""
        return self.rest_duration + self.trial_period * np.arange(self.trials, dtype=np.float64)

    @property
    def raw_emg(self) -> bool:
        """Whether the EMG is raw; if not, it is an envelope."""
        return self.sampling_rate > RAW_RATE_ABOVE
