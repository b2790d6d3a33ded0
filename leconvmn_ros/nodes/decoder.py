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

"""The decoder node: EmgArray in, JointState out.

Subscribes to `emg`. Publishes `joint_states` (the ten joints by name, positions in radians,
stamped with the acquisition time of the last EMG sample used) and, once a second, `/diagnostics`.
The service `~/adapt` adapts it to electrodes that moved, see `decoder_adaptation.py`. It is a
lifecycle node: configure loads and warms up the model, activate subscribes and publishes. With
`autostart` (the default), it does both automatically.

Without usable EMG for `input_timeout`, the input is stale. The node then publishes nothing, or the
rest pose at the rate of the estimates, with stamps that continue those of the source. When EMG is
back, the rules of `intake.py` decide by the sample counter whether decoding continues, bridges a
gap or resets.
"""

import gc
import time
from typing import NamedTuple

from leconvmn_ros.core.errors import ConfigurationError, MalformedMessageError
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.decoding.health import DecoderHealth
from leconvmn_ros.decoding.lane import Estimate
from leconvmn_ros.emg.message import chunk_from_message
from leconvmn_ros.emg.stale_input import StaleInput
from leconvmn_ros.msg import EmgArray
from leconvmn_ros.nodes.decoder_adaptation import Adaptable, AdaptationServices
from leconvmn_ros.nodes.decoder_parameters import (
    InputRule,
    load_decoder,
    make_adaptation,
    NAMES,
    PARAMETERS,
    read_input_rule,
)
from leconvmn_ros.nodes.decoder_reports import DecoderReports
from leconvmn_ros.nodes.diagnostics import PERIOD
from leconvmn_ros.nodes.ending import ASKED_TO_END, interruptible
from leconvmn_ros.nodes.input_events import InputEvents
from leconvmn_ros.nodes.lifecycle import explained, refuse_illegal_requests
from leconvmn_ros.nodes.parameters import declare_parameters
from leconvmn_ros.nodes.quality_of_service import (
    EMG_INPUT,
    overridable,
    publish_patiently,
    RELIABLE,
)
from leconvmn_ros.nodes.running import every, run_node
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.parameter import Parameter
from rclpy.task import Future
from rclpy.timer import Timer
from sensor_msgs.msg import JointState

# ROS stamps end in 2038; stop an hour earlier, so that no estimate gets a later stamp.
LATEST_STAMP_NS = (2**31 - 3600) * NANOSECONDS

# A keep-all reader that hangs must not hang the decoder (s).
LONGEST_WAIT = 5.0


class _Configured(NamedTuple):
    """Created by configure, dropped by cleanup."""

    decoder: Decoder
    health: DecoderHealth
    input_rule: InputRule
    publisher: LifecyclePublisher
    adaptable: Adaptable


class _Listening(NamedTuple):
    """Created by activate, dropped by deactivate."""

    events: InputEvents
    watch: Timer | None


class DecoderNode(LifecycleNode):
    """Wires `Decoder` to topics, parameters and the life cycle."""

    def __init__(self) -> None:
        """Declare the parameters; with `autostart`, configure and activate.

        Raises:
            ConfigurationError: a parameter is not allowed, or the autostart failed.
        """
        super().__init__('decoder')
        self.done = Future()
        declare_parameters(self, PARAMETERS)
        self.add_on_set_parameters_callback(self._may_set)
        refuse_illegal_requests(self)
        self._configured: _Configured | None = None
        self._listening: _Listening | None = None
        self._stale = StaleInput(0)
        self._reports = DecoderReports(self)
        self._adaptation = AdaptationServices(self)
        every(PERIOD, self, self._report)
        if self.get_parameter('autostart').value:
            self._start()

    def _start(self) -> None:
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() is not TransitionCallbackReturn.SUCCESS:
                raise ConfigurationError('the decoder cannot start, see the error above')

    def _may_set(self, parameters: list[Parameter]) -> SetParametersResult:
        names = NAMES & {parameter.name for parameter in parameters}
        if self._configured is None or not names:
            return SetParametersResult(successful=True)
        return SetParametersResult(
            successful=False,
            reason=f'{", ".join(sorted(names))}: the decoder is configured, clean it up first',
        )

    # ---- the path of a sample

    def _on_emg(self, message: EmgArray, info: dict[str, int]) -> None:
        if self._configured is None:
            return
        decoder = self._configured.decoder
        if _waited_too_long(info, self._configured.input_rule.longest_wait):
            decoder.counts.dropped_backlog += 1
            return
        started, known = time.monotonic(), decoder.counts.samples
        chunk = _chunk_from(message)
        if chunk is None:
            decoder.counts.malformed += 1
            return
        ages = []
        for estimate in decoder.decode_each(chunk, self._now_ns()):
            ages.append(self._publish(estimate, self._configured))
            if ASKED_TO_END.is_set():  # a message may contain half a minute
                return
        if decoder.counts.samples > known:
            self._heard(chunk)
        self._configured.health.note(time.monotonic() - started, ages)

    def _publish(self, estimate: Estimate, configured: _Configured) -> float:
        """Publish an estimate and return its age (s)."""
        message = JointState()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(
            estimate.stamp_ns, NANOSECONDS
        )
        message.name = list(configured.decoder.joint_names)
        message.position = estimate.positions.tolist()
        deadline = time.monotonic() + LONGEST_WAIT
        if not publish_patiently(
            configured.publisher,
            message,
            lambda: ASKED_TO_END.is_set() or time.monotonic() > deadline,
        ):
            configured.decoder.counts.undelivered_estimates += 1
        return (self._now_ns() - estimate.stamp_ns) / NANOSECONDS

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    # ---- without EMG

    def _heard(self, chunk: EmgChunk) -> None:
        silence = self._stale.heard(time.monotonic(), chunk.end_ns)
        if silence is not None:
            self.get_logger().info(f'EMG is back after {silence:.1f} s', throttle_duration_sec=1.0)

    def _watch_input(self) -> None:
        if self._configured is None:
            return
        now, rule = time.monotonic(), self._configured.input_rule
        if self._stale.became_stale(now):
            what = 'the rest pose' if rule.rest else 'nothing'
            self.get_logger().warning(
                f'no EMG for {rule.timeout:g} s: publishing {what} until EMG is back',
                throttle_duration_sec=1.0,
            )
        if self._stale.stale and rule.rest:
            for estimate in self._configured.decoder.rest(self._stale.source_time_ns(now)):
                self._publish(estimate, self._configured)

    # ---- life cycle

    @explained
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the checkpoint, warm up the network, create the publisher."""
        rule = read_input_rule(self)
        with interruptible():
            decoder, checkpoint, model = load_decoder(self)
        job = make_adaptation(self, checkpoint)
        publisher = self.create_lifecycle_publisher(
            JointState, 'joint_states', **overridable(RELIABLE, self)
        )
        self._configured = _Configured(
            decoder,
            DecoderHealth(decoder, model),
            rule,
            publisher,
            Adaptable(decoder, checkpoint.description.electrode_map, job),
        )
        return super().on_configure(state)

    @explained
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Reset and subscribe to the EMG."""
        if self._configured is not None:
            decoder, _, rule, _, adaptable = self._configured
            decoder.reset()
            self._adaptation.offer(adaptable)
            self._stale = StaleInput(rule.timeout)
            period = 1 / decoder.output_rate if rule.rest else rule.timeout / 4
            self._listening = _Listening(
                InputEvents(self, EmgArray, 'emg', self._on_emg, EMG_INPUT),
                every(period, self, self._watch_input) if rule.timeout else None,
            )
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the subscription."""
        self._stop_listening()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop the model."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop everything and end the process."""
        self._release()
        self.done.set_result(0)
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to unconfigured after an unexpected error."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Drop everything."""
        self._release()
        self._reports.close()

    def _stop_listening(self) -> None:
        self._adaptation.withdraw()
        if self._listening is None:
            return
        self._report()
        if self._listening.watch is not None:
            self.destroy_timer(self._listening.watch)
        self.destroy_subscription(self._listening.events.subscription)
        self._listening = None

    def _release(self) -> None:
        self._stop_listening()
        if self._configured is not None:
            self.destroy_lifecycle_publisher(self._configured.publisher)
            self._configured = None
            gc.unfreeze()  # frozen by load_decoder

    def _report(self) -> None:
        if self._configured is not None:
            events = self._listening.events if self._listening else None
            self._reports.report(self._configured.health, events, self._stale)


def _chunk_from(message: EmgArray) -> EmgChunk | None:
    try:
        chunk = chunk_from_message(message)
    except MalformedMessageError:
        return None
    return chunk if chunk.stamp_ns <= LATEST_STAMP_NS else None


def _waited_too_long(info: dict[str, int], longest: float) -> bool:
    """Whether a message has waited too long (s) because the decoder is too slow; 0 = never."""
    # Both times are by this machine's clock, whatever use_sim_time. Some middleware reports no
    # time of arrival (0), and CycloneDDS of Jazzy only the time of leaving the queue.
    arrived = info['received_timestamp']
    return bool(arrived) and 0 < longest < (time.time_ns() - arrived) / NANOSECONDS


def main() -> None:
    """Run the node: `ros2 run leconvmn_ros decoder --ros-args -p checkpoint:=FOLDER`."""
    run_node(DecoderNode)
