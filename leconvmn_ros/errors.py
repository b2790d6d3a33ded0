# Copyright 2026 The leconvmn_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The errors a caller may want to catch; each message names the offending value and what is allowed."""


class LeconvmnError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigurationError(LeconvmnError):
    """A setting is outside what is allowed, or settings contradict each other."""


class MalformedMessageError(LeconvmnError):
    """A message does not hold what its type promises."""


class RecordingError(LeconvmnError):
    """A recording (bag, .mat file) cannot be read, written, or used for what was asked."""


class CheckpointError(LeconvmnError):
    """A checkpoint is missing, damaged, foreign, or does not fit its use."""
