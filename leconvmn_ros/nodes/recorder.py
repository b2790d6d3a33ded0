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

"""The recorder node: any topics to a bag (MCAP), without a ROS installation.

The bag is in its folder from the first second on. A killed recorder loses only the last second,
and `leconvmn_ros record --recover` completes its bag.
"""

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
import time

from leconvmn_ros.core.errors import ConfigurationError, LeconvmnError, printable
from leconvmn_ros.nodes.parameters import declare_parameters, Parameter
from leconvmn_ros.nodes.running import every, run_node
from leconvmn_ros.nodes.topic_recorder import TopicRecorder
from leconvmn_ros.recordings.bag_recorder import BagRecorder, FLUSH_PERIOD
from leconvmn_ros.recordings.bag_types import (
    CUE_TOPIC,
    DESCRIPTION_TOPIC,
    EMG_TOPIC,
    ESTIMATE_TOPIC,
    LABEL_TOPIC,
    REFERENCE_TOPIC,
)
from rclpy.node import Node
from rclpy.parameter import Parameter as GivenParameter
from rclpy.task import Future

DEFAULT_TOPICS = ','.join(
    topic.lstrip('/')
    for topic in (
        EMG_TOPIC,
        DESCRIPTION_TOPIC,
        REFERENCE_TOPIC,
        LABEL_TOPIC,
        CUE_TOPIC,
        ESTIMATE_TOPIC,
    )
)
PARAMETERS = (
    Parameter('bag', '', 'rosbag2 folder to create'),
    Parameter('topics', DEFAULT_TOPICS, 'topics to record, separated by commas'),
    Parameter('all_topics', False, 'record every topic'),
    Parameter('duration', 0.0, 'duration (s), 0 = until ended', (0.0, 1e6)),
)
LOOK_PERIOD = 0.25  # s
REPORT_PERIOD = 10.0  # s


class RecorderNode(Node):
    """Wires `TopicRecorder` to parameters."""

    def __init__(self, overrides: Sequence[GivenParameter] | None = None) -> None:
        """Declare the parameters and start recording.

        Args:
            overrides: parameters given by a program instead of the command line.

        Raises:
            LeconvmnError: a parameter is not allowed, or the bag cannot be made.
        """
        super().__init__('recorder', parameter_overrides=list(overrides or ()))
        self.done = Future()
        declare_parameters(self, PARAMETERS)
        path = self.get_parameter('bag').value
        if not path:
            raise ConfigurationError('parameter bag is empty; give the folder to make')
        topics = [
            word.strip() for word in self.get_parameter('topics').value.split(',') if word.strip()
        ]
        self._duration = self.get_parameter('duration').value
        self._began = time.monotonic()
        self._reported = self._began
        self._stack = ExitStack()
        self._bag = self._stack.enter_context(BagRecorder(path))
        self._recorder = TopicRecorder(
            self, self._bag, topics, everything=self.get_parameter('all_topics').value
        )
        self.get_logger().info(printable(f'recording to {self._bag.path}'))
        every(LOOK_PERIOD, self, self._look)
        every(FLUSH_PERIOD, self, self._flush)

    def _look(self) -> None:
        self._recorder.look_for_topics()
        now = time.monotonic()
        if self._duration and now - self._began >= self._duration:
            self.done.set_result(0)
        elif now - self._reported >= REPORT_PERIOD:
            self._reported = now
            waiting = self._recorder.waiting_for
            more = f'; nobody publishes {", ".join(waiting)}' if waiting else ''
            self.get_logger().info(
                f'{now - self._began:.0f} s, {self._bag.counts.total()} messages{more}'
            )

    def _flush(self) -> None:
        try:
            self._bag.flush()
        except LeconvmnError as error:
            self.get_logger().fatal(str(error))
            self.done.set_result(1)

    def close(self) -> None:
        """Complete the bag and summarise its content."""
        self._recorder.close()
        for line in self._recorder.summary():
            self.get_logger().info(line)
        try:
            self._stack.close()
        except LeconvmnError as error:
            self.get_logger().fatal(str(error))
        else:
            self.get_logger().info(
                f'{self._bag.path}: {self._bag.counts.total()} messages recorded'
            )


def record(
    path: Path, topics: Collection[str], *, everything: bool = False, duration: float = 0.0
) -> None:
    """Record until SIGINT or SIGTERM, or for some time, and exit the process.

    Args:
        path: folder of the bag to make.
        topics: names of topics; empty = DEFAULT_TOPICS.
        everything: record every topic.
        duration: duration (s), 0 = until ended.
    """
    values = {
        'bag': str(path),
        'topics': ','.join(topics) or DEFAULT_TOPICS,
        'all_topics': everything,
        'duration': duration,
    }
    run_node(
        lambda: RecorderNode([GivenParameter(name, value=value) for name, value in values.items()])
    )


def main() -> None:
    """Run the node: `ros2 run leconvmn_ros recorder --ros-args -p bag:=FOLDER`."""
    run_node(RecorderNode)
