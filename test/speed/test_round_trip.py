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

from leconvmn_ros.core.recording import NANOSECONDS
from leconvmn_ros.speed.round_trip import RoundTrip
import pytest

MS = NANOSECONDS // 1000
WALL = 10**18


def sent(chunks=10, chunk=20, rate=2000.0, late_ms=0.0):
    """A source whose monotonic clock starts at 0 and that publishes with this delay."""
    trip = RoundTrip(chunk, rate, chunks)
    trip.begin(0, WALL)
    for number, _, due in trip.plan():
        trip.left(number, due + round(late_ms * MS))
    return trip


def test_plan_is_that_of_an_amplifier():
    plan = list(sent(chunks=3).plan())
    assert [number for number, *_ in plan] == [0, 1, 2]
    assert [stamp - WALL for _, stamp, _ in plan] == [0, 10 * MS, 20 * MS]
    # Each can leave when its last sample is there.
    assert [due for *_, due in plan] == [19 * MS // 2, 39 * MS // 2, 59 * MS // 2]


@pytest.mark.parametrize(('last', 'chunk'), [(0, 0), (19, 0), (20, 1), (199, 9)])
def test_latency_runs_from_the_chunk_of_the_last_sample(last, chunk):
    trip = sent(late_ms=2)
    left = (20 * chunk + 19) * MS // 2 + 2 * MS
    trip.came(WALL + last * MS // 2, left + 3 * MS)
    assert trip.report()['latency_ms'] == pytest.approx({'median': 3, 'p99': 3, 'most': 3})


def test_report_counts():
    trip = sent(chunks=20, late_ms=1.5)
    for number in (0, 1, 2, 4, 5, 8):
        trip.came(WALL + number * 20 * MS, number * 20 * MS + 50 * MS)
    report = trip.report()
    assert (report['chunks'], report['estimates'], report['gaps']) == (20, 6, 3)
    assert report['late_ms'] == pytest.approx({'median': 1.5, 'p99': 1.5, 'most': 1.5})


def test_nothing_came():
    report = sent().report()
    assert (report['estimates'], report['gaps'], report['latency_ms']) == (0, 0, None)


def test_estimates_of_what_was_never_sent_have_no_latency():
    trip = sent(chunks=2)
    trip.came(WALL - 5 * MS, 0)
    trip.came(WALL + 25 * MS, 0)
    assert trip.report()['latency_ms'] is None
