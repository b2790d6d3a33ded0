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

"""The hand camera node: reference angles without a glove, from pictures of a hand.

Takes pictures from the topic `image` or from a webcam. It publishes `joint_states_reference` only
while exactly one hand of the chosen side is seen with certainty. That may also be the other hand,
which mirrors the hand with the armband: joints have the same names on both.

`~/calibrate_flat`, then `~/calibrate_fist`, determine the zero and the gain of each joint from the
poses of the last second.
"""

from collections import deque
from pathlib import Path
from threading import Event, Thread
import time
from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from leconvmn_ros.core.errors import (
    ConfigurationError,
    LeconvmnError,
    MalformedMessageError,
    SourceError,
)
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import NANOSECONDS
from leconvmn_ros.core.status import Level, Status
from leconvmn_ros.emg.message import stamp_to_ns
from leconvmn_ros.hands.hand_detector import HandDetector, LEAST_SCORE
from leconvmn_ros.hands.landmarks import (
    calibrate_landmarks,
    LandmarkCalibration,
    LEAST_POSES,
    load_landmark_calibration,
)
from leconvmn_ros.nodes.camera import Camera
from leconvmn_ros.nodes.diagnostics import diagnostic_array, PERIOD, TOPIC
from leconvmn_ros.nodes.parameters import declare_parameters, Parameter
from leconvmn_ros.nodes.pictures import read_picture
from leconvmn_ros.nodes.quality_of_service import overridable, POSE_INPUT, RELIABLE
from leconvmn_ros.nodes.running import every, run_node
from leconvmn_ros.nodes.throttled_log import ThrottledLog
from leconvmn_ros.recordings.bag_types import REFERENCE_TOPIC
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger

PARAMETERS = (
    Parameter('model', '', 'path of hand_landmarker.task, from the page of MediaPipe'),
    Parameter('camera', '', "webcam, such as 0 or /dev/video0; '' = the topic image"),
    Parameter('side', 'right', 'side of the hand in the pictures', choices=('right', 'left')),
    Parameter('mirrored', False, 'whether the pictures are mirrored'),
    Parameter('calibration', '', 'calibration file: read at the start, written by the services'),
    Parameter(
        'least_score',
        LEAST_SCORE,
        'required certainty of the side of the hand',
        allowed=(0.5, 1.0),
    ),
)
# Duration of the poses for a calibration (s).
MEMORY = 1.0
UNCALIBRATED = LandmarkCalibration(flat=(0.0,) * len(JOINT_NAMES), gain=(1.0,) * len(JOINT_NAMES))


class _Seen(NamedTuple):
    time: float
    angles: NDArray[np.float64]


class HandCameraNode(Node):
    """Wires `HandDetector` to pictures, topics and services."""

    def __init__(self) -> None:
        """Declare the parameters, load the model and start.

        Raises:
            ConfigurationError: a parameter is not allowed, or MediaPipe or its model is missing.
        """
        super().__init__('hand_camera')
        self.done = Future()
        declare_parameters(self, PARAMETERS)
        value = {known.name: self.get_parameter(known.name).value for known in PARAMETERS}
        self._detector = HandDetector(
            Path(value['model']),
            value['side'],
            mirrored=value['mirrored'],
            least_score=value['least_score'],
        )
        self._file = Path(value['calibration']) if value['calibration'] else None
        self._calibration = self._load_calibration()
        self._flat: list[NDArray[np.float64]] = []
        self._log = ThrottledLog(self.get_logger(), period=10.0)
        self._seen: deque[_Seen] = deque(maxlen=200)
        self._pictures = self._published = 0
        self._reason = 'no picture yet'
        self._reference = self.create_publisher(
            JointState, REFERENCE_TOPIC.lstrip('/'), **overridable(RELIABLE)
        )
        self._diagnostics = self.create_publisher(DiagnosticArray, TOPIC, 10)
        self.create_service(Trigger, '~/calibrate_flat', self._on_flat)
        self.create_service(Trigger, '~/calibrate_fist', self._on_fist)
        every(PERIOD, self, self._report)
        self._stopping = Event()
        self._thread: Thread | None = None
        self._take_pictures(value['camera'])

    def _load_calibration(self) -> LandmarkCalibration:
        if self._file is not None and self._file.exists():
            return load_landmark_calibration(self._file)
        self.get_logger().warning(
            'not calibrated: hold the hand flat and call ~/calibrate_flat, then make a fist and '
            'call ~/calibrate_fist'
        )
        return UNCALIBRATED

    def _take_pictures(self, camera: str) -> None:
        if not camera:
            self.create_subscription(Image, 'image', self._on_image, **overridable(POSE_INPUT))
            return
        webcam = Camera(camera, self._look, self._trouble)
        self._thread = Thread(target=webcam.run, args=(self._stopping,), daemon=True)
        self._thread.start()

    def _on_image(self, message: Image) -> None:
        try:
            picture = read_picture(message)
        except MalformedMessageError as error:
            self._trouble(str(error))
            return
        self._look(picture, stamp_to_ns(message.header.stamp) / NANOSECONDS)

    def _trouble(self, text: str) -> None:
        self._reason = text
        self._log.warning('pictures', text)

    def _look(self, picture: NDArray[np.uint8], stamp: float) -> None:
        self._pictures += 1
        try:
            sight = self._detector.look(picture, stamp)
        except SourceError as error:
            self._trouble(str(error))
            if not self.done.done():
                self.done.set_result(1)
            return
        if sight.angles is None:
            self._reason = sight.reason
            return
        self._reason = ''
        self._published += 1
        self._seen.append(_Seen(time.monotonic(), sight.angles))
        message = JointState()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(
            round(stamp * NANOSECONDS), NANOSECONDS
        )
        message.name = list(JOINT_NAMES)
        message.position = self._calibration.apply(sight.angles).tolist()
        self._reference.publish(message)

    def _just_seen(self) -> list[NDArray[np.float64]]:
        since = time.monotonic() - MEMORY
        return [seen.angles for seen in list(self._seen) if seen.time >= since]

    def _on_flat(self, _: Any, response: Trigger.Response) -> Trigger.Response:
        self._flat = self._just_seen()
        return self._calibrate(response, [])

    def _on_fist(self, _: Any, response: Trigger.Response) -> Trigger.Response:
        if len(self._flat) < LEAST_POSES:
            response.success, response.message = False, 'call ~/calibrate_flat first'
            return response
        return self._calibrate(response, self._just_seen())

    def _calibrate(
        self, response: Trigger.Response, fist: list[NDArray[np.float64]]
    ) -> Trigger.Response:
        try:
            if fist or len(self._flat) >= LEAST_POSES:
                self._calibration = calibrate_landmarks(self._flat, fist)
            else:
                raise ConfigurationError(
                    f'the hand was seen {len(self._flat)} times in the last {MEMORY:g} s; '
                    f'at least {LEAST_POSES} are needed'
                )
            if self._file is not None:
                self._calibration.save(self._file)
        except LeconvmnError as error:
            response.success, response.message = False, str(error)
        else:
            response.success, response.message = True, 'calibrated'
        return response

    def _report(self) -> None:
        if self._published:
            level, summary = Level.OK, 'the hand is seen'
        elif self._pictures:
            level, summary = Level.WARN, self._reason
        else:
            level, summary = Level.WARN, self._reason or 'no pictures'
        values = {
            'pictures per second': f'{self._pictures / PERIOD:.1f}',
            'poses per second': f'{self._published / PERIOD:.1f}',
            'calibrated': str(self._calibration is not UNCALIBRATED).lower(),
        }
        self._pictures = self._published = 0
        self._log.flush()
        status = Status('hand', level, summary, values)
        self._diagnostics.publish(
            diagnostic_array(
                self.get_fully_qualified_name(), self.get_clock().now().to_msg(), [status]
            )
        )

    def close(self) -> None:
        """Release the camera and the model."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5)
        self._detector.close()


def main() -> None:
    """Run the node: `ros2 run leconvmn_ros hand_camera --ros-args -p model:=FILE -p camera:=0`."""
    run_node(HandCameraNode)
