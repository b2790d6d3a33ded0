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

"""User options that complete or override the metadata of a foreign recording."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import isfinite, pi
from pathlib import Path
import re

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.emg.kind import EmgKind
from leconvmn_ros.recordings.ninapro_layouts import Database

VOLTS = {'V': 1.0, 'mV': 1e-3, 'uV': 1e-6, 'nV': 1e-9}
RADIANS = {'rad': 1.0, 'deg': pi / 180}
SECONDS = {'s': 1.0, 'ms': 1e-3, 'us': 1e-6, 'ns': 1e-9}
# No EMG is sampled faster (Hz).
MOST_RATE = 100_000.0


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Options of the user; without an option, the recording decides.

    Attributes:
        rate: samples of EMG per second (Hz).
        volts: volts per unit of the EMG.
        emg: columns, channels or signals of the EMG: names, patterns, numbers or ranges.
        angles: column of each joint.
        radians: radians per unit of the angles.
        time: column of the times.
        seconds: seconds per unit of the times.
        movement: column of the movement.
        repetition: column of the repetition.
        kind: whether the EMG is raw, or already rectified and smoothed.
        stream: name of the EMG stream, if there are several.
        mapping: YAML file that names topics and fields of a bag.
        database: the Ninapro database.
        angles_file: file with calibrated angles (Ninapro DB9).
        chunk: duration of the EMG in one message (s).
    """

    rate: float | None = None
    volts: float | None = None
    emg: tuple[str, ...] = ()
    angles: Mapping[str, str] = field(default_factory=dict)
    radians: float | None = None
    time: str | None = None
    seconds: float | None = None
    movement: str | None = None
    repetition: str | None = None
    kind: EmgKind | None = None
    stream: str | None = None
    mapping: Path | None = None
    database: Database | None = None
    angles_file: Path | None = None
    chunk: float = 0.02


def parse_volts(text: str) -> float:
    """Return the volts per unit, given as V, mV, uV, nV or a number.

    Raises:
        ConfigurationError: it is neither.
    """
    # Unicode has two signs for micro: one in the Greek block, one in Latin-1.
    known = VOLTS.get(text.strip().replace('\N{MICRO SIGN}', 'u').replace('\u03bc', 'u'))
    if known is not None:
        return known
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (isfinite(number) and number > 0):
        raise ConfigurationError(
            f'unit {text!r}: allowed are {", ".join(VOLTS)}, or the volts per unit, such as 1e-5'
        )
    return number


def parse_columns(text: str) -> tuple[str, ...]:
    """Split a list of columns at commas."""
    return tuple(part.strip() for part in text.split(',') if part.strip())


def parse_angles(text: str) -> dict[str, str]:
    """Parse JOINT=COLUMN,JOINT=COLUMN,...

    Raises:
        ConfigurationError: a part is not such a pair, or a joint is unknown.
    """
    pairs = [part.partition('=') for part in parse_columns(text)]
    for joint, sign, column in pairs:
        if joint.strip() not in JOINT_NAMES or not sign or not column.strip():
            raise ConfigurationError(
                f'{joint}{sign}{column} is not JOINT=COLUMN; joints are {", ".join(JOINT_NAMES)}'
            )
    return {joint.strip(): column.strip() for joint, _, column in pairs}


def chosen_columns(wanted: Iterable[str], names: Sequence[str], *, first: int = 1) -> list[int]:
    """Find columns by name, pattern or number.

    Args:
        wanted: names, patterns (emg_*), numbers, or ranges of numbers (2-9).
        names: names of all columns.
        first: number of the first column.

    Returns:
        Indices counted from 0, each once, in the requested order.

    Raises:
        ConfigurationError: a column does not exist.
    """
    found: list[int] = []
    for word in wanted:
        places = _places(word, names, first)
        if not places:
            raise ConfigurationError(
                f'there is no column {word}; there are {_some(names)}, with the numbers '
                f'{first} to {first + len(names) - 1}'
            )
        found += [place for place in places if place not in found]
    return found


def _places(word: str, names: Sequence[str], first: int) -> list[int]:
    if word in names:
        return [place for place, name in enumerate(names) if name == word]
    if numbers := re.fullmatch(r'(\d{1,6})(?:-(\d{1,6}))?', word):
        low = int(numbers[1]) - first
        high = int(numbers[2]) - first if numbers[2] else low
        return list(range(low, high + 1)) if 0 <= low <= high < len(names) else []
    return [place for place, name in enumerate(names) if fnmatchcase(name, word)]


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:20]) + (f' and {len(names) - 20} more' if len(names) > 20 else '')


def joint_columns(
    options: ImportOptions, names: Sequence[str], *, first: int = 1
) -> dict[str, int]:
    """Find the columns of the joints, as given by the user or by the names of the joints.

    Returns:
        Index of each joint's column, counted from 0.

    Raises:
        ConfigurationError: a column does not exist.
    """
    if options.angles:
        return {
            joint: chosen_columns([column], names, first=first)[0]
            for joint, column in options.angles.items()
        }
    lower = [name.lower() for name in names]
    return {joint: lower.index(joint) for joint in JOINT_NAMES if joint in lower}
