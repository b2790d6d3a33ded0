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

from collections.abc import Callable
from copy import copy
import time
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)
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

# For a reader that only looks on: best effort, so that it can never hold a writer back.
ONLOOKER = EMG_INPUT

# Joint states, as robot_state_publisher and joint_state_broadcaster have them, and what a replay
# publishes: reliable, so that readers of either kind match.
RELIABLE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1000,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)

# Poses of a hand that is to be followed now: only the newest count, and best effort takes them
# from either kind of writer.
POSE_INPUT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=10,
    reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
)

# Only the newest word of the person who holds the switch counts.
DEAD_MAN = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
)

# A command to a motor is out of date with the next one.
COMMAND = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
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

# Of these only the newest message counts, also for readers that join late.
NEWEST = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
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

# Deadline and liveliness in nanoseconds, 0 = none: a reader that asks for one hears only those who
# offer it, so by default none does.
_OVERRIDABLE = (
    QoSPolicyKind.HISTORY,
    QoSPolicyKind.DEPTH,
    QoSPolicyKind.RELIABILITY,
    QoSPolicyKind.DEADLINE,
    QoSPolicyKind.LIVELINESS,
    QoSPolicyKind.LIVELINESS_LEASE_DURATION,
)


def overridable(profile: QoSProfile, node: Node | None = None) -> dict[str, Any]:
    """Return what create_publisher and create_subscription take for a profile.

    Parameters can override _OVERRIDABLE. The profile is copied, because rclpy
    writes the overrides of one topic into it.

    Args:
        profile: how the topic is carried by default.
        node: where its parameter `lossless` is true, the profile is LOSSLESS instead.
    """
    lossless = node is not None and node.get_parameter('lossless').value
    return {
        'qos_profile': copy(LOSSLESS if lossless else profile),
        'qos_overriding_options': QoSOverridingOptions(_OVERRIDABLE),
    }


def publish_patiently(publisher: Publisher, message: Any, give_up: Callable[[], bool]) -> bool:
    """Publish, however long readers with keep-all leave no room; False if given up.

    The middleware waits for room too, but only for a tenth of a second; then it reports an error.
    """
    while True:
        try:
            publisher.publish(message)
        except RuntimeError:  # RCLError, which rclpy does not export
            if give_up():
                return False
            time.sleep(0.001)  # whatever else it may be, do not keep the processor busy
        else:
            return True
