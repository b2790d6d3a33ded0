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

"""Reads EDF, EDF+ and BDF files with edfio."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.files import check_input
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.importers.library_warnings import collected_warnings
from leconvmn_ros.importers.options import (
    chosen_columns,
    ImportOptions,
    joint_columns,
    parse_volts,
    VOLTS,
)
from leconvmn_ros.importers.signals import (
    AngleSignal,
    describe,
    EmgSignal,
    events_to_labels,
    make_recording,
)
from leconvmn_ros.recordings.optional_library import import_optional
import numpy as np

EDF_MAGIC, BDF_MAGIC = b'0       ', b'\xffBIOSEMI'
_MOST_VALUES = 2**29


def read_edf(
    path: Path, options: ImportOptions, *, name: str | None = None
) -> Iterator[Recording]:
    """Read an EDF, EDF+ or BDF file.

    EMG is in the signals called ...EMG...; without these, in all signals with a unit of voltage
    and the most common rate; or in the signals that are named. Annotations become movements.

    Args:
        path: the file.
        options: options of the user.
        name: name of the recording; that of the file if None.

    Raises:
        RecordingError: it is damaged, or has no EMG.
        ConfigurationError: edfio is not installed; unit or signals must be given.
    """
    with collected_warnings('edfio') as remarks:
        recording = open_edf(path)
    signals = list(recording.signals)
    names = [str(signal.label) for signal in signals]
    emg = chosen_columns(options.emg, names) if options.emg else _emg(signals)
    if not emg:
        raise ConfigurationError(
            f'{path}: no signal is called EMG or is a voltage: give --emg-columns; there are '
            f'{", ".join(names[:20])}'
        )
    rates = {float(signals[place].sampling_frequency) for place in emg}
    if len(rates) > 1:
        raise ConfigurationError(
            f'{path}: its EMG has the rates {", ".join(f"{rate:g}" for rate in sorted(rates))} '
            'Hz: choose signals of one rate with --emg-columns'
        )
    volts = [_volts(path, signals[place], options) for place in emg]
    if sum(_length(signals[place]) for place in emg) > _MOST_VALUES:
        raise RecordingError(f'{path} holds more than {_MOST_VALUES} values of EMG')
    columns = [
        (_data(path, signals[place]) * scale).astype(np.float32)
        for place, scale in zip(emg, volts, strict=True)
    ]
    annotations = list(recording.annotations)
    yield make_recording(
        name or f'{path.suffix.lstrip(".").lower() or "edf"}_{path.stem}',
        EmgSignal(np.stack(columns, axis=1), options.rate or rates.pop()),
        _angles(path, signals, names, options),
        events_to_labels(
            [float(event.onset) for event in annotations],
            [
                float(event.onset) + float(event.duration) if event.duration else None
                for event in annotations
            ],
            [str(event.text) for event in annotations],
        ),
        describe(
            options,
            'EDF',
            source=path.name,
            unit=str(signals[emg[0]].physical_dimension) or 'V',
        ),
        chunk=options.chunk,
        remarks=remarks,
    )


def open_edf(path: Path) -> Any:
    """Read the header of an EDF or BDF file; its data are read on demand.

    Raises:
        RecordingError: it cannot be read, is damaged, or has gaps.
        ConfigurationError: edfio is not installed.
    """
    edfio = import_optional('edfio', 'edf', 'to read EDF and BDF')
    try:
        check_input(path)
        is_bdf = path.suffix.lower() == '.bdf'
        opened: Any = edfio.read_bdf(path) if is_bdf else edfio.read_edf(path, True)
        continuous = bool(opened.is_continuous)
    except OSError as error:
        raise RecordingError(f'cannot read {path}: {error.strerror or error}') from error
    except Exception as error:  # edfio raises whatever error a damaged file runs into
        raise RecordingError(f'{path} is damaged or not an EDF file: {error}') from error
    if not continuous:
        raise RecordingError(f'{path} has gaps (EDF+D), which cannot be read')
    return opened


def _emg(signals: Sequence[Any]) -> list[int]:
    named = [place for place, signal in enumerate(signals) if 'emg' in signal.label.lower()]
    if named:
        return named
    voltages = [place for place, signal in enumerate(signals) if _known_volts(signal)]
    rates = [float(signals[place].sampling_frequency) for place in voltages]
    usual = max(rates, key=rates.count, default=0.0)
    return [place for place, rate in zip(voltages, rates, strict=True) if rate == usual]


def _known_volts(signal: Any) -> float | None:
    try:
        return parse_volts(str(signal.physical_dimension))
    except ConfigurationError:
        return None


def _volts(path: Path, signal: Any, options: ImportOptions) -> float:
    known = options.volts or _known_volts(signal)
    if known is None:
        raise ConfigurationError(
            f'{path}: signal {signal.label} is in {str(signal.physical_dimension)!r}: give --unit '
            f'{", ".join(VOLTS)}'
        )
    return known


def _length(signal: Any) -> int:
    return len(signal.digital)


def _data(path: Path, signal: Any) -> Any:
    try:
        return np.asarray(signal.data, np.float64)
    except Exception as error:
        raise RecordingError(f'{path} is damaged: signal {signal.label}: {error}') from error


def _angles(
    path: Path, signals: Sequence[Any], names: Sequence[str], options: ImportOptions
) -> AngleSignal | None:
    joints = joint_columns(options, names)
    if not joints:
        return None
    columns = [signals[place] for place in joints.values()]
    rates = {float(signal.sampling_frequency) for signal in columns}
    if len(rates) > 1:
        raise RecordingError(f'{path}: its angles have {len(rates)} rates; one is needed')
    degrees = str(columns[0].physical_dimension).lower().startswith('deg')
    radians = options.radians or (float(np.pi / 180) if degrees else 1.0)
    values = np.stack([_data(path, signal) * radians for signal in columns], axis=1)
    return AngleSignal(np.arange(len(values)) / rates.pop(), tuple(joints), values)
