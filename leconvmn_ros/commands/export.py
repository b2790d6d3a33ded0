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

"""Runs `leconvmn_ros export`; its arguments are in parsers/export.py."""

import argparse

from leconvmn_ros.commands.progress import say
from leconvmn_ros.core.files import write_bytes
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.decoding.onnx_export import export


def run(arguments: argparse.Namespace) -> int:
    """Convert the network and write it."""
    data = export(load_checkpoint(arguments.checkpoint))
    write_bytes(arguments.output, data)
    say(f'{arguments.output}: {len(data)} bytes')
    return 0
