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

"""Ninapro recordings (.mat files of DB1, DB2 and DB5) as sampled subjects."""

from math import radians
from pathlib import Path
from typing import Any

from leconvmn_ros.errors import ConfigurationError, RecordingError
from leconvmn_ros.files import hash_file
from leconvmn_ros.joints import JOINT_NAMES
from leconvmn_ros.recording import SampledSubject
from leconvmn_ros.recordings.mat_file import MatFile
from leconvmn_ros.recordings.ninapro_layouts import Database, GLOVE_COLUMNS, LAYOUTS
from leconvmn_ros.recordings.subject_check import first_non_finite, LARGEST_LABEL
import numpy as np
from numpy.typing import NDArray

_GLOVE_SENSORS = 22
# The longest exercise of DB2, 23 movements x 6 repetitions x 8 s at 2 kHz, has 2.2 million.
_MOST_SAMPLES = 20_000_000


def read_ninapro(path: str | Path, *, database: Database | None = None) -> SampledSubject:
    """Read a Ninapro recording.

    Labels are those that Ninapro moved to the real onset of the movement (`restimulus`,
    `rerepetition`); only a file without them is read by `stimulus` and `repetition`. Ninapro's
    repetition during rest is 0 or that of the movement to come; here it is that of the movement
    before.

    Args:
        path: .mat file of DB1, DB2 or DB5.
        database: which of them; found out by the number of EMG channels if None.

    Returns:
        The subject. DB1 and DB2 come with an uncalibrated glove, DB5 with uncalibrated EMG: its
        `information` says how they are taken.

    Raises:
        ConfigurationError: `database` is none of the three.
        RecordingError: the file is missing, damaged, of another format or another database, or
            holds NaN.
    """
    if database is not None and database not in LAYOUTS:
        raise ConfigurationError(f'database is {database!r}; allowed are {", ".join(LAYOUTS)}')
    file = MatFile(path)
    names = _label_names(file)
    _check_shapes(file, names)
    database = _find_database(file, database)
    layout = LAYOUTS[database]
    emg = _load_emg(file, database)
    degrees = _load_finite(file, 'glove')[:, GLOVE_COLUMNS]
    movement, repetition = (_load_labels(file, name) for name in names)
    return SampledSubject(
        name=f'{database}_{file.path.stem}',
        sampling_rate=layout.sampling_rate,
        emg=_in_volts(file, emg, layout.volts_per_source_unit),
        positions=np.radians(degrees.astype(np.float64)),
        movement=movement,
        repetition=_kept_during_rest(movement, repetition),
        information=_information(file, database, names),
    )


def _label_names(file: MatFile) -> tuple[str, str]:
    relabelled = ('restimulus', 'rerepetition')
    if all(name in file.variables for name in relabelled):
        return relabelled
    return 'stimulus', 'repetition'


def _check_shapes(file: MatFile, label_names: tuple[str, str]) -> None:
    missing = [name for name in ('emg', 'glove', *label_names) if name not in file.variables]
    if missing:
        there = ', '.join(sorted(file.variables)) or 'none'
        raise RecordingError(
            f'{file.path} is no Ninapro recording with a data glove: it has no variable'
            f' {", ".join(missing)} (variables that are there: {there})'
        )
    for name in ('emg', 'glove'):
        if len(file.variables[name].shape) != 2:
            raise RecordingError(
                f'{file.path}: {name} has shape {file.variables[name].shape}, not 2 dimensions'
            )
    samples, _ = file.variables['emg'].shape
    if not 0 < samples <= _MOST_SAMPLES:
        raise RecordingError(
            f'{file.path}: emg has {samples} samples; 1 to {_MOST_SAMPLES} are allowed'
        )
    _, sensors = file.variables['glove'].shape
    if sensors != _GLOVE_SENSORS:
        raise RecordingError(
            f'{file.path}: glove has {sensors} columns; the CyberGlove II has {_GLOVE_SENSORS}'
        )
    for name in ('glove', *label_names):
        shape = file.variables[name].shape
        length = shape[0] if name == 'glove' else _vector_length(shape)
        if length is None:
            raise RecordingError(f'{file.path}: {name} has shape {shape}; a vector is needed')
        if length != samples:
            raise RecordingError(f'{file.path}: {name} has {length} samples, emg has {samples}')


def _vector_length(shape: tuple[int, ...]) -> int | None:
    return max(shape) if len(shape) == 2 and min(shape) == 1 else None


def _find_database(file: MatFile, database: Database | None) -> Database:
    channels = file.variables['emg'].shape[1]
    if database is None:
        for name, layout in LAYOUTS.items():
            if layout.channels == channels:
                database = name
    if database is None:
        known = ', '.join(f'{layout.channels} ({name})' for name, layout in LAYOUTS.items())
        raise RecordingError(f'{file.path}: emg has {channels} channels; known are {known}')
    layout = LAYOUTS[database]
    if channels != layout.channels:
        raise RecordingError(
            f'{file.path}: emg has {channels} channels; {database} has {layout.channels}'
        )
    rate = _load_number(file, 'frequency')
    if rate is not None and rate != layout.sampling_rate:
        raise RecordingError(
            f'{file.path}: frequency is {rate:g} Hz; {database} has {channels} channels'
            f' at {layout.sampling_rate:g} Hz'
        )
    return database


def _load_emg(file: MatFile, database: Database) -> NDArray[Any]:
    emg = _load_finite(file, 'emg')
    if database == 'DB5' and (emg.min() < -128 or emg.max() > 127 or np.any(emg != np.rint(emg))):
        raise RecordingError(
            f'{file.path}: emg goes from {emg.min():g} to {emg.max():g};'
            ' DB5 has whole counts from -128 to 127'
        )
    return emg


def _in_volts(
    file: MatFile, emg: NDArray[Any], volts_per_source_unit: float
) -> NDArray[np.float32]:
    with np.errstate(over='ignore'):
        volts = (emg * volts_per_source_unit).astype(np.float32)
    if place := first_non_finite(volts):
        raise RecordingError(
            f'{file.path}: emg is {emg[place]:g} in channel {place[1]} (counted from 0), first at'
            f' sample {place[0]}; as 32-bit numbers at most 3.4e38 V are possible'
        )
    return volts


def _load_finite(file: MatFile, name: str) -> NDArray[Any]:
    values = file.load(name)
    # Other sensors of the glove may be broken, they are not used.
    columns = np.asarray(GLOVE_COLUMNS) if name == 'glove' else np.arange(values.shape[1])
    if place := first_non_finite(values[:, columns]):
        sample, column = place
        raise RecordingError(
            f'{file.path}: {name} is not finite in channel {columns[column]} (counted from 0),'
            f' first at sample {sample}'
        )
    return values


def _load_labels(file: MatFile, name: str) -> NDArray[np.int64]:
    values = file.load(name).reshape(-1)
    # NaN fails the comparisons as well.
    wrong = ~((values >= 0) & (values <= LARGEST_LABEL) & (values == np.rint(values)))
    if wrong.any():
        sample = int(np.argmax(wrong))
        raise RecordingError(
            f'{file.path}: {name} is {values[sample]} at sample {sample};'
            f' whole numbers from 0 to {LARGEST_LABEL} are allowed'
        )
    return values.astype(np.int64)


def _load_number(file: MatFile, name: str) -> float | None:
    """Return a single number, None if the file has none under that name."""
    variable = file.variables.get(name)
    if variable is None or variable.shape != (1, 1) or variable.kind == 'char':
        return None
    return float(file.load(name)[0, 0])


def _kept_during_rest(
    movement: NDArray[np.int64], repetition: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the repetition of the latest sample with a movement, 0 before the first."""
    latest = np.maximum.accumulate(np.where(movement > 0, np.arange(len(movement)), -1))
    return np.where(latest < 0, 0, repetition[latest])


def _information(
    file: MatFile, database: Database, label_names: tuple[str, str]
) -> dict[str, str]:
    layout = LAYOUTS[database]
    subject, exercise = (_load_number(file, name) for name in ('subject', 'exercise'))
    return {
        'database': f'Ninapro {database}',
        'citation': layout.citation,
        'subject': 'unknown' if subject is None else f'{subject:g}',
        'exercise': 'unknown' if exercise is None else f'{exercise:g}',
        # A file's name need not be text; the bag's metadata must.
        'source_file': file.path.name.encode('utf-8', 'replace').decode('utf-8'),
        'source_sha256': hash_file(file.path),
        'emg_kind': layout.emg_kind,
        'emg_unit': layout.emg_unit,
        'emg_source_unit': layout.emg_source_unit,
        'emg_volts_per_source_unit': f'{layout.volts_per_source_unit:g}',
        'joint_names': ' '.join(JOINT_NAMES),
        'joint_unit': layout.joint_unit,
        'joint_source_unit': 'degree' if layout.joint_unit == 'rad' else 'glove unit',
        'joint_radians_per_source_unit': f'{radians(1):.17g}',
        'label_source': ' '.join(label_names),
    }
