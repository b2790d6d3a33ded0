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

Subscribes to `joint_states`, matched by joint name, and to the topic on which the hand reports its
pose, if the profile has one. Publishes commands at the rate of the profile, from the first input
on and while the pose of the hand is known. The services `~/calibrate_open` and `~/calibrate_fist`
measure the wearer.

It is not a lifecycle node: to stop a hand, end the node. It publishes nothing when it ends, so the
hand stays at its last command.
"""

from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
import time
from typing import Any

from leconvmn_ros.core.errors import (
    ConfigurationError,
    MalformedMessageError,
    OutputError,
    printable,
)
from leconvmn_ros.hands.anchors import Anchors, load_anchors
from leconvmn_ros.hands.calibration import (
    calibrate,
    Calibration,
    load_calibration,
    median_pose,
)
from leconvmn_ros.hands.profile import JOINT_TRAJECTORY, load_profile, profile_path
from leconvmn_ros.hands.retargeting import Command, Retargeter
from leconvmn_ros.hands.robot_state import DEFAULT_STATE_AGE
from leconvmn_ros.nodes.hand_command import command_message
from leconvmn_ros.nodes.hand_state import state_message
from leconvmn_ros.nodes.joint_state import angles_by_name
from leconvmn_ros.nodes.parameters import declare_parameters, Parameter
from leconvmn_ros.nodes.quality_of_service import COMMAND, DEAD_MAN, overridable, POSE_INPUT
from leconvmn_ros.nodes.running import every, run_node
from leconvmn_ros.nodes.throttled_log import ThrottledLog
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

REPORT_PERIOD = 5.0  # s
LEAST_WAY = 0.01  # rad

PARAMETERS = (
    Parameter('profile', '', 'name of a hand profile, or the path of its .yaml file'),
    Parameter('calibration', '', 'calibration file of the wearer; ~/calibrate_* write it'),
    Parameter('calibration_seconds', 3.0, 'duration of ~/calibrate_* (s)', (0.5, 60.0)),
    Parameter('command_topic', '', 'topic of the commands, instead of the one in the profile'),
    Parameter(
        'input_topic',
        'joint_states',
        'topic of the human angles; a remapping would also affect a robot state of the same name',
    ),
    Parameter(
        'state_age',
        DEFAULT_STATE_AGE,
        'age beyond which a reported position no longer counts (s); then no commands are sent',
        (0.01, 60.0),
    ),
    Parameter(
        'blind',
        False,
        'ignore the reported pose of the hand; the first command makes it jump to its rest pose',
    ),
    Parameter(
        'anchors',
        True,
        'use the fitted pinches and thumb clearance of the hand, if its profile has them; false = '
        'joint map only',
    ),
    Parameter(
        'acceleration',
        0.0,
        'limit for joints without their own (rad/s^2); 0 = that of the profile',
        (0.0, 10000.0),
    ),
    Parameter(
        'dead_man_topic',
        '',
        'std_msgs/Bool that must be true at regular intervals, or no commands are sent; empty = '
        'none',
    ),
    Parameter('dead_man_age', 0.3, 'largest age of that message (s)', (0.02, 10.0)),
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
        if acceleration := self.get_parameter('acceleration').value:
            self._profile = self._profile.model_copy(update={'acceleration': acceleration})
        self._retargeter = Retargeter(
            self._profile,
            self._read_calibration(),
            self._read_anchors(),
            state_age=self.get_parameter('state_age').value,
            blind=self.get_parameter('blind').value,
        )
        self._measured: dict[str, dict[str, float]] = {}
        self._recording: _PoseRecording | None = None
        self._log = ThrottledLog(self.get_logger())
        self._told: dict[str, Any] = {'clipped': dict(self._retargeter.clipped)}
        self._waiting_since: float | None = None
        kind, self._fill = command_message(self._profile)
        self._publisher = self._make_publisher(kind)
        self._subscribe()
        self._offer_calibration()
        every(self._profile.command.period, self, self._step)
        every(REPORT_PERIOD, self, self._report)
        self._introduce()

    def _introduce(self) -> None:
        self.get_logger().info(
            f'{printable(self._profile.hand)}: {len(self._profile.joints)} joints at '
            f'{self._profile.command.rate:g} Hz on {self._publisher.topic_name}, once '
            f'{self._input.topic_name} has {", ".join(self._profile.human_joints)}'
        )
        if self._state is None:
            self.get_logger().warning(
                f'{printable(self._profile.hand)} is driven blind, its pose is not known: '
                'the first command moves it to its rest pose from wherever it is, at its full '
                'speed'
            )
        if self._profile.command.type == JOINT_TRAJECTORY:
            self.get_logger().info(
                f'if {self._publisher.topic_name} belongs to a joint_trajectory_controller, set '
                'its parameter interpolate_from_desired_state to true: without it the hand lags '
                'and falls short, because every message starts a new trajectory'
            )

    def _read_anchors(self) -> Anchors | None:
        if not self.get_parameter('anchors').value:
            return None
        return load_anchors(profile_path(self.get_parameter('profile').value), self._profile)

    def _read_calibration(self) -> Calibration | None:
        path = self.get_parameter('calibration').value
        if not path:
            return None
        if not Path(path).exists():
            self.get_logger().info(
                f'{printable(path)} is not there yet: the wearer is not calibrated'
            )
            return None
        return load_calibration(Path(path))

    def _make_publisher(self, kind: Any) -> Publisher:
        topic = self.get_parameter('command_topic').value or self._profile.command.topic
        try:
            return self.create_publisher(kind, topic, **overridable(COMMAND))
        except InvalidTopicNameException as error:
            raise ConfigurationError(f'parameter command_topic: {error}') from error

    def _subscribe(self) -> None:
        topic = self.get_parameter('input_topic').value
        try:
            self._input = self.create_subscription(
                JointState, topic, self._on_human, **overridable(POSE_INPUT)
            )
        except InvalidTopicNameException as error:
            raise ConfigurationError(f'parameter input_topic: {error}') from error
        state = None if self.get_parameter('blind').value else self._profile.state
        self._state = None
        if state is not None:
            kind, self._read_state = state_message(self._profile)
            self._state = self.create_subscription(
                kind, state.topic, self._on_state, **overridable(POSE_INPUT)
            )
        topic = self.get_parameter('dead_man_topic').value
        self._dead_man_age = self.get_parameter('dead_man_age').value if topic else inf
        self._held_at = -inf if topic else 0.0
        if topic:
            try:
                self.create_subscription(Bool, topic, self._on_dead_man, **overridable(DEAD_MAN))
            except InvalidTopicNameException as error:
                raise ConfigurationError(f'parameter dead_man_topic: {error}') from error

    def _offer_calibration(self) -> None:
        # In a separate group: they wait while other callbacks go on.
        group = MutuallyExclusiveCallbackGroup()

        async def on_open(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            return await self._calibrate('open', response)

        async def on_fist(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            return await self._calibrate('fist', response)

        self.create_service(Trigger, '~/calibrate_open', on_open, callback_group=group)
        self.create_service(Trigger, '~/calibrate_fist', on_fist, callback_group=group)

    def _on_human(self, message: JointState) -> None:
        try:
            angles = angles_by_name(message)
            heard = self._retargeter.listen(angles, time.monotonic())
        except MalformedMessageError as error:
            self._log.warning('input', f'input rejected: {error}')
            return
        if heard and self._recording:
            self._recording.poses.append(angles)

    def _on_dead_man(self, message: Bool) -> None:
        self._held_at = time.monotonic() if message.data else -inf

    def _on_state(self, message: Any) -> None:
        try:
            self._retargeter.observe(self._read_state(message), time.monotonic())
        except MalformedMessageError as error:
            self._log.error('state', f'pose of the hand rejected: {error}')

    def _step(self) -> None:
        now = time.monotonic()
        starts, started = self._retargeter.fresh_starts, self._retargeter.started
        command = self._next_command(now)
        if command is not None:
            self._publisher.publish(self._fill(command.values, self.get_clock().now().to_msg()))
            if started is None:
                self._tell_of_start()
        if self._retargeter.fresh_starts > starts:
            self._log.warning(
                'moved',
                'the hand is not where it was commanded: commands start from its real pose',
            )
        self._tell_of_state(now)
        self._tell_of_input()
        self._log.flush()
        if self._recording and now >= self._recording.until:
            self._recording.over.set_result(None)
            self._recording = None

    def _next_command(self, now: float) -> Command | None:
        """Return the next command, None while the dead man's switch is released."""
        released = now - self._held_at > self._dead_man_age
        topic = self.get_parameter('dead_man_topic').value
        self._tell('dead_man', f'no commands: {topic} is not true', released)
        if not released:
            return self._retargeter.step(now)
        self._retargeter.pause()
        return None

    def _tell_of_start(self) -> None:
        """Log in two lines where the commands begin and what they are about to move."""
        start = self._retargeter.started
        if start is None:
            return
        source = 'the pose that the hand reports' if start.reported else 'the pose commanded last'
        self._log.info('start', f'commands start from {source}: {_angles(start.pose)}')
        ways = {name: start.goal[name] - at for name, at in start.pose.items()}
        moved = {name: way for name, way in ways.items() if abs(way) >= LEAST_WAY}
        text = f'moves by {_angles(moved)}' if moved else 'it is there already'
        self._log.info('way', f'on the way to the human hand: {text}')

    def _tell_of_state(self, now: float) -> None:
        """Log when the hand stands still because its pose is unknown, or does not follow."""
        unknown = self._retargeter.unknown
        if not unknown:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now
        patience = self._profile.state.wait if self._profile.state else 0.0
        if unknown and (self._waiting_since is None or now - self._waiting_since < patience):
            return
        self._tell(
            'unknown',
            f'no commands: the pose of the hand is not known, no recent position of '
            f'{_some(unknown)} on {self._state.topic_name if self._state else ""}. Without such a '
            'topic it can be driven blind with the parameter blind',
            bool(unknown),
        )
        held = self._retargeter.not_following(now)
        self._tell(
            'held',
            f'{_some(held)} {"does" if len(held) == 1 else "do"} not follow: commands wait '
            f'{self._profile.state.bound if self._profile.state else 0:g} rad ahead',
            held,
        )

    def _tell_of_input(self) -> None:
        """Log which input is missing, and when there is none."""
        then = {'hold': 'holds its pose', 'rest': 'goes to rest', 'stop': 'gets no commands'}
        after = self._profile.stale.after
        self._tell(
            'stale',
            f'no input for {after:g} s: the hand {then[self._profile.stale.then]}',
            self._retargeter.stale,
        )
        if self._retargeter.stale:
            return
        missing = self._retargeter.missing
        self._tell(
            'missing',
            f'no {", ".join(missing)} in the input for {after:g} s: the joints that follow do not '
            'move',
            missing,
        )

    def _tell(self, what: str, text: str, happens: Any = True) -> None:
        """Warn when a condition begins or changes."""
        if happens and self._told.get(what) != happens:
            self._log.warning(what, text)
        self._told[what] = happens

    def _report(self) -> None:
        clipped = self._retargeter.clipped
        news = {joint: count - self._told['clipped'][joint] for joint, count in clipped.items()}
        if text := ', '.join(
            f'{printable(joint)} {count} times' for joint, count in news.items() if count
        ):
            self.get_logger().warning(f'clipped to the limits since the last report: {text}')
        self._told |= {'clipped': dict(clipped)}
        shared = self._state and self._state.topic_name == self._input.topic_name
        self._tell(
            'several',
            f'several nodes publish {self._input.topic_name}: they must not have the same joints',
            self._input.get_publisher_count() > (2 if shared else 1),
        )
        others = self.count_publishers(self._publisher.topic_name) - 1
        self._tell(
            'rivals',
            f'{others} more publish {self._publisher.topic_name}: the hand gets commands of both; '
            'stop all but one',
            max(others, 0),
        )

    async def _calibrate(self, name: str, response: Trigger.Response) -> Trigger.Response:
        """Watch a pose; after the second of the two, write and use the calibration."""
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
        """Report what was clipped; the hand stays at its last command."""
        self._report()


class _PoseRecording:
    """Collects poses until a time (s, monotonic); `over` completes then."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.poses: list[dict[str, float]] = []
        self.over = Future()


def _angles(pose: Mapping[str, float]) -> str:
    """Return the largest angles in words (rad)."""
    order = sorted(pose, key=lambda name: -abs(pose[name]))
    return _some([f'{printable(name)} {pose[name]:+.2f}' for name in order], 6) + ' rad'


def _some(names: Sequence[str], most: int = 4) -> str:
    """Return the first names, and the number of further ones."""
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(names[:most]) + more


def main() -> None:
    """Run the node: `ros2 run leconvmn_ros retarget --ros-args -p profile:=leap`."""
    run_node(RetargetNode)
