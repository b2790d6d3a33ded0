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

"""The description of an EMG source, above all the positions of its electrodes.

It travels as JSON in a latched `std_msgs/String` on `emg_description` and is stored in bags.
Adaptation needs it to find out by how much an armband was turned.
"""

import json
from typing import Annotated, Literal

from leconvmn_ros.core.strict_model import parse_message, StrictModel
from pydantic import Field, model_validator

# Key of the description in the metadata of a bag that was converted or computed, not recorded.
INFORMATION_KEY = 'emg_description'
MOST_CHANNELS = 1024
LONGEST_NAME = 200  # characters
Text = Annotated[str, Field(max_length=LONGEST_NAME)]
Arm = Literal['left', 'right', '']


class EmgDescription(StrictModel):
    """A source and the positions of its electrodes.

    Attributes:
        source: kind of the source, such as 'brainflow'.
        device: name of the device.
        sampling_rate: samples per second of each channel, as the device claims (Hz).
        channels: a name for each channel of the message, in its order.
        rings: bands of electrodes around the forearm, from elbow to wrist: the channels of each
            ring, in their order around the arm. Empty = unknown.
        offset: by how many electrodes each ring after the first is turned against the first, in
            the direction of the channels, such as 0.5 for staggered bands. Empty = unknown.
        arm: arm that wears it; '' = unknown.
    """

    source: Text = ''
    device: Text = ''
    sampling_rate: float = Field(gt=0)
    channels: tuple[Text, ...] = Field(min_length=1, max_length=MOST_CHANNELS)
    rings: tuple[tuple[int, ...], ...] = Field(default=(), max_length=MOST_CHANNELS)
    offset: tuple[float, ...] = Field(default=(), max_length=MOST_CHANNELS)
    arm: Arm = ''

    @model_validator(mode='after')
    def _rings_name_channels(self) -> 'EmgDescription':
        used = [channel for ring in self.rings for channel in ring]
        for channel in used:
            if not 0 <= channel < len(self.channels):
                raise ValueError(
                    f'a ring names channel {channel}; there are channels 0 to '
                    f'{len(self.channels) - 1}'
                )
        if len(set(used)) < len(used):
            raise ValueError(f'a channel is in the rings twice: {used}')
        if len(self.offset) not in {0, max(len(self.rings) - 1, 0)}:
            raise ValueError(
                f'{len(self.offset)} offsets for {len(self.rings)} rings; '
                'one for each ring after the first is needed'
            )
        return self

    def to_json(self) -> str:
        """Return the description as one line of JSON."""
        return json.dumps(self.model_dump(mode='json'), ensure_ascii=False)


def parse_description(text: str) -> EmgDescription:
    """Parse the JSON of `to_json`.

    Raises:
        MalformedMessageError: the text is invalid.
    """
    return parse_message(EmgDescription, text, 'EMG description')
