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

"""List the profiles of robot hands; show, check, fit, simulate or draft one.

A profile is one YAML file: the joints of the hand, what each follows, limits, speed, topic.
Without HAND, the profiles in the package are listed.

With the maker's URDF of the hand, and MuJoCo (pip install "leconvmn_ros[simulation]"):
  --check URDF     names, limits, couplings and directions against the URDF
  --simulate URDF  overlaps and pinch distances, a picture and a video
  --fit URDF       search pinches and the clearance of the thumb, and write them beside the profile
  --from URDF      draft a profile (without HAND)
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'hand', nargs='?', metavar='HAND', help='name of a profile, or the path of a .yaml file'
    )
    model = parser.add_mutually_exclusive_group()
    for option, help_text in (
        ('--check', 'compare the profile with this model'),
        ('--simulate', 'move this model as the profile says'),
        ('--fit', 'fit pinches and clearance to this model'),
    ):
        model.add_argument(option, type=Path, metavar='URDF', help=help_text)
    model.add_argument(
        '--from', type=Path, metavar='URDF', dest='source', help='draft a profile for this model'
    )
    parser.add_argument('--output', type=Path, metavar='FILE', help='output of --fit and --from')
    parser.add_argument(
        '--poses', type=int, default=1000, metavar='N', help='random human poses of --simulate'
    )
    parser.add_argument(
        '--picture', type=Path, metavar='FILE', help='PNG of the poses of --simulate'
    )
    parser.add_argument(
        '--video', type=Path, metavar='FILE', help='GIF or WebP of the motion of --simulate'
    )
