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

"""The retarget node: human joint angles in, the commands of a robot hand out.

Subscribes `joint_states` by joint name, and the topic on which the hand tells its pose if its
profile names one. Publishes the command at the rate of the profile, from the first input on. The
services `~/calibrate_open` and `~/calibrate_fist` measure the wearer.

A plain node, not a lifecycle node: the way to stop a hand is to end it. It publishes nothing when
it ends, so the hand stays where it was told to be.
"""

from pathlib import Path
import time
from typing import Any

from leconvmn_ros.errors import ConfigurationError, MalformedMessageError, OutputError
from leconvmn_ros.hands.calibration import (
    calibrate,
    Calibration,
    load_calibration,
    median_pose,
)
from leconvmn_ros.hands.profile import load_profile
from leconvmn_ros.hands.retargeting import Retargeter
from leconvmn_ros.nodes.hand_command import command_message
from leconvmn_ros.nodes.parameters import declare_parameters, Parameter
from leconvmn_ros.nodes.quality_of_service import COMMAND, overridable, POSE_INPUT
from leconvmn_ros.nodes.running import every, run_node
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

REPORT_PERIOD = 5.0  # s

PARAMETERS = (
    Parameter('profile', '', 'name of a hand profile, or the path of its .yaml file'),
    Parameter('calibration', '', 'file with the ranges of the wearer; ~/calibrate_* write it'),
    Parameter('calibration_seconds', 3.0, 'how long ~/calibrate_* watch (s)', (0.5, 60.0)),
    Parameter('command_topic', '', 'instead of the topic in the profile'),
)


class RetargetNode(Node):
    """Wires `Retargeter` to topics, parameters and services."""

    def __init__(self) -> None:
        """Declare the parameters, read the profile, listen.

        Raises:
            ConfigurationError: a parameter, the profile or the calibration is not allowed, or the
                message type of the hand is not installed.
        """
        super().__init__('retarget')
        self.done = Future()
        declare_parameters(self, PARAMETERS)
        self._profile = load_profile(self.get_parameter('profile').value)
        self._retargeter = Retargeter(self._profile, self._read_calibration())
        self._measured: dict[str, dict[str, float]] = {}
        self._recording: _PoseRecording | None = None
        self._refused = 0
        self._told: dict[str, Any] = {'clipped': dict(self._retargeter.clipped)}
        kind, self._fill = command_message(self._profile)
        self._publisher = self._make_publisher(kind)
        self._subscribe()
        self._offer_calibration()
        every(self._profile.command.period, self, self._step)
        every(REPORT_PERIOD, self, self._report)
        self.get_logger().info(
            f'{self._profile.hand}: {len(self._profile.joints)} joints at '
            f'{self._profile.command.rate:g} Hz on {self._publisher.topic_name}, once '
            f'{self._input.topic_name} has {", ".join(self._profile.human_joints)}'
        )
        if self._state is None:
            self.get_logger().warning(
                f'{self._profile.hand} does not tell its pose: the first command takes it to its '
                'rest pose from wherever it is, as fast as it moves'
            )

    def _read_calibration(self) -> Calibration | None:
        path = self.get_parameter('calibration').value
        if not path:
            return None
        if not Path(path).exists():
            self.get_logger().info(f'{path} is not there yet: the wearer is not calibrated')
            return None
        return load_calibration(Path(path))

    def _make_publisher(self, kind: Any) -> Publisher:
        topic = self.get_parameter('command_topic').value or self._profile.command.topic
        try:
            return self.create_publisher(kind, topic, **overridable(COMMAND))
        except InvalidTopicNameException as error:
            raise ConfigurationError(f'parameter command_topic: {error}') from error

    def _subscribe(self) -> None:
        self._input = self.create_subscription(
            JointState, 'joint_states', self._on_human, **overridable(POSE_INPUT)
        )
        self._state = self._profile.state and self.create_subscription(
            JointState, self._profile.state.topic, self._on_state, **overridable(POSE_INPUT)
        )

    def _offer_calibration(self) -> None:
        # In a group of their own: they wait, while the others go on.
        group = MutuallyExclusiveCallbackGroup()

        async def on_open(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            return await self._calibrate('open', response)

        async def on_fist(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            return await self._calibrate('fist', response)

        self.create_service(Trigger, '~/calibrate_open', on_open, callback_group=group)
        self.create_service(Trigger, '~/calibrate_fist', on_fist, callback_group=group)

    def _on_human(self, message: JointState) -> None:
        angles = dict(zip(message.name, message.position, strict=False))
        try:
            heard = self._retargeter.listen(angles, time.monotonic())
        except MalformedMessageError as error:
            self._refused += 1
            self._tell('refused', f'input refused: {error}')
            return
        if not heard:
            return
        if self._recording:
            self._recording.poses.append(angles)
        missing = ', '.join(self._retargeter.missing)
        self._tell(
            'missing', f'no {missing} in the input: what follows them stays at rest', missing
        )

    def _on_state(self, message: JointState) -> None:
        self._retargeter.observe(dict(zip(message.name, message.position, strict=False)))

    def _step(self) -> None:
        now = time.monotonic()
        command = self._retargeter.step(now)
        if command is not None:
            self._tell(
                'blind',
                f'nothing on {self._state.topic_name if self._state else ""}: the first command '
                'starts from the rest pose',
                self._retargeter.waiting_for_state,
            )
            self._publisher.publish(self._fill(command.values, self.get_clock().now().to_msg()))
        then = {'hold': 'holds its pose', 'rest': 'goes to rest', 'stop': 'gets no commands'}
        self._tell(
            'stale',
            f'no input for {self._profile.stale.after:g} s: the hand '
            f'{then[self._profile.stale.then]}',
            self._retargeter.stale,
        )
        if self._recording and now >= self._recording.until:
            self._recording.over.set_result(None)
            self._recording = None

    def _tell(self, what: str, text: str, happens: Any = True) -> None:
        """Warn when something begins to happen, or happens otherwise."""
        if happens and self._told.get(what) != happens:
            self.get_logger().warning(text)
        self._told[what] = happens

    def _report(self) -> None:
        clipped = self._retargeter.clipped
        news = {joint: count - self._told['clipped'][joint] for joint, count in clipped.items()}
        if text := ', '.join(f'{joint} {count} times' for joint, count in news.items() if count):
            self.get_logger().warning(f'clipped to the limits since the last report: {text}')
        if self._refused:
            self.get_logger().warning(f'{self._refused} inputs refused since the last report')
        self._told |= {'clipped': dict(clipped), 'refused': False}
        self._refused = 0
        shared = self._state and self._state.topic_name == self._input.topic_name
        self._tell(
            'several',
            f'several nodes publish {self._input.topic_name}: they must not have the same joints',
            self._input.get_publisher_count() > (2 if shared else 1),
        )

    async def _calibrate(self, name: str, response: Trigger.Response) -> Trigger.Response:
        """Watch a pose; with the second of the two, write the calibration and use it."""
        try:
            response.message = await self._measure(name)
            response.success = True
        except (ConfigurationError, OutputError) as error:
            response.message = str(error)
            self.get_logger().error(response.message)
        else:
            self.get_logger().info(response.message)
        return response

    async def _measure(self, name: str) -> str:
        path = self.get_parameter('calibration').value
        if not path:
            raise ConfigurationError('parameter calibration is empty; give the file to write')
        seconds = self.get_parameter('calibration_seconds').value
        self.get_logger().info(f'{name} hand: watching for {seconds:g} s')
        recording = self._recording = _PoseRecording(time.monotonic() + seconds)
        await recording.over
        self._measured[name] = median_pose(recording.poses)
        if len(self._measured) < 2:
            other = 'fist' if name == 'open' else 'open'
            return f'{name} hand measured, {len(recording.poses)} poses; now ~/calibrate_{other}'
        calibration = calibrate(self._measured['open'], self._measured['fist'])
        calibration.save(Path(path))
        self._retargeter.calibrate(calibration)
        return f'calibrated {len(calibration.joints)} joints, written to {path}'

    def close(self) -> None:
        """Say what was clipped; the hand stays where it was told to be."""
        self._report()


class _PoseRecording:
    """What comes in until a time (s, monotonic); `over` completes then."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.poses: list[dict[str, float]] = []
        self.over = Future()


def main() -> None:
    """Run the node: `ros2 run leconvmn_ros retarget --ros-args -p profile:=leap`."""
    run_node(RetargetNode)
