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

"""The state of each electrode, and the status that the page reads."""

from leconvmn_ros.core.errors import MalformedMessageError
from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.wearing.electrodes import ADVICE, BAD, Contact, describe, ElectrodeMonitor
from leconvmn_ros.wearing.status import GuideStatus, parse_status
import numpy as np
import pytest

RATE, CHANNELS = 500.0, 8


def heard(change, seconds=6.0, channels=CHANNELS, rate=RATE):
    """Return a monitor that heard noise, changed by a function of the samples and their times."""
    random = np.random.default_rng(0)
    samples = 2e-5 * random.standard_normal((round(seconds * rate), channels))
    change(samples, np.arange(len(samples)) / rate)
    monitor = ElectrodeMonitor()
    for first in range(0, len(samples), 10):
        part = samples[first : first + 10].astype(np.float32)
        monitor.push(EmgChunk(round(first / rate * 1e9), rate, first, part))
    return monitor


def flat(samples, _):
    samples[:, 2] = 3e-3


def saturated(samples, _):
    samples[:, 4] = np.clip(1e3 * samples[:, 4], -5e-3, 5e-3)


def hum(samples, times):
    samples[:, 1] += 1e-4 * np.sin(2 * np.pi * 50 * times)


def weak(samples, _):
    samples[:, 7] *= 0.05


def nothing(samples, _):
    pass


def offset(samples, _):
    samples += 5e-3 * np.arange(CHANNELS)


@pytest.mark.parametrize(
    ('change', 'channel', 'contact'),
    [
        (flat, 2, Contact.FLAT),
        (saturated, 4, Contact.SATURATED),
        (hum, 1, Contact.HUM),
        (weak, 7, Contact.WEAK),
    ],
)
def test_what_is_wrong_with_an_electrode_is_found_and_no_other_is_blamed(change, channel, contact):
    expected = [Contact.GOOD] * CHANNELS
    expected[channel] = contact
    monitor = heard(change)
    assert monitor.contacts() == tuple(expected)
    assert bool(monitor.problem()) == (contact in BAD)
    if contact in BAD:
        assert monitor.problem() == f'electrode {channel + 1}: {ADVICE[contact]}'


@pytest.mark.parametrize('change', [nothing, offset])
def test_a_good_signal_has_no_problem_whatever_its_offset(change):
    monitor = heard(change)
    assert set(monitor.contacts()) == {Contact.GOOD}
    assert monitor.problem() == ''


def test_nothing_is_called_good_before_it_was_heard():
    assert 'no EMG' in ElectrodeMonitor().problem()
    assert ElectrodeMonitor().contacts() == ()
    assert heard(nothing, seconds=1.0).problem() == 'listening to the electrodes'


def test_another_source_is_judged_by_itself():
    monitor = heard(flat)
    for first in range(0, 2000, 10):
        samples = np.random.default_rng(first).standard_normal((10, 4)).astype(np.float32)
        monitor.push(EmgChunk(first, RATE, first, samples))
    assert monitor.contacts() == (Contact.GOOD,) * 4


def test_odd_sources_are_no_error():
    monitor = ElectrodeMonitor()
    monitor.push(EmgChunk(0, 1.0, 0, np.zeros((5, 2), np.float32)))  # too slow to be decoded
    monitor.push(EmgChunk(0, 500.0, 0, np.zeros((0, 2), np.float32)))
    monitor.push(EmgChunk(0, 500.0, 0, np.full((500, 2), np.nan, np.float32)))
    assert len(monitor.contacts()) == 2


def test_electrodes_of_one_kind_are_named_together():
    contacts = [Contact.FLAT, Contact.GOOD, Contact.FLAT, Contact.WEAK]
    assert describe(contacts, BAD) == f'electrodes 1, 3: {ADVICE[Contact.FLAT]}'
    assert 'electrode 4' in describe(contacts, BAD | {Contact.WEAK})
    assert describe([Contact.GOOD], BAD) == ''


def test_a_status_comes_back_as_it_was():
    status = GuideStatus(
        state='move', title='Fist', left=1.5, done=3, total=32, contacts=('good', 'hum')
    )
    assert parse_status(status.to_json()) == status


@pytest.mark.parametrize(
    'text',
    [
        '',
        '[]',
        '{"state": "flying"}',
        '{"state": "move", "left": NaN}',
        '{"state": "move", "left": -1}',
        '{"state": "move", "more": 1}',
        '{"state": "move", "title": "' + 'x' * 500 + '"}',
        '{"state": "move", "contacts": [' + '"good",' * 300 + '"good"]}',
        '{"state": "move", "actions": ["format"]}',
        ' ' * 70_000,
    ],
)
def test_a_status_that_is_none_is_refused(text):
    with pytest.raises(MalformedMessageError):
        parse_status(text)
