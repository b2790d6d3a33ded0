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

"""The replay node: plays the topics of a bag under their own (relative) names, with `/clock`.

Publishes `replay_done` (latched) at the end; the service `~/pause` pauses and resumes.
"""

from collections.abc import Collection
from pathlib import Path
from threading import Event, Thread
import time
from typing import Any

from leconvmn_ros.core.errors import ConfigurationError, LeconvmnError, printable, RecordingError
from leconvmn_ros.core.recording import NANOSECONDS
from leconvmn_ros.emg.message import stamp_to_ns
from leconvmn_ros.nodes.message_types import find_message_class
from leconvmn_ros.nodes.parameters import (
    declare_parameters,
    Parameter,
)
from leconvmn_ros.nodes.parameters import (
    LOSSLESS as LOSSLESS_PARAMETER,
)
from leconvmn_ros.nodes.quality_of_service import (
    LATCHED,
    LOSSLESS,
    overridable,
    publish_patiently,
    RELIABLE,
)
from leconvmn_ros.nodes.running import run_node
from leconvmn_ros.recordings.bag_reader import open_bag, OpenBag
from leconvmn_ros.recordings.bag_types import EMG_TYPE, LABEL_TYPE
from leconvmn_ros.recordings.message_batch import BagMessage
from leconvmn_ros.recordings.playback import Playback
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.serialization import deserialize_message
from rclpy.task import Future
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool
from std_srvs.srv import SetBool

# Topics that a recorder picks up as well; playing them would disturb the running system.
NEVER_PLAYED = {'clock', 'rosout', 'parameter_events', 'replay_done'}
CLOCK_PERIOD_NS = NANOSECONDS // 100
LATCHED_TYPES = {LABEL_TYPE}
# Readers of the other topics are discovered at about the same time, but independently (s).
SETTLING_TIME = 0.3
# At the end, time for slow readers to take the rest (s).
LONGEST_DELIVERY = 30.0


ORIGINAL, NOW = 'original', 'now'
PARAMETERS = (
    Parameter('bag', '', 'rosbag2 folder to play'),
    Parameter(
        'rate',
        1.0,
        'bag seconds per second; 0 = as fast as reliable readers accept it',
        (0.0, 1000.0),
    ),
    Parameter('start_offset', 0.0, 'start time (s after the start of the bag)', (0.0, 1e6)),
    Parameter('duration', 0.0, 'duration to play (s), 0 = to the end', (0.0, 1e6)),
    Parameter('loop', False, 'start again at the end'),
    Parameter(
        'stamps',
        ORIGINAL,
        f'header stamps: {ORIGINAL}, or {NOW} = shifted to the present',
        choices=(ORIGINAL, NOW),
    ),
    Parameter(
        'leave_out',
        'joint_states',
        'topics to leave out, separated by commas; by default, estimates recorded earlier',
    ),
    Parameter('publish_clock', True, 'publish bag time on /clock'),
    Parameter('start_paused', False, 'wait for ~/pause with data: false'),
    Parameter('subscribers', 0, 'number of subscribers of the EMG to wait for', (0, 100)),
    Parameter(
        'wait_for',
        '',
        'names of nodes, separated by commas, to wait for until they subscribe to the EMG',
    ),
    Parameter(
        'subscriber_timeout',
        10.0,
        'longest wait for them (s); then the bag is played anyway',
        (0.0, 3600.0),
    ),
    Parameter(
        'progress_period',
        0.0,
        'interval of progress lines in the log (s), 0 = none',
        (0.0, 3600.0),
    ),
    LOSSLESS_PARAMETER,
)


class ReplayNode(Node):
    """Wires a bag and `Playback` to topics, parameters and a service."""

    def __init__(self) -> None:
        """Declare the parameters and start playing.

        Raises:
            ConfigurationError: a parameter is not allowed.
        """
        super().__init__('replay')
        self.done = Future()
        declare_parameters(self, PARAMETERS)
        self._path = self.get_parameter('bag').value
        if not self._path:
            raise ConfigurationError('parameter bag is empty; give the folder of a bag')
        self._restamp = self.get_parameter('stamps').value == NOW
        self._playback = Playback(self.get_parameter('rate').value)
        if self.get_parameter('start_paused').value:
            self._playback.pause()
        self._stopping = Event()
        # Only if requested: a second source of time would confuse others.
        self._clock_publisher = (
            self.create_publisher(Clock, '/clock', 10)
            if self.get_parameter('publish_clock').value
            else None
        )
        self._over = self.create_publisher(Bool, 'replay_done', LATCHED)
        self._players: dict[str, Publisher] = {}
        self.create_service(SetBool, '~/pause', self._on_pause)
        self._thread = Thread(target=self._play_to_the_end, name='playback', daemon=True)
        self._thread.start()

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        (self._playback.pause if request.data else self._playback.resume)()
        response.success, response.message = True, 'paused' if request.data else 'playing'
        return response

    def _play_to_the_end(self) -> None:
        code = 1
        try:
            # Opened in this thread, because sqlite3 bags can be read in no other.
            with open_bag(Path(self._path)) as bag:
                self._add_publishers(bag)
                span = self._span(bag)
                self._wait_for_subscribers(bag)
                code = self._play(bag, *span)
        except LeconvmnError as error:
            self.get_logger().fatal(str(error))
        finally:
            self.done.set_result(code)

    def _add_publishers(self, bag: OpenBag) -> None:
        words = self.get_parameter('leave_out').value.split(',')
        left_out = {word.strip().lstrip('/') for word in words}
        for topic, info in bag.topics.items():
            name, type_name = topic.lstrip('/'), info.type_name
            if name in NEVER_PLAYED | left_out:
                self.get_logger().info(printable(f'{topic} is left out'))
                continue
            message_class = find_message_class(type_name)
            if message_class is None:
                self.get_logger().warning(
                    printable(f'{topic} is left out: its type {type_name} is not installed')
                )
                continue
            self._players[topic] = self.create_publisher(
                message_class, name, **self._profile(type_name)
            )
        if not any(bag.topics[topic].message_count for topic in self._players):
            raise RecordingError(f'{bag.path} holds no message that can be played')

    def _profile(self, type_name: str) -> dict[str, Any]:
        if type_name in LATCHED_TYPES:
            return overridable(LATCHED)
        # Without a rate, only the readers can set the pace.
        return overridable(LOSSLESS if self.get_parameter('rate').value == 0 else RELIABLE, self)

    def _span(self, bag: OpenBag) -> tuple[int, int]:
        """Return log times of the first and the last message to play (ns)."""
        offset, duration = (
            self.get_parameter(name).value for name in ('start_offset', 'duration')
        )
        start_ns = bag.start_ns + round(offset * NANOSECONDS)
        if start_ns > bag.end_ns:
            length = (bag.end_ns - bag.start_ns) / NANOSECONDS
            raise ConfigurationError(
                f'start_offset {offset} s is beyond the end of the bag, which has {length:g} s'
            )
        end_ns = start_ns + round(duration * NANOSECONDS) if duration else bag.end_ns
        return start_ns, min(end_ns, bag.end_ns)

    def _wait_for_subscribers(self, bag: OpenBag) -> None:
        wanted, timeout = (
            self.get_parameter(name).value for name in ('subscribers', 'subscriber_timeout')
        )
        words = self.get_parameter('wait_for').value.split(',')
        named = {word.strip().lstrip('/') for word in words} - {''}
        emg = [p for topic, p in self._players.items() if bag.topics[topic].type_name == EMG_TYPE]
        deadline = time.monotonic() + timeout
        while True:
            missing = named - set.intersection(named, *map(self._subscriber_names, emg))
            few = any(publisher.get_subscription_count() < wanted for publisher in emg)
            if not (missing or few):
                break
            if time.monotonic() > deadline:
                fewer = f'fewer than {wanted} subscribers' if few else 'no subscription'
                of = f' of {", ".join(sorted(missing))}' if missing else ''
                self.get_logger().warning(f'{fewer}{of} after {timeout:g} s, playing anyway')
                return
            if self._stopping.wait(0.02):
                return
        if wanted or named:
            self._stopping.wait(SETTLING_TIME)

    def _subscriber_names(self, publisher: Publisher) -> set[str]:
        found = self.get_subscriptions_info_by_topic(publisher.topic_name)
        return {endpoint.node_name for endpoint in found}

    def _play(self, bag: OpenBag, start_ns: int, end_ns: int) -> int:
        """Play the requested part and return the exit code."""
        count, laps = 0, 0
        while laps == 0 or self.get_parameter('loop').value:
            laps += 1
            played = self._play_once(bag, start_ns, end_ns)
            if played is None:
                return 0
            count += played
        if not all(self._arrived(publisher) for publisher in self._players.values()):
            self.get_logger().warning('a reader has not taken everything')
        self._over.publish(Bool(data=True))
        self._arrived(self._over)
        self.get_logger().info(
            f'done: {count} messages of {(end_ns - start_ns) / NANOSECONDS:.1f} s played'
        )
        return 0

    def _play_once(self, bag: OpenBag, start_ns: int, end_ns: int) -> int | None:
        """Play the requested part once and return the number of messages, None if stopped."""
        self._playback.start(start_ns)
        if not self._playback.wait(start_ns):
            return None
        shift_ns = self.get_clock().now().nanoseconds - start_ns if self._restamp else 0
        for message in self._still_valid(bag, start_ns):
            self._publish(message, shift_ns)
        next_clock_ns, count = start_ns, 0
        with_clock = self._clock_publisher is not None
        progress_period = self.get_parameter('progress_period').value
        next_progress = time.monotonic() + progress_period
        for message in bag.messages(start_ns, topics=self._players):
            if message.log_ns > end_ns:
                break
            while with_clock and next_clock_ns <= message.log_ns:
                if not self._playback.wait(next_clock_ns):
                    return None
                self._publish_clock(next_clock_ns + shift_ns)
                next_clock_ns += CLOCK_PERIOD_NS
            if not (self._playback.wait(message.log_ns) and self._publish(message, shift_ns)):
                return None
            count += 1
            if progress_period and time.monotonic() >= next_progress:
                next_progress += progress_period
                played, length = (ns - start_ns for ns in (message.log_ns, end_ns))
                self.get_logger().info(
                    f'{played / NANOSECONDS:.1f} of {length / NANOSECONDS:.1f} s played'
                )
        return count

    def _still_valid(self, bag: OpenBag, start_ns: int) -> Collection[BagMessage]:
        """Find the last message before the start on each latched topic: it is still valid."""
        last: dict[str, BagMessage] = {}
        latched = [
            topic for topic in self._players if bag.topics[topic].type_name in LATCHED_TYPES
        ]
        if start_ns > bag.start_ns and latched:
            for message in bag.messages(topics=latched):
                if message.log_ns >= start_ns:
                    break
                last[message.topic] = message
        return last.values()

    def _publish(self, message: BagMessage, shift_ns: int) -> bool:
        """Publish a message as soon as there is room; return False if stopped before."""
        publisher = self._players[message.topic]
        try:
            content = deserialize_message(message.data, publisher.msg_type)
        except RuntimeError as error:  # RMWError, which rclpy does not export
            raise RecordingError(
                f'{self._path}: a message on {message.topic} is not a {message.type_name}'
            ) from error
        if shift_ns and hasattr(content, 'header'):
            _set_time(content.header.stamp, stamp_to_ns(content.header.stamp) + shift_ns)
        return publish_patiently(publisher, content, self._stopping.is_set)

    def _publish_clock(self, now_ns: int) -> None:
        message = Clock()
        _set_time(message.clock, now_ns)
        if self._clock_publisher is not None:
            self._clock_publisher.publish(message)

    def _arrived(self, publisher: Publisher) -> bool:
        """Wait until all reliable readers have everything; return False if they take too long."""
        deadline = time.monotonic() + LONGEST_DELIVERY
        while not publisher.wait_for_all_acked(Duration(seconds=0.1)):
            if self._stopping.is_set() or time.monotonic() > deadline:
                return False
        return True

    def close(self) -> None:
        """Stop playing and close the bag."""
        self._stopping.set()
        self._playback.stop()
        self._thread.join(timeout=5)


def _set_time(stamp: Any, time_ns: int) -> None:
    stamp.sec, stamp.nanosec = divmod(time_ns, NANOSECONDS)


def main() -> None:
    """Run the node: `ros2 run leconvmn_ros replay --ros-args -p bag:=FOLDER`."""
    run_node(ReplayNode)
