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

"""An EMG source of any number of channels and rate that records when each estimate comes back.

Publishes `emg`: noise in chunks at the pace of an amplifier, each stamped with the time of its
first sample. Subscribes to `joint_states`. At the end it writes its measurements as JSON.
"""

from array import array
from pathlib import Path
from threading import Event, Thread
import time
from typing import Any

from leconvmn_ros.core.errors import ConfigurationError, LeconvmnError
from leconvmn_ros.core.files import write_json
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.emg.message import fill_message, stamp_to_ns
from leconvmn_ros.msg import EmgArray
from leconvmn_ros.nodes.parameters import declare_parameters, LOSSLESS, Parameter
from leconvmn_ros.nodes.quality_of_service import (
    EMG_INPUT,
    overridable,
    RELIABLE,
)
from leconvmn_ros.nodes.running import run_node
from leconvmn_ros.speed.round_trip import PUBLISHING, RoundTrip
from leconvmn_ros.speed.stages import noise
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import JointState

# Discovery of the other topic may take a little longer (s).
SETTLING_TIME = 0.5
# At the end, time for the last estimates to arrive (s).
LAST_WAIT = 1.0

PARAMETERS = (
    Parameter('channels', 12, 'electrodes', (1, 256)),
    Parameter(
        'sampling_rate', 2000.0, 'samples per second of each channel (Hz)', (1.0, 100_000.0)
    ),
    Parameter('chunk', 20, 'samples per message', (1, 100_000)),
    Parameter('duration', 10.0, 'duration of publishing (s)', (0.1, 86_400.0)),
    Parameter('subscriber_timeout', 60.0, 'longest wait for a subscriber (s)', (0.0, 3600.0)),
    Parameter('output', '', 'file for the counts and latencies (JSON)'),
    LOSSLESS,
)


class LoadNode(Node):
    """Publishes in a thread of its own and listens in another."""

    def __init__(self) -> None:
        """Declare the parameters and start.

        Raises:
            ConfigurationError: a parameter is not allowed.
        """
        super().__init__('load')
        self.done = Future()
        declare_parameters(self, PARAMETERS)
        self._chunk, self._rate = self._value('chunk'), self._value('sampling_rate')
        if not self._value('output'):
            raise ConfigurationError('parameter output is empty; give the file for the results')
        self._trip = RoundTrip(
            self._chunk,
            self._rate,
            max(1, round(self._value('duration') * self._rate / self._chunk)),
        )
        self._publisher = self.create_publisher(EmgArray, 'emg', **overridable(EMG_INPUT, self))
        self.create_subscription(
            JointState, 'joint_states', self._on_estimate, **overridable(RELIABLE, self)
        )
        self._stopping = Event()
        self._thread = Thread(target=self._run, name='load', daemon=True)
        self._thread.start()

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _on_estimate(self, message: JointState) -> None:
        self._trip.came(stamp_to_ns(message.header.stamp), time.monotonic_ns())

    def _run(self) -> None:
        code = 1
        try:
            self._wait_for_subscriber()
            self._publish_all()
            self._stopping.wait(LAST_WAIT)
            write_json(Path(self._value('output')), self._trip.report())
            code = 0
        except LeconvmnError as error:
            self.get_logger().fatal(str(error))
        finally:
            self.done.set_result(code)

    def _wait_for_subscriber(self) -> None:
        deadline = time.monotonic() + self._value('subscriber_timeout')
        while self._publisher.get_subscription_count() == 0:
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f'nobody subscribed to emg within {self._value("subscriber_timeout"):g} s'
                )
            if self._stopping.wait(0.02):
                return
        self._stopping.wait(SETTLING_TIME)

    def _publish_all(self) -> None:
        samples = noise(self._chunk, self._value('channels'))
        message = fill_message(EmgArray(), EmgChunk(0, self._rate, 0, samples))
        content = array('f', samples.tobytes())
        self.get_logger().info(PUBLISHING)
        start_ns = self._trip.begin(time.monotonic_ns(), time.time_ns())
        for number, stamp_ns, due_ns in self._trip.plan():
            if self._stopping.wait(max(0, due_ns - time.monotonic_ns()) / NANOSECONDS):
                return
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, NANOSECONDS)
            message.first_sample = number * self._chunk
            message.samples = content
            self._trip.left(number, time.monotonic_ns())
            self._publisher.publish(message)
        self.get_logger().info(
            f'done after {(time.monotonic_ns() - start_ns) / NANOSECONDS:.1f} s'
        )

    def close(self) -> None:
        """Stop publishing."""
        self._stopping.set()
        self._thread.join(timeout=5)


def main() -> None:
    """Run the node: `ros2 run leconvmn_ros load --ros-args -p output:=FILE`."""
    run_node(LoadNode)
