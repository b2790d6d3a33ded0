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

"""Records topics of any type as serialized bytes to a bag, without rosbag2.

Messages are not decoded, except those of EMG, whose counter shows missing samples. Topics are
searched repeatedly: a topic that appears later is recorded from then on.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
import time
from typing import Any

from leconvmn_ros.core.errors import MalformedMessageError, printable
from leconvmn_ros.emg.message import chunk_from_message
from leconvmn_ros.emg.sample_count import SampleCount
from leconvmn_ros.msg import EmgArray
from leconvmn_ros.nodes.message_types import find_message_class
from leconvmn_ros.recordings.bag_recorder import BagRecorder
from leconvmn_ros.recordings.bag_types import EMG_TYPE
from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription

# Topics that every node publishes about itself; not recorded unless requested by name.
NEVER_BY_DEFAULT = frozenset({'/rosout', '/parameter_events'})
# At 100 messages a second, nothing is lost while a disk is busy for some seconds.
DEPTH = 1000


@dataclass
class TopicRecord:
    """The state of the recording of a topic.

    Attributes:
        type_name: message type.
        messages: messages written.
        lost_messages: messages lost before arrival, according to the middleware.
        samples: missing EMG samples, by their counter.
        profile: QoS of the subscription.
    """

    type_name: str
    profile: QoSProfile
    messages: int = 0
    lost_messages: int = 0
    samples: SampleCount = field(default_factory=SampleCount)
    subscription: Subscription | None = None

    @property
    def lost_samples(self) -> int:
        """Samples per channel that never arrived."""
        return self.samples.lost


class TopicRecorder:
    """Records topics of a node's graph into an open `BagRecorder`.

    Call `look_for_topics` regularly (twice a second), and `close` at the end.

    Attributes:
        topics: recorded topics, by absolute name.
    """

    def __init__(
        self, node: Node, bag: BagRecorder, topics: Collection[str], *, everything: bool = False
    ) -> None:
        """Subscribe to the existing topics.

        Args:
            node: node whose graph, clock and executor are used.
            bag: an open bag, which the caller closes.
            topics: names to record, as the node would resolve them.
            everything: record every topic except NEVER_BY_DEFAULT.
        """
        self.topics: dict[str, TopicRecord] = {}
        self._node = node
        self._bag = bag
        self._wanted = {node.resolve_topic_name(topic) for topic in topics}
        self._everything = everything
        self._impossible: set[str] = set()
        self.look_for_topics()

    @property
    def waiting_for(self) -> list[str]:
        """Topics that were requested by name but that nobody publishes yet."""
        return sorted(self._wanted - self.topics.keys())

    def look_for_topics(self) -> None:
        """Subscribe to new topics, and again where a new publisher offers less."""
        for topic, types in self._node.get_topic_names_and_types():
            if topic in self._impossible or not self._is_wanted(topic):
                continue
            publishers = self._node.get_publishers_info_by_topic(topic)
            if publishers:
                self._subscribe(topic, types[0], _profile_for(publishers))

    def summary(self) -> list[str]:
        """Return a line for each topic, with messages written and lost."""
        return [self._line(topic) for topic in sorted(self.topics)]

    def close(self) -> None:
        """Write all messages that have arrived, and end all subscriptions."""
        for topic, record in self.topics.items():
            if record.subscription is not None:
                self._drain(topic, record, record.subscription)
                self._node.destroy_subscription(record.subscription)
                record.subscription = None

    def _is_wanted(self, topic: str) -> bool:
        if topic in self._wanted:
            return True
        hidden = any(part.startswith('_') for part in topic.split('/'))
        return self._everything and not hidden and topic not in NEVER_BY_DEFAULT

    def _subscribe(self, topic: str, type_name: str, profile: QoSProfile) -> None:
        known = self.topics.get(topic)
        if known is not None and known.profile == profile:
            return
        kind = find_message_class(type_name)
        latched = profile.durability is DurabilityPolicy.TRANSIENT_LOCAL
        if kind is None or not self._bag.add_topic(topic, type_name, latched=latched):
            self._impossible.add(topic)
            self._node.get_logger().warning(
                printable(f'{topic} is not recorded: its type {type_name} is not installed here')
            )
            return
        if known is None:
            known = self.topics[topic] = TopicRecord(type_name, profile)
        elif known.subscription is not None:
            # A new publisher offers less, such as best effort: subscribe with what all offer.
            self._node.destroy_subscription(known.subscription)
        known.profile = profile
        known.subscription = self._listen(kind, topic, known)

    def _listen(self, kind: Any, topic: str, record: TopicRecord) -> Subscription:
        def take(data: bytes, info: dict[str, int]) -> None:
            self._write(topic, record, data, info)

        def lost(event: Any) -> None:
            record.lost_messages += event.total_count_change

        try:
            return self._node.create_subscription(
                kind,
                topic,
                take,
                record.profile,
                raw=True,
                event_callbacks=SubscriptionEventCallbacks(message_lost=lost),
            )
        except UnsupportedEventTypeError:  # a middleware with fewer events than Fast DDS
            return self._node.create_subscription(kind, topic, take, record.profile, raw=True)

    def _write(self, topic: str, record: TopicRecord, data: bytes, info: dict[str, int]) -> None:
        # By the clock of the stamps: that of a simulation, or the time of arrival.
        now = self._node.get_clock().now().nanoseconds
        simulated = self._node.get_parameter('use_sim_time').value
        log_ns = now if simulated else info.get('received_timestamp') or time.time_ns()
        self._bag.write(topic, log_ns, data)
        record.messages += 1
        if record.type_name == EMG_TYPE:
            _count_samples(record.samples, data)

    def _drain(self, topic: str, record: TopicRecord, subscription: Subscription) -> None:
        # The executor has stopped, but messages are still queued.
        with subscription.handle:
            for _ in range(DEPTH):
                taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
                if taken is None:
                    return
                self._write(topic, record, *taken)

    def _line(self, topic: str) -> str:
        record = self.topics[topic]
        lost = []
        if record.lost_messages:
            lost.append(f'{record.lost_messages} messages lost by the middleware')
        if record.lost_samples:
            lost.append(f'{record.lost_samples} samples missing by their counter')
        return f'{topic}: {record.messages} messages, {", ".join(lost) or "none lost"}'


def _profile_for(publishers: Collection[Any]) -> QoSProfile:
    """Return the best QoS that all publishers of a topic offer."""
    profiles = [publisher.qos_profile for publisher in publishers]
    reliable = all(known.reliability is ReliabilityPolicy.RELIABLE for known in profiles)
    latched = all(known.durability is DurabilityPolicy.TRANSIENT_LOCAL for known in profiles)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _count_samples(count: SampleCount, data: bytes) -> None:
    try:
        count.add(chunk_from_message(deserialize_message(data, EmgArray)))
    except (MalformedMessageError, rclpy_implementation.RMWError):
        return  # recorded unchanged; readers of the bag report it
