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

"""Go from a bare arm to a moving hand in one sitting: source, guided session, training, decoder.

Put the band on, open the page, follow the hand for some minutes, wait for the training, and move a
hand. Everything is kept in a folder; on the next day you can use its decoder again, or replace it
with a new session. Ctrl-C ends the command at any time: an interrupted session is continued later,
and an incomplete decoder is never kept.

--source synthetic is a simulated wearer who follows the cue. A bag as source has no wearer to
guide: the decoder is trained on the bag and then runs on its EMG.
"""

import argparse
from pathlib import Path

from leconvmn_ros.commands.arguments import number
from leconvmn_ros.core.ros_domain import domain_argument, OWN
from leconvmn_ros.sources.registry import source_names
from leconvmn_ros.training.presets import PRESETS
from leconvmn_ros.wearing.session import DEFAULT_SESSION

SYNTHETIC = 'synthetic'
REFERENCES = ('cue', 'camera', 'mirrored', 'glove')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        '--source',
        required=True,
        metavar='NAME',
        help=f'{", ".join(source_names())}, or the folder of a bag; see the command sources',
    )
    parser.add_argument(
        '--source-options',
        default='',
        metavar='WORDS',
        help="options of the source, such as 'board=CYTON serial_port=/dev/ttyUSB0'",
    )
    parser.add_argument(
        '--reference',
        choices=REFERENCES,
        default='cue',
        help='target of the training: the pose that was asked for (cue), a camera on the same '
        'hand, a camera on the other hand that mirrors it, or joint_states_reference of a glove',
    )
    parser.add_argument(
        '--camera', default='0', metavar='NAME', help='webcam, such as 0 or /dev/video0'
    )
    parser.add_argument(
        '--camera-model', type=Path, metavar='FILE', help='hand_landmarker.task of MediaPipe'
    )
    parser.add_argument(
        '--camera-calibration',
        default='',
        metavar='FILE',
        help='calibration by flat hand and fist, see the node hand_camera',
    )
    parser.add_argument('--hand', metavar='PROFILE', help='robot hand to move')
    parser.add_argument(
        '--hand-urdf',
        type=Path,
        metavar='FILE',
        help='show the robot hand on the page',
    )
    parser.add_argument(
        '--session',
        default=DEFAULT_SESSION,
        metavar='NAME',
        help='quick (2 min), standard (4 min), full (10 min), or a .yaml file',
    )
    parser.add_argument('--side', choices=('right', 'left'), default='right', help='the arm')
    parser.add_argument(
        '--output', type=Path, default=Path('wear'), metavar='FOLDER', help='folder for all files'
    )
    parser.add_argument(
        '--preset', choices=sorted(PRESETS), default='small', help='model and training'
    )
    again = parser.add_mutually_exclusive_group()
    again.add_argument('--use', action='store_true', help='use the last decoder')
    again.add_argument(
        '--adapt',
        action='store_true',
        help='adapt the last decoder to how the band sits now, by a session of 30 to 100 s',
    )
    again.add_argument('--again', action='store_true', help='record and train again')
    parser.add_argument(
        '--practice',
        action='store_true',
        help='after the training, run one more session and score the live estimates',
    )
    parser.add_argument(
        '--end', action='store_true', help='end when everything is done, without Ctrl-C'
    )
    parser.add_argument(
        '--speed',
        type=number(float, 0.1, 50),
        default=1.0,
        metavar='X',
        help='speed of the simulated wearer; for tests',
    )
    parser.add_argument(
        '--auto-start', action='store_true', help='start without a button once the signal is good'
    )
    parser.add_argument('--port', type=number(int, 1024, 65535), default=8080, help='of the page')
    parser.add_argument(
        '--domain',
        type=domain_argument,
        default=OWN,
        metavar='DOMAIN',
        help='ROS domain of the nodes: own (the default) = one that nobody else uses, current = '
        'that of the environment, or a number from 0 to 232; with --hand, that of the robot',
    )
