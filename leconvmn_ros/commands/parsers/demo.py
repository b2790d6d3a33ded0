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

"""Run the whole chain in one command: recording, decoder, replay over ROS 2, scores.

Without RECORDING, a synthetic subject is generated, for which a trained decoder exists. With a
Ninapro .mat file or a bag, a decoder is trained on it. Replay, decoder and evaluator run as
separate processes, and the part that the training held out is scored. The recording is played as
fast as the decoder keeps up; nothing is lost, since the readers hold the replay back
(back-pressure). With --view it is played in real time and shown in the browser. The nodes have a
ROS domain of their own, so that the demo cannot move somebody's robot.
"""

import argparse
from pathlib import Path

from leconvmn_ros.commands.arguments import number
from leconvmn_ros.core.ros_domain import domain_argument, OWN
from leconvmn_ros.training.presets import PRESETS

DEFAULT_RATE = 0.0  # as fast as the nodes keep up


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'recording', nargs='?', type=Path, metavar='RECORDING', help='a Ninapro .mat file or a bag'
    )
    parser.add_argument(
        '--output', type=Path, default=Path('demo'), metavar='FOLDER', help='where everything goes'
    )
    parser.add_argument(
        '--preset', choices=sorted(PRESETS), default='small', help='size of the network'
    )
    parser.add_argument(
        '--rate',
        type=number(float, 0, 1000),
        metavar='X',
        help='speed of the replay, up to 1000; 1 = real time, 0 = as fast as the decoder '
        'keeps up; '
        f'default {DEFAULT_RATE:g}, 1 with --view',
    )
    parser.add_argument(
        '--domain',
        type=domain_argument,
        default=OWN,
        metavar='DOMAIN',
        help='ROS domain of the nodes: own (the default) = one that nobody else uses, current = '
        'that of the environment, or a number from 0 to 232',
    )
    parser.add_argument(
        '--view', action='store_true', help='show hand, EMG and angles live in the browser'
    )
