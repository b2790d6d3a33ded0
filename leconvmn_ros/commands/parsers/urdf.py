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

"""Write the human hand as URDF, for robot_state_publisher, RViz and other programs.

Its joints have the names of the angles that the decoder publishes.
"""

import argparse
from typing import get_args

from leconvmn_ros.commands.output_file import output_file
from leconvmn_ros.hands.urdf import Side


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('--side', choices=get_args(Side), default='right', help='which hand')
    parser.add_argument(
        '--ghost', action='store_true', help='thinner and grey, for the measured angles'
    )
    parser.add_argument(
        '--output',
        type=output_file,
        metavar='FILE',
        help='output file; default: standard output',
    )
