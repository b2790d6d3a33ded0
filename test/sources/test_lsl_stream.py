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

"""The LSL source against real outlets in other processes."""

import time

from leconvmn_ros.core.errors import ConfigurationError, SourceError
from leconvmn_ros.sources.registry import make_source
from leconvmn_ros.sources.stream import EmgStream
from leconvmn_ros.sources.units import volts_per
from lsl_outlet import outlet, stay_on_this_machine
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def library(tmp_path_factory, monkeypatch):
    stay_on_this_machine(tmp_path_factory.mktemp('lsl'))
    # On one machine streams are found at once.
    monkeypatch.setattr('leconvmn_ros.sources.lsl_stream.SEARCH_TIME', 1.0)
    return pytest.importorskip('pylsl', reason='pylsl has no library for this machine')


@pytest.fixture
def opened():
    """Opens LSL sources, which are closed after the test."""
    sources = []

    def begin(options=''):
        source = make_source('lsl', options)
        sources.append(source)
        return source, source.open()

    yield begin
    for source in sources:
        source.close()


def collect(source, description, seconds, until=lambda _: False):
    """Read like a node; return the chunks and the stream."""
    stream = EmgStream(description, 1e-6, np.arange(len(description.channels)))
    chunks, end = [], time.monotonic() + seconds
    while time.monotonic() < end and not until(chunks):
        chunks += stream.take(source.read(), time.time())
        time.sleep(0.02)
    return chunks, stream


def counted(chunks):
    """Return the counter in the first channel."""
    return np.concatenate([chunk.samples[:, 0] for chunk in chunks]) * 1e6


def test_every_sample_comes_once_with_its_stamp(opened):
    with outlet():
        source, description = opened()
        assert description.device == 'test band'
        assert description.channels == ('E0', 'E1', 'E2', 'E3')
        assert description.sampling_rate == 250
        assert volts_per(description.unit) == 1e-6
        chunks, stream = collect(source, description, 10, lambda got: len(got) > 40)
    values = counted(chunks)
    assert np.allclose(np.diff(values), 1, atol=0.01)
    assert stream.counts.faults() == {}
    # The stamp of a sample and its number grow together, and the newest is of now.
    stamps = np.array([chunk.stamp_ns for chunk in chunks]) / 1e9
    firsts = np.array([chunk.samples[0, 0] for chunk in chunks]) * 1e6
    off = stamps - firsts / 250
    assert off.std() < 2e-3
    assert 0 <= time.time() - stamps[-1] < 5


def test_an_outlet_that_starts_again_is_found_and_its_backlog_is_dropped(opened):
    with outlet():
        source, description = opened()
        stream = EmgStream(description, 1e-6, np.arange(4))
        first = []
        while len(first) < 5:
            first += stream.take(source.read(), time.time())
            time.sleep(0.02)
    chunks, end = [], time.monotonic() + 20
    with outlet(first=10_000):
        while not chunks and time.monotonic() < end:
            came = stream.take(source.read(), time.time())
            chunks += [chunk for chunk in came if counted([chunk])[0] >= 10_000]
            time.sleep(0.02)
    assert chunks
    assert stream.counts.interruptions == 1
    # None of it is older than what a decoder may still use.
    assert time.time() - chunks[0].stamp_ns / 1e9 < 5
    assert chunks[0].first_sample > first[-1].first_sample + 100


@pytest.mark.parametrize('unit', ['', 'counts', 'mmHg'])
def test_an_unknown_unit_is_told_as_it_is(opened, unit):
    with outlet(unit=unit):
        _, description = opened()
    assert description.unit == unit
    with pytest.raises(ConfigurationError, match='scale'):
        volts_per(description.unit)


def test_a_stream_with_an_irregular_rate_asks_for_one(opened):
    with outlet(rate=0.0):
        with pytest.raises(ConfigurationError, match='irregular rate: give its rate'):
            opened()
        source, description = opened('rate=250')
        assert description.sampling_rate == 250
        chunks, _ = collect(source, description, 10, lambda got: len(got) > 10)
    assert np.allclose(np.diff(counted(chunks)), 1, atol=0.01)


def test_only_the_channels_of_emg_are_read(opened):
    with outlet(types=['EMG', 'TRIG', 'EMG', 'ACC']):
        source, description = opened()
        assert description.channels == ('E0', 'E2')
        chunks, _ = collect(source, description, 10, bool)
    assert np.allclose(chunks[0].samples[:, 1], 2e-6)


@pytest.mark.parametrize('kind', ['double64', 'int32', 'int16'])
def test_numbers_of_any_type_are_read(opened, kind):
    with outlet(format=kind):
        source, description = opened()
        chunks, _ = collect(source, description, 10, bool)
    assert np.allclose(chunks[0].samples[:, 3], 3e-6)


def test_stamps_of_a_clock_that_lsl_does_not_know_are_not_used(opened):
    with outlet(stamps='own'):
        source, description = opened()
        chunks, _ = collect(source, description, 10, lambda got: len(got) > 5)
    assert 'times of arrival are used' in source.remarks[0]
    assert abs(time.time() - chunks[-1].stamp_ns / 1e9) < 5


def test_of_two_streams_one_must_be_chosen(opened):
    with outlet(), outlet(name='other band', source_id='band-2'):
        with pytest.raises(SourceError, match=r'2 LSL streams of type .EMG.*choose one by name='):
            opened()
        _, description = opened('name="other band"')
        assert description.device == 'other band'


def test_no_stream_says_what_there_is():
    source = make_source('lsl', 'name=absent')
    with (
        outlet(type='EEG', name='cap'),
        pytest.raises(SourceError, match=r"no LSL stream of name 'absent'.*There are: name='cap'"),
    ):
        source.open()


def test_streams_are_listed():
    from leconvmn_ros.sources.lsl_stream import LslSource

    with outlet():
        (line,) = LslSource.find()
    assert "name='test band' type='EMG': 4 channels, 250 Hz" in line
