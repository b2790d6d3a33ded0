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

"""Readings of simulated devices become chunks: numbers, stamps, backlogs, volts."""

from leconvmn_ros.sources.contract import DeviceCounter, Reading, SourceDescription
from leconvmn_ros.sources.stream import EmgStream
import numpy as np
import pytest
from simulated_link import arrivals, LINKS, polls

EIGHT_BITS = DeviceCounter(1, 256)
# Seconds since 1970: rounding of large times is part of the test.
START = 1.7e9


class Run:
    """A simulated device, read through an EmgStream.

    Attributes:
        chunks: what came out.
        numbers: number of each sample that came out.
        taken: number of the same sample at the device.
    """

    def __init__(self, rate=250.0, counter=EIGHT_BITS, link='serial, 250 Hz', true_rate=None):
        self.rate = rate
        self.link = LINKS[link]._replace(claimed=rate)
        self.true_rate = true_rate or rate
        self.counter = counter
        description = SourceDescription('simulated', ('a',), rate, 'V', counter)
        self.stream = EmgStream(description, 1.0, np.array([0]))
        self.chunks = []

    def play(self, seconds, dropped=(), held=None, restart_at=None):
        """Play the device; `held`: (begin, end), arrivals between these times wait for the end."""
        taken, arrived = arrivals(self.link, self.true_rate, seconds)
        self.taken = taken
        if held is not None:
            waiting = (arrived > held[0]) & (arrived < held[1])
            arrived[waiting] = held[1]
        here = np.ones(len(taken), dtype=bool)
        for begin, end in dropped:
            here[begin:end] = False
        samples, arrived = np.flatnonzero(here), arrived[here]
        for now, begin, end in polls(arrived):
            part = samples[begin:end]
            raw = part - (restart_at if restart_at and part.size and part[0] >= restart_at else 0)
            turn = self.counter.turn if self.counter else None
            counter = None if self.counter is None else raw % turn if turn else raw
            reading = Reading(part[:, None].astype(float), START + arrived[begin:end], counter)
            self.chunks += self.stream.take(reading, START + now)
        return self

    @property
    def numbers(self):
        return np.concatenate(
            [np.arange(len(chunk.samples)) + chunk.first_sample for chunk in self.chunks]
        )

    @property
    def origin(self):
        return np.concatenate([chunk.samples[:, 0] for chunk in self.chunks]).astype(int)

    def errors(self):
        """Return the error of each chunk's stamp (s)."""
        return np.array(
            [
                chunk.stamp_ns / 1e9 - START - self.taken[int(chunk.samples[0, 0])]
                for chunk in self.chunks
            ]
        )


def test_a_healthy_link_gives_every_sample_once():
    run = Run().play(20)
    assert np.array_equal(run.numbers, np.arange(5000))
    assert np.array_equal(run.origin, run.numbers)
    assert run.stream.counts.faults() == {}
    assert run.errors()[len(run.chunks) // 2 :].std() < 1e-3


@pytest.mark.parametrize('lost', [1, 10, 120, 255, 256, 257, 266, 512, 2000])
def test_a_loss_of_any_length_is_counted_with_a_counter_of_eight_bits(lost):
    run = Run().play(30, dropped=[(2500, 2500 + lost)])
    assert run.stream.counts.lost_samples == lost
    assert np.array_equal(run.numbers, run.origin)
    settled = run.errors()[-100:]
    assert settled.std() < 1e-3


@pytest.mark.parametrize('rate', [1000.0, 2000.0])
def test_a_whole_turn_that_lasts_no_longer_than_a_stall_is_told_within_two_seconds(rate):
    run = Run(rate, link='WiFi, 500 Hz').play(15, dropped=[(5000, 5256)])
    assert run.stream.counts.lost_samples == 256
    after = run.origin > 5256 + 2 * rate
    assert np.array_equal(run.numbers[after], run.origin[after])


@pytest.mark.parametrize('counter', [EIGHT_BITS, None], ids=['counter', 'no counter'])
def test_a_stall_is_no_loss(counter):
    run = Run(counter=counter).play(20, held=(10.0, 10.4))
    assert run.stream.counts.faults() == {}
    assert np.array_equal(run.numbers, run.origin)


@pytest.mark.parametrize('counter', [EIGHT_BITS, DeviceCounter(), None], ids=str)
def test_a_backlog_after_an_interruption_is_dropped_and_counted(counter):
    run = Run(counter=counter).play(30, held=(10.0, 13.0))
    counts = run.stream.counts
    assert counts.interruptions == 1
    assert counts.backlog_samples == pytest.approx(3 * 250, abs=20)
    # The numbers go on as if the samples had been there: nothing is decoded late.
    off = run.numbers - run.origin
    assert np.abs(off).max() <= (0 if counter else 10)
    assert counts.lost_samples <= (0 if counter else 10)
    ages = [chunk.stamp_ns / 1e9 - START for chunk in run.chunks]
    assert not any(10.1 < age < 12.9 for age in ages)


def test_losses_without_a_counter_are_seen_in_time():
    run = Run(counter=None).play(30, dropped=[(2500, 2600)])
    assert run.stream.counts.lost_samples == pytest.approx(100, abs=5)
    assert np.abs(run.numbers - run.origin)[-1] <= 5


def test_a_counter_that_grows_by_two_counts_samples():
    run = Run(125.0, DeviceCounter(2, 256))
    raw = np.array([250, 252, 254, 0, 2, 8, 10])
    times = START + np.arange(7) / 125
    chunks = run.stream.take(Reading(np.zeros((7, 1)), times, raw), times[-1])
    assert [(chunk.first_sample, len(chunk.samples)) for chunk in chunks] == [(0, 5), (7, 2)]
    assert run.stream.counts.lost_samples == 2


def test_a_repeated_sample_is_dropped():
    run = Run()
    times = START + np.arange(4) / 250
    (chunk,) = run.stream.take(
        Reading(np.arange(4.0)[:, None], times, np.array([7, 8, 8, 9])), times[-1]
    )
    assert chunk.samples[:, 0].tolist() == [0, 1, 3]
    assert run.stream.counts.repeated_samples == 1


def test_a_counter_that_counts_packets_is_not_used():
    run = Run(500.0, EIGHT_BITS)
    for packet in range(60):
        times = START + np.full(16, packet * 16 / 500)
        run.chunks += run.stream.take(
            Reading(np.zeros((16, 1)), times, np.full(16, packet)), times[-1]
        )
    assert run.stream.numbers.counter_ignored
    later = run.numbers[-16 * 40 :]
    assert np.array_equal(np.diff(later), np.ones(len(later) - 1))


def test_a_device_that_is_opened_again_goes_on_counting_by_time():
    run = Run()
    for begin in range(0, 250, 5):
        times = START + np.arange(begin, begin + 5) / 250
        raw = np.arange(begin, begin + 5)
        run.stream.take(Reading(np.zeros((5, 1)), times, raw), times[-1])
    run.stream.reopened(START + 3.99)
    times = START + 4 + np.arange(5) / 250
    (chunk,) = run.stream.take(Reading(np.zeros((5, 1)), times, np.arange(5)), times[-1])
    assert chunk.first_sample == pytest.approx(1000, abs=2)
    assert run.stream.counts.interruptions == 1


@pytest.mark.parametrize('step', [-30.0, 30.0])
def test_a_clock_that_is_set_is_followed(step):
    run = Run(counter=None)
    times = START + np.arange(2500) / 250
    times[1250:] += step
    for begin in range(0, 2500, 5):
        part = times[begin : begin + 5]
        run.chunks += run.stream.take(Reading(np.zeros((5, 1)), part), part[-1])
    last = run.chunks[-1]
    assert last.stamp_ns / 1e9 == pytest.approx(times[2495], abs=0.01)
    counts = run.stream.counts
    assert (counts.clock_jumps, counts.interruptions) == ((1, 0) if step < 0 else (0, 1))


def test_volts_channels_and_order_are_as_asked_for():
    description = SourceDescription('simulated', tuple('abcd'), 100.0, 'uV')
    stream = EmgStream(description, 1e-6, np.array([3, 0]), delay=0.02)
    (chunk,) = stream.take(
        Reading(np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]]), np.array([10.0, 10.01])), 10.01
    )
    np.testing.assert_allclose(chunk.samples, [[4e-6, 1e-6], [8e-6, 5e-6]])
    assert chunk.samples.dtype == np.float32
    assert chunk.stamp_ns == pytest.approx(9.98e9, abs=1e3)


def test_nothing_gives_no_chunk():
    run = Run()
    assert run.stream.take(None, START) == []
    assert run.stream.take(Reading(np.zeros((0, 1)), np.zeros(0)), START) == []
