# Copyright 2026 The leconvmn_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes; all that is not wiring lives outside this package."""
