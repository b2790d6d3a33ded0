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

"""A log that cannot be flooded: at most one line a second for each cause."""

import time
from typing import Any

from leconvmn_ros.core.errors import printable

PERIOD = 1.0  # s


class ThrottledLog:
    """Writes to a logger of rclpy at most one line per period and cause.

    Further lines wait; `flush` writes the newest of each cause when it is due, with the number of
    lines that it represents. So the last line of a cause is always written.
    """

    def __init__(self, logger: Any, period: float = PERIOD) -> None:
        """Wrap a logger.

        Args:
            logger: logger of rclpy.
            period: least time between two lines of one cause (s).
        """
        self._logger = logger
        self._period = period
        self._written: dict[str, float] = {}
        self._waiting: dict[str, _Line] = {}

    def error(self, cause: str, text: str) -> None:
        """Write an error; `cause` must be a constant of the code, not foreign text."""
        self._write(cause, _Line('error', text))

    def warning(self, cause: str, text: str) -> None:
        """Write a warning, likewise."""
        self._write(cause, _Line('warning', text))

    def info(self, cause: str, text: str) -> None:
        """Write an information, likewise."""
        self._write(cause, _Line('info', text))

    def flush(self) -> None:
        """Write the lines that are due; call it regularly."""
        for cause in [cause for cause in self._waiting if self._may_write(cause)]:
            self._put(cause, self._waiting.pop(cause))

    def _write(self, cause: str, line: '_Line') -> None:
        waiting = self._waiting.pop(cause, None)
        if waiting is not None:
            line.count += waiting.count
        if self._may_write(cause):
            self._put(cause, line)
        else:
            self._waiting[cause] = line

    def _may_write(self, cause: str) -> bool:
        written = self._written.get(cause)
        return written is None or time.monotonic() - written >= self._period

    def _put(self, cause: str, line: '_Line') -> None:
        self._written[cause] = time.monotonic()
        # One call site per severity, since rclpy refuses a site whose severity changes.
        text = printable(line.text)
        if line.count > 1:
            text += f' ({line.count} times)'
        if line.severity == 'error':
            self._logger.error(text)
        elif line.severity == 'warning':
            self._logger.warning(text)
        else:
            self._logger.info(text)


class _Line:
    """A line to write, and how many it represents."""

    def __init__(self, severity: str, text: str) -> None:
        self.severity = severity
        self.text = text
        self.count = 1
