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

"""Missing estimates are counted without knowing their rate."""

from leconvmn_ros.emg.steady_stream import missing_between
import numpy as np
import pytest


@pytest.mark.parametrize(
    ('stamps', 'missing'),
    [
        ([], 0),
        ([0, 20], 0),
        ([0, 20, 40, 60], 0),
        ([0, 20, 41, 59, 80], 0),
        ([0, 20, 40, 100, 120], 2),
        ([0, 20, 40, 100, 120, 160], 3),
        ([5, 5, 5, 5], 0),
    ],
)
def test_what_is_missing_is_counted_by_the_usual_step(stamps, missing):
    assert missing_between(np.array(stamps, dtype=np.int64)) == missing
