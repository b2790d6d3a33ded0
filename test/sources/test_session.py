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

"""A session keeps a source running, whatever the device or foreign code does."""

from threading import Event, Thread
import time

from leconvmn_ros.core.errors import ConfigurationError, SourceError
from leconvmn_ros.core.status import Level
from leconvmn_ros.sources import session as module
from leconvmn_ros.sources.contract import EmgSource, Reading, SourceDescription, SourceOptions
from leconvmn_ros.sources.session import Listener, Phase, SourceSession
from leconvmn_ros.sources.settings import SignalSettings
import numpy as np
import pytest

RATE = 500.0


class Device(EmgSource):
    """A device controlled by a test."""

    def __init__(self):
        super().__init__(SourceOptions())
        self.openings, self.closings, self.sent = 0, 0, 0
        self.rate = RATE
        self.sends = True
        self.fails_to_open = self.fails_to_read = self.fails_to_close = None
        self._start = 0.0

    def open(self):
        self.openings += 1
        if self.fails_to_open:
            raise self.fails_to_open
        self._start, self.sent = time.time(), 0
        return SourceDescription('device', ('0',), RATE, 'V')

    def read(self):
        if self.fails_to_read:
            raise self.fails_to_read
        due = int((time.time() - self._start) * self.rate)
        numbers = np.arange(self.sent, due)
        self.sent = due
        if not self.sends or not len(numbers):
            return None
        return Reading(numbers[:, None].astype(float), self._start + numbers / self.rate)

    def close(self):
        self.closings += 1
        if self.fails_to_close:
            raise self.fails_to_close


class Running:
    """A session in its thread, with its messages."""

    def __init__(self, device, **settings):
        self.device = device
        self.chunks, self.said, self.phases, self.descriptions = [], [], [], []
        listener = Listener(
            self.descriptions.append,
            self.chunks.append,
            lambda: self.phases.append(self.session.phase),
            lambda level, text: self.said.append((level, text)),
        )
        self.session = SourceSession('test', device, SignalSettings(**settings), listener)
        self.stopping = Event()
        self.error = None
        self.thread = Thread(target=self._run)

    def _run(self):
        try:
            self.session.run(self.stopping)
        except ConfigurationError as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(5)
        assert not self.thread.is_alive()

    def wait(self, condition, timeout=10.0):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, (self.phases, self.said)
            time.sleep(0.005)

    def wait_for(self, phase):
        self.wait(lambda: self.session.phase is phase)

    def texts(self, level):
        return [text for known, text in self.said if known is level]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, 'RETRY_PERIOD', 0.05)
    monkeypatch.setattr(module, 'REOPEN_AFTER', 0.3)


def test_a_device_that_sends_is_passed_on():
    with Running(Device()) as running:
        running.wait(lambda: len(running.chunks) > 10)
        assert running.session.status().level is Level.OK
    assert running.phases == [Phase.STREAMING]
    assert running.device.closings >= 1
    assert [description.device for description in running.descriptions] == ['device']


@pytest.mark.parametrize('error', [SourceError('it is off'), ValueError('a stranger erred')])
def test_a_device_that_cannot_be_opened_is_told_once_and_tried_again(error):
    device = Device()
    device.fails_to_open = error
    with Running(device) as running:
        running.wait(lambda: device.openings > 3)
        assert running.session.status().level is Level.ERROR
        assert str(error) in running.session.status().summary
        assert len(running.texts(Level.ERROR)) == 1
        device.fails_to_open = None
        running.wait_for(Phase.STREAMING)
    assert running.session.status().level is Level.OK


@pytest.mark.parametrize('error', [SourceError('it is gone'), OSError('of a library')])
def test_a_connection_that_breaks_is_opened_again(error):
    device = Device()
    with Running(device) as running:
        running.wait_for(Phase.STREAMING)
        device.fails_to_read = error
        running.wait_for(Phase.ABSENT)
        device.fails_to_read = None
        running.wait_for(Phase.STREAMING)
        running.wait(lambda: any('is back after' in text for text in running.texts(Level.WARN)))
    assert device.openings >= 2
    firsts = [chunk.first_sample for chunk in running.chunks]
    assert all(np.diff(firsts) > 0)


def test_silence_is_told_and_the_device_opened_again():
    device = Device()
    with Running(device, silence=0.2) as running:
        running.wait_for(Phase.STREAMING)
        device.sends = False
        silent_since = time.monotonic()
        running.wait_for(Phase.SILENT)
        assert time.monotonic() - silent_since < 2.0
        assert 'no samples for' in running.session.status().summary
        running.wait(lambda: device.openings > 2)
        # Opened again, it is still silent, and that is not told again.
        assert running.session.phase is Phase.SILENT
        assert len(running.texts(Level.ERROR)) == 1
        device.sends = True
        running.wait_for(Phase.STREAMING)
    assert running.session.status().values['interruptions, total'] == '1'


def test_a_device_that_is_silent_from_the_start_is_told():
    device = Device()
    device.sends = False
    with Running(device, silence=0.2) as running:
        running.wait_for(Phase.SILENT)
    assert 'device has sent nothing for 0.' in running.texts(Level.ERROR)[0]


def test_a_device_that_cannot_be_closed_is_no_end():
    device = Device()
    device.fails_to_close = RuntimeError('stuck')
    with Running(device) as running:
        running.wait_for(Phase.STREAMING)
    assert 'cannot be closed' in running.texts(Level.WARN)[0]


def test_another_rate_than_the_one_claimed_is_told(monkeypatch):
    monkeypatch.setattr(module, 'RATE_TIME', 1.0)
    device = Device()
    device.rate = 400.0
    with Running(device) as running:
        running.wait(lambda: 'claims 500 Hz' in running.session.status().summary)
        assert running.session.status().level is Level.WARN
    assert 'parameter sampling_rate' in running.texts(Level.WARN)[-1]


def test_remarks_of_a_source_are_told_once():
    device = Device()
    device.remarks.append('its battery is low')
    with Running(device) as running:
        running.wait(lambda: len(running.chunks) > 5)
    assert running.texts(Level.WARN) == ['its battery is low']


def test_what_can_never_work_ends_the_session():
    with Running(Device(), channels=(3,)) as running:
        running.wait(lambda: running.error is not None)
    assert 'there is no channel 3' in str(running.error)


def test_a_source_that_ends_ends_the_session():
    device = Device()
    with Running(device) as running:
        running.wait_for(Phase.STREAMING)
        device.sends = False
        device.ended = True
        running.wait_for(Phase.ENDED)
        running.wait(lambda: not running.thread.is_alive())
