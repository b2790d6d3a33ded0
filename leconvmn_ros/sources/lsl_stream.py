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

"""EMG from the Lab Streaming Layer, as streamed by the software of an amplifier.

Stamps are those of the sender, converted to the clock of this machine by LSL's `time_correction`.
"""

from contextlib import suppress
import time
from typing import Any, ClassVar

from leconvmn_ros.core.errors import ConfigurationError, SourceError
from leconvmn_ros.emg.description import MOST_CHANNELS
from leconvmn_ros.emg.message import HIGHEST_RATE, LOWEST_RATE
from leconvmn_ros.sources.contract import EmgSource, Reading, SourceDescription, SourceOptions
from leconvmn_ros.sources.registry import import_library
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

# Time to search for streams, and to wait for the answer of one (s).
SEARCH_TIME = 1.5
ANSWER_TIME = 5.0
# Length of the library's buffer (s).
BUFFER = 5
# Interval of comparisons with the sender's clock (s).
CORRECTION_PERIOD = 2.0
# Stamps further from the present belong to a clock that LSL does not know (s).
SAME_CLOCK = 10.0
# Channels of other types in a stream are triggers, acceleration and the like.
_EMG_TYPES = {'EMG', 'EEG', 'EXG', 'HDEMG', ''}


class LslOptions(SourceOptions):
    """The stream to read."""

    name: str = Field(default='', description='name of the stream')
    type: str = Field(default='EMG', description='type of the stream, where no name is given')
    source_id: str = Field(default='', description='identifier of the device')
    rate: float = Field(
        default=0.0,
        ge=0,
        le=HIGHEST_RATE,
        description='samples per second, for a stream that does not state it (Hz)',
    )


class LslSource(EmgSource):
    """A stream of the Lab Streaming Layer."""

    Options = LslOptions
    EXTRA: ClassVar[str] = 'lsl'
    LIBRARY: ClassVar[str] = 'pylsl'
    options: LslOptions

    def open(self) -> SourceDescription:
        """Find the stream and read its description; see `EmgSource.open`."""
        self._pylsl = import_library(type(self))
        self._errors = import_library(type(self), 'pylsl.util')
        info = self._find_stream()
        self._inlet = self._pylsl.StreamInlet(info, max_buflen=BUFFER, recover=True)
        try:
            info = self._inlet.info(ANSWER_TIME)
            self._inlet.open_stream(ANSWER_TIME)
            self._correction = self._inlet.time_correction(ANSWER_TIME)
        except (self._errors.LostError, self._errors.TimeoutError) as error:
            raise SourceError(
                f'the LSL stream {info.name()!r} does not answer: {error}'
            ) from error
        self._corrected_at = time.monotonic()
        description = self._describe(info)
        self._buffer = np.zeros((4096, info.channel_count()), self._dtype(info))
        return description

    def read(self) -> Reading | None:
        """Return the new samples; see `EmgSource.read`."""
        try:
            _, stamps = self._inlet.pull_chunk(0.0, len(self._buffer), dest_obj=self._buffer)
        except self._errors.LostError as error:
            raise SourceError(f'the LSL stream is lost: {error}') from error
        if not stamps:
            return None
        samples = self._buffer[: len(stamps), self._columns].astype(np.float64)
        return Reading(samples, self._on_this_clock(np.asarray(stamps)))

    def close(self) -> None:
        """Unsubscribe."""
        inlet = self.__dict__.pop('_inlet', None)
        if inlet is not None:
            inlet.close_stream()

    @classmethod
    def find(cls) -> list[str]:
        """Return the streams on the network."""
        pylsl = import_library(cls)
        return [
            f'name={info.name()!r} type={info.type()!r}: {info.channel_count()} channels, '
            f'{_rate_in_words(info.nominal_srate())}, on {info.hostname()}'
            for info in pylsl.resolve_streams(SEARCH_TIME)
        ]

    def _find_stream(self) -> Any:
        for prop in ('source_id', 'name', 'type'):
            if value := getattr(self.options, prop):
                break
        # Search for a second one, too: only the user knows which of two is right.
        found = self._pylsl.resolve_byprop(prop, value, 2, SEARCH_TIME)
        if not found:
            there = self.find()
            raise SourceError(
                f'there is no LSL stream of {prop} {value!r}: start the program that streams. '
                f'There {"are: " + "; ".join(there) if there else "is no LSL stream at all"}'
            )
        if len(found) > 1:
            names = ', '.join(f'{info.name()!r} ({info.source_id()!r})' for info in found)
            raise SourceError(
                f'{len(found)} LSL streams of {prop} {value!r}: {names}; '
                'choose one by name=... or source_id=...'
            )
        return found[0]

    def _describe(self, info: Any) -> SourceDescription:
        count = info.channel_count()
        if not 1 <= count <= MOST_CHANNELS:
            raise ConfigurationError(
                f'the LSL stream {info.name()!r} has {count} channels; '
                f'1 to {MOST_CHANNELS} are read'
            )
        channels = _channels(info)
        types = [entry['type'].upper() for entry in channels]
        self._columns = [place for place in range(count) if types[place] in _EMG_TYPES]
        if not self._columns:
            raise ConfigurationError(
                f'the LSL stream {info.name()!r} has no channel of EMG, only {sorted(set(types))}'
            )
        chosen = [channels[place] for place in self._columns]
        units = dict.fromkeys(entry['unit'] for entry in chosen)
        return SourceDescription(
            device=info.name()[:100],
            channels=tuple(entry['label'] or str(place) for place, entry in enumerate(chosen)),
            sampling_rate=self._rate(info),
            unit=', '.join(units),
        )

    def _rate(self, info: Any) -> float:
        rate = self.options.rate or float(info.nominal_srate())
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise ConfigurationError(
                f'the LSL stream {info.name()!r} says {_rate_in_words(rate)}: '
                'give its rate with the option rate=HZ'
            )
        return rate

    def _dtype(self, info: Any) -> Any:
        pylsl = self._pylsl
        kinds = {
            pylsl.cf_float32: np.float32,
            pylsl.cf_double64: np.float64,
            pylsl.cf_int32: np.int32,
            pylsl.cf_int16: np.int16,
            pylsl.cf_int8: np.int8,
        }
        kind = kinds.get(info.channel_format())
        if kind is None:
            raise ConfigurationError(
                f'the LSL stream {info.name()!r} does not send numbers that are EMG'
            )
        return kind

    def _on_this_clock(self, stamps: NDArray[np.float64]) -> NDArray[np.float64]:
        now, local = time.time(), self._pylsl.local_clock()
        if time.monotonic() - self._corrected_at > CORRECTION_PERIOD:
            self._corrected_at = time.monotonic()
            # Without a timely answer, the last correction holds.
            with suppress(self._errors.TimeoutError, self._errors.LostError):
                self._correction = self._inlet.time_correction(0.1)
        times: NDArray[np.float64] = stamps + self._correction + (now - local)
        if abs(times[-1] - now) <= SAME_CLOCK:
            return times
        if not self.remarks:
            self.remarks.append(
                f'the stamps of the LSL stream are {abs(times[-1] - now):.0f} s from the clock of '
                'this machine; times of arrival are used instead'
            )
        return np.full(len(stamps), now)


def _channels(info: Any) -> list[dict[str, str]]:
    """Return label, type and unit of each channel, empty if the stream has no description."""
    said: list[dict[str, str]] = []
    channel = info.desc().child('channels').child('channel')
    while not channel.empty() and len(said) < MOST_CHANNELS:
        said.append({key: channel.child_value(key)[:100] for key in ('label', 'type', 'unit')})
        channel = channel.next_sibling()
    if len(said) != info.channel_count():
        # A list of another length does not describe these channels.
        units = {entry['unit'] for entry in said}
        unit = units.pop() if len(units) == 1 else ''
        return [{'label': '', 'type': '', 'unit': unit}] * info.channel_count()
    return said


def _rate_in_words(rate: float) -> str:
    return f'{rate:g} Hz' if rate else 'an irregular rate'
