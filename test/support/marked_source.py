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

"""A source of EMG whose samples say when they were really taken."""

from leconvmn_ros.core.recording import EmgChunk
import numpy as np

RATE = 200.0
PERIOD_NS = 5_000_000
START_NS = 1_700_000_000 * 10**9


def source(count, size=4, *, rate=RATE, modulus=None, stamp=lambda _, ns: ns, counter=None):
    """Return the messages of a source; `stamp` changes the stamp, `counter` the counter."""
    chunks = []
    for number in range(count):
        first = number * size
        ns = stamp(first, START_NS + first * PERIOD_NS)
        said = first if counter is None else counter(number)
        said = said if modulus is None else said % modulus
        chunks.append(EmgChunk(round(ns), rate, said, np.full((size, 2), first, np.float32)))
    return chunks
