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

"""How a node ends on SIGINT and SIGTERM: soon, from any state, and without partial results.

rclpy's own handlers shut the middleware down first and raise KeyboardInterrupt anywhere, so the
final steps of a node (publishing, writing results) fail or are cut short; and an idle node can
miss a SIGTERM. Here a signal only sets a flag, which all long operations check. An exception
interrupts only work that may be dropped at any point, such as loading a network.
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
    """SIGINT or SIGTERM was received within `interruptible`. Only `run_node` catches it."""


class _AtOnce:
    """Whether a signal must raise EndRequested."""

    wanted = False


def handle_signals() -> None:
    """Make SIGINT and SIGTERM only set ASKED_TO_END, however often they are received."""
    for number in SIGNALS:
        signal.signal(number, _on_signal)


def _on_signal(_: int, __: FrameType | None) -> None:
    ASKED_TO_END.set()
    if _AtOnce.wanted:
        _AtOnce.wanted = False  # only once: cleaning up must not be interrupted
        raise EndRequested


@contextmanager
def interruptible() -> Iterator[None]:
    """End with EndRequested as soon as a signal comes, for work that may be dropped anywhere.

    Signals reach only the main thread; in other threads this has no effect.
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
