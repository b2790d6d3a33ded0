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

"""List the EMG sources: what is installed, what is found now, and the options of each.

With SOURCE, only that source is searched. Searching for Bluetooth devices and streams takes some
seconds. The node emg_source uses a source: ros2 run leconvmn_ros emg_source --ros-args
-p source:=brainflow -p options:="board=CYTON serial_port=/dev/ttyUSB0"
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('source', nargs='?', metavar='SOURCE', help='list only this source')
