# Copyright 2026 The leconvmn_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How topics are carried: one profile per kind of data. All can be overridden by `qos_overrides.<topic>...` parameters."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

# Sensor data (best effort, volatile), but deeper than the usual 5: a recurrent decoder cannot skip samples, and at
# 1 kHz in single-sample messages 5 messages are over before one image has gone through the network.
EMG_INPUT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=200, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE
)

# Reliable, so that readers of either kind match.
EMG_OUTPUT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1000, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE
)

# As robot_state_publisher and joint_state_broadcaster have it.
JOINT_STATES = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1000, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE
)

# A label or a note that something is over holds until the next one: who comes late gets the last.
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1000,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

# With reliable and keep-all on both sides nothing is lost however fast the writer is: a full reader makes it wait.
LOSSLESS = QoSProfile(
    history=HistoryPolicy.KEEP_ALL, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE
)


def overridable() -> QoSOverridingOptions:
    """Let the parameters override history, depth and reliability."""
    return QoSOverridingOptions.with_default_policies()
