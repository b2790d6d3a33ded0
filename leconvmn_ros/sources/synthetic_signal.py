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

"""EMG of the synthetic subject, for users without a device."""

from typing import ClassVar

from leconvmn_ros.sources.contract import (
    DeviceCounter,
    EmgSource,
    Reading,
    SourceDescription,
    SourceOptions,
)
from leconvmn_ros.sources.player import Player, Track
from leconvmn_ros.synthetic.config import SyntheticSubjectConfig
from leconvmn_ros.synthetic.subject import synthesize
import numpy as np
from pydantic import Field


class SyntheticOptions(SourceOptions):
    """The subject and its electrodes."""

    seed: int = Field(default=0, ge=0, le=2**32 - 1, description='which subject')
    channels: int = Field(default=8, ge=1, le=256, description='electrodes')
    rate: float = Field(default=200.0, ge=20, le=10_000, description='samples per second (Hz)')
    movements: int = Field(default=6, ge=1, le=6, description='number of movements, in a loop')
    repetitions: int = Field(default=2, ge=1, le=20, description='repetitions of each')


class SyntheticSource(EmgSource):
    """A subject that repeats its exercise forever; scores on it say nothing about people."""

    Options = SyntheticOptions
    EXTRA: ClassVar[str] = ''
    options: SyntheticOptions

    def open(self) -> SourceDescription:
        """Generate the subject; see `EmgSource.open`."""
        chosen = self.options
        subject = synthesize(
            SyntheticSubjectConfig(
                seed=chosen.seed,
                channels=chosen.channels,
                sampling_rate=chosen.rate,
                movements=chosen.movements,
                repetitions=chosen.repetitions,
            )
        )
        numbers = np.arange(len(subject.emg))
        self._player = Player(Track(subject.emg, numbers / chosen.rate, numbers), loop=True)
        return SourceDescription(
            device=f'synthetic subject {chosen.seed}',
            channels=tuple(map(str, range(chosen.channels))),
            sampling_rate=chosen.rate,
            unit='V',
            counter=DeviceCounter(),
            rings=(tuple(range(chosen.channels)),),
        )

    def read(self) -> Reading | None:
        """Return the samples that are due; see `EmgSource.read`."""
        return self._player.read()

    def close(self) -> None:
        """Do nothing: there is no device."""
