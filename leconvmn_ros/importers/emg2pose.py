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

"""Reads the HDF5 files of emg2pose with h5py.

Salter et al., emg2pose: A Large and Diverse Benchmark for Surface Electromyographic Hand Pose
Estimation, NeurIPS 2024 Datasets and Benchmarks. Sixteen channels at 2 kHz, with twenty joint
angles (rad, flexion positive), on one clock.
"""

from collections.abc import Iterator
from pathlib import Path

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.importers.options import ImportOptions, VOLTS
from leconvmn_ros.importers.signals import AngleSignal, describe, EmgSignal, make_recording
from leconvmn_ros.recordings.hdf5_file import Hdf5File
import numpy as np

PLACE = 'emg2pose/timeseries'
_RATE = 2000.0
_JOINTS = 20
# Column of the flexion of each joint. The others are base and abduction of the thumb, abduction of
# each finger, and the last joints.
JOINT_COLUMNS = {
    'thumb_mcp': 2,
    'thumb_ip': 3,
    'index_mcp': 5,
    'index_pip': 6,
    'middle_mcp': 9,
    'middle_pip': 10,
    'ring_mcp': 13,
    'ring_pip': 14,
    'little_mcp': 17,
    'little_pip': 18,
}
_UNIT = 'normalised: 1 unit is the noise of a quiet channel'


def read_emg2pose(path: Path, options: ImportOptions) -> Iterator[Recording]:
    """Read a session of emg2pose.

    Its EMG is normalised; 1 unit is taken as 1 uV unless another unit is given. Rows whose angles
    are all 0, for which the cameras found no hand, are left out.

    Raises:
        RecordingError: it is not an emg2pose file, or is damaged.
        ConfigurationError: h5py is not installed.
    """
    file = Hdf5File(path)
    variable = file.variables.get(PLACE)
    if variable is None or not {'emg', 'joint_angles'} <= set(variable.fields):
        raise RecordingError(f'{path} is not a recording of emg2pose: it has no {PLACE}')
    emg = file.load(PLACE, 'emg')
    angles = np.asarray(file.load(PLACE, 'joint_angles'), np.float64)
    if angles.ndim != 2 or angles.shape[1] != _JOINTS:
        raise RecordingError(
            f'{path}: joint_angles has shape {angles.shape}; {_JOINTS} columns are needed'
        )
    found = np.asarray(angles.any(axis=1))
    values = np.where(found[:, None], angles[:, list(JOINT_COLUMNS.values())], np.nan)
    rate = options.rate or _number(file, 'sample_rate') or _RATE
    information = describe(options, 'emg2pose', source=path.name, unit=_UNIT, kind='raw') | {
        name: str(file.attributes[f'emg2pose/{name}'])
        for name in ('user', 'session', 'side', 'stage')
        if f'emg2pose/{name}' in file.attributes
    }
    volts = options.volts or VOLTS['uV']
    if options.volts is None:
        information['emg_unit'] = 'V (nominal: 1 normalised unit is taken as 1e-06 V)'
    yield make_recording(
        f'emg2pose_{path.stem}',
        EmgSignal((emg * volts).astype(np.float32), rate),
        AngleSignal(np.arange(len(values)) / rate, tuple(JOINT_COLUMNS), values)
        if found.any()
        else None,
        None,
        information,
        chunk=options.chunk,
    )


def is_emg2pose(path: Path) -> bool:
    """Whether an HDF5 file is one of emg2pose.

    Raises:
        RecordingError: it is damaged.
        ConfigurationError: h5py is not installed.
    """
    return PLACE in Hdf5File(path).variables


def _number(file: Hdf5File, name: str) -> float | None:
    value = file.attributes.get(f'emg2pose/{name}')
    return float(value) if isinstance(value, (int, float, np.number)) and value > 0 else None
