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

"""Decode bags with a checkpoint, without ROS, and score them.

The decoder is the same as in the ROS node. By default only the held-out part is scored. The first
table has the held-out repetitions in random order, as one stream of EMG: these are the scores to
expect in use. The second table has the order of the recording, as in papers; for it, everything
is decoded, since the state runs through the whole recording. With several bags, the scores cover
all of them together.
"""

import argparse
from pathlib import Path

from leconvmn_ros.commands.arguments import (
    add_device,
    add_engine,
    add_output_rate,
    add_reference,
    add_reference_lag,
    add_threads,
    add_topics,
    number,
    png,
)
from leconvmn_ros.commands.output_file import output_file
from leconvmn_ros.evaluation.shuffled_order import DEFAULT_ORDERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'checkpoint', type=Path, metavar='CHECKPOINT', help='folder written by train'
    )
    parser.add_argument(
        'bags', nargs='+', type=Path, metavar='BAG', help='recordings with reference angles'
    )
    parser.add_argument('--json', type=output_file, metavar='FILE', help='write the scores here')
    parser.add_argument(
        '--plot', type=png, metavar='FILE.png', help='plot estimated and true angles here'
    )
    parser.add_argument(
        '--estimates',
        type=output_file,
        metavar='FILE.csv',
        help='write all estimates here (one bag only)',
    )
    parser.add_argument(
        '--part',
        choices=('test', 'all'),
        default='test',
        help='score the held-out part, or everything',
    )
    add_output_rate(parser)
    parser.add_argument(
        '--orders',
        type=number(int, 0, 100),
        default=DEFAULT_ORDERS,
        metavar='N',
        help='random orders of the held-out repetitions; 0 = only the order of the recording',
    )
    parser.add_argument(
        '--seed', type=number(int, 0, 2**31 - 1), default=0, metavar='N', help='of these orders'
    )
    add_reference(parser, default=None, remark='default: as in the training')
    add_reference_lag(parser, default=None)
    add_topics(parser)
    add_device(parser)
    add_engine(parser, 'the network')
    add_threads(parser, meaning_of_0='as many as the network needs')
