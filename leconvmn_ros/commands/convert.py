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

"""Turn Ninapro .mat files into rosbag2 bags (MCAP).

Each FILE becomes the bag FOLDER/<database>_<name of the file>, with the topics /emg,
/joint_states_reference and /movement_label. Angles of DB1 and DB2 come from an uncalibrated glove:
their unit is taken as degrees.
"""

import argparse
from pathlib import Path
from typing import get_args

from leconvmn_ros.commands.progress import progress_bar
from leconvmn_ros.recordings.bags import write_bag
from leconvmn_ros.recordings.ninapro import read_ninapro
from leconvmn_ros.recordings.ninapro_layouts import Database


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'files', nargs='+', type=Path, metavar='FILE.mat', help='Ninapro recordings'
    )
    parser.add_argument(
        '--output', required=True, type=Path, metavar='FOLDER', help='where the bags go'
    )
    parser.add_argument(
        '--database', choices=get_args(Database), help='instead of telling it from the content'
    )
    parser.add_argument(
        '--chunk', type=float, default=0.02, metavar='S', help='duration of one EMG message (s)'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace bags that are there')


def run(arguments: argparse.Namespace) -> int:
    """Convert each file."""
    for file in arguments.files:
        with progress_bar(f'convert {file.name}') as progress:
            subject = read_ninapro(file, database=arguments.database)
            bag = arguments.output / subject.name
            write_bag(
                subject,
                bag,
                chunk_duration=arguments.chunk,
                overwrite=arguments.overwrite,
                progress=progress,
            )
        seconds = len(subject.emg) / subject.sampling_rate
        print(
            f'{bag}: {subject.emg.shape[1]} channels at {subject.sampling_rate:g} Hz, '
            f'{seconds:.0f} s'
        )
    return 0
