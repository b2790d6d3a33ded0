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

"""The guide node with a simulated wearer at many times the speed: what it shows and records."""

from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.dataset.cue_timing import attempts, find_timings
from leconvmn_ros.emg.message import fill_message
from leconvmn_ros.msg import EmgArray, MovementLabel
from leconvmn_ros.recordings.bags import read_bag
from leconvmn_ros.wearing.course import finished_trials
from leconvmn_ros.wearing.status import parse_status
from node_harness import LATCHED
import numpy as np
import pytest
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

SESSION = """
name: Short
movements: [fist, index pointing]
repetitions: 2
ramp: 1.0
hold: 1.0
rest: 1.5
"""
SPEED = 8.0


@pytest.fixture
def session(tmp_path):
    path = tmp_path / 'short.yaml'
    path.write_text(SESSION)
    return path


class Page:
    """What the page knows."""

    def __init__(self, ros):
        self._ros = ros
        self.statuses = ros.collect('/guide_status', String, LATCHED)
        self.cues = ros.collect('/cue_joint_states', JointState)

    @property
    def status(self):
        return parse_status(self.statuses[-1].message.data) if self.statuses else None

    def until(self, condition, timeout=60.0):
        assert self._ros.spin_until(
            lambda: self.status is not None and condition(self.status), timeout
        ), self.status

    def press(self, name):
        return self._ros.call(f'/guide/{name}', Trigger, Trigger.Request())


def start_both(start, tmp_path, session, **parameters):
    wearer = start('simulated_wearer', parameters={'speed': SPEED, 'use_sim_time': True})
    guide = start(
        'guide',
        parameters={
            'session': str(session),
            'output': str(tmp_path / 'me'),
            'use_sim_time': True,
            'seed': 5,
        }
        | parameters,
    )
    return guide, wearer


def read(bag):
    return read_bag(bag, reference_topic='/cue_joint_states')


def test_a_session_is_led_and_recorded_from_start_to_end(ros, start, tmp_path, session):
    guide, wearer = start_both(start, tmp_path, session, auto_start=True, end_when_done=True)
    page = Page(ros)
    page.until(lambda status: status.state == 'move')
    assert 'follow the hand' in page.status.title or 'rest' in page.status.title.lower()
    assert page.status.contacts == ('good',) * 8
    assert guide.wait() == 0
    assert '4 of 4 repetitions done' in guide.text
    assert page.cues
    assert list(page.cues[-1].message.name) == list(JOINT_NAMES)
    recording = read(tmp_path / 'me' / 'part_1')
    assert recording.information['movements'] == '1 fist; 2 index pointing'
    found = attempts(recording.labels, recording.span_ns[1])
    assert sorted(a[:2] for a in found if not a.withdrawn) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    # Every pose is there, however busy the machine was: 50 a second.
    steps = np.diff(recording.reference.stamps_ns)
    assert steps.max() < 0.05 * NANOSECONDS
    timings = [t for t in find_timings(recording) if not t.attempt.withdrawn]
    assert all(timing.start_found for timing in timings)
    assert 0.2 < np.median([timing.start_delay for timing in timings]) < 1.6
    assert wearer.process.poll() is None


def test_after_a_kill_it_goes_on_where_it_was(ros, start, tmp_path, session):
    guide, _ = start_both(start, tmp_path, session, auto_start=True)
    page = Page(ros)
    page.until(lambda status: status.done >= 1)
    ros.spin(1.2)  # recorded messages are on disk after a second
    guide.kill()
    guide.process.wait()
    again = start(
        'guide',
        parameters={
            'session': str(session),
            'output': str(tmp_path / 'me'),
            'use_sim_time': True,
            'auto_start': True,
            'end_when_done': True,
        },
    )
    again.wait_for_text('messages recovered')
    assert again.wait() == 0, again.text
    assert '4 of 4 repetitions done' in again.text
    parts = [read(tmp_path / 'me' / part) for part in ('part_1', 'part_2')]
    assert finished_trials(part.labels for part in parts) == {(1, 1), (1, 2), (2, 1), (2, 2)}
    before = finished_trials([parts[0].labels])
    assert before  # all but the last second, which is eight of the wearer
    asked_again = attempts(parts[1].labels, parts[1].span_ns[1])
    assert not before & {attempt[:2] for attempt in asked_again}


def test_the_buttons_pause_and_repeat(ros, start, tmp_path, session):
    start_both(start, tmp_path, session)
    page = Page(ros)
    page.until(lambda status: status.state == 'ready')
    assert page.status.actions == ('start',)
    assert not page.press('pause').success
    assert page.press('redo').message == 'there is no repetition to repeat'
    assert page.press('start').success
    assert 'running' in page.press('start').message
    page.until(lambda status: status.state == 'move')
    assert page.press('pause').success
    page.until(lambda status: status.state == 'paused')
    assert 'start' in page.status.actions
    assert page.status.done == 0
    assert page.press('start').success
    page.until(lambda status: status.done >= 1 and status.state in {'move', 'rest'})
    assert page.press('redo').success
    page.until(lambda status: 'once more' in status.message)


class Source:
    """An armband with one electrode that is not on the skin."""

    def __init__(self, ros):
        self._ros = ros
        self._publisher = ros.publisher('/emg', EmgArray)
        self._random = np.random.default_rng(0)
        self._sent = 0

    def send(self, seconds, flat=True):
        for _ in range(round(seconds / 0.02)):
            samples = 2e-5 * self._random.standard_normal((4, 4)).astype(np.float32)
            samples[:, 2] *= not flat
            stamp_ns = self._ros.node.get_clock().now().nanoseconds
            self._publisher.publish(
                fill_message(EmgArray(), EmgChunk(stamp_ns, 200.0, self._sent, samples))
            )
            self._sent += 4
            self._ros.spin(0.02)


def test_it_does_not_start_on_a_bad_signal_unless_told_to(ros, start, tmp_path, session):
    start('guide', parameters={'session': str(session), 'output': str(tmp_path / 'me')})
    page, source = Page(ros), Source(ros)
    labels = ros.collect('/movement_label', MovementLabel, LATCHED)
    page.until(lambda status: 'no EMG' in status.message)
    assert 'no EMG' in page.press('start').message
    source.send(4.0)
    page.until(lambda status: status.state == 'check' and 'flat' in status.contacts)
    assert page.status.contacts == ('good', 'good', 'flat', 'good')
    assert 'electrode 3' in page.status.advice
    refused = page.press('start')
    assert not refused.success
    assert 'electrode 3' in refused.message
    page.until(lambda status: 'start_anyway' in status.actions)
    assert not (tmp_path / 'me' / 'part_1').exists()
    source.send(0.3)
    assert page.press('start_anyway').success
    source.send(3.5)
    assert ros.spin_until(lambda: labels)
    # The source falls silent: the session must not go on without EMG.
    page.until(lambda status: status.state == 'paused')
    assert 'EMG has stopped' in page.status.message


def test_wrong_parameters_end_it_with_a_reason(start, tmp_path):
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'part_1').mkdir()
    reasons = {
        'parameter output is empty': {},
        "no session 'none'": {'output': str(tmp_path / 'a'), 'session': 'none'},
        'holds bags, but no session.json': {'output': str(other)},
    }
    nodes = [start('guide', parameters=parameters) for parameters in reasons.values()]
    for node, reason in zip(nodes, reasons, strict=True):
        assert node.wait() == 1
        assert reason in node.text
        assert 'Traceback' not in node.text


def test_another_session_in_the_same_folder_is_refused(start, tmp_path, session):
    first = start('guide', parameters={'session': str(session), 'output': str(tmp_path / 'me')})
    first.wait_for_text('0 of 4 repetitions done')
    first.end()
    second = start('guide', parameters={'session': 'quick', 'output': str(tmp_path / 'me')})
    assert second.wait() == 1
    assert "holds the session 'Short', which differs from 'Quick'" in second.text
