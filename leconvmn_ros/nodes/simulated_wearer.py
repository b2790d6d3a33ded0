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

"""A node that replaces a person with an armband: follows the cue and publishes matching EMG.

Subscribes to `cue_joint_states`. Publishes `emg` and `emg_description` (latched), and the real
motion of the simulated hand on `wearer_joint_states`, for scoring only: no device would know it.
With a `speed` other than 1 it publishes `/clock`, and all nodes need `use_sim_time`.
"""

import time

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.core.strict_model import first_problem
from leconvmn_ros.emg.description import EmgDescription
from leconvmn_ros.emg.message import fill_message, stamp_to_ns
from leconvmn_ros.msg import EmgArray
from leconvmn_ros.nodes.parameters import declare_parameters, Parameter
from leconvmn_ros.nodes.quality_of_service import LATCHED, overridable, RELIABLE
from leconvmn_ros.nodes.running import every, run_node
from leconvmn_ros.recordings.bag_types import DESCRIPTION_TOPIC
from leconvmn_ros.synthetic.config import SyntheticSubjectConfig
from leconvmn_ros.synthetic.motion import CONTROL_RATE
from leconvmn_ros.synthetic.wearer import SimulatedWearer
from leconvmn_ros.wearing.poses import REST_POSE
import numpy as np
from pydantic import ValidationError
from rclpy.node import Node
from rclpy.task import Future
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import String

PERIOD = 0.02  # s of the wearer's time, in each message
TICKS = round(PERIOD * CONTROL_RATE)
# Largest lead of the wearer's time over the cue (s).
MOST_AHEAD = 0.2
# Longest wait for the cue (s of real time).
LONGEST_WAIT = 2.0

PARAMETERS = (
    Parameter('seed', 0, 'which person', allowed=(0, 2**31 - 1)),
    Parameter('channels', 8, 'electrodes around the forearm', allowed=(1, 256)),
    Parameter('sampling_rate', 200.0, 'samples per second (Hz)', allowed=(50.0, 2000.0)),
    Parameter(
        'speed',
        1.0,
        'seconds of the wearer per second; if not 1, the node publishes /clock',
        allowed=(0.1, 50.0),
    ),
)


class SimulatedWearerNode(Node):
    """Wires `SimulatedWearer` to topics and a clock."""

    def __init__(self) -> None:
        """Declare the parameters and start.

        Raises:
            ConfigurationError: a parameter is not allowed.
        """
        super().__init__('simulated_wearer')
        self.done = Future()
        declare_parameters(self, PARAMETERS)
        values = {name: self.get_parameter(name).value for name in ('seed', 'channels')}
        rate = self.get_parameter('sampling_rate').value
        if rate * PERIOD != round(rate * PERIOD):
            raise ConfigurationError(
                f'sampling_rate is {rate:g} Hz; allowed are multiples of {1 / PERIOD:g} Hz'
            )
        try:
            config = SyntheticSubjectConfig(sampling_rate=rate, **values)
        except ValidationError as error:
            raise ConfigurationError(first_problem(error)) from error
        self._wearer = SimulatedWearer(config, REST_POSE)
        self._rate, self._speed = rate, self.get_parameter('speed').value
        self._start_ns, self._began = time.time_ns(), time.monotonic()
        self._pieces = 0
        self._cue_ns: int | None = None
        self._seen = 0.0
        self._emg = self.create_publisher(EmgArray, 'emg', **overridable(RELIABLE))
        self._description = self.create_publisher(
            String, DESCRIPTION_TOPIC.lstrip('/'), **overridable(LATCHED)
        )
        self._description.publish(String(data=_description(config).to_json()))
        self._truth = self.create_publisher(
            JointState, 'wearer_joint_states', **overridable(RELIABLE)
        )
        self._clock_publisher = (
            self.create_publisher(Clock, '/clock', 10) if self._speed != 1 else None
        )
        self.create_subscription(
            JointState, 'cue_joint_states', self._on_cue, **overridable(RELIABLE)
        )
        every(PERIOD / max(1.0, self._speed), self, self._step)

    def _on_cue(self, message: JointState) -> None:
        angles = dict(zip(message.name, message.position, strict=False))
        if len(message.name) == len(message.position) and set(JOINT_NAMES) <= set(angles):
            pose = np.array([angles[name] for name in JOINT_NAMES])
            if np.isfinite(pose).all():
                self._seen = time.monotonic()
                self._cue_ns = stamp_to_ns(message.header.stamp)
                self._wearer.see(self._cue_ns, pose)

    def _step(self) -> None:
        due = int((time.monotonic() - self._began) * self._speed / PERIOD)
        while self._pieces < due and not self._waits_for_cue():
            self._publish_piece()
        if self._pieces < due:
            # The machine is too slow for this speed: the wearer's time waits.
            self._began = time.monotonic() - self._pieces * PERIOD / self._speed

    def _waits_for_cue(self) -> bool:
        """Whether the guide has not yet reached the wearer's time.

        At many times the speed, a guide that is 0.1 s late would show the cue a second late.
        """
        if self._clock_publisher is None or self._cue_ns is None:
            return False
        if time.monotonic() - self._seen > LONGEST_WAIT:  # the guide has ended
            self._cue_ns = None
            return False
        return self._end_ns() - self._cue_ns > MOST_AHEAD * NANOSECONDS

    def _end_ns(self) -> int:
        return self._start_ns + round(self._pieces * PERIOD * NANOSECONDS)

    def _publish_piece(self) -> None:
        size = round(self._rate * PERIOD)
        first_ns = self._end_ns()
        end_ns = first_ns + round(PERIOD * NANOSECONDS)
        piece = self._wearer.move(end_ns, TICKS)
        chunk = EmgChunk(first_ns, self._rate, self._pieces * size, piece.emg)
        self._pieces += 1
        if self._clock_publisher is not None:
            clock = Clock()
            clock.clock.sec, clock.clock.nanosec = divmod(end_ns, NANOSECONDS)
            self._clock_publisher.publish(clock)
        self._emg.publish(fill_message(EmgArray(), chunk))
        truth = JointState(name=JOINT_NAMES, position=piece.motion[-1].tolist())
        truth.header.stamp.sec, truth.header.stamp.nanosec = divmod(end_ns, NANOSECONDS)
        self._truth.publish(truth)

    def close(self) -> None:
        """Do nothing: there is no unfinished work."""


def _description(config: SyntheticSubjectConfig) -> EmgDescription:
    return EmgDescription(
        source='simulated_wearer',
        sampling_rate=config.sampling_rate,
        channels=tuple(map(str, range(config.channels))),
        rings=(tuple(range(config.channels)),),
    )


def main() -> None:
    """Run the node: `ros2 run leconvmn_ros simulated_wearer`."""
    run_node(SimulatedWearerNode)
