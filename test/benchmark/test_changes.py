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

"""Changes between sessions are drawn from a seed, and are what they say."""

from leconvmn_ros.benchmark.changes import bands, drawn_change, turned
from leconvmn_ros.core.errors import RecordingError
import numpy as np
import pytest

RINGS = ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9))
EMG = np.arange(1, 21, dtype=np.float32)[:, None] * 10.0 ** np.arange(-6, 5, dtype=np.float32)


def drawn(change, seed):
    return drawn_change(change, 11, RINGS, np.random.default_rng(seed))(EMG)


@pytest.mark.parametrize('change', ['turn_and_gains', 'dead_1', 'dead_2', 'dead_4'])
def test_the_same_seed_draws_the_same_change(change):
    np.testing.assert_array_equal(drawn(change, 3), drawn(change, 3))
    assert len({drawn(change, seed).tobytes() for seed in range(20)}) > 4


def test_all_bands_turn_together_and_gains_are_within_bounds():
    turns = set()
    for seed in range(50):
        changed = drawn('turn_and_gains', seed)
        # Channels differ by a factor of ten: which one it was can be told.
        origin = np.round(np.log10(changed[0])).astype(int) + 6
        (turn,) = [t for t in range(-2, 3) if (turned(t, RINGS, 11) == origin).all()]
        gains = changed / EMG[:, origin]
        np.testing.assert_allclose(gains, gains[:1].repeat(len(EMG), axis=0), rtol=1e-5)
        assert gains.min() >= 0.5 - 1e-6
        assert gains.max() <= 2 + 1e-6
        turns.add(turn)
    assert turns == {-2, -1, 0, 1, 2}


def test_a_turn_by_one_gives_each_electrode_what_its_neighbour_measured():
    assert turned(1, RINGS, 11).tolist() == [4, 0, 1, 2, 3, 9, 5, 6, 7, 8, 10]


@pytest.mark.parametrize('count', [1, 2, 4])
def test_so_many_channels_are_dead(count):
    changed = drawn(f'dead_{count}', 0)
    dead = (changed == 0).all(axis=0)
    assert dead.sum() == count
    np.testing.assert_array_equal(changed[:, ~dead], EMG[:, ~dead])


def test_nothing_changes_nothing():
    np.testing.assert_array_equal(drawn('nothing', 0), EMG)


def test_all_channels_dead_is_refused():
    with pytest.raises(RecordingError, match='4 channels: 4 of them cannot be dead'):
        drawn_change('dead_4', 4, RINGS, np.random.default_rng(0))


def test_a_second_band_needs_two_bands_of_one_size():
    assert bands(RINGS) == RINGS
    for rings in (RINGS[:1], ((0, 1, 2), (3, 4, 5, 6))):
        with pytest.raises(RecordingError, match='second_band needs two of the same size'):
            bands(rings)
