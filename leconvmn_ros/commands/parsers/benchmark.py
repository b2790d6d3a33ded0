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

"""Compare models over subjects: train, decode and score each preset on each bag, then report.

Each bag is one subject. The folder gets results.json, CSV files and report.html, and in runs/ the
checkpoint and the result of each run. A benchmark that was stopped goes on where it was when the
same command is given again; runs that are there and fit are not done again.
"""

import argparse
from pathlib import Path

from leconvmn_ros.commands.arguments import add_device, add_protocol, add_topics, integers, number
from leconvmn_ros.decoding.decoder import DEFAULT_OUTPUT_RATE
from leconvmn_ros.training.presets import CURRENT_PRESETS, PRESETS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'bags',
        nargs='*',
        type=Path,
        metavar='BAG',
        help='recordings with reference angles, one per subject',
    )
    parser.add_argument(
        '--development',
        nargs='+',
        type=Path,
        default=[],
        metavar='BAG',
        help='recordings of people on whom something is chosen (presets, hyperparameters); their '
        'scores flatter and stand apart',
    )
    parser.add_argument(
        '--report',
        nargs='+',
        type=Path,
        default=[],
        metavar='BAG',
        help='instead of BAG, beside --development: recordings of people who chose nothing; the '
        'same person or EMG in both is refused',
    )
    parser.add_argument(
        '--output', required=True, type=Path, metavar='FOLDER', help='folder of the results'
    )
    parser.add_argument(
        '--presets',
        type=_names,
        default=','.join(CURRENT_PRESETS),
        metavar='NAME,NAME',
        help='models to compare, in the order of the report',
    )
    parser.add_argument(
        '--against',
        choices=list(PRESETS),
        help='the model that the others are tested against, instead of the first',
    )
    parser.add_argument(
        '--seeds',
        type=integers('seeds such as 0,1'),
        default='0',
        metavar='N,N',
        help='a run for each of them',
    )
    parser.add_argument(
        '--output-rate',
        type=number(float, 0, 1000),
        default=DEFAULT_OUTPUT_RATE,
        metavar='HZ',
        help='estimates per second to score; 0 = one per image',
    )
    parser.add_argument(
        '--workers',
        type=number(int, 1, 4096),
        metavar='N',
        help='runs at a time on this machine (default: one for each core; on a GPU, as many as it '
        'has memory for)',
    )
    parser.add_argument(
        '--threads',
        type=number(int, 1, 256),
        default=1,
        metavar='N',
        help='CPU threads of each run',
    )
    parser.add_argument(
        '--ray',
        metavar='ADDRESS',
        help='run on a Ray cluster: auto or host:port of one that runs, or local (needs the '
        'extra "ray")',
    )
    parser.add_argument(
        '--gpus-per-run',
        type=number(float, 0, 64),
        metavar='X',
        help='GPUs that each run asks Ray for, instead of one where the cluster has any',
    )
    parser.add_argument(
        '--report-only',
        action='store_true',
        help='run nothing, report what is in the folder (no BAG then)',
    )
    add_protocol(parser)
    add_topics(parser)
    add_device(parser)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(','))
    for name in names:
        if name not in PRESETS or names.count(name) > 1:
            raise argparse.ArgumentTypeError(
                f'{text!r} is not a list of different presets; there are {", ".join(PRESETS)}'
            )
    return names
