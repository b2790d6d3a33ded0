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

"""Recordings as rosbag2 bags: read them, write them, and make them from arrays of any origin.

    from leconvmn_ros.recordings import read_bag, write_bag

    write_bag('session1', emg, 200.0, angles, movement=movement, repetition=repetition)
    recording = read_bag('session1')

Names are loaded on first use, so that modules of this room stay cheap to import.
"""

from typing import TYPE_CHECKING

from leconvmn_ros.core.public_names import public_names

if TYPE_CHECKING:
    from leconvmn_ros.recordings.array_bag import write_arrays as write_bag
    from leconvmn_ros.recordings.bag_reader import open_bag, OpenBag
    from leconvmn_ros.recordings.bag_writer import BagWriter
    from leconvmn_ros.recordings.bags import read_bag

__all__ = ['BagWriter', 'OpenBag', 'open_bag', 'read_bag', 'write_bag']

__getattr__ = public_names(
    __name__,
    {
        'BagWriter': 'bag_writer.BagWriter',
        'OpenBag': 'bag_reader.OpenBag',
        'open_bag': 'bag_reader.open_bag',
        'read_bag': 'bags.read_bag',
        'write_bag': 'array_bag.write_arrays',
    },
)
