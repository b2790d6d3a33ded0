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

"""The live view keeps its signals in bounded memory, whatever comes."""

import tracemalloc

from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.emg.message import emg_fault, MOST_CHANNELS
from leconvmn_ros.view.signals import BINS, EmgEnvelope, WINDOW
import numpy as np


def test_a_message_of_a_million_channels_is_refused_before_it_is_kept():
    assert '1 to 4096 are allowed' in emg_fault(10**6, 10**6, 200.0)
    assert emg_fault(MOST_CHANNELS, MOST_CHANNELS, 200.0) == ''


def test_a_message_longer_than_the_window_takes_the_memory_of_the_window():
    samples = np.zeros((5_000_000, 1), np.float32)
    samples[-1000:] = 1
    envelope = EmgEnvelope()
    tracemalloc.start()
    try:
        envelope.add(EmgChunk(0, 1000.0, 0, samples))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
    trace = envelope.trace()
    assert trace.shape == (2 * BINS, 1)
    # The last second of six.
    shown = np.nan_to_num(trace[:, 0], nan=-1)
    assert abs(np.count_nonzero(shown == 1) - 2 * BINS / WINDOW) <= 2
    assert np.count_nonzero(shown == -1) <= 2


def test_the_end_of_a_long_message_is_shown_as_if_it_came_in_parts():
    samples = np.random.default_rng(0).normal(size=(20_000, 2)).astype(np.float32)
    whole, parts = EmgEnvelope(), EmgEnvelope()
    whole.add(EmgChunk(10**9, 1000.0, 0, samples))
    for start in range(0, 20_000, 500):
        chunk = EmgChunk(10**9 + start * 10**6, 1000.0, start, samples[start : start + 500])
        parts.add(chunk)
    np.testing.assert_array_equal(whole.trace(), parts.trace())
