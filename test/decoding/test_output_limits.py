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

"""What leaves the decoder: no faster than allowed, never back in time."""

from builders import evenly_cut, JOINTS, make_checkpoint, make_emg, PERIOD_NS
from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.decoding.output_limits import OutputLimits
from leconvmn_ros.emg.intake import IntakeCounts
import numpy as np
import pytest

MILLISECOND = 1_000_000


def make_limits(speed_limit=1.0, period=0.02):
    counts = IntakeCounts()
    return OutputLimits(speed_limit, period, counts), counts


def at(limits, milliseconds, *angles):
    positions = limits.limited(milliseconds * MILLISECOND, np.array(angles))
    return None if positions is None else positions.round(9).tolist()


def test_no_limit_changes_nothing():
    limits, counts = make_limits(0)
    assert at(limits, 0, 0.0, 0.0) == [0, 0]
    assert at(limits, 1, 3.0, -3.0) == [3, -3]
    assert counts == IntakeCounts()


def test_angles_change_no_faster_than_allowed():
    limits, counts = make_limits()
    assert at(limits, 0, 0.5, 0.5) == [0.5, 0.5]  # where the hand was before is not known
    assert at(limits, 20, 1.0, 0.51) == [0.52, 0.51]
    assert at(limits, 30, -1.0, 0.52) == [0.51, 0.52]
    assert counts.limited_estimates == 2
    assert counts.faults() == {}


def test_a_pause_allows_no_jump():
    limits, _ = make_limits()
    at(limits, 0, 0.0)
    assert at(limits, 10_000, 1.0) == [0.02]


def test_stamps_never_go_back_nor_come_twice():
    limits, counts = make_limits()
    at(limits, 40, 0.0)
    assert at(limits, 20, 0.0) is None
    assert at(limits, 40, 0.0) is None
    assert at(limits, 41, 0.0) == [0]
    assert counts.faults() == {'non_monotonic_stamps': 2}


def test_a_new_start_may_have_an_earlier_time_but_the_hand_is_where_it_was():
    limits, counts = make_limits()
    at(limits, 1000, 0.3)
    limits.restart()
    assert at(limits, 20, 1.0) == [0.32]
    limits.reset()
    assert at(limits, 10, 1.0) == [1]
    assert counts.non_monotonic_stamps == 0


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(st.integers(-30, 100), st.floats(-2, 2), st.booleans()), min_size=2, max_size=50
    ),
    st.floats(0.1, 10),
)
def test_speed_between_estimates_is_bounded_whatever_comes(steps, speed):
    limits, _ = make_limits(speed)
    stamp, previous = 0, None
    for step, angle, new_start in steps:
        stamp += step
        if new_start:
            limits.restart()
        angles = at(limits, stamp, angle)
        if angles is None:
            continue
        if previous is not None:
            passed = 0.02 if new_start else min(0.02, (stamp - previous[0]) / 1000)
            assert abs(angles[0] - previous[1]) <= speed * passed + 1e-8
        previous = stamp, angles[0]


def test_the_decoder_keeps_the_limit_and_reaches_the_same_angles_slowly():
    chunks = evenly_cut(make_emg(300), 10)
    fast, slow = Decoder(make_checkpoint()), Decoder(make_checkpoint(), speed_limit=0.5)
    positions = [
        np.array([e.positions for chunk in chunks for e in decoder.decode(chunk)])
        for decoder in (fast, slow)
    ]
    steps = [np.abs(np.diff(p, axis=0)).max() for p in positions]
    assert steps[1] <= 0.5 / slow.output_rate + 1e-9 < steps[0]
    assert slow.counts.limited_estimates > 0
    assert fast.counts.limited_estimates == 0


def test_the_rest_pose_is_the_mean_of_training_and_goes_through_the_same_limits():
    checkpoint = make_checkpoint()
    decoder = Decoder(checkpoint, speed_limit=0.5)
    (chunk,) = evenly_cut(make_emg(40), 40)
    last = decoder.decode(chunk)[-1]
    assert decoder.rest(last.stamp_ns) == []
    assert decoder.counts.non_monotonic_stamps == 1
    means = [joint.mean for joint in checkpoint.description.joints]
    stamp_ns = last.stamp_ns
    for _ in range(300):
        stamp_ns += 2 * PERIOD_NS
        (rest,) = decoder.rest(stamp_ns)
        assert np.abs(rest.positions - last.positions).max() <= 0.01 + 1e-9
        last = rest
    assert last.positions == pytest.approx(means)
    assert len(means) == len(JOINTS)


def test_the_rest_pose_is_within_the_limits():
    decoder = Decoder(make_checkpoint(limits=(-0.05, 0.05)))
    (rest,) = decoder.rest(0)
    assert rest.positions.tolist() == [0, 0.05, 0.05]
