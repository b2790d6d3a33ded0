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

"""Plays the EMG of a recording as if a device sent it now.

`replay` plays a whole bag with its own topics and stamps; this source acts as a device and gives
the samples new stamps.
"""

from typing import ClassVar

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.recording import NANOSECONDS
from leconvmn_ros.recordings.bag_types import EMG_TOPIC
from leconvmn_ros.recordings.bags import read_bag
from leconvmn_ros.recordings.description import read_description
from leconvmn_ros.sources.contract import (
    DeviceCounter,
    EmgSource,
    Reading,
    SourceDescription,
    SourceOptions,
)
from leconvmn_ros.sources.player import Player, Track
import numpy as np
from pydantic import Field


class BagOptions(SourceOptions):
    """The recording to play."""

    path: str = Field(default='', description='folder of the bag')
    topic: str = Field(default=EMG_TOPIC, description='topic of the EMG')
    speed: float = Field(default=1.0, gt=0, le=1000, description='seconds of the bag per second')
    loop: bool = Field(default=False, description='start again at the end')


class BagSource(EmgSource):
    """The EMG of a bag."""

    Options = BagOptions
    EXTRA: ClassVar[str] = ''
    options: BagOptions

    def open(self) -> SourceDescription:
        """Read the bag; see `EmgSource.open`."""
        if not self.options.path:
            raise ConfigurationError('source bag needs a bag: path=FOLDER')
        recording = read_bag(self.options.path, emg_topic=self.options.topic)
        chunks = recording.chunks
        if not chunks:
            raise RecordingError(f'{self.options.path} holds no EMG')
        channels, rate = chunks[0].samples.shape[1], chunks[0].sampling_rate
        chunks = [chunk for chunk in chunks if chunk.samples.shape[1] == channels]
        count = [len(chunk.samples) for chunk in chunks]
        first = np.repeat([chunk.first_sample for chunk in chunks], count)
        within = np.concatenate([np.arange(length) for length in count])
        stamps = np.repeat([chunk.stamp_ns - chunks[0].stamp_ns for chunk in chunks], count)
        due = np.maximum.accumulate(stamps / NANOSECONDS + within / rate)
        track = Track(
            np.concatenate([chunk.samples for chunk in chunks]), due, first + within - first[0]
        )
        self._player = Player(track, speed=self.options.speed, loop=self.options.loop)
        known = read_description(self.options.path)
        if known is not None and len(known.channels) != channels:
            known = None
        return SourceDescription(
            device=known.device if known else recording.name,
            channels=known.channels if known else tuple(map(str, range(channels))),
            sampling_rate=rate * self.options.speed,
            unit='V',
            counter=DeviceCounter(),
            rings=known.rings if known else (),
            offset=known.offset if known else (),
            arm=known.arm if known else '',
        )

    def read(self) -> Reading | None:
        """Return the samples that are due; see `EmgSource.read`."""
        reading = self._player.read()
        self.ended = self._player.over
        return reading

    def close(self) -> None:
        """Do nothing: the bag was read completely."""
