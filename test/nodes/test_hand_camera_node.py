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

"""The hand camera node with the real detector, on pictures of our hand model over DDS."""

from array import array
import time

from diagnostic_msgs.msg import DiagnosticArray
from hand_pictures import make_model, picture_of
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.hands.landmarks import load_landmark_calibration
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger

pytest.importorskip('mediapipe', reason='MediaPipe is not installed')


def bent(angle):
    return {name: angle if name.endswith('pip') else angle / 2 for name in JOINT_NAMES}


OPEN = picture_of(bent(0.0), 'right', turn=-45)
CLOSED = picture_of(bent(1.2), 'right', turn=-45)
EMPTY = np.full((480, 640, 3), 190, np.uint8)


@pytest.fixture(scope='module')
def model(request):
    made = make_model(request.config.cache.mkdir('hand_landmarker'))
    if made is None:
        pytest.skip('the wheel with the networks of the hand landmarker cannot be had')
    return made


@pytest.fixture
def show(ros):
    """Publishes a picture again and again until a condition is true."""
    publisher = ros.node.create_publisher(Image, '/image', 1)

    def publish(picture, until, timeout=30.0):
        end = time.monotonic() + timeout
        while not until():
            assert time.monotonic() < end, 'nothing came of the pictures'
            message = Image(
                height=480,
                width=640,
                encoding='rgb8',
                step=1920,
                data=array('B', picture.tobytes()),
            )
            now = time.time_ns()
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
            publisher.publish(message)
            ros.spin(0.05)

    yield publish
    ros.node.destroy_publisher(publisher)


def test_a_hand_is_calibrated_and_its_angles_are_published(ros, start, show, model, tmp_path):
    file = tmp_path / 'hand.json'
    start('hand_camera', parameters={'model': model, 'calibration': file})
    poses = ros.collect('/joint_states_reference', JointState)
    show(OPEN, lambda: len(poses) >= 10)
    flat = ros.call('/hand_camera/calibrate_flat', Trigger, Trigger.Request())
    assert flat.success, flat.message
    seen = len(poses)
    show(OPEN, lambda: len(poses) >= seen + 5)
    opened = poses[-1].message
    assert opened.name == list(JOINT_NAMES)
    assert np.degrees(np.abs(opened.position)).max() < 15
    seen = len(poses)
    show(CLOSED, lambda: len(poses) >= seen + 25)
    closed = np.array(poses[-1].message.position) - np.array(opened.position)
    assert closed[3::2].min() > 0.3
    assert abs(poses[-1].message.header.stamp.sec - time.time()) < 10
    fist = ros.call('/hand_camera/calibrate_fist', Trigger, Trigger.Request())
    assert fist.success, fist.message
    assert max(load_landmark_calibration(file).gain) > 1
    seen = len(poses)
    show(CLOSED, lambda: len(poses) >= seen + 5)
    again = np.array(poses[-1].message.position)
    assert again[3::2].mean() > closed[3::2].mean()


def test_nothing_is_published_without_a_certain_hand(ros, start, show, model):
    start('hand_camera', parameters={'model': model, 'side': 'left'})
    poses = ros.collect('/joint_states_reference', JointState)
    reports = ros.collect('/diagnostics', DiagnosticArray, QoSProfile(depth=10))

    def said(text):
        return lambda: any(text in report.message.status[0].message for report in reports)

    show(EMPTY, said('no hand is seen'))
    show(OPEN, said('no hand is a left one for certain'))
    assert poses == []
    answer = ros.call('/hand_camera/calibrate_flat', Trigger, Trigger.Request())
    assert not answer.success
    assert 'was seen 0 times' in answer.message
    answer = ros.call('/hand_camera/calibrate_fist', Trigger, Trigger.Request())
    assert 'call ~/calibrate_flat first' in answer.message


def test_a_camera_that_is_not_there_is_told(start, model):
    node = start('hand_camera', parameters={'model': model, 'camera': '/dev/video97'})
    node.wait_for_text('camera /dev/video97 gives no pictures: is it plugged in')
    assert node.end() < 10


def test_without_a_model_the_node_says_where_to_get_it(start):
    node = start('hand_camera')
    assert node.wait() == 1
    assert 'download hand_landmarker.task' in node.text
