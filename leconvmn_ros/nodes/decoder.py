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
with the acquisition time of the last EMG sample used. A lifecycle node: configure loads and warms
the model, activate listens and publishes. With `autostart` (the default) it does both by itself.
"""

import gc
from pathlib import Path
import time
from typing import Any

from leconvmn_ros.checkpoint import load_checkpoint
from leconvmn_ros.decoder import Decoder, DEFAULT_OUTPUT_RATE, Estimate, warm_up_with_threads
from leconvmn_ros.emg_message import chunk_from_message
from leconvmn_ros.engines import EXACT, REDUCED
from leconvmn_ros.errors import ConfigurationError, MalformedMessageError
from leconvmn_ros.msg import EmgArray
from leconvmn_ros.nodes.lifecycle import explained, refuse_illegal_requests
from leconvmn_ros.nodes.quality_of_service import (
    declare_lossless,
    EMG_INPUT,
    overridable,
    publish_patiently,
    RELIABLE,
)
from leconvmn_ros.nodes.running import declare, every, run_node
from leconvmn_ros.recording import NANOSECONDS
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription
from rclpy.task import Future
from sensor_msgs.msg import JointState

# The seconds of a ROS stamp end in 2038; an hour before, so that no estimate is stamped later.
LATEST_STAMP_NS = (2**31 - 3600) * NANOSECONDS

# A reader with keep-all that has hung must not hang the decoder (s).
LONGEST_WAIT = 5.0

# Name, default, description and range of what on_configure reads.
_PARAMETERS: tuple[tuple[str, Any, str, tuple[Any, Any] | None], ...] = (
    ('checkpoint', '', 'folder of a trained decoder (checkpoint.json, weights.safetensors)', None),
    ('device', 'auto', 'torch device: auto (a GPU if there is one), cpu, cuda', None),
    (
        'engine',
        'auto',
        (
            'what runs the network on a CPU: auto (the fastest in full precision), reduced (the '
            f'fastest, even if less accurate), or {", ".join(EXACT + REDUCED)}'
        ),
        None,
    ),
    (
        'output_rate',
        DEFAULT_OUTPUT_RATE,
        'estimates per second (Hz), 0 = one per image',
        (0.0, 1000.0),
    ),
    ('threads', 0, 'CPU threads of the network, 0 = as few as keep up', (0, 256)),
)


class DecoderNode(LifecycleNode):
    """Wires `Decoder` to topics, parameters and the life cycle."""

    def __init__(self) -> None:
        """Declare the parameters; with `autostart`, configure and activate.

        Raises:
            ConfigurationError: a parameter is not allowed, or the autostart failed.
        """
        super().__init__('decoder')
        self.done = Future()
        for name, default, description, allowed in _PARAMETERS:
            declare(self, name, default, description, allowed=allowed, read_only=False)
        declare(self, 'autostart', True, 'configure and activate without a lifecycle manager')
        declare_lossless(self)
        self.add_on_set_parameters_callback(self._may_set)
        refuse_illegal_requests(self)
        self._decoder: Decoder | None = None
        self._publisher: LifecyclePublisher | None = None
        self._subscription: Subscription | None = None
        self._reported: dict[str, int] = {}
        every(1.0, self, self._report_faults)
        if self.get_parameter('autostart').value:
            self._start()

    def _start(self) -> None:
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() is not TransitionCallbackReturn.SUCCESS:
                raise ConfigurationError('the decoder cannot start, see the error above')

    def _may_set(self, parameters: list[Parameter]) -> SetParametersResult:
        names = {name for name, *_ in _PARAMETERS} & {parameter.name for parameter in parameters}
        if self._decoder is None or not names:
            return SetParametersResult(successful=True)
        return SetParametersResult(
            successful=False,
            reason=f'{", ".join(sorted(names))}: the decoder is configured, clean it up first',
        )

    @explained
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the checkpoint, warm the network, make the publisher."""
        self._decoder = self._load_decoder()
        self._publisher = self.create_lifecycle_publisher(
            JointState, 'joint_states', **overridable(RELIABLE, self)
        )
        return super().on_configure(state)

    def _load_decoder(self) -> Decoder:
        folder = self.get_parameter('checkpoint').value
        if not folder:
            raise ConfigurationError(
                'parameter checkpoint is empty; give the folder of a trained decoder'
            )
        decoder = Decoder(
            load_checkpoint(Path(folder)),
            output_rate=self.get_parameter('output_rate').value,
            device=self.get_parameter('device').value,
            engine=self.get_parameter('engine').value,
        )
        step = warm_up_with_threads(decoder, self.get_parameter('threads').value)
        self.get_logger().info(
            f'{folder}: {decoder.channels} channels at {decoder.sampling_rate:g} Hz in, '
            f'{len(decoder.joint_names)} joints at {decoder.output_rate:g} Hz out; '
            f'a step takes {1e3 * step:.1f} ms of {1e3 / decoder.output_rate:.1f} ms '
            f'(engine {decoder.engine})'
        )
        # What is there now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        return decoder

    @explained
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start afresh and listen to the EMG."""
        if self._decoder is not None:
            self._decoder.reset()
        self._subscription = self.create_subscription(
            EmgArray, 'emg', self._on_emg, **overridable(EMG_INPUT, self)
        )
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening."""
        self._unsubscribe()
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
        self._report_faults()
        self._release()

    def _on_emg(self, message: EmgArray) -> None:
        if self._decoder is None:
            return
        try:
            chunk = chunk_from_message(message)
        except MalformedMessageError:
            self._decoder.counts.malformed += 1
            return
        if chunk.stamp_ns > LATEST_STAMP_NS:
            self._decoder.counts.malformed += 1
            return
        for estimate in self._decoder.decode(chunk):
            self._publish(estimate)

    def _publish(self, estimate: Estimate) -> None:
        deadline = time.monotonic() + LONGEST_WAIT
        if not publish_patiently(
            self._publisher, self._joint_state(estimate), lambda: time.monotonic() > deadline
        ):
            self.get_logger().error(
                f'a reader of joint_states takes nothing for {LONGEST_WAIT:g} s: '
                'an estimate is dropped'
            )

    def _joint_state(self, estimate: Estimate) -> JointState:
        message = JointState()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(
            estimate.stamp_ns, NANOSECONDS
        )
        message.name = list(self._decoder.joint_names) if self._decoder else []
        message.position = estimate.positions.tolist()
        return message

    def _report_faults(self) -> None:
        if self._decoder is None:
            return
        faults = self._decoder.counts.faults()
        news = {name: count - self._reported.get(name, 0) for name, count in faults.items()}
        if text := ', '.join(
            f'{count} {name.replace("_", " ")}' for name, count in news.items() if count
        ):
            self.get_logger().warning(f'input faults since the last report: {text}')
        self._reported = faults

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None

    def _release(self) -> None:
        self._unsubscribe()
        if self._publisher is not None:
            self.destroy_lifecycle_publisher(self._publisher)
            self._publisher = None
        self._decoder = None
        self._reported = {}


def main() -> None:
    """Run the node: `ros2 run leconvmn_ros decoder --ros-args -p checkpoint:=FOLDER`."""
    run_node(DecoderNode)
