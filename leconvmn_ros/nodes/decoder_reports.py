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

"""Reports on the decoder once a second: news in the log, everything on /diagnostics."""

from math import inf
import time

from diagnostic_msgs.msg import DiagnosticArray
from leconvmn_ros.core.recording import NANOSECONDS
from leconvmn_ros.decoding.health import DecoderHealth, InputState
from leconvmn_ros.emg.stale_input import StaleInput
from leconvmn_ros.nodes.diagnostics import diagnostic_array, TOPIC
from leconvmn_ros.nodes.input_events import InputEvents
from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.node import Node

# Time without EMG after activation until the log mentions it (s).
PATIENCE = 5.0


class DecoderReports:
    """Reports during the life of a node."""

    def __init__(self, node: Node) -> None:
        """Create the publisher, and observe the node's clock."""
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, TOPIC, 1)
        self._last = time.monotonic()
        self._waiting_since: float | None = None
        self._alone = True
        backwards = JumpThreshold(
            min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False
        )
        self._jumps = node.get_clock().create_jump_callback(
            backwards, post_callback=self._on_clock_going_back
        )

    def close(self) -> None:
        """Release the clock."""
        self._jumps.unregister()

    def report(self, health: DecoderHealth, events: InputEvents | None, stale: StaleInput) -> None:
        """Report on the time since the last report.

        Args:
            health: health of the decoder.
            events: events of its subscription, None while it is inactive.
            stale: state of the input.
        """
        now = time.monotonic()
        news = events.news() if events else []
        news += self._rivals(events)
        for sentence in (*news, *health.remarks(), *self._still_waiting(events, stale, now)):
            self._node.get_logger().warning(sentence)
        statuses = health.report(_input_state(events, stale, now), now - self._last)
        self._last = now
        self._publisher.publish(
            diagnostic_array(
                self._node.get_fully_qualified_name(),
                self._node.get_clock().now().to_msg(),
                statuses,
                hardware_id=self._node.resolve_topic_name('emg'),
            )
        )

    def _rivals(self, events: InputEvents | None) -> list[str]:
        """Return a sentence, once, if others publish the topic of the estimates."""
        topic = self._node.resolve_topic_name('joint_states')
        publishers = 0 if events is None else self._node.count_publishers(topic)
        begins, self._alone = publishers > 1 and self._alone, publishers <= 1
        if not begins:
            return []
        sentence = (
            f'{publishers} nodes publish {topic}: whoever reads it takes them for one hand; '
            'stop the others, or give this node a namespace: -r __ns:=/human_hand'
        )
        return [sentence]

    def _still_waiting(
        self, events: InputEvents | None, stale: StaleInput, now: float
    ) -> list[str]:
        """Return a sentence, once, if no EMG has come for long since activation."""
        if events is None or stale.silent_for(now) is not None:
            self._waiting_since = None
            return []
        if self._waiting_since is None:
            self._waiting_since = now
        if now - self._waiting_since < PATIENCE:
            return []
        self._waiting_since = inf
        topic = events.subscription.topic_name
        sentence = (
            f'no EMG to decode on {topic} for {PATIENCE:g} s, publishers there: '
            f'{events.subscription.get_publisher_count()}; another topic: -r emg:=/NAME'
        )
        return [sentence]

    def _on_clock_going_back(self, jump: TimeJump) -> None:
        self._node.get_logger().warning(
            f'the clock went back by {-jump.delta.nanoseconds / NANOSECONDS:.3f} s, as with a bag '
            'that loops: decoding resets where the stamps of the EMG do the same',
            throttle_duration_sec=1.0,
        )


def _input_state(events: InputEvents | None, stale: StaleInput, now: float) -> InputState:
    if events is None:
        return InputState(active=False)
    return InputState(
        active=True,
        silent_for=stale.silent_for(now),
        stale=stale.stale,
        interruptions=stale.interruptions,
        publishers=events.subscription.get_publisher_count(),
        trouble=events.trouble,
        lost_messages=events.lost_messages,
        missed_deadlines=events.missed_deadlines,
    )
