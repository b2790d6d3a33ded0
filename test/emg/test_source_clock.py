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

"""How counters and stamps of real sources are interpreted."""

from leconvmn_ros.emg.intake import Intake
from leconvmn_ros.emg.source_clock import (
    chunk_columns,
    fitted_rate,
    follow_plainly,
    SourceClock,
    Step,
)
from marked_source import PERIOD_NS, RATE, source, START_NS
import numpy as np
import pytest


def read(chunks, clock=None):
    clock = clock or SourceClock(RATE)
    return [clock.read(chunk) for chunk in chunks]


def late_by_ns(readings):
    """Return how late each message is read (ns), by the true time of its samples."""
    first = np.array([reading.chunk.samples[0, 0] for reading in readings], dtype=np.int64)
    stamps = np.array([reading.chunk.stamp_ns for reading in readings])
    return stamps - START_NS - first * PERIOD_NS


def test_a_sound_source_is_read_as_it_is():
    chunks = source(500)
    readings = read(chunks)
    assert [reading.step for reading in readings] == [Step.FIRST] + 499 * [Step.NEXT]
    assert [reading.chunk for reading in readings] == chunks
    assert all(reading.missing == 0 for reading in readings)


def is_read_as_it_is(chunks):
    clock = SourceClock(RATE)
    readings = read(chunks, clock)
    return not clock.counted_on and readings == [
        (chunk, Step.NEXT if number else Step.FIRST, 0) for number, chunk in enumerate(chunks)
    ]


def test_what_follows_plainly_is_read_as_it_is():
    """One or two properties of a source are off by any amount; few plain sources may be missed."""
    random = np.random.default_rng(0)
    told, plain = [], []
    for _ in range(400):
        chunks = source(40, int(random.choice([1, 4, 300])))
        for place in random.integers(0, 40, random.integers(0, 3)).tolist():
            chunk, off = chunks[place], round(10 ** random.uniform(0, 10))
            match random.choice(['late', 'early', 'counter', 'missing', 'twice', 'slow']):
                case 'late':
                    chunks[place] = chunk._replace(stamp_ns=chunk.stamp_ns + off)
                case 'early':
                    chunks[place] = chunk._replace(stamp_ns=chunk.stamp_ns - off)
                case 'counter':
                    chunks[place] = chunk._replace(first_sample=chunk.first_sample + off)
                case 'missing':
                    chunks[place] = chunk._replace(samples=chunk.samples[1:])
                case 'twice':
                    chunks[place] = chunks[place - 1]
                case 'slow':
                    chunks[place:] = [
                        each._replace(stamp_ns=each.stamp_ns + number * off // 100)
                        for number, each in enumerate(chunks[place:])
                    ]
        told.append(follow_plainly(chunk_columns(chunks), RATE))
        plain.append(is_read_as_it_is(chunks))
        assert plain[-1] or not told[-1]
    assert 0.2 < np.mean(plain) < 0.8
    assert np.sum(told) > 0.9 * np.sum(plain)


@pytest.mark.parametrize('size', [1, 4])
@pytest.mark.parametrize('modulus', [256, 2**16, 1000, 10_000])
def test_a_counter_that_wraps_counts_on(modulus, size):
    first = modulus - 50 * size
    clock = SourceClock(RATE)
    chunks = source(3000, size, modulus=modulus, counter=lambda number: first + number * size)
    readings = read(chunks, clock)
    again = [reading.step for reading in readings if reading.step is not Step.NEXT]
    # One that wraps at no power of two is known when it did so twice.
    expected = [Step.FIRST] if modulus in (256, 2**16) else [Step.FIRST, Step.STARTED_AGAIN]
    assert again == expected
    counters = [reading.chunk.first_sample for reading in readings[-500:]]
    assert np.all(np.diff(counters) == size)


def test_samples_lost_where_a_counter_wraps_are_counted():
    random = np.random.default_rng(0)
    chunks = [chunk for chunk in source(4000, 1, modulus=256) if random.random() > 0.1]
    readings = read(chunks)
    assert {reading.step for reading in readings[1:]} == {Step.NEXT}
    last = int(chunks[-1].samples[0, 0]) - int(chunks[0].samples[0, 0])
    assert sum(reading.missing for reading in readings) == last + 1 - len(chunks)


@pytest.mark.parametrize('deviation', [-0.005, 0.002, 0.05])
def test_a_rate_that_is_off_is_followed(deviation):
    chunks = source(2000, stamp=lambda _, ns: START_NS + (ns - START_NS) * (1 + deviation))
    readings = read(chunks)
    assert [reading.chunk.stamp_ns for reading in readings] == [chunk.stamp_ns for chunk in chunks]


def test_one_stamp_for_a_batch_is_counted_on():
    readings = read(source(1000, stamp=lambda first, ns: ns - first % 40 * PERIOD_NS))
    assert np.all(late_by_ns(readings) == 0)


def test_jitter_of_the_transport_is_taken_out():
    random = np.random.default_rng(0)
    chunks = source(2000, stamp=lambda _, ns: ns + random.uniform(-4e7, 4e7))
    stamps = [reading.chunk.stamp_ns for reading in read(chunks)]
    assert np.diff(stamps).min() > 0
    assert np.abs(np.diff(stamps) - 4 * PERIOD_NS).mean() < PERIOD_NS


def test_stamps_that_stay_off_are_followed_after_half_a_second():
    readings = read(source(400, stamp=lambda first, ns: ns + (1e8 if first >= 400 else 0)))
    late = late_by_ns(readings)
    assert late[110] == 0
    assert np.all(late[130:] == 1e8)


def test_a_clock_that_is_set_is_told_from_jitter():
    steps = [r.step for r in read(source(50, stamp=lambda f, ns: ns + (5e9 if f >= 80 else 0)))]
    assert steps.count(Step.CLOCK_SET) == 1
    assert steps.count(Step.NEXT) == 48


def test_the_rate_is_measured_however_stamps_jitter():
    random = np.random.default_rng(0)
    counters = np.arange(0, 12_000, 4)
    stamps = counters * PERIOD_NS + random.uniform(-5e7, 5e7, len(counters)).astype(np.int64)
    stamps[100] = 0
    assert fitted_rate(counters, stamps) == pytest.approx(RATE, rel=2e-3)


def test_a_source_that_is_five_times_as_fast_as_it_says_contradicts_itself():
    intake = Intake(2, RATE)
    for chunk in source(2500, stamp=lambda _, ns: START_NS + (ns - START_NS) / 5):
        list(intake.accept(chunk))
    assert intake.measured_rate == pytest.approx(1000, rel=0.01)
    assert intake.rate_contradicts
    intake.reset()
    assert not intake.rate_contradicts


def test_a_rate_that_is_measured_for_each_message_is_accepted_by_its_median():
    random = np.random.default_rng(0)
    chunks = [chunk._replace(sampling_rate=random.uniform(180, 220)) for chunk in source(300)]
    intake = Intake(2, RATE)
    for chunk in chunks:
        list(intake.accept(chunk))
    assert intake.counts.wrong_rate < 30
