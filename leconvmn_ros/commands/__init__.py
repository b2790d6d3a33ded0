# Copyright 2026 The leconvmn_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The commands of `leconvmn_ros`, one module each: `add_arguments` and `run`."""
