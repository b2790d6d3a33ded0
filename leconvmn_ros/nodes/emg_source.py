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

"""The EMG source node: reads a device and publishes `emg`, with `emg_description` (latched).

A separate thread reads the device. Silence and a missing device are reported at once in the log
and on /diagnostics, and the node reopens the device automatically.
"""

from threading import Event, Thread

from diagnostic_msgs.msg import DiagnosticArray
from leconvmn_ros.core.errors import ConfigurationError, LeconvmnError
from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.core.status import Level
from leconvmn_ros.core.strict_model import first_problem
from leconvmn_ros.emg.description import EmgDescription
from leconvmn_ros.emg.message import fill_message
from leconvmn_ros.msg import EmgArray
from leconvmn_ros.nodes.diagnostics import diagnostic_array, PERIOD, TOPIC
from leconvmn_ros.nodes.parameters import declare_parameters, Parameter
from leconvmn_ros.nodes.quality_of_service import LATCHED, overridable, RELIABLE
from leconvmn_ros.nodes.running import every, run_node
from leconvmn_ros.recordings.bag_types import DESCRIPTION_TOPIC, EMG_TOPIC
from leconvmn_ros.sources.registry import make_source
from leconvmn_ros.sources.session import Listener, SourceSession
from leconvmn_ros.sources.settings import (
    parse_channels,
    parse_offset,
    parse_rings,
    SignalSettings,
)
from leconvmn_ros.sources.stream import SILENCE
from pydantic import ValidationError
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import String

PARAMETERS = (
    Parameter('source', '', 'kind of the source: lsl, brainflow, mindrove, myo, bag, synthetic'),
    Parameter('options', '', "options of the source, such as 'name=value name=value'"),
    Parameter('channels', '', "channels to publish, in this order, such as '0-3, 7'; empty = all"),
    Parameter(
        'ring',
        '',
        "bands of electrodes from elbow to wrist, such as '0-7; 8-15': the channels of each, in "
        'their order around the arm',
    ),
    Parameter(
        'ring_offset',
        '',
        'turn of each band after the first against it, in electrodes, such as 0.5',
    ),
    Parameter('arm', '', 'arm that wears it', choices=('', 'left', 'right')),
    Parameter('scale', 0.0, 'volts per unit of the device, 0 = by its unit', allowed=(0.0, 1e6)),
    Parameter(
        'sampling_rate',
        0.0,
        'rate of the device (Hz), if it claims a wrong one; 0 = as it claims',
        allowed=(0.0, 1e6),
    ),
    Parameter(
        'delay',
        0.0,
        'known minimal time from skin to arrival (s)',
        allowed=(0.0, 1.0),
    ),
    Parameter(
        'silence',
        SILENCE,
        'time without samples after which the device is reported silent (s)',
        allowed=(0.05, 60.0),
    ),
)
# Longest time that the node waits for the device at its end (s).
LONGEST_CLOSE = 5.0


class EmgSourceNode(Node):
    """Wires a `SourceSession` to topics and parameters."""

    def __init__(self) -> None:
        """Declare the parameters and start reading.

        Raises:
            ConfigurationError: a parameter is not allowed, or a library is missing.
        """
        super().__init__('emg_source')
        self.done = Future()
        declare_parameters(self, PARAMETERS)
        kind = self.get_parameter('source').value
        if not kind:
            raise ConfigurationError(
                'parameter source is empty; `leconvmn_ros sources` lists what there is'
            )
        source = make_source(kind, self.get_parameter('options').value)
        settings = self._settings()
        self._emg = self.create_publisher(EmgArray, EMG_TOPIC.lstrip('/'), **overridable(RELIABLE))
        self._description = self.create_publisher(
            String, DESCRIPTION_TOPIC.lstrip('/'), **overridable(LATCHED)
        )
        self._diagnostics = self.create_publisher(DiagnosticArray, TOPIC, 10)
        self._stopping = Event()
        self._session = SourceSession(
            kind, source, settings, Listener(self._opened, self._publish, self._report, self._say)
        )
        every(PERIOD, self, self._report)
        self._thread = Thread(target=self._run, name='emg_source', daemon=True)
        self._thread.start()

    def _settings(self) -> SignalSettings:
        value = {
            parameter.name: self.get_parameter(parameter.name).value for parameter in PARAMETERS
        }
        try:
            return SignalSettings(
                scale=value['scale'],
                channels=parse_channels(value['channels']),
                rings=parse_rings(value['ring']),
                offset=parse_offset(value['ring_offset']),
                arm=value['arm'],
                sampling_rate=value['sampling_rate'],
                delay=value['delay'],
                silence=value['silence'],
            )
        except ValidationError as error:
            raise ConfigurationError(f'parameter {first_problem(error)}') from error

    def _run(self) -> None:
        code = 1
        try:
            self._session.run(self._stopping)
            code = 0
        except LeconvmnError as error:
            self.get_logger().fatal(str(error))
        finally:
            self.done.set_result(code)

    def _opened(self, description: EmgDescription) -> None:
        self._description.publish(String(data=description.to_json()))

    def _publish(self, chunk: EmgChunk) -> None:
        self._emg.publish(fill_message(EmgArray(), chunk))

    def _report(self) -> None:
        stamp = self.get_clock().now().to_msg()
        name = self.get_fully_qualified_name()
        self._diagnostics.publish(diagnostic_array(name, stamp, [self._session.status()]))

    def _say(self, level: Level, text: str) -> None:
        if level is Level.ERROR:
            self.get_logger().error(text)
        elif level is Level.WARN:
            self.get_logger().warning(text)
        else:
            self.get_logger().info(text)

    def close(self) -> None:
        """Release the device."""
        self._stopping.set()
        self._thread.join(LONGEST_CLOSE)


def main() -> None:
    """Run the node: `ros2 run leconvmn_ros emg_source --ros-args -p source:=lsl`."""
    run_node(EmgSourceNode)
