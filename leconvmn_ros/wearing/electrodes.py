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

"""Judges the signal of each electrode before and during a session, with advice.

Flat, saturated and humming electrodes are found as in the decoder (emg/signal_quality.py), without
its training statistics. Weakness is relative: at its loudest in the last seconds, the electrode
stays far below the others, as when it lifts off or lies over bone or tendon.
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum
from statistics import median
from typing import Final

from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.emg.intake import IntakeCounts
from leconvmn_ros.emg.signal_path import SignalPathConfig
from leconvmn_ros.emg.signal_quality import Finding, SignalQuality
import numpy as np
from pydantic import ValidationError

# Length of a block, and of the window whose loudest block is the level of an electrode (s).
BLOCK, WINDOW = 0.25, 10.0
WEAK_SHARE = 0.15
# Before this time (s) no electrode is called good, since a finding takes a second.
LEAST_HEARD = 2.0
# Replaces standardised features, which need training statistics: any channel may be saturated.
LOUD = 9.0


class Contact(Enum):
    """The state of an electrode."""

    GOOD = 'good'
    FLAT = 'flat'
    SATURATED = 'saturated'
    HUM = 'hum'
    WEAK = 'weak'


ADVICE: Final = {
    Contact.FLAT: 'no signal at all: press the electrode on, moisten the skin, check the cable',
    Contact.SATURATED: 'at the limit of the amplifier: press the electrode on, lower the gain',
    Contact.HUM: 'mains hum: moisten the skin, move away from chargers and cables',
    Contact.WEAK: 'much weaker than the others: moisten the skin, tighten the band or turn it',
}
# With these states a session does not start automatically.
BAD: Final = frozenset({Contact.FLAT, Contact.SATURATED, Contact.HUM})
_FOUND: Final = (
    (Finding.FLAT, Contact.FLAT),
    (Finding.SATURATED, Contact.SATURATED),
    (Finding.HUMMING, Contact.HUM),
)


class ElectrodeMonitor:
    """Tracks the electrodes of one source; a source of another shape resets it.

    Attributes:
        heard: duration of the EMG received (s).
        rate: sampling rate stated by the source (Hz), 0 before the first message.
    """

    def __init__(self) -> None:
        self.heard = self.rate = 0.0
        self._channels = 0
        self._quality: SignalQuality | None = None
        self._block: list[np.ndarray] = []
        self._filled = 0
        self._loudness: deque[np.ndarray] = deque(maxlen=round(WINDOW / BLOCK))

    def push(self, chunk: EmgChunk) -> None:
        """Add a message, with any values."""
        if (chunk.samples.shape[1], chunk.sampling_rate) != (self._channels, self.rate):
            self._expect(chunk)
        if not len(chunk.samples):
            return
        samples = np.nan_to_num(chunk.samples)
        self.heard += len(samples) / self.rate
        if self._quality is not None:
            self._quality.mask(samples, np.full_like(samples, LOUD))
        self._block.append(samples)
        self._filled += len(samples)
        if self._filled >= BLOCK * self.rate:
            # Without the offset, which does not come from a muscle.
            self._loudness.append(np.concatenate(self._block).std(axis=0, dtype=np.float64))
            self._block, self._filled = [], 0

    def _expect(self, chunk: EmgChunk) -> None:
        self._channels, self.rate = chunk.samples.shape[1], chunk.sampling_rate
        self.heard, self._block, self._filled = 0.0, [], 0
        self._loudness.clear()
        try:
            config = SignalPathConfig(channels=self._channels, sampling_rate=self.rate)
        except ValidationError:  # too slow for an image, and so for any decoder
            self._quality = None
        else:
            self._quality = SignalQuality(config, IntakeCounts(), can_mask=False)

    def contacts(self) -> tuple[Contact, ...]:
        """Return the state of each electrode, none before the first message."""
        states = [Contact.GOOD] * self._channels
        for channel in self._weak():
            states[channel] = Contact.WEAK
        if self._quality is not None:
            for row, contact in reversed(_FOUND):
                for channel in np.flatnonzero(self._quality.findings[row]).tolist():
                    states[channel] = contact
        return tuple(states)

    def _weak(self) -> list[int]:
        if self._channels < 3 or not self._loudness:
            return []
        strongest = np.max(np.stack(self._loudness), axis=0).tolist()
        usual = median(strongest)
        return [k for k, level in enumerate(strongest) if level < WEAK_SHARE * usual]

    def problem(self) -> str:
        """Return why a session should not start, empty if it may."""
        if self.heard == 0:
            return 'no EMG yet: is the source running?'
        if self.heard < LEAST_HEARD:
            return 'listening to the electrodes'
        return describe(self.contacts(), BAD)


def describe(contacts: Sequence[Contact], kinds: frozenset[Contact]) -> str:
    """Name the electrodes (from 1) that are in one of these states, empty if none is."""
    parts = []
    for kind in Contact:
        numbers = [str(k) for k, contact in enumerate(contacts, start=1) if contact is kind]
        if kind in kinds and numbers:
            noun = 'electrode' if len(numbers) == 1 else 'electrodes'
            parts.append(f'{noun} {", ".join(numbers)}: {ADVICE[kind]}')
    return '; '.join(parts)
