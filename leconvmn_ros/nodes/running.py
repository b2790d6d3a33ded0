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

"""Starts, spins and ends a node process, in the same way for all nodes."""

from collections.abc import Callable
import gc
import os
import sys
from traceback import extract_tb
from typing import Any, Protocol

from leconvmn_ros.core.errors import ConfigurationError, LeconvmnError
from leconvmn_ros.nodes.ending import ASKED_TO_END, EndRequested, handle_signals, interruptible
from leconvmn_ros.nodes.log_folder import check_log_folder
from leconvmn_ros.nodes.throttled_log import ThrottledLog
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from rclpy.timer import Timer

# A waiting executor notices a signal after at most this time (s).
SIGNAL_LATENCY = 0.1


class FinishingNode(Protocol):
    """An rclpy node that signals its end.

    Attributes:
        done: completed with the exit code of the process when the node has finished.
    """

    done: Future

    def close(self) -> None:
        """Finish all work; called once, whatever ended the node."""

    def destroy_node(self) -> None:
        """Release rclpy's resources of the node."""

    def get_logger(self) -> Any:
        """Return the logger of rclpy."""


def run_node(make_node: Callable[[], FinishingNode]) -> None:
    """Run one node until it is done, or until SIGINT or SIGTERM, and exit the process.

    No message ends a node: exceptions of callbacks are logged, and the node goes on.
    """
    code = _run(make_node)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: everything is closed, and shutting down an interpreter with torch and its
    # threads takes up to a second, in which another SIGINT would end it with code -2.
    os._exit(code)


def _run(make_node: Callable[[], FinishingNode]) -> int:
    handle_signals()
    try:
        _start_ros()
        return _make_and_spin(make_node)
    except EndRequested:
        return 0
    except LeconvmnError as error:
        if ASKED_TO_END.is_set():
            return 0  # it failed because of the interruption
        rclpy.logging.get_logger('leconvmn_ros').fatal(str(error))
        return 1
    finally:
        # The node is unreachable now, but may be part of a reference cycle. It holds shared
        # memory, which nobody frees after the end of the process.
        gc.collect()
        rclpy.try_shutdown()


def _make_and_spin(make_node: Callable[[], FinishingNode]) -> int:
    with interruptible():
        node = _made(make_node)
    try:
        return _spin(node)
    finally:
        node.close()
        node.destroy_node()


def _spin(node: FinishingNode) -> int:
    """Run callbacks until the node is done or a signal came; return the exit code."""
    executor = SingleThreadedExecutor()
    log = ThrottledLog(node.get_logger())
    try:
        executor.add_node(node)
        # Not spin_until_future_complete, which on Jazzy keeps a callback for every message.
        while not (ASKED_TO_END.is_set() or node.done.done()):
            try:
                executor.spin_once(timeout_sec=SIGNAL_LATENCY)
            except Exception as error:  # noqa: BLE001 - from any message or service
                log.error(_place(error), _describe(error))  # noqa: TRY400 - one line
            log.flush()
    finally:
        # Otherwise the garbage collector may free it after its own guard condition, with an error.
        executor.shutdown()
    return int(node.done.result()) if node.done.done() else 0


def _place(error: Exception) -> str:
    frames = extract_tb(error.__traceback__)
    return f'{frames[-1].filename}:{frames[-1].lineno}' if frames else 'unknown place'


def _describe(error: Exception) -> str:
    """Describe an error in one line; the usual cause is /clock."""
    text = ' '.join(str(error).split()) or 'no reason given'
    return f'a callback failed and was skipped: {type(error).__name__}: {text} ({_place(error)})'


def _start_ros() -> None:
    check_log_folder()
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # raised by rcl for unreadable arguments
        raise _explained('ROS arguments', error) from error


def _made(make_node: Callable[[], FinishingNode]) -> FinishingNode:
    try:
        return make_node()
    except RuntimeError as error:  # includes RCLError, which rclpy does not export
        raise _explained('cannot start', error) from error


def _explained(origin: str, error: RuntimeError) -> ConfigurationError:
    """Return rcl's error, with advice if security was requested (rcl itself says little)."""
    reason = ' '.join(str(error).split())
    silent = 'error not set' in reason  # rcl without a keystore
    asked_for = os.environ.get('ROS_SECURITY_ENABLE') == 'true'
    if not (asked_for and (silent or 'security' in reason.lower())):
        return ConfigurationError(f'{origin}: {reason}')
    asked = ', '.join(
        f'{name}={os.environ.get(name, "(not set)")}'
        for name in ('ROS_SECURITY_ENABLE', 'ROS_SECURITY_STRATEGY', 'ROS_SECURITY_KEYSTORE')
    )
    return ConfigurationError(
        f'the environment asks for security ({asked}), and ROS cannot start with it: {reason}. '
        'It needs a keystore (ros2 security generate_artifacts) named by ROS_SECURITY_KEYSTORE, '
        "the node's enclave in it (such as --ros-args --enclave /leconvmn_ros/decoder), "
        'and a middleware built with security, which the wheels on PyPI are not. To go without: '
        'ROS_SECURITY_ENABLE=false'
    )


def every(period: float, node: Node, callback: Callable[[], None]) -> Timer:
    """Call back at a period of real time (s), even if use_sim_time is set."""
    return node.create_timer(period, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))
