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

"""Acquisition times from bursty arrivals, on simulated links."""

from leconvmn_ros.sources.sample_clock import SampleClock
import numpy as np
import pytest
from simulated_link import arrivals, LINKS, polls

# Time after which the rate is known well (s).
WARM_UP = 20.0


def stamped(clock, taken, arrived):
    """Return the errors of the stamps, and the true times of the samples (s)."""
    errors, times = [], []
    for _, begin, end in polls(arrived):
        if end > begin:
            clock.add(end - 1, arrived[end - 1])
            errors.append(clock.stamp(begin) - taken[begin])
            times.append(taken[begin])
    return np.array(errors), np.array(times)


@pytest.mark.parametrize('wrong', [0.0, 80e-6, -0.0035, 0.005], ids='{:+.2%}'.format)
@pytest.mark.parametrize('name', LINKS)
def test_stamps_are_exact_to_a_millisecond_whatever_rate_the_device_claims(name, wrong):
    link = LINKS[name]
    rate = link.claimed * (1 + wrong)
    clock = SampleClock(link.claimed)
    errors, times = stamped(clock, *arrivals(link, rate, 60))
    settled = errors[times > WARM_UP]
    assert settled.std() <= 1e-3
    assert np.abs(settled - np.median(settled)).max() <= 2e-3
    assert clock.rate == pytest.approx(rate, rel=2e-5)


def test_the_rate_that_is_claimed_is_not_enough():
    # The lower envelope without a fitted rate: shows that the test above can fail.
    link = LINKS['network, 2 kHz, 20 samples a chunk']
    taken, arrived = arrivals(link, link.claimed * 0.9965, 60)
    claimed = np.arange(len(taken)) / link.claimed
    stamps = np.minimum.accumulate(arrived - claimed) + claimed
    assert (stamps - taken).std() > 0.01


def test_stamps_never_go_back():
    link = LINKS['Bluetooth, 200 Hz, two samples a packet']
    taken, arrived = arrivals(link, link.claimed * 0.995, 20)
    clock, stamps = SampleClock(link.claimed), []
    for _, begin, end in polls(arrived):
        if end > begin:
            clock.add(end - 1, arrived[end - 1])
            stamps.append(clock.stamp(begin))
    assert len(taken) == 20 * 199
    assert np.all(np.diff(stamps) > 0)


def test_the_rate_survives_an_interruption():
    link = LINKS['WiFi, 500 Hz']
    clock = SampleClock(link.claimed)
    stamped(clock, *arrivals(link, 502.5, 30))
    clock.restart()
    assert not clock.started
    clock.add(100_000, 1000.0)
    assert clock.stamp(100_502) == pytest.approx(1000 + 502 / 502.5, abs=1e-3)


def test_lateness_is_told_against_the_line():
    clock = SampleClock(100.0)
    for number in range(0, 1000, 10):
        clock.add(number, number / 100)
    assert clock.delay(1010, 10.35) == pytest.approx(0.25)
