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

"""Lost samples are counted exactly, in whatever order messages arrive."""

from builders import evenly_cut, make_emg, RATE, START_NS
from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.emg.sample_count import SampleCount
import numpy as np
import pytest

CHUNKS = evenly_cut(make_emg(400), 10)


def lost(chunks):
    count = SampleCount()
    for chunk in chunks:
        count.add(chunk)
    return count.lost


@pytest.mark.parametrize(
    ('order', 'expected'),
    [
        (range(40), 0),
        ([0, 2], 10),
        ([5, 6], 0),  # a reader that comes late has lost nothing
        ([0, 1, 5, 9], 60),
        ([0, 2, 1, 3], 0),  # late is not lost
        ([0, 3, 1, 4], 10),
        ([0, 3, 2, 1, 4], 0),
        ([0, 3, 1, 1, 4], 10),  # twice is as once
        ([0, 1, 1, 2], 0),
        ([0, 2, 2, 0, 3], 10),
        ([*range(30), *range(30)], 0),  # a loop of 3 s
        ([*range(30), 1, 2, 4], 10),
        ([0, 30, 31, 0, 1, 2], 290),  # the hole is closed by the new start
    ],
)
def test_by_the_order_of_messages(order, expected):
    assert lost(CHUNKS[number] for number in order) == expected


def test_overlaps_fill_what_they_reach():
    emg = make_emg(30)

    def chunk(first, last):
        return EmgChunk(START_NS + first * 10_000_000, RATE, first, emg[first:last])

    assert lost([chunk(0, 5), chunk(20, 25)]) == 15
    assert lost([chunk(0, 5), chunk(20, 25), chunk(3, 12)]) == 8
    assert lost([chunk(0, 5), chunk(20, 25), chunk(8, 12)]) == 11
    assert lost([chunk(0, 5), chunk(20, 25), chunk(8, 12), chunk(4, 9), chunk(11, 30)]) == 0
    assert lost([chunk(0, 5), chunk(3, 10), chunk(10, 12)]) == 0


def test_a_counter_that_starts_again_while_time_goes_on_loses_nothing():
    again = [chunk._replace(stamp_ns=chunk.stamp_ns + 10**10) for chunk in CHUNKS]
    assert lost([*CHUNKS[:20], *again]) == 0
    soon = [chunk._replace(stamp_ns=chunk.stamp_ns + 10**8) for chunk in CHUNKS]
    assert lost([*CHUNKS[:10], *soon]) == 0


@settings(deadline=None, max_examples=80)
@given(seed=st.integers(0, 10**6), dropped=st.floats(0, 0.6))
def test_any_losses_with_neighbours_swapped(seed, dropped):
    random = np.random.default_rng(seed)
    kept = [0, *(n for n in range(1, 39) if random.random() >= dropped), 39]
    places = np.argsort(np.array(kept) + random.uniform(-3, 3, len(kept)))
    order = [kept[place] for place in places]
    # What comes before the first message that is heard, and behind the last, nobody can know; the
    # first in time is put first.
    order.remove(0)
    assert lost(CHUNKS[n] for n in [0, *order]) == 10 * (40 - len(kept))
