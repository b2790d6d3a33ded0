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

"""The viewer node: a page in the browser with the hand, EMG, angles and the decoder's state.

Subscribes to `emg`, `joint_states` (estimate), `joint_states_reference`, `movement_label` and, if
a guide runs, `cue_joint_states`, `guide_status` and `emg_description`. It never holds their
writers back. The buttons of the page call the services of the guide. It draws at its own rate,
whatever the rate of messages, and not at all while no page is open.
"""

from pathlib import Path
from queue import SimpleQueue

from leconvmn_ros.core.errors import ConfigurationError, MalformedMessageError
from leconvmn_ros.emg.description import parse_description
from leconvmn_ros.emg.message import chunk_from_message, stamp_to_ns
from leconvmn_ros.hands.profile import JOINT_STATE, JOINT_TRAJECTORY, load_profile
from leconvmn_ros.msg import EmgArray, MovementLabel
from leconvmn_ros.nodes.joint_state import angles_by_name
from leconvmn_ros.nodes.parameters import declare_parameters, Parameter
from leconvmn_ros.nodes.quality_of_service import NEWEST, ONLOOKER, overridable
from leconvmn_ros.nodes.running import every, run_node
from leconvmn_ros.view.page import LiveView
from leconvmn_ros.view.same_origin import split_origins
from leconvmn_ros.view.signals import LiveSignals
from leconvmn_ros.wearing.status import Action, parse_status
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

# A refused page tries again every second, but is logged only this often (s).
REFUSAL_PERIOD = 10.0

# The service that each button calls.
SERVICES: dict[Action, str] = {
    'start': 'guide/start',
    'start_anyway': 'guide/start_anyway',
    'pause': 'guide/pause',
    'redo': 'guide/redo',
    'use': 'wear/use',
    'adapt': 'wear/adapt',
    'train': 'wear/train',
}
PARAMETERS = (
    Parameter(
        'host',
        '127.0.0.1',
        'address to listen on; 0.0.0.0 shows the page, and all signals, to the whole network',
    ),
    Parameter('port', 8080, 'port to listen on, or the next free one', (1024, 65535)),
    Parameter('side', 'right', 'hand to show', choices=('right', 'left')),
    Parameter('frame_rate', 25.0, 'pictures per second (Hz)', (1.0, 60.0)),
    Parameter(
        'allowed_origins',
        '',
        'foreign pages that may connect, separated by commas: http://lab-pc:8080',
    ),
    Parameter('robot_urdf', '', 'URDF of a robot hand, with meshes beside it; needs its profile'),
    Parameter('robot_profile', '', 'profile of that hand, whose commands are shown'),
    Parameter('robot_prefix', '', "prefix of the profile's joint names in the URDF"),
)


class ViewerNode(Node):
    """Wires `LiveSignals` and `LiveView` to topics and parameters."""

    def __init__(self) -> None:
        """Declare the parameters, serve the page and subscribe.

        Raises:
            ConfigurationError: a parameter is not allowed, or viser is not installed.
        """
        super().__init__('viewer')
        self.done = Future()
        declare_parameters(self, PARAMETERS)
        self._signals = LiveSignals()
        self._pressed: SimpleQueue[Action] = SimpleQueue()
        self._buttons = {
            action: self.create_client(Trigger, service) for action, service in SERVICES.items()
        }
        self._view = LiveView(
            self.get_parameter('host').value,
            self.get_parameter('port').value,
            self.get_parameter('side').value,
            allowed_origins=split_origins(self.get_parameter('allowed_origins').value),
            on_refused=self._on_refused,
            on_action=self._pressed.put,
            robot_urdf=self._robot_urdf(),
            robot_prefix=self.get_parameter('robot_prefix').value,
        )
        self.get_logger().info(f'live view: {self._view.url}')
        self._subscribe()
        every(1 / self.get_parameter('frame_rate').value, self, self._draw)

    def _robot_urdf(self) -> Path | None:
        """Read the profile of the robot hand, and return its URDF if one is given.

        Raises:
            ConfigurationError: one of the two is missing or not allowed, or the command messages
                of the hand have no joint names.
        """
        urdf, name = (self.get_parameter(key).value for key in ('robot_urdf', 'robot_profile'))
        if bool(urdf) != bool(name):
            raise ConfigurationError('robot_urdf and robot_profile must be given together')
        if not urdf:
            return None
        self._profile = load_profile(name)
        command = self._profile.command
        if command.type not in {JOINT_STATE, JOINT_TRAJECTORY}:
            raise ConfigurationError(
                f'{self._profile.hand} takes {command.type}, whose joints have no names; only '
                f'{JOINT_STATE} and {JOINT_TRAJECTORY} can be shown'
            )
        kind = JointState if command.type == JOINT_STATE else JointTrajectory
        self.create_subscription(kind, command.topic, self._on_command, **overridable(ONLOOKER))
        return Path(urdf)

    def _on_command(self, message: JointState | JointTrajectory) -> None:
        if isinstance(message, JointState):
            names, values = message.name, message.position
        else:
            names = message.joint_names
            values = message.points[-1].positions if message.points else ()
        if len(names) != len(values):
            self._signals.refused += 1
            return
        angles = self._profile.in_radians_by_name(dict(zip(names, values, strict=True)))
        self._signals.add_command(angles)

    def _subscribe(self) -> None:
        for kind, topic, callback in (
            (EmgArray, 'emg', self._on_emg),
            (JointState, 'joint_states', self._on_estimate),
            (JointState, 'joint_states_reference', self._on_reference),
            (JointState, 'cue_joint_states', self._on_cue),
        ):
            self.create_subscription(kind, topic, callback, **overridable(ONLOOKER))
        for kind, topic, callback in (
            (MovementLabel, 'movement_label', self._on_label),
            (String, 'guide_status', self._on_guide),
            (String, 'emg_description', self._on_description),
        ):
            self.create_subscription(kind, topic, callback, NEWEST)

    def _on_emg(self, message: EmgArray, info: dict[str, int]) -> None:
        try:
            self._signals.add_emg(chunk_from_message(message), info['source_timestamp'])
        except MalformedMessageError:
            self._signals.refused += 1

    def _on_estimate(self, message: JointState, info: dict[str, int]) -> None:
        try:
            self._signals.add_estimate(
                stamp_to_ns(message.header.stamp),
                angles_by_name(message),
                info['received_timestamp'],
            )
        except MalformedMessageError:
            self._signals.refused += 1

    def _on_reference(self, message: JointState) -> None:
        try:
            self._signals.add_reference(stamp_to_ns(message.header.stamp), angles_by_name(message))
        except MalformedMessageError:
            self._signals.refused += 1

    def _on_cue(self, message: JointState) -> None:
        try:
            self._signals.add_cue(stamp_to_ns(message.header.stamp), angles_by_name(message))
        except MalformedMessageError:
            self._signals.refused += 1

    def _on_label(self, message: MovementLabel) -> None:
        self._signals.movement = int(message.movement), int(message.repetition)

    def _on_guide(self, message: String) -> None:
        try:
            self._signals.add_guide(parse_status(message.data))
        except MalformedMessageError:
            self._signals.refused += 1

    def _on_description(self, message: String) -> None:
        try:
            self._signals.rings = parse_description(message.data).rings
        except MalformedMessageError:
            self._signals.refused += 1

    def _on_refused(self, reason: str) -> None:
        self.get_logger().warning(f'refused: {reason}', throttle_duration_sec=REFUSAL_PERIOD)

    def _draw(self) -> None:
        while not self._pressed.empty():
            self._press(self._pressed.get())
        self._view.draw(self._signals)

    def _press(self, action: Action) -> None:
        client = self._buttons[action]
        if client.service_is_ready():
            # The guide's next status contains the answer.
            client.call_async(Trigger.Request())
        else:
            self.get_logger().warning(f'the button {action} was pressed, but nobody offers it')

    def close(self) -> None:
        """Stop serving."""
        self._view.close()


def main() -> None:
    """Run the node: `ros2 run leconvmn_ros viewer`, then open the address that it prints."""
    run_node(ViewerNode)
