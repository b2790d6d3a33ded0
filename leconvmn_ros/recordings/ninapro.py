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

"""Reads Ninapro recordings with a data glove (.mat files of DB1 to DB3, DB5, DB7, DB8)."""

from math import radians
from pathlib import Path
import re
from typing import Any

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.files import hash_file
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import SampledSubject
from leconvmn_ros.emg.description import EmgDescription, INFORMATION_KEY
from leconvmn_ros.recordings.mat_file import MatFile, open_mat
from leconvmn_ros.recordings.ninapro_layouts import Database, ELECTRODES, GLOVE_COLUMNS, LAYOUTS
from leconvmn_ros.recordings.subject_check import first_non_finite, LARGEST_LABEL
import numpy as np
from numpy.typing import NDArray

# The longest exercise of DB2, 23 movements x 6 repetitions x 8 s at 2 kHz, has 2.2 million.
_MOST_SAMPLES = 20_000_000
# Movements of all databases take 3 to 9 s (s).
_LONGEST_MOVEMENT = 30.0
_MOST_RATE = 100_000.0
# Spellings of variable names in files, lower case and without '_', by the usual name.
_SPELLINGS = {
    'emg': ('emg', 'semg', 'emgdata', 'emgsignal'),
    'glove': ('glove', 'cyberglove', 'glovedata'),
    'angles': ('angles',),
    'stimulus': ('stimulus',),
    'repetition': ('repetition',),
    'restimulus': ('restimulus',),
    'rerepetition': ('rerepetition',),
    'frequency': ('frequency', 'fs', 'samplingrate', 'samplerate'),
    'subject': ('subject',),
    'exercise': ('exercise',),
}


def read_ninapro(
    path: str | Path,
    *,
    database: Database | None = None,
    rate: float | None = None,
    angles: str | Path | None = None,
) -> SampledSubject:
    """Read a Ninapro recording.

    Labels are those that Ninapro aligned with the real onset of the movement (`restimulus`,
    `rerepetition`); `stimulus` and `repetition` are used only where a file lacks them. Ninapro's
    repetition during rest is 0 or that of the next movement; here it is that of the movement
    before.

    Args:
        path: .mat file of any MATLAB version.
        database: the database; if None, it is inferred from channels, glove and file name.
        rate: samples per second (Hz), instead of the database's.
        angles: file of DB9 with the calibrated angles of the same recording.

    Returns:
        The subject. Most gloves, and the EMG of DB5, are uncalibrated: `information` tells which
        units were assumed.

    Raises:
        ConfigurationError: `database` or `rate` is not allowed.
        RecordingError: the file is missing, damaged, of another format or another database, or
            holds NaN; or its movements would be far too long at this rate.
    """
    if database is not None and database not in LAYOUTS:
        raise ConfigurationError(f'database is {database!r}; allowed are {", ".join(LAYOUTS)}')
    if rate is not None and not 0 < rate <= _MOST_RATE:
        raise ConfigurationError(f'rate is {rate}; above 0 to {_MOST_RATE:g} Hz are allowed')
    file = _Spelled(open_mat(path))
    labels = _label_names(file)
    samples = _check_shapes(file, labels)
    database = _find_database(file, database, rate)
    layout = LAYOUTS[database]
    rate = rate or layout.sampling_rate
    movement, repetition = (_load_labels(file, name) for name in labels)
    _check_movements(file, movement, rate)
    calibrated = _Spelled(open_mat(angles)) if angles is not None else file
    source = 'angles' if angles is not None or 'angles' in file.shapes else 'glove'
    degrees = _load_joints(calibrated, source, samples)
    emg = _load_emg(file, database)
    return SampledSubject(
        name=f'{database}_{file.path.stem}',
        sampling_rate=rate,
        emg=_in_volts(file, emg, layout.volts_per_source_unit),
        positions=np.radians(degrees.astype(np.float64)),
        movement=movement,
        repetition=_kept_during_rest(movement, repetition),
        information=_information(file, database, labels, calibrated=source == 'angles')
        | _electrodes(database, emg.shape[1], rate),
    )


class _Spelled:
    """A MATLAB file with the usual variable names, whatever its spelling.

    Attributes:
        path: the file.
        shapes: shape of each variable that exists, by its usual name.
        names: the names in the file.
    """

    def __init__(self, file: MatFile) -> None:
        self.path = file.path
        self.names = sorted(file.variables)
        written = {name.lower().replace('_', ''): name for name in file.variables}
        self._file = file
        self._spelling = {
            name: next(written[text] for text in spellings if text in written)
            for name, spellings in _SPELLINGS.items()
            if any(text in written for text in spellings)
        }
        self.shapes = {name: file.variables[text].shape for name, text in self._spelling.items()}

    def load(self, name: str) -> NDArray[Any]:
        """Read a numeric array; see `MatFile.load`."""
        return self._file.load(self._spelling[name])

    def number(self, name: str) -> float | None:
        """Return a single number, None if the file has no such variable."""
        if self.shapes.get(name) != (1, 1):
            return None
        if self._file.variables[self._spelling[name]].kind == 'char':
            return None
        return float(self.load(name)[0, 0])


def _label_names(file: _Spelled) -> tuple[str, str]:
    relabelled = ('restimulus', 'rerepetition')
    if all(name in file.shapes for name in relabelled):
        return relabelled
    return 'stimulus', 'repetition'


def _check_shapes(file: _Spelled, label_names: tuple[str, str]) -> int:
    """Return the number of samples."""
    if 'angles' in file.shapes and 'emg' not in file.shapes:
        raise RecordingError(
            f'{file.path} has calibrated angles and no EMG (DB9): convert the recording of DB1, '
            'DB2 or DB5 that it belongs to, with --angles-file and this file'
        )
    needed = ('emg', *(() if 'angles' in file.shapes else ('glove',)), *label_names)
    if missing := [name for name in needed if name not in file.shapes]:
        raise RecordingError(
            f'{file.path} is no Ninapro recording with a data glove: it has no variable'
            f' {", ".join(missing)} (variables that are there: {", ".join(file.names) or "none"})'
        )
    if len(file.shapes['emg']) != 2:
        raise RecordingError(f'{file.path}: emg has shape {file.shapes["emg"]}, not 2 dimensions')
    samples, _ = file.shapes['emg']
    if not 0 < samples <= _MOST_SAMPLES:
        raise RecordingError(
            f'{file.path}: emg has {samples} samples; 1 to {_MOST_SAMPLES} are allowed'
        )
    for name in label_names:
        shape = file.shapes[name]
        length = max(shape) if len(shape) == 2 and min(shape) == 1 else None
        if length is None:
            raise RecordingError(f'{file.path}: {name} has shape {shape}; a vector is needed')
        if length != samples:
            raise RecordingError(f'{file.path}: {name} has {length} samples, emg has {samples}')
    return samples


def _find_database(file: _Spelled, database: Database | None, rate: float | None) -> Database:
    channels = file.shapes['emg'][1]
    sensors = file.shapes.get('glove', (0, 22))[-1]
    fitting = [
        name
        for name, layout in LAYOUTS.items()
        if channels in layout.channels and sensors in (layout.sensors, 0)
    ]
    if database is None:
        database = _most_likely(file, fitting)
    layout = LAYOUTS[database]
    if channels not in layout.channels:
        raise RecordingError(
            f'{file.path}: emg has {channels} channels; {database} has '
            f'{" or ".join(map(str, layout.channels))}'
        )
    told = file.number('frequency')
    if rate is None and told is not None and told != layout.sampling_rate:
        raise RecordingError(
            f'{file.path}: frequency is {told:g} Hz; {database} has {channels} channels'
            f' at {layout.sampling_rate:g} Hz (--rate and --database say what it is)'
        )
    return database


def _most_likely(file: _Spelled, fitting: list[Database]) -> Database:
    """Choose among the databases that fit the numbers of channels and glove sensors.

    Raises:
        RecordingError: none fits, or the choice is ambiguous.
    """
    if not fitting:
        known = '; '.join(
            f'{name}: {" or ".join(map(str, layout.channels))} with a glove of {layout.sensors}'
            for name, layout in LAYOUTS.items()
        )
        raise RecordingError(
            f'{file.path}: emg has {file.shapes["emg"][1]} channels and the glove '
            f'{file.shapes.get("glove", (0, 0))[-1]} sensors; known are {known}'
        )
    if 'DB1' not in fitting:  # DB2 and DB3 differ only in their subjects
        return fitting[0]
    # Ten channels: DB1 has file names such as S1_A1_E1, all others S1_E1_A1.
    told = file.number('frequency')
    by_name = re.search(r'(A\d+_E\d+)|(E\d+_A\d+)', file.path.stem, re.IGNORECASE)
    if told is not None:
        return 'DB1' if told == LAYOUTS['DB1'].sampling_rate else 'DB3'
    if by_name is None:
        raise RecordingError(
            f'{file.path}: ten channels are DB1 at 100 Hz or DB3 at 2000 Hz, and neither a '
            'variable frequency nor the name of the file says which: use --database'
        )
    return 'DB1' if by_name[1] else 'DB3'


def _check_movements(file: _Spelled, movement: NDArray[np.int64], rate: float) -> None:
    """Refuse movements that are far too long, which means that the rate is wrong."""
    edges = np.flatnonzero(np.diff(movement, prepend=0, append=0))
    lengths = np.diff(edges)[movement[edges[:-1]] > 0] / rate
    if len(lengths) == 0:
        return
    usual = float(np.median(lengths))
    if usual > _LONGEST_MOVEMENT:
        raise RecordingError(
            f'{file.path}: at {rate:g} Hz a movement takes {usual:.3g} s, and at most '
            f'{_LONGEST_MOVEMENT:g} s are plausible: set another rate (--rate) or database '
            '(--database)'
        )


def _load_joints(file: _Spelled, name: str, samples: int) -> NDArray[Any]:
    """Return the angles of the ten joints (degrees), shape (samples, 10)."""
    shape = file.shapes.get(name)
    if shape is None:
        raise RecordingError(f'{file.path} has no variable {name}')
    columns = GLOVE_COLUMNS.get(shape[1]) if len(shape) == 2 else None
    if columns is None:
        raise RecordingError(
            f'{file.path}: {name} has shape {shape}; columns of the '
            f'CyberGlove II are {" or ".join(map(str, GLOVE_COLUMNS))}'
        )
    if shape[0] != samples:
        raise RecordingError(f'{file.path}: {name} has {shape[0]} samples, emg has {samples}')
    # Other sensors of the glove are not used and may be broken.
    return _finite(file, name, file.load(name)[:, columns], columns)


def _load_emg(file: _Spelled, database: Database) -> NDArray[Any]:
    emg = file.load('emg')
    _finite(file, 'emg', emg, tuple(range(emg.shape[1])))
    if database == 'DB5' and (emg.min() < -128 or emg.max() > 127 or np.any(emg != np.rint(emg))):
        raise RecordingError(
            f'{file.path}: emg goes from {emg.min():g} to {emg.max():g};'
            ' DB5 has whole counts from -128 to 127'
        )
    return emg


def _in_volts(
    file: _Spelled, emg: NDArray[Any], volts_per_source_unit: float
) -> NDArray[np.float32]:
    with np.errstate(over='ignore'):
        volts = (emg * volts_per_source_unit).astype(np.float32)
    if place := first_non_finite(volts):
        raise RecordingError(
            f'{file.path}: emg is {emg[place]:g} in channel {place[1]} (counted from 0), first at'
            f' sample {place[0]}; as 32-bit numbers at most 3.4e38 V are possible'
        )
    return volts


def _finite(
    file: _Spelled, name: str, values: NDArray[Any], columns: tuple[int, ...]
) -> NDArray[Any]:
    if place := first_non_finite(values):
        sample, column = place
        raise RecordingError(
            f'{file.path}: {name} is not finite in channel {columns[column]} (counted from 0),'
            f' first at sample {sample}'
        )
    return values


def _load_labels(file: _Spelled, name: str) -> NDArray[np.int64]:
    values = file.load(name).reshape(-1)
    # NaN fails these comparisons, too.
    wrong = ~((values >= 0) & (values <= LARGEST_LABEL) & (values == np.rint(values)))
    if wrong.any():
        sample = int(np.argmax(wrong))
        raise RecordingError(
            f'{file.path}: {name} is {values[sample]} at sample {sample};'
            f' whole numbers from 0 to {LARGEST_LABEL} are allowed'
        )
    return values.astype(np.int64)


def _kept_during_rest(
    movement: NDArray[np.int64], repetition: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the repetition of the latest sample with a movement, 0 before the first."""
    latest = np.maximum.accumulate(np.where(movement > 0, np.arange(len(movement)), -1))
    return np.where(latest < 0, 0, repetition[latest])


def _electrodes(database: Database, channels: int, rate: float) -> dict[str, str]:
    """Return the electrode positions as `read_description` expects them."""
    known = ELECTRODES.get((database, channels))
    if known is None:
        return {}
    description = EmgDescription(
        source='ninapro',
        device=f'Ninapro {database}',
        sampling_rate=rate,
        channels=tuple(map(str, range(channels))),
        rings=known.rings,
        offset=known.offset,
    )
    return {INFORMATION_KEY: description.to_json()}


def _information(
    file: _Spelled, database: Database, label_names: tuple[str, str], *, calibrated: bool
) -> dict[str, str]:
    layout = LAYOUTS[database]
    joint_unit = 'rad' if calibrated else layout.joint_unit
    subject, exercise = (file.number(name) for name in ('subject', 'exercise'))
    return {
        'database': f'Ninapro {database}',
        'citation': layout.citation,
        'subject': 'unknown' if subject is None else f'{subject:g}',
        'exercise': 'unknown' if exercise is None else f'{exercise:g}',
        # A file name need not be valid text; the bag's metadata must be.
        'source_file': file.path.name.encode('utf-8', 'replace').decode('utf-8'),
        'source_sha256': hash_file(file.path),
        'emg_kind': layout.emg_kind,
        'emg_unit': layout.emg_unit,
        'emg_source_unit': layout.emg_source_unit,
        'emg_volts_per_source_unit': f'{layout.volts_per_source_unit:g}',
        'joint_names': ' '.join(JOINT_NAMES),
        'joint_unit': joint_unit,
        'joint_source_unit': 'degree' if joint_unit == 'rad' else 'glove unit',
        'joint_radians_per_source_unit': f'{radians(1):.17g}',
        'label_source': ' '.join(label_names),
    }
