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

"""A synthetic wearer and his trained decoder, for tests in which the band moves."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from leconvmn_ros.core.recording import SampledSubject
from leconvmn_ros.dataset.hold_out import RepetitionHoldOut
from leconvmn_ros.decoding.checkpoint import Checkpoint
from leconvmn_ros.recordings.bags import read_bag, write_bag
from leconvmn_ros.synthetic.config import SyntheticSubjectConfig
from leconvmn_ros.synthetic.subject import synthesize
from leconvmn_ros.training.presets import PRESETS
from leconvmn_ros.training.run import train
import numpy as np
from numpy.typing import NDArray

RING = (tuple(range(8)),)


class WornBand(NamedTuple):
    """What was trained, and a new session of the same wearer.

    Attributes:
        checkpoint: the decoder.
        rate: of the EMG (Hz).
        emg: repetitions that it has not learnt (V), shape (samples, channels).
        positions: their angles (rad), shape (samples, joints).
        movement: shape (samples,).
    """

    checkpoint: Checkpoint
    rate: float
    emg: NDArray[np.float32]
    positions: NDArray[np.float64]
    movement: NDArray[np.int64]


@cache
def worn_band() -> WornBand:
    """Train once in a process on a synthetic wearer."""
    subject = synthesize(SyntheticSubjectConfig(movement_duration=3.0, rest_duration=1.0))
    return trained_on(subject, 'ridge', RepetitionHoldOut(validation=(3,), test=(4, 5, 6)))


def trained_on(subject: SampledSubject, preset: str, hold_out: RepetitionHoldOut) -> WornBand:
    """Train on what is not held out for the test; that is the new session."""
    with TemporaryDirectory() as folder:
        write_bag(subject, Path(folder) / 'training')
        training = read_bag(Path(folder) / 'training')
    checkpoint = train([training], PRESETS[preset], hold_out=hold_out)
    new = np.isin(subject.repetition, hold_out.test)
    return WornBand(
        checkpoint,
        subject.sampling_rate,
        subject.emg[new],
        subject.positions[new],
        subject.movement[new],
    )


def turned(emg: NDArray[np.float32], electrodes: int) -> NDArray[np.float32]:
    """Return the EMG of a band of 8 turned by this many electrodes."""
    return np.roll(emg, electrodes, axis=1)
