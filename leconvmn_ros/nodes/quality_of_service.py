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

"""The QoS profiles of topics, one per kind of data.

Parameters `qos_overrides.<topic>.<subscription or publisher>.<policy>` override them.
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
# samples, and at 1 kHz in single-sample messages, 5 messages pass before one image has gone
# through the network.
EMG_INPUT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=200,
    reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
)

# For passive readers: best effort, so that they never hold a writer back.
ONLOOKER = EMG_INPUT

# Joint states as in robot_state_publisher and joint_state_broadcaster, and the topics of a replay:
# reliable, which matches readers of either kind.
RELIABLE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1000,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)

# Poses to follow now: only the newest count, and best effort accepts either kind of writer.
POSE_INPUT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=10,
    reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
)

# Only the newest message of the person at the switch counts.
DEAD_MAN = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
)

# A motor command is outdated by the next one.
COMMAND = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)

# A label, or a note that something has ended, is valid until the next one: late joiners get it.
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1000,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

# Only the newest message counts, also for late joiners.
NEWEST = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

# With reliable and keep-all on both sides, nothing is lost at any rate: a full reader makes the
# writer wait (back-pressure).
LOSSLESS = QoSProfile(
    history=HistoryPolicy.KEEP_ALL,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)

# Deadline and liveliness in nanoseconds, 0 = none. A reader that requests one receives only from
# publishers that offer it, so by default none is requested.
_OVERRIDABLE = (
    QoSPolicyKind.HISTORY,
    QoSPolicyKind.DEPTH,
    QoSPolicyKind.RELIABILITY,
    QoSPolicyKind.DEADLINE,
    QoSPolicyKind.LIVELINESS,
    QoSPolicyKind.LIVELINESS_LEASE_DURATION,
)


def overridable(profile: QoSProfile, node: Node | None = None) -> dict[str, Any]:
    """Return the arguments of create_publisher and create_subscription for a profile.

    Parameters can override _OVERRIDABLE. The profile is copied, because rclpy writes the overrides
    of one topic into it.

    Args:
        profile: default profile of the topic.
        node: if its parameter `lossless` is true, the profile is LOSSLESS instead.
    """
    lossless = node is not None and node.get_parameter('lossless').value
    return {
        'qos_profile': copy(LOSSLESS if lossless else profile),
        'qos_overriding_options': QoSOverridingOptions(_OVERRIDABLE),
    }


def publish_patiently(publisher: Publisher, message: Any, give_up: Callable[[], bool]) -> bool:
    """Publish, however long keep-all readers are full; return False if given up.

    The middleware itself waits for only a tenth of a second and then reports an error.
    """
    while True:
        try:
            publisher.publish(message)
        except RuntimeError:  # RCLError, which rclpy does not export
            if give_up():
                return False
            time.sleep(0.001)  # in any case, do not keep the processor busy
        else:
            return True
