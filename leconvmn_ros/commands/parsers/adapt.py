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

"""Adapt a decoder to electrodes that moved since its training.

The EMG of the new session is compared with the training statistics of each movement. The command
estimates the rotation of the armband, detects a reversed armband and dead electrodes, and measures
the change of the gains. It writes a copy of the decoder with a map in front of its network. Labels
and angles in the bag are not read. If nothing moved, the copy equals the original. If the EMG is
not conclusive, the command fails and writes nothing.

With --prompted the bag is a guided session of the same movements, 30 to 100 s long, without a
glove. Its labels name the prompted movements. The weights are then fine-tuned as well, on the mean
trajectory of each movement in the training, aligned with the movement in the EMG.
"""

import argparse
from pathlib import Path

from leconvmn_ros.adaptation.unlabelled import DEFAULT_CONFIDENCE
from leconvmn_ros.commands.arguments import integers, number
from leconvmn_ros.recordings.bag_types import EMG_TOPIC, LABEL_TOPIC


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'checkpoint', type=Path, metavar='CHECKPOINT', help='folder that train wrote'
    )
    parser.add_argument(
        'bag',
        type=Path,
        metavar='BAG',
        help='EMG of the new session: a minute or more of all movements, in any order',
    )
    parser.add_argument(
        '--output',
        required=True,
        type=Path,
        metavar='CHECKPOINT',
        help='folder of the adapted decoder',
    )
    parser.add_argument(
        '--prompted',
        action='store_true',
        help='BAG is a guided session of the movements of the training: use its labels, and '
        'fine-tune the weights',
    )
    parser.add_argument(
        '--rings',
        type=integers('numbers of electrodes such as 8 or 8,8', number(int, 3, 256)),
        metavar='N,N',
        help='electrodes of each band, in the order of the channels, required if neither the '
        'decoder nor the bag describes them; 8 = one ring of 8',
    )
    parser.add_argument(
        '--least-confidence',
        type=number(float, 0, 1),
        default=DEFAULT_CONFIDENCE,
        metavar='SHARE',
        help='fail if the position of the electrodes is less certain, 0 to 1',
    )
    parser.add_argument(
        '--seed', type=number(int, 0, 2**31 - 1), default=0, help='seed of the fine-tuning'
    )
    parser.add_argument(
        '--emg-topic', default=EMG_TOPIC, metavar='TOPIC', help='topic of EmgArray messages'
    )
    parser.add_argument(
        '--label-topic',
        default=LABEL_TOPIC,
        metavar='TOPIC',
        help='topic of movement labels, for --prompted',
    )
