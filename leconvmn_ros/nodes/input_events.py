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

"""Reports the middleware's events of a subscription, with advice."""

from collections.abc import Callable
from typing import Any

from leconvmn_ros.nodes.quality_of_service import overridable
from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile
from rclpy.subscription import Subscription

# QoS mismatches between a publisher's offer and this subscription's request, with the remedy.
_INCOMPATIBLE = {
    QoSPolicyKind.RELIABILITY: 'it is best effort, but this node requests reliable: set {name} to '
    'best_effort here, or make the publisher reliable',
    QoSPolicyKind.DEADLINE: 'it offers no deadline, or a longer one than this node requests: '
    'raise {name} here, or have the publisher offer a deadline',
    QoSPolicyKind.LIVELINESS: 'it does not assert its liveliness as this node requests: change '
    '{name} here, or the liveliness of the publisher',
}


class InputEvents:
    """Subscribes, and listens to the middleware's events of the subscription.

    Attributes:
        subscription: the subscription.
        lost_messages: messages lost according to the middleware.
        missed_deadlines: number of missed deadlines, if a deadline is set.
    """

    def __init__(
        self,
        node: Node,
        kind: Any,
        topic: str,
        callback: Callable[[Any, dict[str, int]], None],
        profile: QoSProfile,
    ) -> None:
        """Subscribe to `topic` with a QoS that parameters can override."""
        self.lost_messages = 0
        self.missed_deadlines = 0
        self._deaf_to = ''
        self._node = node
        self._topic = node.resolve_topic_name(topic)
        self._news: list[str] = []
        self._told_of_several = False
        options = overridable(profile, node)
        try:
            self.subscription: Subscription = node.create_subscription(
                kind, topic, callback, event_callbacks=self._callbacks(), **options
            )
        except UnsupportedEventTypeError:  # a middleware with fewer events than Fast DDS
            self.subscription = node.create_subscription(kind, topic, callback, **options)
            self._news.append(f'this middleware reports no faults of {self._topic}')

    @property
    def trouble(self) -> str:
        """Why an existing publisher cannot be received, in words; empty if there is none."""
        there = self._node.count_publishers(self._topic)
        return self._deaf_to if there > self.subscription.get_publisher_count() else ''

    def news(self) -> list[str]:
        """Return the events since the last call, each a sentence."""
        publishers = self.subscription.get_publisher_count()
        if publishers > 1 and not self._told_of_several:
            self._news.append(
                f'{publishers} nodes publish {self._topic}: their samples are mixed and cannot be '
                'decoded; stop all but one'
            )
        self._told_of_several = publishers > 1
        news, self._news = self._news, []
        return list(dict.fromkeys(news))

    def _callbacks(self) -> SubscriptionEventCallbacks:
        return SubscriptionEventCallbacks(
            incompatible_qos=self._on_incompatible,
            message_lost=self._on_lost,
            deadline=self._on_deadline,
            liveliness=self._on_liveliness,
        )

    def _on_incompatible(self, event: Any) -> None:
        policy = QoSPolicyKind(event.last_policy_kind)
        parameter = f'qos_overrides.{self._topic}.subscription.{policy.name.lower()}'
        reason = _INCOMPATIBLE.get(policy, f'their {policy.name.lower()} does not match')
        self._deaf_to = (
            f'a publisher of {self._topic} cannot be received: {reason.format(name=parameter)}'
        )
        self._news.append(self._deaf_to)

    def _on_lost(self, event: Any) -> None:
        self.lost_messages += event.total_count_change
        self._news.append(
            f'the middleware lost messages on {self._topic}, {self.lost_messages} so far: '
            'the network or this machine is too slow'
        )

    def _on_deadline(self, event: Any) -> None:
        self.missed_deadlines += event.total_count_change
        self._news.append(
            f'no message on {self._topic} within the deadline, {self.missed_deadlines} times'
        )

    def _on_liveliness(self, event: Any) -> None:
        if event.not_alive_count_change > 0:
            self._news.append(f'a publisher of {self._topic} exists, but is no longer alive')
        elif event.alive_count_change < 0:
            self._news.append(f'a publisher of {self._topic} is gone')
