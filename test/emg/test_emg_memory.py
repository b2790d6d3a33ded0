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

"""The newest EMG is kept, in bounded memory."""

from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.dataset.segments import gapless_runs
from leconvmn_ros.emg.emg_memory import EmgMemory, LARGEST, MOST_STRETCHES
import numpy as np


def numbered(first, count, channels=2):
    return np.arange(first, first + count, dtype=np.float32)[:, None].repeat(channels, axis=1)


@settings(deadline=None)
@given(parts=st.lists(st.tuples(st.integers(0, 70), st.booleans()), max_size=40))
def test_the_newest_samples_are_kept_in_their_stretches(parts):
    memory = EmgMemory(2, 10.0, 5.0)
    expected, total = [[]], 0
    for count, restart in parts:
        if restart and expected[-1]:
            expected.append([])
        memory.add(numbered(total, count), restart=restart)
        expected[-1] += range(total, total + count)
        total += count
    oldest = total - 50
    kept = [[n for n in stretch if n >= oldest] for stretch in expected]
    kept = [stretch for stretch in kept if stretch]
    assert [c.samples[:, 1].tolist() for c in memory.chunks()] == kept
    assert len(memory) == min(total, 50)


def test_stretches_are_read_as_a_recording_with_gaps():
    memory = EmgMemory(2, 200.0, 10.0)
    for first in (0, 600, 1200):
        memory.add(numbered(first, 600), restart=True)
    runs = gapless_runs(Recording('memory', memory.chunks()))
    assert [len(run.samples) for run in runs] == [600, 600, 600]


def test_what_is_returned_is_a_copy():
    memory = EmgMemory(1, 10.0, 1.0)
    memory.add(numbered(0, 10, 1), restart=True)
    (chunk,) = memory.chunks()
    memory.add(numbered(100, 10, 1), restart=False)
    assert chunk.samples[:, 0].tolist() == list(range(10))
    memory.clear()
    assert memory.chunks() == []


def test_a_source_that_restarts_all_the_time_fills_no_memory():
    memory = EmgMemory(1, 1000.0, 90.0)
    for number in range(10 * MOST_STRETCHES):
        memory.add(numbered(number, 1, 1), restart=True)
    assert len(memory.chunks()) == len(memory) == MOST_STRETCHES


def test_many_channels_at_a_high_rate_fill_no_memory():
    memory = EmgMemory(256, 100_000.0, 600.0)
    memory.add(np.zeros((100_000, 256), dtype=np.float32), restart=True)
    (chunk,) = memory.chunks()
    assert chunk.samples.nbytes <= LARGEST
