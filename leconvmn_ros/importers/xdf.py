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

"""Reads XDF, the recordings of Lab Streaming Layer, with pyxdf."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.files import open_input
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.importers.library_warnings import collected_warnings
from leconvmn_ros.importers.options import (
    chosen_columns,
    ImportOptions,
    joint_columns,
    VOLTS,
)
from leconvmn_ros.importers.signals import (
    AngleSignal,
    describe,
    EmgSignal,
    events_to_labels,
    LabelSignal,
    make_recording,
    rate_of,
)
from leconvmn_ros.recordings.optional_library import import_optional
import numpy as np

MAGIC = b'XDF:'
_EMG_TYPES = ('emg', 'exg', 'eeg')
# Spellings of units in files, in lower case.
_UNITS = {
    **{name.lower(): volts for name, volts in VOLTS.items()},
    'microvolts': 1e-6,
    'microvolt': 1e-6,
    'millivolts': 1e-3,
    'millivolt': 1e-3,
    'volts': 1.0,
    'volt': 1.0,
}


def read_xdf(path: Path, options: ImportOptions) -> Iterator[Recording]:
    """Read the EMG, angles and markers of an XDF file, on its common clock.

    EMG is the stream of type EMG, or the one that is named. Angles are in the first other stream
    with channels named like the joints, or in the named channels. Markers become movements.

    Raises:
        RecordingError: it is damaged, or has no EMG.
        ConfigurationError: pyxdf is not installed; stream, unit or channels must be given.
    """
    pyxdf = import_optional('pyxdf', 'xdf', 'to read XDF')
    try:
        file = open_input(path)
    except OSError as error:
        raise RecordingError(f'cannot read {path}: {error.strerror or error}') from error
    try:
        with file, collected_warnings('pyxdf') as remarks:
            streams, _ = pyxdf.load_xdf(file, verbose=False)
    except Exception as error:  # pyxdf raises whatever error a damaged file runs into
        raise RecordingError(f'{path} is damaged or not an XDF file: {error}') from error
    emg = _emg_stream(path, streams, options)
    names = _labels(emg)
    places = chosen_columns(options.emg, names) if options.emg else list(range(len(names)))
    volts, unit = _volts(path, emg, places[0], options)
    times = np.asarray(emg['time_stamps'], np.float64)
    stated = float(_text(emg['info'], 'nominal_srate') or 0)
    rate = rate_of(times, options.rate or stated or None, str(path))
    others = [stream for stream in streams if stream is not emg]
    yield make_recording(
        f'xdf_{path.stem}',
        EmgSignal((_series(emg)[:, places] * volts).astype(np.float32), rate, times),
        _angles(others, options),
        _markers(others),
        describe(options, 'XDF', source=path.name, unit=unit),
        chunk=options.chunk,
        remarks=remarks,
    )


def _emg_stream(
    path: Path, streams: Sequence[Mapping[str, Any]], options: ImportOptions
) -> Mapping[str, Any]:
    described = ', '.join(
        f'{_text(stream["info"], "name")} ({_text(stream["info"], "type")})' for stream in streams
    )
    signals = [stream for stream in streams if _is_signal(stream)]
    if options.stream:
        found = [stream for stream in signals if _text(stream['info'], 'name') == options.stream]
    else:
        by_type = [
            [stream for stream in signals if _text(stream['info'], 'type').lower() == kind]
            for kind in _EMG_TYPES
        ]
        found = next((group for group in by_type if group), [])
    if len(found) != 1:
        raise ConfigurationError(
            f'{path}: {len(found) or "no"} streams of EMG were found; choose one with '
            f'--stream; there are {described or "none"}'
        )
    return found[0]


def _is_signal(stream: Mapping[str, Any]) -> bool:
    series = stream['time_series']
    return isinstance(series, np.ndarray) and series.ndim == 2 and len(series) > 1


def _series(stream: Mapping[str, Any]) -> Any:
    return np.asarray(stream['time_series'], np.float64)


def _text(info: Mapping[str, Any], name: str) -> str:
    """Return an entry of the header; pyxdf puts everything into lists."""
    value: Any = info.get(name)
    while isinstance(value, list):
        value = value[0] if value else None
    return str(value) if isinstance(value, (str, int, float)) else ''


def _channels(stream: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    value: Any = stream['info'].get('desc')
    for name in ('channels', 'channel'):
        while isinstance(value, list):
            value = value[0] if value else None
        if not isinstance(value, Mapping):
            return []
        value = value.get(name)
    return [channel for channel in value or [] if isinstance(channel, Mapping)]


def _labels(stream: Mapping[str, Any]) -> list[str]:
    count = stream['time_series'].shape[1]
    names = [_text(channel, 'label') for channel in _channels(stream)]
    return names if len(names) == count else [str(n) for n in range(1, count + 1)]


def _volts(
    path: Path, stream: Mapping[str, Any], place: int, options: ImportOptions
) -> tuple[float, str]:
    if options.volts:
        return options.volts, f'{options.volts:g} V'
    channels = _channels(stream)
    unit = _text(channels[place], 'unit') if place < len(channels) else ''
    tidy = unit.strip().replace('\N{MICRO SIGN}', 'u').replace('\u03bc', 'u').lower()
    if tidy in _UNITS:
        return _UNITS[tidy], unit
    raise ConfigurationError(
        f'{path} does not state the unit of the EMG ({unit!r}): give --unit {", ".join(VOLTS)}'
    )


def _angles(streams: Sequence[Mapping[str, Any]], options: ImportOptions) -> AngleSignal | None:
    problem: ConfigurationError | None = None
    for stream in streams:
        if not _is_signal(stream):
            continue
        try:
            joints = joint_columns(options, _labels(stream))
        except ConfigurationError as error:
            problem = error
            continue
        if joints:
            values = _series(stream)[:, list(joints.values())] * _radians(stream, joints, options)
            return AngleSignal(np.asarray(stream['time_stamps']), tuple(joints), values)
    if options.angles and problem is not None:
        raise problem
    return None


def _radians(
    stream: Mapping[str, Any], joints: Mapping[str, int], options: ImportOptions
) -> float:
    if options.radians:
        return options.radians
    channels = _channels(stream)
    place = next(iter(joints.values()))
    unit = _text(channels[place], 'unit').lower() if place < len(channels) else ''
    return float(np.pi / 180) if unit.startswith('deg') or unit == '\N{DEGREE SIGN}' else 1.0


def _markers(streams: Sequence[Mapping[str, Any]]) -> LabelSignal | None:
    for stream in streams:
        series = stream['time_series']
        if 'marker' in _text(stream['info'], 'type').lower() and len(series):
            texts = [str(row[0]) if len(row) else '' for row in series]
            starts = [float(time) for time in stream['time_stamps']]
            return events_to_labels(starts, [None] * len(starts), texts)
    return None
