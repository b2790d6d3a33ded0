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

"""Start, spin and end of a node process, and its parameters: the same for all nodes."""

from collections.abc import Callable
import os
import signal
import sys
from threading import Event
from typing import Protocol, TypeVar

from leconvmn_ros.errors import ConfigurationError, LeconvmnError
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from rclpy.timer import Timer

# A waiting executor does not see a signal until it has waited for so long (s).
SIGNAL_LATENCY = 0.1

# Set by SIGINT and SIGTERM; what waits for long looks at it.
ASKED_TO_END = Event()

Value = TypeVar('Value', bool, int, float, str)


class FinishingNode(Protocol):
    """An rclpy node that says when it is done.

    Attributes:
        done: completed with the exit code of the process when the node has nothing left to do.
    """

    done: Future

    def close(self) -> None:
        """Leave nothing half done; called once, whatever ended the node."""

    def destroy_node(self) -> None:
        """Give back what rclpy holds for the node."""


def run_node(make_node: Callable[[], FinishingNode]) -> None:
    """Run one node until it is done, or until SIGINT or SIGTERM, and exit the process."""
    sys.exit(_run(make_node))


def _run(make_node: Callable[[], FinishingNode]) -> int:
    _signals_set_the_flag()
    node = executor = None
    try:
        _start_ros()
        node = _made(make_node)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        # Not spin_until_future_complete: on Jazzy it keeps a callback for every message.
        while not (ASKED_TO_END.is_set() or node.done.done()):
            executor.spin_once(timeout_sec=SIGNAL_LATENCY)
        return int(node.done.result()) if node.done.done() else 0
    except LeconvmnError as error:
        rclpy.logging.get_logger('leconvmn_ros').fatal(str(error))
        return 1
    finally:
        if executor is not None:
            # Left to the garbage collector, it may go after its own guard condition and complain.
            executor.shutdown()
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()


def _start_ros() -> None:
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # what rcl says of arguments that it cannot read
        raise _explained('ROS arguments', error) from error


def _made(make_node: Callable[[], FinishingNode]) -> FinishingNode:
    try:
        return make_node()
    except rclpy_implementation.RCLError as error:
        raise _explained('ROS', error) from error


def _explained(origin: str, error: RuntimeError) -> ConfigurationError:
    """Say what rcl says, and what to do where it was asked for security (and says little)."""
    reason = ' '.join(str(error).split())
    silent = 'error not set' in reason  # as rcl is without a keystore
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


def _signals_set_the_flag() -> None:
    """Let SIGINT and SIGTERM do nothing but set ASKED_TO_END.

    rclpy's own handlers shut the middleware down first and raise KeyboardInterrupt anywhere, so
    that what a node does at its end (publish, write its results) fails or is cut short; and an
    idle node can miss a SIGTERM.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ASKED_TO_END.set())


def every(period: float, node: Node, callback: Callable[[], None]) -> Timer:
    """Call back every so many seconds of real time, also where use_sim_time is set."""
    return node.create_timer(period, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))


def declare(
    node: Node,
    name: str,
    default: Value,
    description: str,
    *,
    allowed: tuple[Value, Value] | None = None,
    read_only: bool = True,
) -> None:
    """Declare a parameter with its description and the range allowed.

    Raises:
        ConfigurationError: the value given from outside is of another type or out of range.
    """
    descriptor = ParameterDescriptor(description=description, read_only=read_only)
    if allowed is not None and isinstance(default, float):
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=allowed[0], to_value=allowed[1])
        ]
    elif allowed is not None:
        descriptor.integer_range = [IntegerRange(from_value=allowed[0], to_value=allowed[1])]
    try:
        node.declare_parameter(name, default, descriptor)
    except (
        rclpy.exceptions.InvalidParameterTypeException,
        rclpy.exceptions.InvalidParameterValueException,
    ) as error:
        allowed_text = f' from {allowed[0]} to {allowed[1]}' if allowed else ''
        raise ConfigurationError(
            f'parameter {name}: {str(error).removesuffix(f": {name}")}; '
            f'allowed: {type(default).__name__}{allowed_text} ({description})'
        ) from error
