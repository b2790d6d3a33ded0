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

"""Builds messages for /diagnostics from states, as in REP-107."""

from collections.abc import Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from leconvmn_ros.core.status import Status

TOPIC = '/diagnostics'
PERIOD = 1.0  # s


def diagnostic_array(
    node_name: str, stamp: Any, statuses: Sequence[Status], hardware_id: str = ''
) -> DiagnosticArray:
    """Make the message.

    Args:
        node_name: fully qualified name of the reporting node.
        stamp: time of the report, a builtin_interfaces/Time.
        statuses: state of each part of the node.
        hardware_id: device or topic concerned; by default the node itself.
    """
    message = DiagnosticArray()
    message.header.stamp = stamp
    message.status = [
        DiagnosticStatus(
            level=bytes([status.level]),
            name=f'{node_name.lstrip("/")}: {status.part}',
            message=status.summary,
            hardware_id=hardware_id or node_name.lstrip('/'),
            values=[KeyValue(key=key, value=value) for key, value in status.values.items()],
        )
        for status in statuses
    ]
    return message
