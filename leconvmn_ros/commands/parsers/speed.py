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

"""Time every stage of the decoder, in every engine, and the whole path over ROS 2.

Each stage is timed separately, after a warm-up, and compared with the peak rates of the machine
(matrix products and copies, measured in the same run). The whole path runs between processes: from
a source of noise to the decoder and back. Without CHECKPOINT, an untrained network is timed.
--limits finds instead the highest sampling rate that a decoder node sustains without loss, --check
the presets that this machine can run live.
"""

import argparse
from pathlib import Path

from leconvmn_ros.commands.arguments import (
    add_device,
    add_engine,
    add_output_rate,
    integers,
    number,
)
from leconvmn_ros.commands.output_file import output_file
from leconvmn_ros.training.presets import PRESETS

_CHANNELS = (1, 256)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'checkpoint', nargs='?', type=Path, metavar='CHECKPOINT', help='folder written by train'
    )
    parser.add_argument(
        '--preset', choices=sorted(PRESETS), default='paper', help='network without CHECKPOINT'
    )
    for name, kind, default, least, most, metavar, meaning in (
        ('channels', int, 12, *_CHANNELS, 'N', 'electrodes without CHECKPOINT'),
        ('sampling-rate', float, 2000.0, 1, 100_000, 'HZ', 'samples per second, likewise'),
        ('chunk', float, 0.01, 0, 1, 'S', 'length of a message (s); at least one sample'),
        ('threads', int, 1, 1, 256, 'N', 'CPU threads'),
        ('messages', int, 5000, 10, 10**7, 'N', 'calls of each stage'),
        ('steps', int, 50, 5, 10**6, 'N', 'steps of the network in each engine'),
        ('seconds', float, 10.0, 0, 86_400, 'S', 'duration of the whole path; 0 = skip it'),
    ):
        parser.add_argument(
            f'--{name}',
            type=number(kind, least, most),
            default=default,
            metavar=metavar,
            help=meaning,
        )
    add_output_rate(parser)
    add_engine(parser, 'the decoder over ROS 2')
    add_device(parser)
    parser.add_argument('--json', type=output_file, metavar='FILE', help='write the result here')
    parser.add_argument(
        '--limits',
        nargs='?',
        const=(16, 64, 256),
        type=integers('channel counts such as 16,64', number(int, *_CHANNELS)),
        metavar='N,N,...',
        help='find the highest rate that a decoder of --preset sustains with each of these '
        'channel counts (16,64,256), in runs of --seconds; takes minutes for each',
    )
    parser.add_argument(
        '--check',
        action='store_true',
        help='only list the presets that this machine can run live, with their output rates',
    )
    parser.add_argument(
        '--compare',
        nargs=2,
        type=Path,
        metavar=('A.json', 'B.json'),
        help='compare two results instead of measuring',
    )
