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

"""Recordings on disk: rosbag2 bags, read as recordings and written from arrays or messages."""

from leconvmn_ros.recordings.array_bag import write_arrays
from leconvmn_ros.recordings.bag_reader import open_bag
from leconvmn_ros.recordings.bag_writer import BagWriter
from leconvmn_ros.recordings.bags import read_bag, write_bag

__all__ = ['BagWriter', 'open_bag', 'read_bag', 'write_arrays', 'write_bag']
