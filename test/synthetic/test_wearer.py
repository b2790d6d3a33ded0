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

"""The simulated wearer follows the cue late and unevenly, with matching EMG."""

from leconvmn_ros.core.recording import NANOSECONDS
from leconvmn_ros.synthetic.config import SyntheticSubjectConfig
from leconvmn_ros.synthetic.wearer import REACTION_RANGE, SimulatedWearer
import numpy as np
import pytest

REST = np.full(10, 0.3)
FIST = np.full(10, 1.1)
TICKS, STEP_NS = 4, 20_000_000
START_NS = 5_000 * NANOSECONDS


def follow(cue, seconds, **config):
    """Show a cue (a function of time), and return EMG and motion every 20 ms."""
    wearer = SimulatedWearer(SyntheticSubjectConfig(**config), REST)
    emg, motion = [], []
    for step in range(round(seconds / 0.02)):
        now_ns = START_NS + step * STEP_NS
        wearer.see(now_ns, REST + cue(step * 0.02) * (FIST - REST))
        piece = wearer.move(now_ns, TICKS)
        emg.append(piece.emg)
        motion.append(piece.motion[-1])
    return np.concatenate(emg), np.array(motion)


def trials(time, period=8.0, moving=5.5):
    """Return the share of the pose in a session of ramps of 2 s that starts after 2 s."""
    inside = (time - 2) % period
    return float(np.interp(inside, (0, 2, moving - 2, moving), (0, 1, 1, 0))) if time > 2 else 0.0


def test_it_rests_where_nothing_is_asked():
    emg, motion = follow(lambda _: 0.0, 10)
    assert np.abs(motion - REST).max() < 0.3
    assert 1e-6 < emg.std() < 3e-5
    assert emg.dtype == np.float32


def test_it_follows_late_and_never_twice_the_same():
    _, motion = follow(trials, 82)
    share = (motion.mean(axis=1) - 0.3) / 0.8
    reactions = []
    for trial in range(10):
        window = share[round((2 + 8 * trial) / 0.02) :][: round(5 / 0.02)]
        assert window.max() > 0.75
        reactions.append(np.argmax(window > 0.5) * 0.02 - 1.0)  # half way up in the cue: 1 s
    assert REACTION_RANGE[0] < min(reactions) < max(reactions) < REACTION_RANGE[1] + 0.4
    assert np.std(reactions) > 0.1


@pytest.mark.parametrize('rate', [200.0, 500.0, 1000.0])
def test_its_emg_rises_with_the_movement_at_any_rate(rate):
    emg, motion = follow(trials, 10, sampling_rate=rate, channels=6)
    assert emg.shape == (round(rate * 10), 6)
    moving = np.repeat(motion.mean(axis=1) > 0.8, round(rate * 0.02))
    assert emg[moving].std() > 3 * emg[: round(2 * rate)].std()


def test_the_same_seed_is_the_same_person():
    first, again, other = (follow(trials, 6, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
