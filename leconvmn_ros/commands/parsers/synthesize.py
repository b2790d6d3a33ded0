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

"""Make the bag of a synthetic subject.

It has finger movements, the activity of the muscles that cause them, and their EMG on a ring of
electrodes, for trying things out without data. The same seed gives the same subject.
"""

import argparse
from pathlib import Path

from leconvmn_ros.commands.arguments import add_setting
from leconvmn_ros.synthetic.config import SyntheticSubjectConfig

OPTIONS = ('channels', 'sampling_rate', 'movements', 'repetitions', 'seed')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; those of the subject come from its configuration."""
    parser.add_argument(
        '--output', required=True, type=Path, metavar='BAG', help='folder of the new bag'
    )
    for name in OPTIONS:
        field = SyntheticSubjectConfig.model_fields[name]
        add_setting(parser, SyntheticSubjectConfig, name, field.default)
    parser.add_argument(
        '--chunk', type=float, default=0.02, metavar='S', help='duration of one EMG message (s)'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace an existing bag')
