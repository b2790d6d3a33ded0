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

"""Completes rclpy's life cycle: errors are reported, illegal requests refused."""

from collections.abc import Callable
from functools import wraps
from traceback import format_exc
from typing import Any, TypeVar

from leconvmn_ros.core.errors import LeconvmnError
from leconvmn_ros.nodes.ending import ASKED_TO_END
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

AnyNode = TypeVar('AnyNode', bound=LifecycleNode)
Transition = Callable[[AnyNode, LifecycleState], TransitionCallbackReturn]


def explained(transition: Transition[AnyNode]) -> Transition[AnyNode]:
    """Log why a transition failed, since rclpy silently drops its exception.

    An error of this package makes it a FAILURE (back to the state before), any other an ERROR.
    """

    @wraps(transition)
    def wrapper(node: AnyNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except LeconvmnError as error:
            node.get_logger().error(f'{transition.__name__}: {error}')
            return TransitionCallbackReturn.FAILURE
        except Exception:  # noqa: BLE001 - rclpy would catch it anyway
            if ASKED_TO_END.is_set():
                # Interrupted: some libraries convert EndRequested to an error of their own.
                return TransitionCallbackReturn.ERROR
            node.get_logger().error(f'{transition.__name__}: {format_exc()}')
            return TransitionCallbackReturn.ERROR

    return wrapper


def refuse_illegal_requests(node: LifecycleNode) -> None:
    """Answer a request for a transition that the state does not allow with success = False.

    On Jazzy rclpy raises an RCLError instead (Kilted answers).
    """
    name = node.resolve_service_name('~/change_state')
    service = next(service for service in node.services if service.service_name == name)
    change_state = service.callback

    def answer(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except RuntimeError as error:  # RCLError, which rclpy does not export
            node.get_logger().error(f'transition refused: {str(error).splitlines()[0]}')
            response.success = False
            return response

    service.callback = answer
