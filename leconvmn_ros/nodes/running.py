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
import sys
from typing import Protocol, TypeVar

from leconvmn_ros.errors import ConfigurationError, LeconvmnError
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

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
    rclpy.init()
    node = None
    try:
        node = make_node()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin_until_future_complete(node.done)
        return int(node.done.result() or 0) if node.done.done() else 0
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except LeconvmnError as error:
        rclpy.logging.get_logger('leconvmn_ros').fatal(str(error))
        return 1
    finally:
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()


def declare(
    node: Node,
    name: str,
    default: Value,
    description: str,
    *,
    allowed: tuple[Value, Value] | None = None,
) -> None:
    """Declare a read-only parameter with its description and the range allowed.

    Raises:
        ConfigurationError: the value given from outside is of another type or out of range.
    """
    descriptor = ParameterDescriptor(description=description, read_only=True)
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
            f'parameter {name}: {error}; '
            f'allowed is a {type(default).__name__}{allowed_text} ({description})'
        ) from error
