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
"""A driver node for an amplifier in one file; replace `Amplifier` by your own.

Run it in a terminal with ROS 2 (`. .venv/bin/activate` is enough): `python amplifier_driver.py`.
A decoder trained on the same electrodes then decodes the messages on `emg`.
"""

import time

from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.emg import fill_message
from leconvmn_ros.msg import EmgArray
import numpy as np
from numpy.typing import NDArray
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data

RATE = 1000.0  # Hz
CHANNELS = 8
PACKET = 20  # samples that the amplifier sends together
MICROVOLT = 1e-6


class Amplifier:
    """Stands in for the library of your amplifier: noise of 20 microvolts."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng()

    def read(self) -> NDArray[np.float32]:
        """Return the next packet in microvolts, shape (PACKET, CHANNELS)."""
        return self._rng.normal(0, 20, (PACKET, CHANNELS)).astype(np.float32)


class AmplifierDriver(Node):
    """Publishes the EMG of the amplifier."""

    def __init__(self) -> None:
        super().__init__('amplifier_driver')
        self._amplifier = Amplifier()
        self._publisher = self.create_publisher(EmgArray, 'emg', qos_profile_sensor_data)
        # Number of samples before this message, from which the decoder detects losses.
        self._first_sample = 0
        self.create_timer(PACKET / RATE, self._publish)

    def _publish(self) -> None:
        samples = self._amplifier.read() * np.float32(MICROVOLT)
        # The stamp is the time of the first sample, on the clock of the reference angles.
        stamp_ns = time.time_ns() - round(1e9 * PACKET / RATE)
        chunk = EmgChunk(stamp_ns, RATE, self._first_sample, samples)
        self._publisher.publish(fill_message(EmgArray(), chunk))
        self._first_sample += PACKET


def main() -> None:
    """Run the node until Ctrl-C."""
    rclpy.init()
    node = AmplifierDriver()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
