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
checkpoint and the result of each run. The same command resumes a stopped benchmark; runs with a
valid result are not repeated.

--protocol redonning measures the gain from adaptation after the electrodes were put on again. Bags
are grouped by person and session, from `subject` and `donning` in their description, or else from
their path PERSON/SESSION. Decoders are trained on the first sessions of a person. In each later
session one repetition of each movement is used for calibration and the others are scored, in
shuffled order: without adaptation, after adaptation without labels or with prompts, and with a
decoder trained on that session (on all repetitions but the last, which is scored). With --changes
the bags are single recordings, whose held-out repetitions are turned into sessions by randomly
drawn changes. The folder then gets results.json and results.csv.
"""

import argparse
from pathlib import Path
from typing import get_args

from leconvmn_ros.benchmark.changes import Change
from leconvmn_ros.commands.arguments import (
    add_device,
    add_output_rate,
    add_protocol,
    add_topics,
    different,
    integers,
    number,
)
from leconvmn_ros.training.presets import CURRENT_PRESETS, PRESETS

# The protocol of sessions, beside those that hold out a part of one recording.
REDONNING = 'redonning'


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
        help='recordings of people used for choices (presets, hyperparameters); their scores are '
        'optimistic and reported separately',
    )
    parser.add_argument(
        '--report',
        nargs='+',
        type=Path,
        default=[],
        metavar='BAG',
        help='instead of BAG, with --development: recordings of people not used for any choice; '
        'the same person or EMG in both is rejected',
    )
    parser.add_argument(
        '--output', required=True, type=Path, metavar='FOLDER', help='folder of the results'
    )
    parser.add_argument(
        '--presets',
        type=different(tuple(PRESETS), 'presets'),
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
        help='seeds, one run for each',
    )
    add_output_rate(parser)
    parser.add_argument(
        '--workers',
        type=number(int, 1, 4096),
        metavar='N',
        help='runs at a time on this machine (default: one for each core; on a GPU, as many as '
        'fit in its memory)',
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
        help='run on a Ray cluster: auto or host:port of a running one, or local (needs the '
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
        help='run nothing, report the results in the folder (without BAG)',
    )
    add_protocol(parser, REDONNING)
    _add_redonning(parser)
    add_topics(parser)
    add_device(parser)


def _add_redonning(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('options of --protocol redonning')
    group.add_argument(
        '--train-sessions',
        type=integers('numbers of sessions such as 1,3', number(int, 1, 1000)),
        metavar='N,N',
        help='train on this many first sessions, in turn (default: 1)',
    )
    group.add_argument(
        '--unlabelled',
        type=integers('seconds such as 30,90', number(int, 0, 3600)),
        metavar='S,S',
        help='adapt by this many seconds of a new session, without labels, in turn (default: 30), '
        'rounded to whole movements; 0 = none',
    )
    group.add_argument(
        '--prompted',
        type=integers('seconds such as 30,90', number(int, 0, 3600)),
        metavar='S,S',
        help='adapt by this many seconds with prompts, in turn (default: 30); 0 = none',
    )
    group.add_argument(
        '--changes',
        type=different(get_args(Change), 'changes'),
        metavar='NAME,NAME',
        help=f'simulate new sessions of single recordings: {", ".join(get_args(Change))}',
    )
    group.add_argument(
        '--draws',
        type=number(int, 1, 1000),
        metavar='N',
        help='draws of each change, for each seed (default: 4)',
    )
    group.add_argument(
        '--no-upper-bound',
        dest='upper_bound',
        action='store_const',
        const=False,
        help='do not train a decoder on each new session, which takes most of the time',
    )
    group.add_argument(
        '--settle',
        type=number(float, 0, 60),
        metavar='S',
        help='leave the first seconds after each change of the movement out of the score, for '
        'recordings joined from pieces (default: 0)',
    )
    group.add_argument(
        '--rings',
        type=integers('numbers of electrodes such as 8 or 8,8', number(int, 3, 256)),
        metavar='N,N',
        help='electrodes of each band, in the order of the channels, if the bags do not '
        'describe them',
    )
    group.add_argument(
        '--decoders',
        type=Path,
        metavar='FOLDER',
        help='folder of a benchmark of the same bags: with --changes, its decoders are used '
        'instead of training new ones',
    )
