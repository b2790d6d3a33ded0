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

"""The errors a caller may want to catch; a message names the bad value and what is allowed."""


class LeconvmnError(Exception):
    """Base of every error this package raises on purpose; its text is one line.

    A foreign file or message may put text into it: line breaks and control characters are escaped.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


def printable(text: str) -> str:
    """Return a text as one line that is safe to print on a terminal.

    Strangers choose the names of files, topics, joints and movements. Line breaks, escape
    sequences, characters that change the direction of writing, and undecodable bytes are escaped.
    Everything that prints, logs or lays out such a name passes it through this function.
    """
    return ''.join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


class ConfigurationError(LeconvmnError):
    """A setting is outside what is allowed, or settings contradict each other."""


class MalformedMessageError(LeconvmnError):
    """A message breaks the contract of its type."""


class RecordingError(LeconvmnError):
    """A recording (bag, .mat file), or data made from it, cannot be used for the task."""


class SourceError(LeconvmnError):
    """An EMG device is missing or does not answer; it may come back later."""


class OutputError(LeconvmnError):
    """A result cannot be written where it was asked for."""


class CheckpointError(LeconvmnError):
    """A checkpoint is missing, damaged, foreign, or does not fit its use."""
