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

"""The claims of a recorded source are checked against its messages."""

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.emg.source_check import checked_source
from marked_source import PERIOD_NS, source, START_NS
import numpy as np
import pytest


def test_a_sound_source_stays_as_it_is_without_a_remark():
    chunks = source(1000)
    assert checked_source(chunks) == (chunks, ())


def test_a_rate_far_from_stamps_and_counter_is_refused_with_both_figures():
    with pytest.raises(RecordingError, match=r'says 1000 Hz, but .* takes 200 samples a second'):
        checked_source(source(1000, rate=1000.0))


def test_a_rate_in_kilohertz_is_named_as_the_likely_mistake():
    with pytest.raises(RecordingError, match=r'says 0\.2 Hz, .* is sampling_rate in kHz\?'):
        checked_source(source(1000, rate=0.2))


def test_a_small_deviation_of_the_rate_is_followed_and_reported():
    stretched = source(1000, stamp=lambda _, ns: START_NS + (ns - START_NS) * 1.002)
    chunks, remarks = checked_source(stretched)
    assert chunks == stretched
    assert remarks == (
        'sampling_rate says 200 Hz, stamps and counter say 199.60 Hz: the stamps are followed',
    )


def test_a_rate_measured_for_each_message_becomes_one():
    random = np.random.default_rng(0)
    chunks = [chunk._replace(sampling_rate=random.uniform(180, 220)) for chunk in source(1000)]
    checked, remarks = checked_source(chunks)
    (rate,) = {chunk.sampling_rate for chunk in checked}
    assert rate == pytest.approx(200, rel=1e-3)
    assert 'differs from message to message' in remarks[0]


def test_messages_of_another_rate_are_left_out_and_counted():
    chunks = source(1000)
    chunks[5] = chunks[5]._replace(sampling_rate=1000.0)
    checked, remarks = checked_source(chunks)
    assert len(checked) == 999
    assert '1 of 1000 messages left out: their sampling_rate is 1000 Hz' in remarks[0]


def test_a_counter_that_wraps_is_reported():
    _, remarks = checked_source(source(1000, modulus=256))
    assert remarks == ('first_sample wraps at 256 (15 times): it is counted on',)


@pytest.mark.parametrize(
    ('counter', 'reason'), [(lambda _: 0, 'stands still'), (lambda n: n, 'grows by 1')]
)
def test_a_counter_that_does_not_count_samples_is_refused(counter, reason):
    with pytest.raises(RecordingError, match=f'first_sample {reason} from message to message'):
        checked_source(source(1000, counter=counter))


@pytest.mark.parametrize('offset', [0, 5000])
def test_two_devices_on_one_topic_are_refused(offset):
    both = [
        chunk._replace(samples=chunk.samples + device, first_sample=chunk.first_sample + ahead)
        for chunk in source(500)
        for device, ahead in ((0, 0), (1, offset))
    ]
    with pytest.raises(RecordingError, match=r'two or more sources .* 500, 500 messages of each'):
        checked_source(both)


def test_messages_that_come_twice_are_no_second_device():
    twice = [chunk for chunk in source(500) for _ in range(2)]
    assert checked_source(twice).remarks == ()


@pytest.mark.parametrize('place', [0, 500, 999])
@pytest.mark.parametrize('far_ns', [-START_NS, 600 * 10**9, 10**18])
def test_one_stamp_of_another_time_does_not_decide_the_span(place, far_ns):
    chunks = source(1000)
    chunks[place] = chunks[place]._replace(stamp_ns=chunks[place].stamp_ns + far_ns)
    checked, remarks = checked_source(chunks)
    assert len(checked) == 999
    assert '1 of 1000 messages left out: their stamps' in remarks[0]
    assert checked[-1].stamp_ns - checked[0].stamp_ns <= 4000 * PERIOD_NS


def test_a_pause_in_a_recording_is_no_fault():
    chunks = source(1000, stamp=lambda first, ns: ns + (6e11 if first >= 3800 else 0))
    assert checked_source(chunks) == (chunks, ())


def test_one_stamp_for_a_batch_is_reported():
    _, remarks = checked_source(source(1000, stamp=lambda first, ns: ns - first % 40 * PERIOD_NS))
    assert '900 of 1000 messages have a stamp that does not fit the counter' in remarks[0]
