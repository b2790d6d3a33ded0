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

"""Runs `leconvmn_ros record`; its arguments are in parsers/record.py."""

import argparse

from leconvmn_ros.commands.progress import say
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.recordings.bag_recovery import recover_bag


def run(arguments: argparse.Namespace) -> int:
    """Record, or recover a recording."""
    if arguments.recover is not None:
        if arguments.topics or arguments.all:
            raise ConfigurationError('--recover takes no topics')
        count = recover_bag(arguments.recover)
        say(f'{arguments.recover}: {count} messages recovered')
        return 0
    # Import rclpy only now: --help and --recover work without ROS.
    from leconvmn_ros.nodes.recorder import record  # noqa: PLC0415

    record(
        arguments.output,
        arguments.topics,
        everything=arguments.all,
        duration=arguments.duration,
    )
    return 0
