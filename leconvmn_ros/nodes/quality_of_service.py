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

"""How topics are carried: one profile per kind of data.

All can be overridden by parameters `qos_overrides.<topic>.<subscription or publisher>.<policy>`.
"""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

# Sensor data (best effort, volatile), but deeper than the usual 5: a recurrent decoder cannot skip
# samples, and at 1 kHz in single-sample messages 5 messages are over before one image has gone
# through the network.
EMG_INPUT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=200,
    reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
)

# Reliable, so that readers of either kind match.
EMG_OUTPUT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1000,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)

# As robot_state_publisher and joint_state_broadcaster have it.
JOINT_STATES = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1000,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)

# A label or a note that something is over holds until the next one: who comes late gets the last.
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1000,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

# With reliable and keep-all on both sides nothing is lost however fast the writer is: a full
# reader makes it wait.
LOSSLESS = QoSProfile(
    history=HistoryPolicy.KEEP_ALL,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)


def overridable() -> QoSOverridingOptions:
    """Let the parameters override history, depth and reliability."""
    return QoSOverridingOptions.with_default_policies()
