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

"""Measure how late the reference angles of a bag are, relative to its EMG.

A glove or camera and the EMG device have separate clocks. The search uses training data only and
distinguishes a clock offset from the delay that muscles always have. The bag is not changed.
"""

import argparse
from pathlib import Path

from leconvmn_ros.commands.arguments import add_protocol, add_topics, png
from leconvmn_ros.commands.output_file import output_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('bag', type=Path, metavar='BAG', help='recording with reference angles')
    parser.add_argument(
        '--json', type=output_file, metavar='FILE', help='write result and curve here'
    )
    parser.add_argument('--plot', type=png, metavar='FILE.png', help='draw the curve here')
    add_protocol(parser)
    add_topics(parser)
