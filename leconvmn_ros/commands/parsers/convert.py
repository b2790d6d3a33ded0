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

"""Turn recordings of other formats into rosbag2 bags (MCAP).

Each recording becomes the bag FOLDER/<format>_<name of the file>, with the topics /emg and, if it
has angles and movements, /joint_states_reference and /movement_label. The format is detected from
the content; options give what a file does not state itself (unit, rate, meaning of columns).
"""

import argparse
from pathlib import Path
from typing import get_args

from leconvmn_ros.importers import FORMATS
from leconvmn_ros.importers.options import RADIANS, SECONDS
from leconvmn_ros.recordings.ninapro_layouts import Database


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'files', nargs='+', type=Path, metavar='FILE', help='recordings: files or folders'
    )
    parser.add_argument(
        '--output', required=True, type=Path, metavar='FOLDER', help='folder for the bags'
    )
    parser.add_argument(
        '--format',
        choices=tuple(FORMATS),
        help='format, instead of detecting it: '
        + '; '.join(f'{name} = {known.summary}' for name, known in FORMATS.items()),
    )
    parser.add_argument(
        '--chunk', type=float, default=0.02, metavar='S', help='duration of one EMG message (s)'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace existing bags')
    signals = parser.add_argument_group('what the file does not state')
    signals.add_argument(
        '--unit', metavar='UNIT', help='unit of the EMG: V, mV, uV, nV, or volts per unit (1e-5)'
    )
    signals.add_argument('--rate', type=float, metavar='HZ', help='EMG samples per second')
    kinds = signals.add_mutually_exclusive_group()
    kinds.add_argument(
        '--envelope',
        action='store_const',
        const='envelope',
        dest='kind',
        help='the EMG is already rectified and smoothed',
    )
    kinds.add_argument(
        '--raw',
        action='store_const',
        const='raw',
        dest='kind',
        help='the EMG is neither rectified nor smoothed',
    )
    signals.add_argument(
        '--emg-columns',
        metavar='COLUMNS',
        help='columns, channels or signals of the EMG: names, patterns (emg_*), numbers or ranges '
        '(2-9), separated by commas; counted from 1, for BrainFlow from 0',
    )
    signals.add_argument(
        '--angles',
        metavar='JOINT=COLUMN,...',
        help='column of the angle of each joint; default: the columns named like joints',
    )
    signals.add_argument('--angle-unit', choices=tuple(RADIANS), help='default: as stated, or rad')
    signals.add_argument('--time-column', metavar='COLUMN', help='column of the times')
    signals.add_argument('--time-unit', choices=tuple(SECONDS), help='default: by its name, or s')
    signals.add_argument('--movement-column', metavar='COLUMN', help='column of the movement')
    signals.add_argument('--repetition-column', metavar='COLUMN', help='column of the repetition')
    signals.add_argument(
        '--stream', metavar='NAME', help='stream, topic or feature of the EMG (XDF, bags, LeRobot)'
    )
    signals.add_argument(
        '--mapping', type=Path, metavar='FILE.yaml', help='topics and fields of a bag'
    )
    signals.add_argument(
        '--database', choices=get_args(Database), help='Ninapro database, instead of detecting it'
    )
    signals.add_argument(
        '--angles-file', type=Path, metavar='DB9.mat', help='calibrated angles of Ninapro DB9'
    )
