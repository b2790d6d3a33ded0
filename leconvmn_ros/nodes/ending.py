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

"""How a node ends on SIGINT and SIGTERM: soon, whatever it is doing, and nothing half done.

rclpy's own handlers shut the middleware down first and raise KeyboardInterrupt anywhere, so that
what a node does at its end (publish, write its results) fails or is cut short; and an idle node
can miss a SIGTERM. Here a signal sets a flag, which everything that takes long looks at. Only what
may be dropped at any point, such as loading a network, is interrupted by an exception.
"""

from collections.abc import Iterator
from contextlib import contextmanager
import signal
from threading import current_thread, Event, main_thread
from types import FrameType

# Set by SIGINT and SIGTERM.
ASKED_TO_END = Event()
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class EndRequested(BaseException):
    """SIGINT or SIGTERM came within `interruptible`. Nothing but `run_node` catches it."""


class _AtOnce:
    """Whether a signal is to raise EndRequested."""

    wanted = False


def handle_signals() -> None:
    """Let SIGINT and SIGTERM set ASKED_TO_END, however often they come, and nothing else."""
    for number in SIGNALS:
        signal.signal(number, _on_signal)


def _on_signal(_: int, __: FrameType | None) -> None:
    ASKED_TO_END.set()
    if _AtOnce.wanted:
        _AtOnce.wanted = False  # once: the way out must not be interrupted
        raise EndRequested


@contextmanager
def interruptible() -> Iterator[None]:
    """End with EndRequested as soon as a signal comes; for work that may be dropped at any point.

    Signals come to the main thread only; in another this does nothing.
    """
    if current_thread() is not main_thread():
        yield
        return
    if ASKED_TO_END.is_set():
        raise EndRequested
    before, _AtOnce.wanted = _AtOnce.wanted, True
    try:
        yield
    finally:
        _AtOnce.wanted = before and _AtOnce.wanted
