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

"""The viewer node, fed by the test, and its page in a real browser."""

from importlib.util import find_spec
from io import BytesIO
import re
import signal
import time

from browser import find_browser, running_browser
from leconvmn_ros.core.joints import JOINT_NAMES, JOINTS
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.emg.message import fill_message
from leconvmn_ros.msg import EmgArray
from matplotlib.image import imread
import numpy as np
import pytest
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import JointState

needs_viser = pytest.mark.skipif(
    find_spec('viser') is None,
    reason='LIVE VIEW UNTRIED: viser is not installed; pip install "viser<1.2"',
)
needs_browser = pytest.mark.skipif(
    find_browser() is None, reason='LIVE VIEW NOT LOOKED AT: there is no Chromium here'
)
RATE, CHUNK, CHANNELS = 200.0, 4, 3
OPEN, FIST = np.zeros(10), np.array([0.9 * joint.upper for joint in JOINTS])
# Panels are so wide; the hand is drawn between them (pixels).
PANEL, WIDTH, HEIGHT = 320, 960, 420
LEAST_HAND = 2000


class Source:
    """What a driver, the decoder and a glove would publish."""

    def __init__(self, ros):
        self._ros = ros
        self.emg = ros.publisher('/emg', EmgArray)
        self.estimate = ros.publisher('/joint_states', JointState)
        self.reference = ros.publisher('/joint_states_reference', JointState)
        self._sent = 0

    def send(self, estimate, reference, seconds=0.3):
        """Publish EMG and hands that stand still for some time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            stamp_ns = 100 * NANOSECONDS + round(self._sent * NANOSECONDS / RATE)
            samples = np.full((CHUNK, CHANNELS), 1e-4 * (-1) ** (self._sent // CHUNK), np.float32)
            chunk = EmgChunk(stamp_ns, RATE, self._sent, samples)
            self.emg.publish(fill_message(EmgArray(), chunk))
            self.estimate.publish(joint_state(stamp_ns, estimate))
            self.reference.publish(joint_state(stamp_ns, reference))
            self._sent += CHUNK
            self._ros.spin(CHUNK / RATE)


def joint_state(stamp_ns, angles):
    message = JointState(name=JOINT_NAMES, position=angles.tolist())
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, NANOSECONDS)
    return message


def url_of(node):
    node.wait_for_text('live view: ')
    return re.search(r'live view: (\S+)', node.text)[1]


def hands(page):
    """Return where the red and the grey hand are drawn."""
    # A note that there is no graphics card lies over them.
    page.evaluate(
        "document.querySelectorAll('.mantine-Notification-closeButton').forEach("
        'button => button.click())'
    )
    picture = imread(BytesIO(page.screenshot()))[:, PANEL:-PANEL, :3]
    red, green, blue = np.moveaxis(picture, 2, 0)
    dark = green < 0.75
    return dark & (red > 1.3 * green), dark & (red < blue)


@pytest.fixture
def browser(tmp_path):
    with running_browser(find_browser(), tmp_path / 'profile') as running:
        yield running


@needs_viser
@needs_browser
@pytest.mark.browser
@pytest.mark.timeout(600)  # the picture is computed without a graphics card
def test_the_hand_is_drawn_and_moves_and_the_page_may_be_closed(ros, start, browser):
    # Few pictures a second: each takes half a second of a processor here.
    node = start('viewer', parameters={'port': 8300, 'frame_rate': 1.0})
    url = url_of(node)
    source = Source(ros)

    def settled(page, estimate, reference, seen):
        """Return both hands when they look as they should and stand still."""
        before = None
        for _ in range(40):
            source.send(estimate, reference, 0.1)
            ros.spin(1.5)  # for the node and the page to draw it
            now = hands(page)
            if before and seen(*now) and all(map(np.array_equal, now, before)):
                return now
            before = now
        raise AssertionError('the hands do not come to rest as they should')

    page = browser.new_page()
    page.open(url, WIDTH, HEIGHT)
    page.wait_for("document.querySelectorAll('canvas').length > 1")
    estimate, reference = settled(
        page, OPEN, OPEN, lambda red, grey: min(red.sum(), grey.sum()) > LEAST_HAND
    )
    closed, still = settled(
        page, FIST, OPEN, lambda red, _: (red != estimate).sum() > LEAST_HAND / 4
    )
    assert (still == reference).all()  # each hand has its own topic
    page.wait_for("document.body.innerText.includes('3 channels')")
    page.wait_for("document.querySelectorAll('.uplot').length == 6")
    requests, errors = list(page.requests), list(page.errors)
    page.close()

    source.send(OPEN, FIST)
    again = browser.new_page()
    again.open(url, WIDTH, HEIGHT)
    opened, _ = settled(
        again, OPEN, FIST, lambda _, grey: (grey != reference).sum() > LEAST_HAND / 4
    )
    assert (opened == estimate).all()
    assert (opened != closed).any()
    assert errors + again.errors == []
    for request in requests + again.requests:
        own = (url, url.replace('http', 'ws'), 'data:', f'blob:{url}')
        assert request.startswith(own), f'the page asks elsewhere: {request}'
    again.close()
    assert node.end() < 10
    assert 'Traceback' not in node.text


@needs_viser
def test_it_never_holds_a_writer_back(ros, start):
    node = start('viewer', parameters={'port': 8310})
    url_of(node)
    for topic in ('/emg', '/joint_states', '/joint_states_reference'):
        assert ros.spin_until(lambda: ros.node.get_subscriptions_info_by_topic(topic))  # noqa: B023
        (info,) = ros.node.get_subscriptions_info_by_topic(topic)
        assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


@needs_viser
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_bad_messages_do_not_end_it_and_a_signal_does(ros, start, number):
    node = start('viewer', parameters={'port': 8320, 'side': 'left'})
    url_of(node)
    source = Source(ros)
    source.emg.publish(EmgArray(channels=3, sampling_rate=200.0, samples=[1.0, 2.0]))
    source.estimate.publish(JointState(name=['a', 'b'], position=[1.0]))
    source.reference.publish(JointState(name=JOINT_NAMES, position=[float('nan')] * 10))
    source.send(FIST, FIST)
    assert node.process.poll() is None, node.text
    assert node.end(number) < 10
    assert 'Traceback' not in node.text


@needs_viser
def test_wrong_parameters_end_it_with_a_reason(start):
    reasons = {
        'allowed: int from 1024 to 65535': {'port': 80},
        'allowed: float from 1 to 60': {'frame_rate': 0.0},
        "side is 'both'; allowed are": {'side': 'both'},
        "'lab-pc' is not an origin": {'allowed_origins': 'lab-pc'},
        'robot_urdf and robot_profile must be given together': {'robot_urdf': '/hand.urdf'},
        'whose joints have no names': {
            'robot_urdf': '/hand.urdf',
            'robot_profile': 'inspire_rh56',
        },
        "cannot serve at host '203.0.113.1'": {'host': '203.0.113.1'},
    }
    nodes = [start('viewer', parameters=parameters) for parameters in reasons.values()]
    for node, reason in zip(nodes, reasons, strict=True):
        assert node.wait() == 1
        assert reason in node.text
        assert 'Traceback' not in node.text


def test_without_viser_one_line_says_what_to_install(start, tmp_path, monkeypatch):
    (tmp_path / 'viser.py').write_text("raise ImportError('hidden')")
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=':')
    node = start('viewer')
    assert node.wait() == 1
    assert node.text.count('\n') == 1
    assert 'pip install "viser<1.2"' in node.text
