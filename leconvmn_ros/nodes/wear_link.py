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

"""Connects the command `wear` to the ROS graph: status on the page, and pressed buttons.

It is a small node in the process of the command, with its own context and thread.
"""

from queue import Empty, SimpleQueue
from threading import Event, Thread
import time

from leconvmn_ros.nodes.quality_of_service import NEWEST
from leconvmn_ros.wearing.status import Action, GuideStatus
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String
from std_srvs.srv import Trigger

# The page forgets a guide after some seconds of silence (s).
HEARTBEAT = 0.5
# Time to discover other nodes (s).
DISCOVERY = 3.0


class WearLink:
    """Publishes `guide_status` and offers `wear/use`, `wear/adapt` and `wear/train`."""

    def __init__(self) -> None:
        """Join the graph of the environment."""
        self._status: GuideStatus | None = None
        self._pressed: SimpleQueue[Action] = SimpleQueue()
        self._over = Event()
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node('wear', context=self._context)
        self._publisher = self._node.create_publisher(String, 'guide_status', NEWEST)
        offered: tuple[Action, ...] = ('use', 'adapt', 'train')
        for action in offered:
            self._offer(action)
        self._node.create_timer(HEARTBEAT, self._publish)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = Thread(target=self._spin, name='wear link', daemon=True)
        self._thread.start()

    def _offer(self, action: Action) -> None:
        def press(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            status = self._status
            response.success = status is not None and action in status.actions
            if response.success:
                self._pressed.put(action)
            else:
                response.message = 'not now'
            return response

        self._node.create_service(Trigger, f'wear/{action}', press)

    def show(self, status: GuideStatus | None) -> None:
        """Show a status from now on; None leaves the page to the guide."""
        self._status = status
        self._publish()

    def pressed(self) -> Action | None:
        """Return a button pressed since the last call, None if none was."""
        try:
            return self._pressed.get_nowait()
        except Empty:
            return None

    def publishers(self, topics: tuple[str, ...]) -> list[str]:
        """Return the topics that somebody publishes, after time for discovery."""
        deadline = time.monotonic() + DISCOVERY
        found: list[str] = []
        while not found and time.monotonic() < deadline and not self._over.wait(0.1):
            found = [topic for topic in topics if self._node.count_publishers(topic)]
        return found

    def close(self) -> None:
        """Leave the graph."""
        self._over.set()
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _spin(self) -> None:
        while not self._over.is_set():
            try:
                self._executor.spin_once(timeout_sec=0.1)
            except ExternalShutdownException:
                return

    def _publish(self) -> None:
        status = self._status
        if status is not None:
            self._publisher.publish(String(data=status.to_json()))
