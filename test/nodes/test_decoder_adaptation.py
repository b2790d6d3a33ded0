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

"""The decoder node adapts when it is asked to, and tells when that is needed."""

from array import array
from itertools import pairwise
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.emg.message import fill_message
from leconvmn_ros.msg import EmgArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from node_harness import PATIENCE
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from small_recordings import untrained_checkpoint
from std_srvs.srv import Trigger
from worn_band import turned, worn_band

# The child has low priority: a busy machine takes its time.
LONGEST_ANSWER = 150.0  # s
CHUNK = 40  # samples in a message
START_NS = 1_700_000_000 * NANOSECONDS


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained') / 'decoder'
    worn_band().checkpoint.save(folder)
    return folder


class Wearer:
    """A decoder node and somebody who wears the band."""

    def __init__(self, ros, start, checkpoint, **parameters):
        self._ros = ros
        fixed = {'checkpoint': checkpoint, 'longest_wait': 0.0, 'ring_size': 8}
        self.node = start('decoder', parameters=fixed | parameters)
        self.states = ros.collect('/joint_states', JointState)
        self._reports = ros.collect('/diagnostics', DiagnosticArray, QoSProfile(depth=100))
        self._client = ros.node.create_client(Trigger, '/decoder/adapt')
        self._sent = 0
        self.publisher = None

    def wear(self, emg):
        """Send EMG, faster than it is in life; return once all of it is decoded."""
        if self.publisher is None:
            self.node.wait_for_text('Hz out')
            self.publisher = self._ros.publisher('/emg', EmgArray)
        rate = worn_band().rate
        for first in range(0, len(emg), CHUNK):
            stamp_ns = START_NS + round(self._sent * NANOSECONDS / rate)
            part = np.ascontiguousarray(emg[first : first + CHUNK])
            chunk = EmgChunk(stamp_ns, rate, self._sent, part)
            self.publisher.publish(fill_message(EmgArray(), chunk))
            self._sent += len(part)
            self._ros.spin(0.001)
        end_ns = START_NS + round((self._sent - 1) * NANOSECONDS / rate)
        assert self._ros.spin_until(lambda: self.newest_stamp >= end_ns - NANOSECONDS // 10)

    @property
    def newest_stamp(self):
        """Time of the newest estimate (ns)."""
        if not self.states:
            return 0
        stamp = self.states[-1].message.header.stamp
        return stamp.sec * NANOSECONDS + stamp.nanosec

    def ask(self):
        """Call ~/adapt; return the future of its answer."""
        assert self._ros.spin_until(self._client.service_is_ready)
        return self._client.call_async(Trigger.Request())

    def answer(self, asked):
        """Wait for the answer."""
        assert self._ros.spin_until(asked.done, LONGEST_ANSWER), self.node.text
        return asked.result()

    def signal(self):
        """Return level, summary and values of the next report on the signal."""
        known = len(self._reports)
        assert self._ros.spin_until(lambda: len(self._reports) > known + 1)
        (status,) = [s for s in self._reports[-1].message.status if s.name.endswith('signal')]
        return status.level, status.message, {v.key: v.value for v in status.values}


@pytest.fixture
def wearer(ros, start, checkpoint):
    return lambda **parameters: Wearer(ros, start, checkpoint, **parameters)


def test_a_band_that_turned_is_told_and_adapted_to(wearer, ros, tmp_path):
    person = wearer(adapted_checkpoint=tmp_path / 'adapted')
    person.wear(turned(worn_band().emg, 1))
    level, summary, values = person.signal()
    assert (level, 'does not fit the training' in summary) == (b'\x01', True)
    assert values['electrodes'] == 'as in the training'
    assert person.node.text.count('service ~/adapt') == 1
    before = np.array(person.states[-1].message.position)
    answer = person.answer(person.ask())
    assert answer.success, answer.message
    assert 'turned by -1 electrodes (confidence ' in answer.message
    # Nothing jumps: the map is blended in over a second, 50 estimates.
    known = len(person.states)
    person.wear(turned(worn_band().emg, 1)[: round(30 * worn_band().rate)])
    path = [before, *(np.array(s.message.position) for s in person.states[known:])]
    usual = max(np.abs(b - a).max() for a, b in pairwise(path[200:]))
    assert max(np.abs(b - a).max() for a, b in pairwise(path[:60])) <= 1.5 * usual
    level, _, values = person.signal()
    assert (level, values['electrodes']) == (b'\x00', 'adapted')
    assert load_checkpoint(tmp_path / 'adapted').description.electrode_map is not None
    assert ros.call('/decoder/reset_adaptation', Trigger, Trigger.Request()).success
    assert person.signal()[2]['electrodes'] == 'as in the training'


def test_too_little_emg_changes_nothing(wearer):
    person = wearer()
    person.wear(worn_band().emg[:2000])
    answer = person.answer(person.ask())
    assert not answer.success
    assert answer.message.startswith('nothing changes: ')
    assert 'at least 25 s are needed' in answer.message
    assert person.signal()[2]['electrodes'] == 'as in the training'


def test_a_second_request_is_refused_and_whatever_comes_meanwhile_ends_nothing(wearer):
    person = wearer()
    person.wear(turned(worn_band().emg, 1))
    first = person.ask()
    second = person.answer(person.ask())
    assert not first.done()
    assert (second.success, 'is running' in second.message) == (False, True)
    for samples in ([np.nan] * 320, [np.inf] * 320, [1e38] * 320, [0.0] * 7, []):
        for rate in (worn_band().rate, 1000.0):
            message = EmgArray(channels=8, sampling_rate=rate, samples=array('f', samples))
            for _ in range(50):
                person.publisher.publish(message)
    answer = person.answer(first)
    assert answer.success, answer.message
    assert person.node.process.poll() is None
    assert person.signal()[2]['electrodes'] == 'adapted'


def test_a_decoder_that_is_not_active_refuses(wearer, ros):
    person = wearer(autostart=False)
    answer = person.answer(person.ask())
    assert (answer.success, answer.message) == (
        False,
        'nothing changes: the decoder is not active',
    )
    assert not ros.call('/decoder/reset_adaptation', Trigger, Trigger.Request()).success


def test_who_waits_for_a_decoder_that_is_deactivated_gets_an_answer(wearer, ros):
    person = wearer()
    person.wear(turned(worn_band().emg, 1))
    asked = person.ask()
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
    assert ros.call('/decoder/change_state', ChangeState, request).success
    answer = person.answer(asked)
    assert not answer.success
    assert person.node.process.poll() is None
    person.node.end()


def test_a_node_that_ends_while_it_adapts_leaves_nothing_behind(wearer, ros):
    person = wearer()
    person.wear(turned(worn_band().emg, 1))
    person.ask()
    children = []

    def found():
        # Listed for the thread that started them.
        lists = Path(f'/proc/{person.node.process.pid}/task').glob('*/children')
        children[:] = [
            Path('/proc', child) for each in lists for child in each.read_text().split()
        ]
        return children

    assert ros.spin_until(found)
    assert person.node.end() < PATIENCE
    assert not any(child.exists() for child in children)


def test_a_checkpoint_that_keeps_too_little_says_so(ros, start, tmp_path):
    start('decoder', parameters={'checkpoint': untrained_checkpoint(tmp_path)})
    answer = ros.call('/decoder/adapt', Trigger, Trigger.Request())
    assert not answer.success
    assert 'Train it again' in answer.message


@pytest.mark.parametrize(
    ('parameters', 'words'),
    [
        ({'ring_size': 5}, 'ring_size is 5'),
        ({'ring_size': 2}, 'ring_size is 2'),
        ({'adapted_checkpoint': '/proc/decoder'}, '/proc/decoder'),
        ({'adapted_checkpoint': 'itself'}, 'is the folder of the checkpoint itself'),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(wearer, checkpoint, parameters, words):
    if parameters.get('adapted_checkpoint') == 'itself':
        parameters = {'adapted_checkpoint': checkpoint}
    node = wearer(**parameters).node
    assert node.wait() == 1
    assert words in node.text


def test_drift_is_shown_where_it_is_followed(wearer):
    person = wearer(follow_drift=True)
    person.wear(worn_band().emg)
    values = person.signal()[2]
    assert len(values['compensated drift (standard deviations)'].split(',')) == 8
    assert values['drift is followed'] == 'yes'
    assert values['drift at its bound'] == 'none'
