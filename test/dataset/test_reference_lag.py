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

"""The lag of a reference is found, doubted or refused."""

from dataclasses import replace
import json

from builders import changed_where, make_recording
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import EmgChunk, JointTrack, LabelTrack, NANOSECONDS, Recording
from leconvmn_ros.dataset.hold_out import BlockHoldOut, MovementHoldOut, RepetitionHoldOut, Role
from leconvmn_ros.dataset.reference_lag import (
    _peak,
    align_reference,
    find_reference_lag,
    LARGEST_ERROR,
    LONGEST_LAG,
    ReferenceLag,
    shifted,
    USUAL_DELAY,
)
import numpy as np
import pytest

START_NS = 1_700_000_000 * NANOSECONDS
BLOCKS = BlockHoldOut()
WAVES = 40  # so many that no lag but the right one fits


def motion(joints, seed=0):
    """Return smooth angles (rad) as a function of time (s), shape (times, joints)."""
    random = np.random.default_rng(seed)
    frequency = random.uniform(0.1, 1.2, (WAVES, joints))
    phase = random.uniform(0, 2 * np.pi, (WAVES, joints))

    def angles(seconds):
        waves = np.sin(2 * np.pi * frequency * seconds[:, None, None] + phase)
        return 0.5 + 0.4 / np.sqrt(WAVES) * waves.sum(axis=1)

    return angles


def moving_hand(
    *,
    delay=USUAL_DELAY,
    duration=90.0,
    rate=200.0,
    channels=4,
    joints=JOINT_NAMES[:4],
    reference_rate=100.0,
    jitter=0.0,
    seed=0,
):
    """Return a recording whose EMG level follows the angles `delay` seconds ahead."""
    random = np.random.default_rng(seed)
    angles = motion(len(joints), seed)
    seconds = np.arange(round(duration * rate)) / rate
    mixing = random.uniform(0, 1, (len(joints), channels))
    loudness = 1e-5 * np.exp(2 * angles(seconds) @ mixing)
    emg = (loudness * random.standard_normal((len(seconds), channels))).astype(np.float32)
    size = round(0.1 * rate)
    chunks = [
        EmgChunk(START_NS + round(k / rate * NANOSECONDS), rate, k, emg[k : k + size])
        for k in range(0, len(emg), size)
    ]
    times = np.arange(0.013, duration, 1 / reference_rate)
    stamps = np.sort(times + jitter * random.standard_normal(len(times)))
    track = JointTrack(
        START_NS + np.rint(stamps * NANOSECONDS).astype(np.int64),
        tuple(joints),
        angles(times - delay),
    )
    return Recording('hand', chunks, track)


def without(recording, gone):
    """Return the recording without the reference angles marked."""
    track = recording.reference
    kept = JointTrack(track.stamps_ns[~gone], track.names, track.positions[~gone])
    return replace(recording, reference=kept)


def seconds_of(recording):
    return (recording.reference.stamps_ns - START_NS) / NANOSECONDS


@pytest.mark.parametrize('delay', [-0.6, -0.123, 0.0, 0.05, 0.19, 0.37, 0.75])
def test_the_delay_is_found_between_the_steps_of_the_search(delay):
    lag = find_reference_lag(moving_hand(delay=delay), BLOCKS)
    assert lag.delay == pytest.approx(delay, abs=0.015)
    assert lag.error < LARGEST_ERROR
    assert lag.doubt == ''
    assert lag.lags[np.argmax(lag.cc)] == pytest.approx(delay, abs=0.03)
    assert lag.joints == JOINT_NAMES[:4]


@pytest.mark.parametrize(
    'changed',
    [
        {'joints': JOINT_NAMES[6:8]},
        {'joints': ('elbow', 'little_pip')},
        {'channels': 1, 'joints': JOINT_NAMES[:1]},
        {'channels': 12, 'rate': 2000.0, 'duration': 70.0},
        {'rate': 50.0},
        {'rate': 37.0},
        {'reference_rate': 30.0, 'jitter': 0.01},
        {'reference_rate': 25.0},
        {'reference_rate': 120.0, 'jitter': 0.002},
        {'reference_rate': 1000.0, 'duration': 60.0},
    ],
    ids=str,
)
def test_whatever_the_electrodes_the_joints_and_the_rates(changed):
    lag = find_reference_lag(moving_hand(delay=0.45, **changed), BLOCKS)
    assert lag.delay == pytest.approx(0.45, abs=0.02)
    assert lag.doubt == ''
    assert 'elbow' not in lag.joints


@pytest.mark.parametrize('deviation', [-0.005, 0.002, 0.005])
def test_a_rate_that_is_off_adds_up_to_no_lag(deviation):
    recording = moving_hand()

    def stretched(stamps_ns):
        return START_NS + ((stamps_ns - START_NS) * (1 + deviation)).astype(np.int64)

    track = recording.reference
    chunks = [
        chunk._replace(stamp_ns=int(stretched(np.array(chunk.stamp_ns))))
        for chunk in recording.chunks
    ]
    reference = replace(track, stamps_ns=stretched(track.stamps_ns))
    lag = find_reference_lag(replace(recording, chunks=chunks, reference=reference), BLOCKS)
    assert lag.correction == 0
    assert lag.delay == pytest.approx(USUAL_DELAY, abs=0.01)


def test_gaps_a_late_start_and_an_early_end_of_the_reference_do_not_matter():
    recording = moving_hand(delay=0.45, duration=150, reference_rate=30)
    seconds = seconds_of(recording)
    gone = (seconds < 7) | (seconds > 140) | (seconds % 5 < 0.7)
    lag = find_reference_lag(without(recording, gone), BLOCKS)
    assert lag.delay == pytest.approx(0.45, abs=0.02)
    assert lag.doubt == ''


def test_a_reference_of_a_small_part_of_the_recording_is_enough():
    """Half a minute of six, here and there."""
    recording = moving_hand(delay=0.45, duration=360, rate=100)
    seconds = seconds_of(recording)
    lag = find_reference_lag(without(recording, seconds % 25 > 5), BLOCKS)
    assert lag.delay == pytest.approx(0.45, abs=0.04)


def test_nan_and_lost_emg_do_not_matter():
    recording = moving_hand(delay=0.45)
    positions = recording.reference.positions.copy()
    positions[200:260, 1] = np.nan
    track = recording.reference
    chunks = [c for k, c in enumerate(recording.chunks) if k % 150 not in (3, 4, 5)]
    broken = replace(
        recording, chunks=chunks, reference=JointTrack(track.stamps_ns, track.names, positions)
    )
    lag = find_reference_lag(broken, BLOCKS)
    assert lag.delay == pytest.approx(0.45, abs=0.02)
    assert lag.doubt == ''


def test_dead_channels_and_still_joints_are_left_out():
    recording = moving_hand(delay=0.45)
    for chunk in recording.chunks:
        chunk.samples[:, 2] = 0
    track = recording.reference
    positions = track.positions.copy()
    positions[:, 1] = 0.3 + 1e-3 * np.sin(seconds_of(recording))
    still = replace(recording, reference=JointTrack(track.stamps_ns, track.names, positions))
    lag = find_reference_lag(still, BLOCKS)
    assert lag.delay == pytest.approx(0.45, abs=0.02)
    assert lag.joints == (JOINT_NAMES[0], *JOINT_NAMES[2:4])


# ---- what is made of it


@pytest.mark.parametrize(
    ('delay', 'correction'), [(0.12, 0), (0.28, 0), (0.05, 0.05 - USUAL_DELAY), (0.4, 0.21)]
)
def test_physiology_is_not_corrected(delay, correction):
    lag = ReferenceLag(np.zeros(1), np.zeros(1), (), delay, 0.01, '')
    assert lag.correction == pytest.approx(correction)
    assert replace(lag, doubt='why not').correction == 0


@pytest.mark.parametrize('late', [-0.4, 0.18, 0.5])
def test_a_late_reference_is_put_right(late):
    recording = moving_hand()
    wrong = shifted(recording, -late)
    np.testing.assert_array_equal(
        wrong.reference.stamps_ns - recording.reference.stamps_ns, round(late * NANOSECONDS)
    )
    right, taken = align_reference(wrong, 'auto', BLOCKS)
    assert taken == pytest.approx(late, abs=0.02)
    off_ns = right.reference.stamps_ns - recording.reference.stamps_ns
    assert np.abs(off_ns).max() < 0.02 * NANOSECONDS
    assert right.chunks is recording.chunks


def test_a_lag_that_is_given_is_taken_as_it_is():
    recording = moving_hand(duration=1)
    moved, taken = align_reference(recording, 0.25, BLOCKS)
    assert taken == 0.25
    np.testing.assert_array_equal(
        recording.reference.stamps_ns - moved.reference.stamps_ns, 250_000_000
    )
    assert align_reference(recording, 0, BLOCKS) == (recording, 0)


def test_result_as_json_has_no_nan():
    lag = ReferenceLag(np.array([0.0, 0.1]), np.array([0.5, np.nan]), ('a',), 0.01, 0.02, 'why')
    assert json.loads(json.dumps(lag.as_json(), allow_nan=False)) == {
        'delay_s': 0.01,
        'error_s': 0.02,
        'correction_s': 0,
        'doubt': 'why',
        'joints': ['a'],
        'lags_s': [0, 0.1],
        'cc': [0.5, None],
    }


def test_peak_of_a_curve_lies_between_its_points():
    lags = np.arange(-5, 6) * 0.1
    assert _peak(lags, -((lags - 0.234) ** 2)) == pytest.approx(0.234)
    assert _peak(lags, lags) == 0.5
    assert _peak(lags, -lags) == -0.5
    assert _peak(lags, np.where(lags > 0.05, np.nan, lags)) == pytest.approx(0)


# ---- doubt


def test_emg_that_has_nothing_to_do_with_the_reference_is_doubted():
    recording = moving_hand(seed=1, duration=400, rate=100)
    foreign = replace(moving_hand(seed=2, duration=400, rate=100), chunks=recording.chunks)
    lag = find_reference_lag(foreign, BLOCKS)
    assert lag.doubt
    assert lag.correction == 0
    assert align_reference(foreign, 'auto', BLOCKS) == (foreign, 0)


@pytest.mark.parametrize('delay', [-1.05, 0.97, 1.05])
def test_a_lag_at_the_edge_of_the_search_is_doubted(delay):
    lag = find_reference_lag(moving_hand(delay=delay), BLOCKS)
    assert lag.doubt
    assert lag.correction == 0


# ---- refusals


def test_recordings_in_which_no_lag_can_be_found_are_one_clear_error():
    recording = moving_hand(duration=80)
    track = recording.reference
    resting = JointTrack(track.stamps_ns, track.names, 0.01 * track.positions)
    degrees = JointTrack(track.stamps_ns, track.names, np.degrees(track.positions))
    foreign = JointTrack(track.stamps_ns, ('a', 'b', 'c', 'd'), track.positions)
    later = JointTrack(track.stamps_ns + 3600 * NANOSECONDS, track.names, track.positions)
    none = JointTrack(track.stamps_ns[:0], track.names, track.positions[:0])
    for changed, message in (
        ({'chunks': []}, 'hand has no EMG'),
        ({'reference': None}, 'hand has no reference angles'),
        ({'reference': resting}, 'no joint of the reference changes by more than 2 degrees'),
        ({'reference': degrees}, 'must be in radians, these look like degrees'),
        ({'reference': foreign}, "joints .*'a', 'b'.*none of"),
        ({'reference': later}, 'the EMG is from .* not on one clock'),
        ({'reference': none}, '0 s of training data with EMG and reference'),
        ({'chunks': recording.chunks[:300]}, r'1\d s of training data.*at least 30 s are needed'),
        ({'chunks': recording.chunks[:1]}, '0 s of training data'),
    ):
        with pytest.raises(RecordingError, match=message):
            find_reference_lag(replace(recording, **changed), BLOCKS)


# ---- what is looked at


@pytest.mark.parametrize(
    'hold_out',
    [
        RepetitionHoldOut(validation=(2,), test=(3,)),
        BlockHoldOut(validation=0.2, test=0.2),
        MovementHoldOut(),
    ],
)
@pytest.mark.parametrize('role', [Role.TEST, Role.VALIDATION])
def test_what_is_held_out_changes_nothing(hold_out, role):
    recording = make_recording(repetitions=5, repetition_length=2000)
    changed = changed_where(recording, role, hold_out)
    one, other = (find_reference_lag(each, hold_out) for each in (recording, changed))
    np.testing.assert_array_equal(one.cc, other.cc)
    assert (one.delay, one.error) == (other.delay, other.error)
    trained = changed_where(recording, Role.TRAINING, hold_out)
    assert find_reference_lag(trained, hold_out).delay != one.delay


def test_the_search_reaches_as_far_as_it_says():
    lag = find_reference_lag(moving_hand(duration=60), BLOCKS)
    assert lag.lags[0] == pytest.approx(-LONGEST_LAG)
    assert lag.lags[-1] == pytest.approx(LONGEST_LAG)
    assert np.diff(lag.lags) == pytest.approx(0.02)


def test_labels_without_a_movement_cannot_be_held_out_of():
    labels = LabelTrack(np.array([START_NS]), np.array([0]), np.array([0]))
    with pytest.raises(RecordingError, match='no movement labels'):
        find_reference_lag(replace(moving_hand(duration=40), labels=labels), MovementHoldOut())
