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

"""Reads tables of text (CSV and the like): one row per sample, columns named by the user."""

from collections.abc import Iterator, Sequence
import csv
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
import re
from typing import NamedTuple

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.files import open_input
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.importers.options import (
    chosen_columns,
    ImportOptions,
    joint_columns,
    parse_volts,
    SECONDS,
    VOLTS,
)
from leconvmn_ros.importers.signals import (
    AngleSignal,
    describe,
    EmgSignal,
    make_recording,
    rate_of,
    samples_to_labels,
)
import numpy as np
from numpy.typing import NDArray

DELIMITERS = ('\t', ';', ',', ' ')
MOST_COLUMNS = 4096
_LONGEST_LINE = 2**20  # characters
_BLOCK = 20_000  # rows
_MOST_VALUES = 2**28
_COMMENTS = ('#', '%')
_EMG_NAMES = re.compile(r'(s?emg|ch|chan|channel|electrode)[ _.\-]*\d*\b.*', re.IGNORECASE)
_TIME_NAMES = re.compile(
    r'(time|timestamps?|stamp|t|seconds)(?:[ _.\-]*[\[(]?(s|ms|us|ns)[\])]?)?', re.IGNORECASE
)
_UNIT = re.compile(r'[\[( _](nV|uV|\u00b5V|\u03bcV|mV|V)[\])]?$')


class Table(NamedTuple):
    """Columns of a table.

    Attributes:
        names: names of all columns, or their numbers if the table has no header.
        has_header: whether it has a header.
        columns: values of the requested columns, by index, NaN where a value is missing.
        texts: texts of the columns requested as text, by index.
    """

    names: list[str]
    has_header: bool
    columns: dict[int, NDArray[np.float64]]
    texts: dict[int, list[str]]


class Layout(NamedTuple):
    """The meaning of the columns of a table, by indices counted from 0.

    Attributes:
        emg: columns of the EMG.
        volts: volts per unit of the EMG.
        time: column of the times, None if there is none.
        seconds: seconds per unit of the times.
        joints: column of each joint.
        labels: columns of movement and repetition that exist.
    """

    emg: Sequence[int]
    volts: float
    time: int | None
    seconds: float
    joints: dict[str, int]
    labels: Sequence[int]


def read_csv(path: Path, options: ImportOptions) -> Iterator[Recording]:
    """Read a table with a row per sample.

    Columns are separated by commas, semicolons, tabs or spaces; lines that begin with # or % are
    comments. By default, EMG is in the columns called emg..., ch... or channel..., time in the
    column called time, and the angle of a joint in the column with its name.

    Raises:
        RecordingError: it is not a table, or holds values that are not numbers.
        ConfigurationError: rate or unit are missing, or a column does not exist.
    """
    names, _ = read_header(path)
    emg = chosen_columns(options.emg, names) if options.emg else _called(_EMG_NAMES, names)
    if not emg:
        raise ConfigurationError(
            f'{path}: no column is called emg or channel: give --emg-columns; '
            f'there are {", ".join(names[:20])}'
        )
    volts = options.volts or _unit_in(names[emg[0]])
    if volts is None:
        raise ConfigurationError(
            f'{path} does not state the unit of the EMG: give --unit {", ".join(VOLTS)}, or the '
            'volts per unit'
        )
    time, seconds = _time_column(names, options)
    labels = [
        chosen_columns([column], names)[0]
        for column in (options.movement, options.repetition)
        if column
    ]
    joints = joint_columns(options, names)
    yield table_recording(path, options, Layout(emg, volts, time, seconds, joints, labels), 'CSV')


def table_recording(path: Path, options: ImportOptions, layout: Layout, kind: str) -> Recording:
    """Make a recording from the columns of a table.

    Raises:
        RecordingError, ConfigurationError: as `read_csv`.
    """
    emg, volts, time, seconds, joints, labels = layout
    numbers = [*emg, *joints.values(), *([] if time is None else [time])]
    table = read_table(path, numbers, labels)
    times = None if time is None else table.columns[time] * seconds
    values = np.stack([table.columns[place] for place in emg], axis=1) * volts
    if times is not None:
        rate = rate_of(times, options.rate, str(path))
    elif options.rate is not None:
        rate = options.rate
    else:
        raise ConfigurationError(
            f'{path} has no column of time: give the samples per second with --rate, or a column '
            'with --time-column'
        )
    clock = np.arange(len(values)) / rate if times is None else times
    angles = None
    if joints:
        radians = options.radians or 1.0
        found = np.stack([table.columns[place] for place in joints.values()], axis=1)
        angles = AngleSignal(clock, tuple(joints), found * radians)
    movements = None
    if options.movement:
        texts = [table.texts[place] for place in labels]
        movements = samples_to_labels(clock, texts[0], texts[1] if len(texts) > 1 else None)
    return make_recording(
        f'{kind.lower()}_{path.stem}',
        EmgSignal(values.astype(np.float32), rate, times),
        angles,
        movements,
        describe(
            options,
            kind,
            source=path.name,
            unit=f'{volts:g} V',
            kind='raw' if kind == 'BrainFlow' else None,
        ),
        chunk=options.chunk,
    )


def read_header(path: Path) -> tuple[list[str], bool]:
    """Return the names of the columns (or their numbers), and whether the table has names.

    Raises:
        RecordingError: it cannot be read, or is not a table.
    """
    with _lines(path) as lines:
        try:
            first = next(iter(lines))
        except StopIteration:
            raise RecordingError(f'{path} holds no table: it is empty') from None
    fields = _split(first, _delimiter(first))
    if len(fields) > MOST_COLUMNS:
        raise RecordingError(
            f'{path} has {len(fields)} columns; at most {MOST_COLUMNS} are allowed'
        )
    has_header = not all(_is_number(text) for text in fields)
    names = [text.strip() or str(place) for place, text in enumerate(fields, 1)]
    return names if has_header else [str(n) for n in range(1, len(fields) + 1)], has_header


def read_table(path: Path, numbers: Sequence[int], texts: Sequence[int] = ()) -> Table:
    """Read columns of a table.

    Args:
        path: the file.
        numbers: indices of the columns of numbers, counted from 0.
        texts: indices of the columns of text.

    Raises:
        RecordingError: it cannot be read, a row is too short, or a value is not a number.
    """
    names, has_header = read_header(path)
    blocks: list[NDArray[np.float64]] = []
    words: list[list[str]] = []
    row = 1 + has_header
    wanted = list(dict.fromkeys(numbers))
    with _lines(path) as lines:
        rows = iter(lines)
        first = next(rows)
        delimiter = _delimiter(first)
        rest = rows if has_header else chain([first], rows)
        while block := list(islice(rest, _BLOCK)):
            if (len(blocks) + 1) * _BLOCK * len(wanted) > _MOST_VALUES:
                raise RecordingError(f'{path} holds more than {_MOST_VALUES} values')
            blocks.append(_numbers(path, block, delimiter, wanted, row))
            if texts:
                words += [
                    _fields(path, line, delimiter, texts, n) for n, line in enumerate(block, row)
                ]
            row += len(block)
    if not blocks:
        raise RecordingError(f'{path} holds no row below its header')
    values = np.concatenate(blocks)
    return Table(
        names,
        has_header,
        {place: values[:, n] for n, place in enumerate(wanted)},
        {place: [line[n] for line in words] for n, place in enumerate(texts)},
    )


class _lines:  # noqa: N801 - a function that is a context
    """The lines of a file, without empty lines and comments."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = TextIOWrapper(open_input(path), encoding='utf-8-sig')
        except OSError as error:
            raise RecordingError(f'cannot read {path}: {error.strerror or error}') from error

    def __enter__(self) -> Iterator[str]:
        return self._read()

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _read(self) -> Iterator[str]:
        try:
            while line := self._file.readline(_LONGEST_LINE):
                text = line.rstrip('\r\n')
                if len(line) == _LONGEST_LINE:
                    raise RecordingError(
                        f'{self._path} is not a table: a line has over {_LONGEST_LINE} characters'
                    )
                if text.strip() and not text.startswith(_COMMENTS):
                    yield text
        except UnicodeDecodeError as error:
            raise RecordingError(f'{self._path} is not text: {error}') from error


def _delimiter(line: str) -> str:
    return next((sign for sign in DELIMITERS if sign in line.strip()), ',')


def _split(line: str, delimiter: str) -> list[str]:
    if delimiter == ' ':
        return line.split()
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])


def _is_number(text: str) -> bool:
    try:
        float(text.replace(',', '.') or 'nan')
    except ValueError:
        return False
    return True


def _numbers(
    path: Path, lines: Sequence[str], delimiter: str, places: Sequence[int], row: int
) -> NDArray[np.float64]:
    """Return the numbers of some rows, shape (rows, columns)."""
    if delimiter == ';':
        lines = [line.replace(',', '.') for line in lines]  # a decimal comma
    try:
        # The fast way, which does not handle missing values.
        return np.loadtxt(
            lines,
            delimiter=None if delimiter == ' ' else delimiter,
            usecols=places,
            comments=None,
            quotechar='"',
            ndmin=2,
        )
    except ValueError:
        pass
    values = []
    for number, line in enumerate(lines, row):
        fields = _fields(path, line, delimiter, places, number)
        try:
            values.append([float(text) if text.strip() else np.nan for text in fields])
        except ValueError as error:
            raise RecordingError(f'{path}, row {number}: {error}') from error
    return np.array(values, np.float64).reshape(-1, len(places))


def _fields(path: Path, line: str, delimiter: str, places: Sequence[int], row: int) -> list[str]:
    fields = _split(line, delimiter)
    if len(fields) <= max(places):
        raise RecordingError(
            f'{path}, row {row} has {len(fields)} columns; column {max(places) + 1} is needed'
        )
    return [fields[place] for place in places]


def _called(pattern: re.Pattern[str], names: Sequence[str]) -> list[int]:
    return [place for place, name in enumerate(names) if pattern.fullmatch(name)]


def _unit_in(name: str) -> float | None:
    unit = _UNIT.search(name)
    return parse_volts(unit[1]) if unit else None


def _time_column(names: Sequence[str], options: ImportOptions) -> tuple[int | None, float]:
    """Return the column of the times, if there is one, and the seconds per unit."""
    if options.time:
        place = chosen_columns([options.time], names)[0]
    else:
        found = _called(_TIME_NAMES, names)
        if not found:
            return None, 1.0
        place = found[0]
    by_name = _TIME_NAMES.fullmatch(names[place])
    unit = SECONDS.get((by_name[2] or 's').lower(), 1.0) if by_name else 1.0
    return place, options.seconds or unit
