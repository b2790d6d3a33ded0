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

Subscribes `emg`, publishes `joint_states`: the ten joints by name, positions in radians, stamped
with the acquisition time of the last EMG sample used; and `/diagnostics` once a second. A
lifecycle node: configure loads and warms the model, activate listens and publishes. With
`autostart` (the default) it does both by itself.

Without usable EMG for `input_timeout` the input is stale: no estimates come out, as none go in, or
the rest pose does, at the rate of the estimates, with stamps that go on as those of the source
would have. When EMG comes again, the rules of `intake.py` decide by the sample counter whether
decoding goes on, bridges a gap or starts afresh.
"""

import time

from diagnostic_msgs.msg import DiagnosticArray
from leconvmn_ros.decoder import Decoder, Estimate
from leconvmn_ros.decoder_health import DecoderHealth, in_words, InputState
from leconvmn_ros.emg_message import chunk_from_message
from leconvmn_ros.errors import ConfigurationError, MalformedMessageError
from leconvmn_ros.msg import EmgArray
from leconvmn_ros.nodes import diagnostics
from leconvmn_ros.nodes.decoder_parameters import (
    declare_parameters,
    load_decoder,
    NAMES,
    read_settings,
    Settings,
)
from leconvmn_ros.nodes.input_events import InputEvents
from leconvmn_ros.nodes.lifecycle import explained, refuse_illegal_requests
from leconvmn_ros.nodes.quality_of_service import (
    declare_lossless,
    EMG_INPUT,
    overridable,
    publish_patiently,
    RELIABLE,
)
from leconvmn_ros.nodes.running import ASKED_TO_END, declare, every, run_node
from leconvmn_ros.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.stale_input import StaleInput
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import JumpHandle, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.parameter import Parameter
from rclpy.task import Future
from rclpy.timer import Timer
from sensor_msgs.msg import JointState

# The seconds of a ROS stamp end in 2038; an hour before, so that no estimate is stamped later.
LATEST_STAMP_NS = (2**31 - 3600) * NANOSECONDS

# A reader with keep-all that has hung must not hang the decoder (s).
LONGEST_WAIT = 5.0


class DecoderNode(LifecycleNode):
    """Wires `Decoder` to topics, parameters and the life cycle."""

    def __init__(self) -> None:
        """Declare the parameters; with `autostart`, configure and activate.

        Raises:
            ConfigurationError: a parameter is not allowed, or the autostart failed.
        """
        super().__init__('decoder')
        self.done = Future()
        declare_parameters(self)
        declare(self, 'autostart', True, 'configure and activate without a lifecycle manager')
        declare_lossless(self)
        self.add_on_set_parameters_callback(self._may_set)
        refuse_illegal_requests(self)
        # What configure makes.
        self._decoder: Decoder | None = None
        self._health: DecoderHealth | None = None
        self._settings: Settings | None = None
        self._publisher: LifecyclePublisher | None = None
        # What activate makes.
        self._input: InputEvents | None = None
        self._watch: Timer | None = None
        self._stale = StaleInput(0)
        self._diagnostics = self.create_publisher(DiagnosticArray, diagnostics.TOPIC, 1)
        self._last_report = time.monotonic()
        self._jumps = self._watch_the_clock()
        every(diagnostics.PERIOD, self, self._report)
        if self.get_parameter('autostart').value:
            self._start()

    def _start(self) -> None:
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() is not TransitionCallbackReturn.SUCCESS:
                raise ConfigurationError('the decoder cannot start, see the error above')

    def _may_set(self, parameters: list[Parameter]) -> SetParametersResult:
        names = NAMES & {parameter.name for parameter in parameters}
        if self._decoder is None or not names:
            return SetParametersResult(successful=True)
        return SetParametersResult(
            successful=False,
            reason=f'{", ".join(sorted(names))}: the decoder is configured, clean it up first',
        )

    # ---- life cycle

    @explained
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the checkpoint, warm the network, make the publisher."""
        self._settings = read_settings(self)
        self._decoder, model = load_decoder(self)
        self._health = DecoderHealth(self._decoder, model)
        self._publisher = self.create_lifecycle_publisher(
            JointState, 'joint_states', **overridable(RELIABLE, self)
        )
        return super().on_configure(state)

    @explained
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start afresh and listen to the EMG."""
        if self._decoder is not None and self._settings is not None:
            self._decoder.reset()
            self._stale = StaleInput(self._settings.input_timeout)
            self._input = InputEvents(self, EmgArray, 'emg', self._on_emg, EMG_INPUT)
            if self._settings.input_timeout:
                self._watch = every(self._watch_period(), self, self._watch_the_input)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening."""
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
        """Go back to unconfigured after an unforeseen error."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Drop everything."""
        self._report()
        self._release()
        self._jumps.unregister()

    def _stop_listening(self) -> None:
        if self._watch is not None:
            self.destroy_timer(self._watch)
            self._watch = None
        if self._input is not None:
            self._report()
            self.destroy_subscription(self._input.subscription)
            self._input = None

    def _release(self) -> None:
        self._stop_listening()
        if self._publisher is not None:
            self.destroy_lifecycle_publisher(self._publisher)
            self._publisher = None
        self._decoder = self._health = self._settings = None

    # ---- the way of a sample

    def _on_emg(self, message: EmgArray) -> None:
        if self._decoder is None or self._health is None:
            return
        started, known = time.monotonic(), self._decoder.counts.samples
        chunk = self._read(message, self._decoder)
        if chunk is None:
            return
        estimates = self._decoder.decode(chunk, self._now_ns())
        ages = [self._publish(estimate) for estimate in estimates]
        if self._decoder.counts.samples > known:
            self._heard_until(chunk.end_ns)
        self._health.note(time.monotonic() - started, ages)

    def _read(self, message: EmgArray, decoder: Decoder) -> EmgChunk | None:
        try:
            chunk = chunk_from_message(message)
        except MalformedMessageError:
            chunk = None
        if chunk is None or chunk.stamp_ns > LATEST_STAMP_NS:
            decoder.counts.malformed += 1
            return None
        return chunk

    def _publish(self, estimate: Estimate) -> float:
        """Publish an estimate and return its age (s)."""
        deadline = time.monotonic() + LONGEST_WAIT
        if not publish_patiently(
            self._publisher,
            self._joint_state(estimate),
            lambda: ASKED_TO_END.is_set() or time.monotonic() > deadline,
        ):
            self.get_logger().error(
                f'a reader of joint_states takes nothing for {LONGEST_WAIT:g} s: '
                'an estimate is dropped'
            )
        return (self._now_ns() - estimate.stamp_ns) / NANOSECONDS

    def _joint_state(self, estimate: Estimate) -> JointState:
        message = JointState()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(
            estimate.stamp_ns, NANOSECONDS
        )
        message.name = list(self._decoder.joint_names) if self._decoder else []
        message.position = estimate.positions.tolist()
        return message

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    # ---- when no EMG comes

    def _watch_period(self) -> float:
        if self._decoder is not None and self._settings is not None:
            if self._settings.rest_when_stale:
                return 1 / self._decoder.output_rate
            return self._settings.input_timeout / 4
        return 1.0

    def _watch_the_input(self) -> None:
        if self._decoder is None or self._settings is None:
            return
        now, rest = time.monotonic(), self._settings.rest_when_stale
        if self._stale.became_stale(now):
            self.get_logger().warning(
                f'no EMG for {self._settings.input_timeout:g} s: '
                f'publishing {"the rest pose" if rest else "nothing"} until it comes again',
                throttle_duration_sec=1.0,
            )
        if self._stale.stale and rest:
            for estimate in self._decoder.rest(self._stale.source_time_ns(now)):
                self._publish(estimate)

    def _heard_until(self, end_ns: int) -> None:
        silence = self._stale.heard(time.monotonic(), end_ns)
        if silence is not None:
            self.get_logger().info(
                f'EMG comes again after {silence:.1f} s', throttle_duration_sec=1.0
            )

    # ---- reports

    def _watch_the_clock(self) -> JumpHandle:
        backwards = JumpThreshold(
            min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False
        )
        return self.get_clock().create_jump_callback(
            backwards, post_callback=self._on_clock_going_back
        )

    def _on_clock_going_back(self, jump: TimeJump) -> None:
        self.get_logger().warning(
            f'the clock went back by {-jump.delta.nanoseconds / NANOSECONDS:.3f} s, as with a bag '
            'that loops: decoding starts afresh where the stamps of the EMG do the same',
            throttle_duration_sec=1.0,
        )

    def _report(self) -> None:
        if self._decoder is None or self._health is None:
            return
        if news := in_words(self._health.news()):
            self.get_logger().warning(f'input faults since the last report: {news}')
        for sentence in self._input.news() if self._input else ():
            self.get_logger().warning(sentence)
        now = time.monotonic()
        statuses = self._health.report(self._input_state(now), now - self._last_report)
        self._last_report = now
        self._diagnostics.publish(
            diagnostics.diagnostic_array(
                self.get_fully_qualified_name(), self.get_clock().now().to_msg(), statuses
            )
        )

    def _input_state(self, now: float) -> InputState:
        if self._input is None:
            return InputState(active=False, silent_for=None, stale=False, publishers=0, trouble='')
        return InputState(
            active=True,
            silent_for=self._stale.silent_for(now),
            stale=self._stale.stale,
            publishers=self._input.subscription.get_publisher_count(),
            trouble=self._input.trouble,
        )


def main() -> None:
    """Run the node: `ros2 run leconvmn_ros decoder --ros-args -p checkpoint:=FOLDER`."""
    run_node(DecoderNode)
