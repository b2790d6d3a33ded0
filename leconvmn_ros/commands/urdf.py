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

"""Runs `leconvmn_ros urdf`; its arguments are in parsers/urdf.py."""

import argparse

from leconvmn_ros.core.files import write_text
from leconvmn_ros.hands.urdf import ESTIMATE, GHOST, hand_urdf


def run(arguments: argparse.Namespace) -> int:
    """Write the file, or print it."""
    text = hand_urdf(arguments.side, GHOST if arguments.ghost else ESTIMATE)
    if arguments.output:
        write_text(arguments.output, text)
    else:
        print(text, end='')
    return 0
