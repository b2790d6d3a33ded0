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

"""The stages of the decoder node that need ROS, timed separately."""

from collections.abc import Iterator
from contextlib import contextmanager

from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.emg.message import chunk_from_message, fill_message
from leconvmn_ros.msg import EmgArray
from leconvmn_ros.nodes.quality_of_service import RELIABLE
from leconvmn_ros.speed.stages import noise, Stage
import rclpy
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState


@contextmanager
def message_stages(channels: int, sampling_rate: float, chunk: int) -> Iterator[dict[str, Stage]]:
    """Create a message and a publisher without subscribers while they are timed."""
    samples = noise(chunk, channels)
    message = fill_message(EmgArray(), EmgChunk(1, sampling_rate, 0, samples))
    serialized = serialize_message(message)
    positions = [0.5] * len(JOINT_NAMES)

    def joint_state() -> JointState:
        state = JointState()
        state.name = list(JOINT_NAMES)
        state.position = positions
        return state

    state = joint_state()
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('leconvmn_ros_speed', context=context)
    try:
        publisher = node.create_publisher(JointState, 'joint_states', RELIABLE)
        yield {
            'message in': Stage(
                lambda: deserialize_message(serialized, EmgArray), 2 * samples.nbytes
            ),
            'message to samples': Stage(lambda: chunk_from_message(message), samples.nbytes),
            'angles to message': Stage(joint_state),
            'publish': Stage(lambda: publisher.publish(state)),
        }
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
