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

"""The status of a guided session, and of the training after it, as shown on the page.

It travels as JSON in a latched `std_msgs/String` on `guide_status`. Readers validate it: sizes are
bounded, and its texts are never interpreted as HTML.
"""

from typing import Annotated, Literal

from leconvmn_ros.core.strict_model import parse_message, StrictModel
from pydantic import Field

MOST_ELECTRODES = 256

Text = Annotated[str, Field(max_length=400)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=1e6)]
# Available actions: the buttons of the page.
Action = Literal['start', 'start_anyway', 'pause', 'redo', 'use', 'adapt', 'train']
State = Literal[
    'check', 'ready', 'countdown', 'move', 'rest', 'paused', 'done', 'choose', 'training', 'live'
]


class GuideStatus(StrictModel):
    """The status of a session at one moment.

    Attributes:
        state: state of the session; 'choose', 'training' and 'live' come from the command `wear`.
        session: name of the session.
        note: note to the wearer.
        title: instruction in a few words.
        message: event or problem.
        following: next movement.
        left: time until the title changes (s).
        span: total duration of the title (s).
        done: number of repetitions that count.
        total: number of repetitions of the session.
        remaining: time until the end (s), 0 if unknown.
        progress: finished share of a training.
        contacts: state of each electrode.
        advice: advice on the electrodes.
        actions: available actions.
        score: score of the decoder on held-out repetitions, in words.
    """

    state: State
    session: Text = ''
    note: Annotated[str, Field(max_length=500)] = ''
    title: Text = ''
    message: Annotated[str, Field(max_length=2000)] = ''
    following: Text = ''
    left: Seconds = 0.0
    span: Seconds = 0.0
    done: int = Field(default=0, ge=0, le=10_000)
    total: int = Field(default=0, ge=0, le=10_000)
    remaining: Seconds = 0.0
    progress: Share = 0.0
    contacts: tuple[Literal['good', 'flat', 'saturated', 'hum', 'weak'], ...] = Field(
        default=(), max_length=MOST_ELECTRODES
    )
    advice: Annotated[str, Field(max_length=4000)] = ''
    actions: tuple[Action, ...] = Field(default=(), max_length=6)
    score: Text = ''

    def to_json(self) -> str:
        """Return the status as one line of JSON."""
        return self.model_dump_json()


def parse_status(text: str) -> GuideStatus:
    """Parse the JSON of `to_json`.

    Raises:
        MalformedMessageError: the text is invalid.
    """
    return parse_message(GuideStatus, text, 'guide status')
