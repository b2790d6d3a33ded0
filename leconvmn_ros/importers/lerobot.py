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

"""Reads LeRobot datasets with EMG, using pyarrow.

A dataset is a folder with `meta/info.json` and parquet files, version 2 (a file per episode) or 3.
"""

from collections.abc import Iterator, Mapping, Sequence
import json
from pathlib import Path
from typing import Any

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.files import open_input, read_input
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.emg.message import MOST_CHANNELS
from leconvmn_ros.importers.options import ImportOptions, joint_columns, VOLTS
from leconvmn_ros.importers.signals import (
    AngleSignal,
    describe,
    EmgSignal,
    LabelSignal,
    make_recording,
)
from leconvmn_ros.recordings.optional_library import import_optional
import numpy as np
from numpy.typing import NDArray

INFO = 'meta/info.json'
EMG = 'observation.emg'
_LARGEST_INFO = 2**22  # bytes
_MOST_FILES = 100_000
_MOST_VALUES = 2**28
# Pause between the end of an episode and the start of the next (s).
_PAUSE = 1.0


def is_lerobot(folder: Path) -> bool:
    """Whether a folder is a LeRobot dataset."""
    return (folder / INFO).is_file()


def read_lerobot(folder: Path, options: ImportOptions) -> Iterator[Recording]:
    """Read a dataset as one recording, one episode after another.

    EMG is `observation.emg` (or the feature given by --stream), with one sample per frame or
    several, shape (samples, channels). Angles are the values of a feature that have names of
    joints. A task is a movement, and its n-th episode is repetition n.

    Raises:
        RecordingError: it is not such a dataset, or is damaged.
        ConfigurationError: pyarrow is not installed, or the unit must be given.
    """
    features, fps = _information(folder)
    feature = options.stream or EMG
    if feature not in features:
        raise ConfigurationError(
            f'{folder} has no feature {feature}: name that of the EMG with --stream; there are '
            f'{", ".join(sorted(features)[:20])}'
        )
    if options.volts is None:
        raise ConfigurationError(
            f'{folder} does not state the unit of the EMG: give --unit {", ".join(VOLTS)}'
        )
    where = _angle_feature(features, options)
    columns = [feature, 'episode_index', *([where[0]] if where else [])]
    if 'task_index' in features:
        columns.append('task_index')
    table = _read(folder, columns)
    emg = _emg(folder, table[feature], features[feature])
    samples = emg.shape[1]
    rate = options.rate or fps * samples
    frames = _frame_times(table['episode_index'], fps)
    times = (frames[:, None] + np.arange(samples) / rate).reshape(-1)
    angles = None
    if where:
        values = np.asarray(table[where[0]], np.float64).reshape(len(frames), -1)
        picked = values[:, list(where[1].values())] * (options.radians or 1.0)
        angles = AngleSignal(frames, tuple(where[1]), picked)
    yield make_recording(
        f'lerobot_{folder.name}',
        EmgSignal((emg.reshape(-1, emg.shape[2]) * options.volts).astype(np.float32), rate, times),
        angles,
        _labels(table, frames, fps),
        describe(options, 'LeRobot', source=folder.name, unit=f'{options.volts:g} V'),
        chunk=options.chunk,
    )


def _information(folder: Path) -> tuple[Mapping[str, Any], float]:
    try:
        content = json.loads(read_input(folder / INFO, _LARGEST_INFO))
        features, fps = dict(content['features']), float(content['fps'])
    except OSError as error:
        raise RecordingError(f'cannot read {folder / INFO}: {error.strerror or error}') from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise RecordingError(f'{folder / INFO} is not from LeRobot: {error!r}') from error
    if not 0 < fps < 1e5:
        raise RecordingError(f'{folder / INFO}: fps is {fps}')
    return features, fps


def _angle_feature(
    features: Mapping[str, Any], options: ImportOptions
) -> tuple[str, dict[str, int]] | None:
    """Return the feature with the angles, and the index of each joint in it."""
    for name, feature in features.items():
        names = _value_names(feature)
        if not names or name == EMG:
            continue
        try:
            joints = joint_columns(options, names)
        except ConfigurationError:
            continue
        if joints:
            return name, joints
    if options.angles:
        raise ConfigurationError(f'no feature has the values {", ".join(options.angles.values())}')
    return None


def _value_names(feature: Any) -> list[str]:
    names = feature.get('names') if isinstance(feature, Mapping) else None
    if isinstance(names, Mapping):  # such as {'motors': [...]}
        names = next(iter(names.values()), None)
    return [str(name) for name in names] if isinstance(names, list) else []


def _read(folder: Path, columns: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read columns of all parquet files, in order of the episodes."""
    parquet = import_optional('pyarrow.parquet', 'lerobot', 'to read LeRobot datasets')
    files = sorted((folder / 'data').rglob('*.parquet'))
    if not 0 < len(files) <= _MOST_FILES:
        raise RecordingError(f'{folder} has {len(files)} parquet files below data')
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in columns}
    total = 0
    for path in files:
        try:
            with open_input(path) as file:
                opened = parquet.ParquetFile(file)
                total += _values_in(opened.metadata, columns)
                _check_count(folder, total)
                table = opened.read(columns=list(columns))
            for name in columns:
                parts[name].append(_array(table.column(name)))
        except RecordingError:
            raise
        except OSError as error:
            raise RecordingError(f'cannot read {path}: {error.strerror or error}') from error
        except Exception as error:  # pyarrow has errors of its own for damage
            raise RecordingError(f'{path} is damaged: {error}') from error
    try:
        return {name: np.concatenate(arrays) for name, arrays in parts.items()}
    except ValueError as error:
        raise RecordingError(f'{folder}: frames have different shapes: {error}') from error


def _values_in(metadata: Any, columns: Sequence[str]) -> int:
    """Return the number of values that a parquet file claims for some columns."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    parts = [group.column(place) for group in groups for place in range(group.num_columns)]
    # A list is stored under the name of its column: observation.emg.list.element.
    return sum(
        int(part.num_values)
        for part in parts
        if any(f'{part.path_in_schema}.'.startswith(f'{name}.') for name in columns)
    )


def _check_count(folder: Path, values: int) -> None:
    if values > _MOST_VALUES:
        raise RecordingError(
            f'{folder} has {values} values and more; at most {_MOST_VALUES} are read'
        )


def _array(column: Any) -> NDArray[Any]:
    """Return a column of numbers, or of lists of equal length, as an array of a row per frame."""
    rows = len(column)
    values = column.combine_chunks()
    while hasattr(values, 'flatten') and values.type.num_fields:
        values = values.flatten()
    array = np.asarray(values.to_numpy(zero_copy_only=False))
    return array.reshape(rows, -1) if len(array) != rows else array


def _emg(folder: Path, values: NDArray[Any], feature: Any) -> NDArray[np.float64]:
    """Return the EMG, shape (frames, samples, channels)."""
    shape = feature.get('shape') if isinstance(feature, Mapping) else None
    flat = np.asarray(values, np.float64).reshape(len(values), -1)
    if not (isinstance(shape, list) and 1 <= len(shape) <= 2):
        raise RecordingError(f'{folder}: EMG has the shape {shape}; 1 or 2 dimensions are needed')
    samples, channels = (1, shape[0]) if len(shape) == 1 else shape
    if samples * channels != flat.shape[1] or not 0 < channels <= MOST_CHANNELS:
        raise RecordingError(
            f'{folder}: EMG has the shape {shape} in {INFO}, and {flat.shape[1]} values per frame'
        )
    return flat.reshape(len(flat), samples, channels)


def _frame_times(episodes: NDArray[Any], fps: float) -> NDArray[np.float64]:
    """Return the time of each frame (s): episodes follow one another with a pause between."""
    pauses = np.cumsum(np.diff(episodes, prepend=episodes[:1]) != 0) * _PAUSE
    return np.asarray(np.arange(len(episodes)) / fps + pauses)


def _labels(
    table: Mapping[str, NDArray[Any]], frames: NDArray[np.float64], fps: float
) -> LabelSignal:
    episodes = table['episode_index']
    starts = np.flatnonzero(np.diff(episodes, prepend=episodes[0] - 1))
    ends = np.append(starts[1:], len(episodes)) - 1
    tasks = table.get('task_index', np.zeros(len(episodes), int))[starts].astype(int) + 1
    counts: dict[int, int] = {}
    repetitions = []
    for task in tasks.tolist():
        counts[task] = counts.get(task, 0) + 1
        repetitions.append(counts[task])
    # Rest from the end of an episode to the start of the next.
    return LabelSignal(
        np.stack([frames[starts], frames[ends] + 1 / fps], axis=1).reshape(-1),
        np.stack([tasks, np.zeros_like(tasks)], axis=1).reshape(-1),
        np.repeat(np.array(repetitions, np.int64), 2),
        {},
    )
