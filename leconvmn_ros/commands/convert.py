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

"""Runs `leconvmn_ros convert`; its arguments are in parsers/convert.py."""

import argparse

from leconvmn_ros.commands.progress import progress_bar, remark, say
from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.emg.kind import EMG_KIND
from leconvmn_ros.importers import find_format, ImportOptions
from leconvmn_ros.importers.options import (
    parse_angles,
    parse_columns,
    parse_volts,
    RADIANS,
    SECONDS,
)
from leconvmn_ros.recordings.array_bag import write_recording
import numpy as np

# Surface EMG at the electrodes is below 10 mV; amplifiers may deliver envelopes of volts.
_LOUDEST = 0.02  # V, RMS
_QUIETEST = 1e-7  # V, RMS


def run(arguments: argparse.Namespace) -> int:
    """Convert each file."""
    options = _options(arguments)
    for path in arguments.files:
        with progress_bar(f'convert {path.name}') as progress:
            read = find_format(path, arguments.format).read
            written = []
            for recording in read(path, options):
                bag = arguments.output / recording.name
                write_recording(recording, bag, overwrite=arguments.overwrite, progress=progress)
                written.append((bag, recording))
        if not written:
            raise RecordingError(f'{path} holds no recording')
        for bag, recording in written:
            for line in recording.remarks:
                remark(f'{bag}: {line}')
            say(f'{bag}: {_described(recording)}')
    return 0


def _options(arguments: argparse.Namespace) -> ImportOptions:
    rate = arguments.rate
    if rate is not None and not 0 < rate < float('inf'):
        raise ConfigurationError(f'--rate is {rate:g}; it must be above 0')
    if not 0 < arguments.chunk < float('inf'):
        raise ConfigurationError(f'--chunk is {arguments.chunk:g}; it must be above 0')
    return ImportOptions(
        rate=rate,
        volts=None if arguments.unit is None else parse_volts(arguments.unit),
        emg=parse_columns(arguments.emg_columns or ''),
        angles=parse_angles(arguments.angles or ''),
        radians=RADIANS.get(arguments.angle_unit or ''),
        time=arguments.time_column,
        seconds=SECONDS.get(arguments.time_unit or ''),
        movement=arguments.movement_column,
        repetition=arguments.repetition_column,
        kind=arguments.kind,
        stream=arguments.stream,
        mapping=arguments.mapping,
        database=arguments.database,
        angles_file=arguments.angles_file,
        chunk=arguments.chunk,
    )


def _described(recording: Recording) -> str:
    """Describe a recording, and warn if its level is not that of EMG."""
    first = recording.chunks[0]
    samples = sum(len(chunk.samples) for chunk in recording.chunks)
    channels = first.samples.shape[1]
    squares = sum(float(np.square(c.samples, dtype=np.float64).sum()) for c in recording.chunks)
    level = (squares / (samples * channels)) ** 0.5
    parts = [
        f'{channels} channels at {first.sampling_rate:g} Hz, {samples / first.sampling_rate:.0f} s'
    ]
    if recording.reference is None:
        parts.append('no angles')
    elif len(recording.reference.names) < 10:
        parts.append(f'angles of {", ".join(recording.reference.names)}')
    if recording.labels is None:
        parts.append('no movements')
    envelope = recording.information.get(EMG_KIND) == 'envelope'
    if not envelope and not _QUIETEST < level < _LOUDEST:
        parts.append(f'RMS of the EMG is {level:.3g} V, not that of surface EMG: is --unit right?')
    return '; '.join(parts)
