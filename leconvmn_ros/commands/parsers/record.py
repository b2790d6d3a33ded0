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

"""Record topics to a bag (MCAP), without a ROS installation.

Without TOPIC it records everything that training and adaptation use: EMG and its description,
reference angles, movement labels, cues and estimates. Ctrl-C ends the recording and completes the
bag. If the recorder is killed, --recover completes its bag; the last second may be missing.
"""

import argparse
from pathlib import Path

from leconvmn_ros.commands.arguments import number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('topics', nargs='*', metavar='TOPIC', help='topics to record')
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument('--output', type=Path, metavar='BAG', help='folder to create')
    place.add_argument(
        '--recover', type=Path, metavar='BAG', help='folder left by a killed recorder'
    )
    parser.add_argument('--all', action='store_true', help='record every topic')
    parser.add_argument(
        '--duration',
        type=number(float, 0, 1e6),
        default=0.0,
        metavar='S',
        help='duration (s), 0 = until Ctrl-C',
    )
