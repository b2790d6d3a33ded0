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

"""Reads BIDS folders with EMG: EDF or BDF files with tables of channels and events."""

from collections.abc import Iterator
import csv
from dataclasses import replace
import io
from pathlib import Path

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.files import read_input
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.importers.edf import read_edf
from leconvmn_ros.importers.options import ImportOptions
from leconvmn_ros.importers.signals import events_to_labels, LabelSignal, make_labels

_LARGEST_TABLE = 2**24  # bytes
_MOST_FILES = 10_000
_SUFFIXES = ('.edf', '.bdf')


def is_bids(folder: Path) -> bool:
    """Whether a folder is a BIDS dataset with EMG, or a part of one."""
    return any(True for _ in _files(folder))


def read_bids(folder: Path, options: ImportOptions) -> Iterator[Recording]:
    """Read each EMG file of a BIDS dataset, of a subject's folder or of a session's folder.

    EMG is in the channels of type EMG in channels.tsv; events.tsv gives the movements.

    Raises:
        RecordingError: there is no such file, or one is damaged.
        ConfigurationError: edfio is not installed; unit or signals must be given.
    """
    files = sorted(_files(folder))
    if not files:
        raise RecordingError(f'{folder} holds no file *_emg.edf or *_emg.bdf')
    for file in files:
        stem = file.stem.removesuffix('_emg')
        said = options
        channels = _table(file.with_name(f'{stem}_channels.tsv'))
        emg = tuple(row['name'] for row in channels if row.get('type', '').upper() == 'EMG')
        if emg and not options.emg:
            said = replace(options, emg=emg)
        labels = _events(_table(file.with_name(f'{stem}_events.tsv')))
        for recording in read_edf(file, said, name=f'bids_{stem}'):
            yield recording if labels is None else replace(recording, labels=make_labels(labels))


def _files(folder: Path) -> Iterator[Path]:
    for seen, path in enumerate(folder.rglob('*_emg.*')):
        if seen >= _MOST_FILES:
            raise RecordingError(f'{folder} holds more than {_MOST_FILES} EMG files')
        if path.suffix.lower() in _SUFFIXES:
            yield path


def _table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a BIDS table, none if the file is missing."""
    try:
        text = read_input(path, _LARGEST_TABLE).decode('utf-8-sig', 'replace')
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordingError(f'cannot read {path}: {error.strerror or error}') from error
    rows = csv.DictReader(io.StringIO(text), delimiter='\t')
    return [{str(key): str(value) for key, value in row.items()} for row in rows]


def _events(rows: list[dict[str, str]]) -> LabelSignal | None:
    found: list[tuple[float, float | None, str]] = []
    for row in rows:
        text = row.get('trial_type') or row.get('value') or ''
        try:
            start = float(row['onset'])
            duration = float(row.get('duration', 'nan'))
        except (KeyError, ValueError):
            continue
        found.append((start, start + duration if duration > 0 else None, text))
    return events_to_labels(*map(list, zip(*found, strict=True))) if found else None
