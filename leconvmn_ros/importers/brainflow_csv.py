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

"""Reads files of BrainFlow: tab-separated numbers without a header, one row per sample.

The columns are the rows of `BoardShim.get_board_data`, numbered from 0 as in
`BoardShim.get_emg_channels` and the like.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.importers.csv_file import Layout, read_header, read_table, table_recording
from leconvmn_ros.importers.options import chosen_columns, ImportOptions, joint_columns, VOLTS
import numpy as np

# Unix times (s) between 2001 and 2100 are in this range.
_FIRST_TIME, _LAST_TIME = 1e9, 4.1e9


def read_brainflow(path: Path, options: ImportOptions) -> Iterator[Recording]:
    """Read a file of BrainFlow; EMG is in microvolts unless another unit is given.

    Raises:
        RecordingError: it is not a file of BrainFlow.
        ConfigurationError: the columns of the EMG are not given, or do not exist.
    """
    names = [str(place) for place in range(len(read_header(path)[0]))]
    if not options.emg:
        raise ConfigurationError(
            f'{path}: which of the {len(names)} columns are EMG? Give --emg-columns with the '
            "numbers of BoardShim.get_emg_channels (or get_exg_channels), such as '1-8'"
        )
    emg, (time, *_), labels = (
        chosen_columns(columns, names, first=0)
        for columns in (
            options.emg,
            [options.time or _time_column(path, names)],
            [column for column in (options.movement, options.repetition) if column],
        )
    )
    layout = Layout(
        emg,
        options.volts or VOLTS['uV'],
        time,
        options.seconds or 1.0,
        joint_columns(options, names, first=0),
        labels,
    )
    yield table_recording(path, options, layout, 'BrainFlow')


def is_brainflow(path: Path) -> bool:
    """Whether a file is a table of BrainFlow: tabs, no header, a column with Unix times."""
    names, has_header = read_header(path)
    if has_header or len(names) < 4:
        return False
    with path.open(encoding='utf-8', errors='replace') as file:
        line = ''.join(islice(file, 1))
    fields = line.split('\t')
    return len(fields) == len(names) and any(
        _FIRST_TIME < float(text or 0) < _LAST_TIME for text in fields
    )


def _time_column(path: Path, names: list[str]) -> str:
    """Return the column with Unix times."""
    places = range(len(names))
    table = read_table(path, list(places))
    for place in places:
        values = table.columns[place]
        if np.all((values > _FIRST_TIME) & (values < _LAST_TIME)):
            return str(place)
    raise ConfigurationError(f'{path}: no column holds Unix times: give --time-column')
