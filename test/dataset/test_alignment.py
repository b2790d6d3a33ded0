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

"""Reference angles are matched by joint name and time, and never made up."""

from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.joints import JOINT_NAMES, JOINTS
from leconvmn_ros.core.recording import JointTrack
from leconvmn_ros.dataset.alignment import angles_at, check_unit, LONGEST_GAP_NS, reference_joints
import numpy as np
import pytest

MILLISECOND = 1_000_000
START_NS = 1_700_000_000 * 1_000_000_000


def stamps(*milliseconds):
    return START_NS + np.array(milliseconds, dtype=np.int64) * MILLISECOND


def track_of(milliseconds, names=('a', 'b'), positions=None):
    if positions is None:
        positions = np.array([[t / 1000, -t / 1000] for t in milliseconds]).reshape(-1, 2)
    return JointTrack(stamps(*milliseconds), tuple(names), np.asarray(positions, dtype=float))


# ---- by time


def test_angles_are_interpolated_in_a_straight_line():
    track = track_of([0, 100, 200], positions=[[0, 5], [1, 5], [3, 6]])
    positions, known = angles_at(track, ('a', 'b'), stamps(0, 25, 100, 150, 200))
    np.testing.assert_allclose(positions, [[0, 5], [0.25, 5], [1, 5], [2, 5.5], [3, 6]])
    assert known.tolist() == [True] * 5


def test_stamps_of_today_keep_their_nanoseconds():
    """A float64 of nanoseconds since 1970 resolves 256 ns only."""
    track = JointTrack(START_NS + np.array([0, 1000]), ('a',), np.array([[0.0], [1.0]]))
    positions, known = angles_at(track, ('a',), START_NS + np.arange(0, 1001, 50))
    np.testing.assert_allclose(positions[:, 0], np.arange(0, 1001, 50) / 1000, atol=1e-9)
    assert known.all()


def test_nothing_is_made_up_outside_the_reference():
    _, known = angles_at(track_of([0, 100]), ('a',), stamps(-1, 0, 100, 101))
    assert known.tolist() == [False, True, True, False]
    _, known = angles_at(
        track_of([0, 100]), ('a',), np.array([START_NS - 1, START_NS + 100 * MILLISECOND + 1])
    )
    assert known.tolist() == [False, False]


def test_nothing_is_made_up_in_a_gap():
    track = track_of([0, 100, 301, 400])
    _, known = angles_at(track, ('a',), stamps(50, 100, 101, 200, 300, 301, 350))
    assert known.tolist() == [True, True, False, False, False, True, True]


def test_longest_gap_that_is_interpolated():
    assert LONGEST_GAP_NS == 200 * MILLISECOND
    assert angles_at(track_of([0, 200]), ('a',), stamps(100)).known.all()
    assert not angles_at(track_of([0, 201]), ('a',), stamps(100)).known.any()


def test_single_reference_angle_is_known_at_its_own_time_only():
    positions, known = angles_at(track_of([50]), ('b',), stamps(49, 50, 51))
    assert known.tolist() == [False, True, False]
    assert positions[1, 0] == -0.05


def test_empty_reference_knows_nothing():
    positions, known = angles_at(track_of([]), ('b', 'a'), stamps(0, 1))
    assert positions.shape == (2, 2)
    assert np.isnan(positions).all()
    assert known.tolist() == [False, False]


def test_no_times_are_no_angles():
    positions, known = angles_at(track_of([0, 100]), ('b', 'a'), stamps())
    assert positions.shape == (0, 2)
    assert known.shape == (0,)


def test_two_reference_angles_of_one_time():
    track = track_of([0, 100, 100, 200], ('a',), [[0], [1], [1], [2]])
    positions, known = angles_at(track, ('a',), stamps(50, 100, 150))
    np.testing.assert_allclose(positions[:, 0], [0.5, 1, 1.5])
    assert known.all()


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_angle_that_is_not_finite_counts_as_not_measured(bad):
    track = track_of([0, 10, 20, 30, 40], positions=[[0, 0], [1, 1], [2, bad], [3, 3], [4, 4]])
    positions, known = angles_at(track, ('a', 'b'), stamps(5, 15, 20, 25, 35))
    assert known.all()
    np.testing.assert_allclose(positions[:, 1], [0.5, 1.5, 2.0, 2.5, 3.5])
    slow = track_of([0, 150, 300], positions=[[0, 0], [1, bad], [2, 2]])
    assert angles_at(slow, ('a', 'b'), stamps(0, 75, 300)).known.tolist() == [True, False, True]
    assert angles_at(slow, ('a',), stamps(0, 75, 300)).known.all()


def test_joints_that_are_measured_at_different_times_are_known_together():
    nan = np.nan
    rows = [[0, nan], [nan, 0.5], [1.0, nan], [nan, 1.5], [2.0, nan]]
    track = track_of([0, 50, 100, 150, 200], positions=rows)
    positions, known = angles_at(track, ('a', 'b'), stamps(25, 75, 125, 175))
    assert known.tolist() == [False, True, True, False]
    np.testing.assert_allclose(positions[1:3], [[0.75, 0.75], [1.25, 1.25]])


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(0, 2000), min_size=1, max_size=30, unique=True).map(sorted),
    st.lists(st.integers(-100, 2100), min_size=1, max_size=30),
)
def test_any_times_against_any_reference(measured, wanted):
    """Times may come in any order; the reference is a straight line, so any other angle shows."""
    positions, known = angles_at(track_of(measured), ('b', 'a'), stamps(*wanted))
    for row, time, is_known in zip(positions, wanted, known, strict=True):
        before = [t for t in measured if t <= time]
        after = [t for t in measured if t >= time]
        assert is_known == bool(before and after and after[0] - before[-1] <= 200)
        if is_known:
            np.testing.assert_allclose(row, [-time / 1000, time / 1000], atol=1e-9)


# ---- by name


@pytest.mark.parametrize('names', ['abc', 'cab', 'bca', 'cb', 'a'])
def test_joints_are_found_by_name_whatever_the_order(names):
    track = track_of([0, 100], 'bca', [[2, 3, 1], [2, 3, 1]])
    positions, _ = angles_at(track, tuple(names), stamps(50))
    assert positions[0].tolist() == ['abc'.index(name) + 1 for name in names]


def test_missing_joints_are_named():
    with pytest.raises(RecordingError, match=r'no joint c, d; it has a, b'):
        angles_at(track_of([0]), ('a', 'c', 'd'), stamps(0))


def test_reference_joints_come_in_our_order_without_foreign_ones():
    names = ('wrist', *reversed(JOINT_NAMES[2:5]), 'elbow')
    track = track_of([0], names, np.zeros((1, len(names))))
    assert reference_joints(track) == JOINT_NAMES[2:5]


def test_reference_without_any_of_our_joints_is_refused():
    with pytest.raises(RecordingError, match=r"\['a', 'b'\], none of \['thumb_mcp'"):
        reference_joints(track_of([0]))


@pytest.mark.parametrize(
    'other',
    [
        'right_hand/index_mcp',
        'Index_MCP',
        'r_index_mcp',
        'hand.index_mcp',
        'INDEX_MCP',
        'IndexMCP',
        'index-mcp',
        'index_mcp_joint',
        'index_mcp_flex',
    ],
)
def test_joint_of_another_name_is_told_and_not_left_out(other):
    track = track_of([0], ('thumb_mcp', other))
    with pytest.raises(RecordingError) as caught:
        reference_joints(track)
    assert f'{other} (wanted: index_mcp)' in str(caught.value)
    assert "'thumb_mcp'" in str(caught.value)


@pytest.mark.parametrize('other', ['left/thumb_mcp', 'thumb_mcp2', 'index_mcp_link', 'mcp'])
def test_joints_of_another_hand_are_foreign(other):
    assert reference_joints(track_of([0], ('thumb_mcp', other))) == ('thumb_mcp',)


def test_an_angle_that_no_finger_has_was_not_measured():
    positions = np.linspace(0, 1, 20)[:, None].repeat(2, axis=1)
    track = track_of(range(0, 2000, 100), positions=positions)
    spoilt = positions.copy()
    spoilt[7, 1], spoilt[12, 0] = -6.3, 1e6
    stamps_ns = np.arange(0, 1901, 50) * 1_000_000
    right = angles_at(track, ('a', 'b'), stamps_ns)
    told = angles_at(track_of(range(0, 2000, 100), positions=spoilt), ('a', 'b'), stamps_ns)
    around = np.isin(stamps_ns // 1_000_000, [650, 700, 750, 1150, 1200, 1250])
    np.testing.assert_array_equal(told.known, right.known & ~around)
    np.testing.assert_array_equal(told.positions[told.known], right.positions[told.known])


# ---- the unit


def test_angles_in_degrees_are_refused_and_named():
    seconds = np.arange(0, 20, 0.1)
    radians = np.stack([0.6 + 0.3 * np.sin(seconds), 0.2 + 0.01 * np.sin(seconds)], axis=1)
    track = track_of((1000 * seconds).astype(int), positions=radians)
    check_unit(track, ('a', 'b'))
    in_degrees = track_of((1000 * seconds).astype(int), positions=np.degrees(radians))
    with pytest.raises(
        RecordingError, match=r'angles of a go from 17\.\d+ to 51\.\d+.*in radians'
    ):
        check_unit(in_degrees, ('b', 'a'))


def test_single_wrong_angles_and_none_at_all_are_no_unit():
    positions = np.zeros((500, 2))
    positions[[7, 300]] = [[400, np.nan], [-1e9, np.inf]]
    check_unit(track_of(range(500), positions=positions), ('a', 'b'))
    check_unit(track_of([]), ('a', 'b'))
    check_unit(track_of([0], positions=[[np.nan, np.nan]]), ('a', 'b'))


# ---- the joints


def test_there_are_ten_joints_that_can_move():
    assert len(JOINT_NAMES) == len(set(JOINT_NAMES)) == 10
    for finger, (first, second) in {
        'thumb': ('mcp', 'ip'),
        **dict.fromkeys(('index', 'middle', 'ring', 'little'), ('mcp', 'pip')),
    }.items():
        place = JOINT_NAMES.index(f'{finger}_{first}')
        assert JOINT_NAMES[place + 1] == f'{finger}_{second}'
    assert all(-1 < joint.lower <= 0 < joint.upper < 2 for joint in JOINTS)  # radians
