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

"""The replay node: plays a bag, topic by topic under its own (relative) name, with `/clock`.

Publishes `replay_done` (latched) when the bag is over; the service `~/pause` holds and resumes.
"""

from importlib import import_module
from pathlib import Path
import re
from threading import Thread
import time
from typing import Any

from leconvmn_ros.bags import open_bag, OpenBag
from leconvmn_ros.emg_message import stamp_to_ns
from leconvmn_ros.errors import ConfigurationError, LeconvmnError
from leconvmn_ros.nodes.quality_of_service import EMG_OUTPUT, LATCHED, LOSSLESS, overridable
from leconvmn_ros.nodes.running import declare, run_node
from leconvmn_ros.playback import Playback
from leconvmn_ros.recording import NANOSECONDS
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.task import Future
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool
from std_srvs.srv import SetBool

# What a recorder picks up beside the data; playing it back would upset the running system.
NEVER_PLAYED = {'clock', 'rosout', 'parameter_events', 'replay_done'}
CLOCK_PERIOD_NS = NANOSECONDS // 100
LATCHED_TYPES = {'leconvmn_ros/msg/MovementLabel'}


class ReplayNode(Node):
    """Wires a bag and `Playback` to topics, parameters and a service."""

    def __init__(self) -> None:
        """Declare the parameters, open the bag and start to play.

        Raises:
            ConfigurationError: a parameter is not allowed.
            RecordingError: the bag cannot be read.
        """
        super().__init__('replay')
        self.done = Future()
        declare(self, 'bag', '', 'rosbag2 folder to play')
        declare(
            self,
            'rate',
            1.0,
            'bag seconds per second; 0 = as fast as reliable readers take it',
            allowed=(0.0, 1000.0),
        )
        declare(
            self,
            'start_offset',
            0.0,
            'where to start (s after the start of the bag)',
            allowed=(0.0, 1e6),
        )
        declare(self, 'duration', 0.0, 'how much to play (s), 0 = to the end', allowed=(0.0, 1e6))
        declare(self, 'loop', False, 'start again at the end')
        declare(
            self,
            'stamps',
            'original',
            "header stamps: 'original', or 'now' = shifted to the present",
        )
        declare(self, 'publish_clock', True, 'publish bag time on /clock')
        declare(self, 'start_paused', False, 'wait for ~/pause with data: false')
        declare(
            self,
            'subscribers',
            0,
            'wait until so many have subscribed to the EMG',
            allowed=(0, 100),
        )
        declare(
            self,
            'subscriber_timeout',
            10.0,
            'wait so long for them (s), then play anyway',
            allowed=(0.0, 3600.0),
        )
        self._playback = Playback(self.get_parameter('rate').value)
        if self.get_parameter('start_paused').value:
            self._playback.pause()
        self._restamp = self._stamps_now()
        self._clock_publisher = self.create_publisher(Clock, '/clock', 10)
        self._over = self.create_publisher(Bool, 'replay_done', LATCHED)
        self._bag = self._open()
        self._players: dict[str, Publisher] = {}
        for topic, info in self._bag.topics.items():
            self._add_publisher(topic, info.type_name)
        self.create_service(SetBool, '~/pause', self._on_pause)
        self.create_timer(0.1, lambda: None)  # lets an idle node notice SIGTERM
        self._thread = Thread(target=self._play_to_the_end, name='playback', daemon=True)
        self._thread.start()

    def _stamps_now(self) -> bool:
        stamps = self.get_parameter('stamps').value
        if stamps not in {'original', 'now'}:
            raise ConfigurationError(
                f"parameter stamps is {stamps!r}; allowed are 'original' and 'now'"
            )
        return bool(stamps == 'now')

    def _open(self) -> OpenBag:
        path = self.get_parameter('bag').value
        if not path:
            raise ConfigurationError('parameter bag is empty; give the folder of a bag')
        return open_bag(Path(path)).__enter__()

    def _add_publisher(self, topic: str, type_name: str) -> None:
        name = topic.lstrip('/')
        if name in NEVER_PLAYED:
            return
        message_class = _message_class(type_name)
        if message_class is None:
            self.get_logger().warning(
                f'{topic} is left out: its type {type_name} is not installed'
            )
            return
        self._players[topic] = self.create_publisher(
            message_class, name, self._profile(type_name), qos_overriding_options=overridable()
        )

    def _profile(self, type_name: str) -> QoSProfile:
        if type_name in LATCHED_TYPES:
            return LATCHED
        return LOSSLESS if self.get_parameter('rate').value == 0 else EMG_OUTPUT

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        (self._playback.pause if request.data else self._playback.resume)()
        response.success, response.message = True, 'paused' if request.data else 'playing'
        return response

    def _play_to_the_end(self) -> None:
        code = 1
        try:
            self._wait_for_subscribers()
            code = self._play()
        except LeconvmnError as error:
            self.get_logger().fatal(str(error))
        finally:
            self.done.set_result(code)

    def _play(self) -> int:
        start_ns, end_ns = self._span()
        count, laps = 0, 0
        while laps == 0 or self.get_parameter('loop').value:
            laps += 1
            played = self._play_once(start_ns, end_ns)
            if played is None:
                return 0
            count += played
        for publisher in self._players.values():
            publisher.wait_for_all_acked(Duration(seconds=30))
        self._over.publish(Bool(data=True))
        self._over.wait_for_all_acked(Duration(seconds=5))
        self.get_logger().info(
            f'done: {count} messages of {(end_ns - start_ns) / NANOSECONDS:.1f} s played'
        )
        return 0

    def _play_once(self, start_ns: int, end_ns: int) -> int | None:
        """Play the chosen part once and return the number of messages, None if stopped."""
        self._playback.start(start_ns)
        shift_ns = self.get_clock().now().nanoseconds - start_ns if self._restamp else 0
        next_clock_ns, count = start_ns, 0
        with_clock = self.get_parameter('publish_clock').value
        for message in self._bag.messages(start_ns, topics=self._players):
            if message.log_ns > end_ns:
                break
            while with_clock and next_clock_ns <= message.log_ns:
                if not self._playback.wait(next_clock_ns):
                    return None
                self._publish_clock(next_clock_ns)
                next_clock_ns += CLOCK_PERIOD_NS
            if not self._playback.wait(message.log_ns):
                return None
            self._publish(message.topic, message.data, shift_ns)
            count += 1
        return count

    def _publish(self, topic: str, data: bytes, shift_ns: int) -> None:
        publisher = self._players[topic]
        message = deserialize_message(data, publisher.msg_type)
        if shift_ns and hasattr(message, 'header'):
            _set_time(message.header.stamp, stamp_to_ns(message.header.stamp) + shift_ns)
        publisher.publish(message)

    def _publish_clock(self, now_ns: int) -> None:
        message = Clock()
        _set_time(message.clock, now_ns)
        self._clock_publisher.publish(message)

    def _span(self) -> tuple[int, int]:
        """Return log times of the first and the last message to play (ns)."""
        offset, duration = (
            self.get_parameter(name).value for name in ('start_offset', 'duration')
        )
        start_ns = self._bag.start_ns + round(offset * NANOSECONDS)
        if start_ns > self._bag.end_ns:
            length = (self._bag.end_ns - self._bag.start_ns) / NANOSECONDS
            raise ConfigurationError(
                f'start_offset {offset} s is beyond the end of the bag, which has {length:g} s'
            )
        end_ns = start_ns + round(duration * NANOSECONDS) if duration else self._bag.end_ns
        return start_ns, min(end_ns, self._bag.end_ns)

    def _wait_for_subscribers(self) -> None:
        wanted, timeout = (
            self.get_parameter(name).value for name in ('subscribers', 'subscriber_timeout')
        )
        emg = [
            p
            for topic, p in self._players.items()
            if self._bag.topics[topic].type_name.endswith('/EmgArray')
        ]
        deadline = time.monotonic() + timeout
        while any(publisher.get_subscription_count() < wanted for publisher in emg):
            if time.monotonic() > deadline:
                self.get_logger().warning(
                    f'fewer than {wanted} subscribers after {timeout:g} s, playing all the same'
                )
                return
            time.sleep(0.02)

    def close(self) -> None:
        """Stop playing and close the bag."""
        self._playback.stop()
        self._thread.join(timeout=5)
        self._bag.__exit__(None, None, None)


def _message_class(type_name: str) -> Any:
    """Find an installed message class, None if there is none.

    The name comes from the bag, so it is checked before anything is imported.
    """
    parts = re.fullmatch(r'([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)', type_name)
    if parts is None:
        return None
    try:
        found = getattr(import_module(f'{parts[1]}.msg'), parts[2], None)
    except ImportError:
        return None
    return found if hasattr(found, 'get_fields_and_field_types') else None


def _set_time(stamp: Any, time_ns: int) -> None:
    stamp.sec, stamp.nanosec = divmod(time_ns, NANOSECONDS)


def main() -> None:
    """Run the node: `ros2 run leconvmn_ros replay --ros-args -p bag:=FOLDER`."""
    run_node(ReplayNode)
