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

"""User settings of a signal: channels and their order, rings, scale, rate."""

import re

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.strict_model import first_problem, StrictModel
from leconvmn_ros.emg.description import Arm, EmgDescription, LONGEST_NAME, MOST_CHANNELS
from leconvmn_ros.emg.message import HIGHEST_RATE
from leconvmn_ros.sources.contract import SourceDescription
from leconvmn_ros.sources.stream import SILENCE
from leconvmn_ros.sources.units import volts_per
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

# 5, 0-7 or 0..7; if the first is larger, it counts down.
_RANGE = re.compile(r'(\d{1,4})(?:(?:-|\.\.)(\d{1,4}))?')


class SignalSettings(StrictModel):
    """How to treat the signal of a device.

    Attributes:
        scale: volts per unit of the device; 0 = by its unit.
        channels: channels of the device to pass on, in this order; empty = all.
        rings: bands of electrodes as in `EmgDescription`, by the channels of the message; empty =
            as the device says.
        offset: turn of the bands against the first one, likewise.
        arm: arm that wears it, likewise.
        sampling_rate: rate of the device, if it claims a wrong one (Hz); 0 = as it claims.
        delay: known minimal time from skin to arrival (s).
        silence: time without samples after which the link counts as interrupted (s).
    """

    scale: float = Field(default=0.0, ge=0)
    channels: tuple[int, ...] = ()
    rings: tuple[tuple[int, ...], ...] = ()
    offset: tuple[float, ...] = ()
    arm: Arm = ''
    sampling_rate: float = Field(default=0.0, ge=0, le=HIGHEST_RATE)
    delay: float = Field(default=0.0, ge=0, le=1)
    silence: float = Field(default=SILENCE, gt=0, le=60)


def parse_channels(text: str) -> tuple[int, ...]:
    """Parse channels such as '0-3, 7, 5' or '7..0'.

    Raises:
        ConfigurationError: the text has another form.
    """
    channels: list[int] = []
    for word in text.replace(',', ' ').split():
        match = _RANGE.fullmatch(word)
        if match is None:
            raise ConfigurationError(
                f'{word!r} is neither a channel nor a range of channels such as 0-7'
            )
        first, last = int(match[1]), int(match[2] or match[1])
        step = 1 if last >= first else -1
        channels += range(first, last + step, step)
        if len(channels) > MOST_CHANNELS:
            raise ConfigurationError(f'more than {MOST_CHANNELS} channels: {text!r:.100}')
    return tuple(channels)


def parse_rings(text: str) -> tuple[tuple[int, ...], ...]:
    """Parse rings such as '0-7; 8-15' or '[[0..7], [8..15]]', each in the form of parse_channels.

    Raises:
        ConfigurationError: the text has another form.
    """
    parts = re.split(r';|\]\s*,\s*\[', text)
    rings = (parse_channels(part.strip().strip('[]')) for part in parts)
    return tuple(ring for ring in rings if ring)


def parse_offset(text: str) -> tuple[float, ...]:
    """Parse offsets such as '0.5' or '0.5, 0'.

    Raises:
        ConfigurationError: the text has another form.
    """
    try:
        return tuple(float(word) for word in text.strip('[] ').replace(',', ' ').split())
    except ValueError as error:
        raise ConfigurationError(f'{text!r} is not a list of numbers such as 0.5') from error


def choose_columns(source: SourceDescription, settings: SignalSettings) -> NDArray[np.intp]:
    """Return the columns of a reading to pass on.

    Raises:
        ConfigurationError: a channel does not exist, or is named twice.
    """
    there = len(source.channels)
    chosen = settings.channels or tuple(range(there))
    for channel in chosen:
        if channel >= there:
            raise ConfigurationError(
                f'there is no channel {channel}: {source.device} has channels 0 to {there - 1} '
                f'({", ".join(source.channels[:20])})'
            )
    if len(set(chosen)) < len(chosen):
        raise ConfigurationError(f'a channel is named twice: {chosen}')
    return np.array(chosen, dtype=np.intp)


def choose_volts(source: SourceDescription, settings: SignalSettings) -> float:
    """Return the volts per unit of the device: from the user, the source, or the unit.

    Raises:
        ConfigurationError: it is unknown.
    """
    if settings.scale:
        return settings.scale
    return volts_per(source.unit) if source.volts is None else source.volts


def _on_one_line(name: str) -> str:
    """Return a foreign name in a form fit for a log: one line of limited length."""
    return ''.join(sign if sign.isprintable() else '?' for sign in name[:LONGEST_NAME])


def describe(kind: str, source: SourceDescription, settings: SignalSettings) -> EmgDescription:
    """Return the description that is published with the signal.

    Args:
        kind: name of the source.
        source: description by the device.
        settings: settings of the user, which take precedence.

    Raises:
        ConfigurationError: rings and channels do not fit.
    """
    columns = choose_columns(source, settings)
    new_place = {channel: place for place, channel in enumerate(columns.tolist())}
    rings, offset = settings.rings, settings.offset
    if not rings and all(channel in new_place for ring in source.rings for channel in ring):
        rings = tuple(tuple(new_place[channel] for channel in ring) for ring in source.rings)
        offset = offset or source.offset
    try:
        return EmgDescription(
            source=kind,
            device=_on_one_line(source.device),
            sampling_rate=settings.sampling_rate or source.sampling_rate,
            channels=tuple(_on_one_line(source.channels[channel]) for channel in columns),
            rings=rings,
            offset=offset,
            arm=settings.arm or source.arm,
        )
    except ValidationError as error:
        raise ConfigurationError(first_problem(error)) from error
