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

"""The table of foreign formats; a new format needs a module and a line here."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.files import open_input
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.importers.bids import is_bids, read_bids
from leconvmn_ros.importers.brainflow_csv import is_brainflow, read_brainflow
from leconvmn_ros.importers.csv_file import read_csv
from leconvmn_ros.importers.edf import BDF_MAGIC, EDF_MAGIC, read_edf
from leconvmn_ros.importers.emg2pose import is_emg2pose, read_emg2pose
from leconvmn_ros.importers.lerobot import is_lerobot, read_lerobot
from leconvmn_ros.importers.options import ImportOptions
from leconvmn_ros.importers.ros_bag import read_ros_bag
from leconvmn_ros.importers.ros_messages import ROS1_MAGIC
from leconvmn_ros.importers.xdf import MAGIC as XDF_MAGIC
from leconvmn_ros.importers.xdf import read_xdf
from leconvmn_ros.recordings.array_bag import recording_of_subject
from leconvmn_ros.recordings.hdf5_file import is_hdf5
from leconvmn_ros.recordings.ninapro import read_ninapro

_BEGINNING = 16  # bytes
_TABLES = ('.csv', '.tsv', '.txt')


class Format(NamedTuple):
    """A format of recordings.

    Attributes:
        summary: description for the help.
        read: reads a file or folder, which may hold several recordings.
        matches: whether a path has this format, by its first bytes and its content.
    """

    summary: str
    read: Callable[[Path, ImportOptions], Iterator[Recording]]
    matches: Callable[[Path, bytes], bool]


def _read_ninapro(path: Path, options: ImportOptions) -> Iterator[Recording]:
    subject = read_ninapro(
        path, database=options.database, rate=options.rate, angles=options.angles_file
    )
    yield recording_of_subject(subject, options.chunk)


def _is_bag(path: Path, beginning: bytes) -> bool:
    if path.is_dir():
        return (path / 'metadata.yaml').is_file()
    return beginning.startswith(ROS1_MAGIC) or path.suffix in ('.mcap', '.db3')


# Tried in this order.
FORMATS: Final[dict[str, Format]] = {
    'ninapro': Format(
        'Ninapro (.mat of any MATLAB version)',
        _read_ninapro,
        lambda path, _: path.suffix.lower() == '.mat',
    ),
    'emg2pose': Format(
        'emg2pose (HDF5)',
        read_emg2pose,
        lambda path, beginning: is_hdf5(beginning) and is_emg2pose(path),
    ),
    'xdf': Format(
        'XDF (Lab Streaming Layer)',
        read_xdf,
        lambda path, beginning: beginning.startswith(XDF_MAGIC) or path.suffix == '.xdf',
    ),
    'edf': Format(
        'EDF and BDF',
        read_edf,
        lambda path, beginning: (
            beginning.startswith((EDF_MAGIC, BDF_MAGIC)) or path.suffix.lower() in ('.edf', '.bdf')
        ),
    ),
    'rosbag': Format(
        'bags of ROS 1, and of ROS 2 with other message types', read_ros_bag, _is_bag
    ),
    'lerobot': Format(
        'LeRobot datasets with observation.emg',
        read_lerobot,
        lambda path, _: path.is_dir() and is_lerobot(path),
    ),
    'bids': Format(
        'BIDS folders with EMG', read_bids, lambda path, _: path.is_dir() and is_bids(path)
    ),
    'brainflow': Format(
        'BrainFlow files',
        read_brainflow,
        lambda path, _: path.suffix.lower() in _TABLES and is_brainflow(path),
    ),
    'csv': Format(
        'text tables with a row per sample (CSV)',
        read_csv,
        lambda path, _: path.suffix.lower() in _TABLES,
    ),
}


def find_format(path: Path, name: str | None = None) -> Format:
    """Return the format of a file or folder.

    Args:
        path: the file or folder.
        name: name of the format; if None, it is detected by content and suffix.

    Raises:
        RecordingError: it cannot be read.
        ConfigurationError: it has none of the formats.
    """
    if name is not None:
        return FORMATS[name]
    beginning = b''
    if not path.is_dir():
        try:
            with open_input(path) as file:
                beginning = file.read(_BEGINNING)
        except OSError as error:
            raise RecordingError(f'cannot read {path}: {error.strerror or error}') from error
    for known in FORMATS.values():
        if known.matches(path, beginning):
            return known
    formats = ', '.join(f'{key} ({known.summary})' for key, known in FORMATS.items())
    raise ConfigurationError(
        f'{path} has no known format; give --format if it is one of: {formats}'
    )
