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

"""Cues are re-timed by the EMG: exactly on synthetic EMG, and sensibly without EMG."""

from dataclasses import replace
from itertools import pairwise

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import EmgChunk, JointTrack, LabelTrack, NANOSECONDS, Recording
from leconvmn_ros.dataset.cue_timing import (
    activity,
    attempts,
    best_step,
    find_timings,
    REACTION_TIME,
    retimed,
)
import numpy as np
import pytest

RATE, CHANNELS, PERIOD, MOVING, LEAD = 200.0, 6, 7.5, 5.5, 3.0
START_NS = 1_000 * NANOSECONDS


def seconds(stamp_ns):
    return (stamp_ns - START_NS) / NANOSECONDS


def stamp(time):
    return START_NS + round(time * NANOSECONDS)


def recording(delays, *, offset=0.0, silent=(), withdrawn=(), ramp=2.0, seed=0):
    """Make a session: after each cue its own muscle contracts, each end with its own delay."""
    random = np.random.default_rng(seed)
    cues = LEAD + PERIOD * np.arange(len(delays))
    times = np.arange(round((cues[-1] + PERIOD + 1) * RATE)) / RATE
    level = np.full((len(times), CHANNELS), 5e-6)
    pose = np.zeros((len(times), 2))
    labels = [(0.0, 0, 0)]
    for number, (cue, (start, end)) in enumerate(zip(cues, delays, strict=True)):
        movement, repetition = number % 3 + 1, number // 3 + 1
        up, down = cue + ramp / 2 + start, cue + MOVING - ramp / 2 + end
        if number not in silent:
            level[(times >= up) & (times < down), 2 * (movement - 1)] = 60e-6
        shape = np.interp(
            times, [cue, cue + ramp, cue + MOVING - ramp, cue + MOVING], [0, 1, 1, 0]
        )
        pose[:, movement % 2] += shape
        labels += [(cue, movement, repetition), (cue + MOVING, 0, repetition)]
        if number in withdrawn:
            labels.append((cue + MOVING + 0.5, 0, 0))
    emg = (offset + level * random.standard_normal(level.shape)).astype(np.float32)
    chunks = [
        EmgChunk(stamp(first / RATE), RATE, first, emg[first : first + 10])
        for first in range(0, len(emg) - 9, 10)
    ]
    shown = slice(0, len(times), 4)
    stamps = np.array([stamp(time) for time in times[shown]])
    stamps_ns, movement, repetition = map(np.array, zip(*labels, strict=True))
    track = LabelTrack(
        np.array([stamp(time) for time in stamps_ns]), movement.astype(int), repetition.astype(int)
    )
    return Recording(
        'made up', chunks, JointTrack(stamps, ('index_mcp', 'index_pip'), pose[shown]), track
    )


DELAYS = [(0.5, 0.7), (0.9, 0.4), (1.3, 1.1), (0.7, -0.8), (0.85, 0.2), (1.0, -1.5)]


@pytest.mark.parametrize('ramp', [0.02, 1.0, 2.0])
def test_start_and_end_of_each_repetition_are_found(ramp):
    timings = find_timings(recording(DELAYS, ramp=ramp))
    found = np.array([(timing.start_delay, timing.end_delay) for timing in timings])
    np.testing.assert_allclose(found, DELAYS, atol=0.08)
    assert all(timing.start_found and timing.end_found for timing in timings)


def test_the_reference_is_half_way_when_the_emg_is():
    moved = retimed(made := recording(DELAYS), find_timings(made)).reference
    assert (np.diff(moved.stamps_ns) >= 0).all()
    for number, (start, end) in enumerate(DELAYS):
        joint = (number % 3 + 1) % 2
        cue = LEAD + PERIOD * number
        own = (seconds(moved.stamps_ns) > cue) & (seconds(moved.stamps_ns) < cue + PERIOD)
        bent = seconds(moved.stamps_ns[own][moved.positions[own, joint] > 0.5])
        assert bent[0] == pytest.approx(cue + 1.0 + start, abs=0.12)
        assert bent[-1] == pytest.approx(cue + MOVING - 1.0 + end, abs=0.12)
    # Nothing is stretched so far that training would see a gap.
    assert np.diff(moved.stamps_ns).max() < 0.2 * NANOSECONDS


def test_the_poses_and_the_emg_stay_as_they_are():
    made = recording(DELAYS)
    after = retimed(made, find_timings(made))
    np.testing.assert_array_equal(after.reference.positions, made.reference.positions)
    assert after.chunks is made.chunks
    assert after.labels is made.labels
    assert after.information['reference'] == 'cue'
    assert after.information['cue_onsets_found'] == '6 of 6'


def test_where_there_is_no_emg_the_usual_reaction_is_taken():
    timings = find_timings(recording(DELAYS, silent=(2,)))
    assert [timing.start_found for timing in timings] == [True, True, False, True, True, True]
    assert timings[2].start_delay == REACTION_TIME
    assert timings[2].end_delay == pytest.approx(0.2, abs=0.2)  # the median of the others
    assert not timings[2].end_found


def test_noise_alone_gives_no_onset():
    timings = find_timings(recording(DELAYS * 4, silent=range(24)))
    assert sum(timing.start_found for timing in timings) == 0
    assert {timing.start_delay for timing in timings} == {REACTION_TIME}


def test_a_contraction_before_the_cue_is_no_reaction_to_it():
    (timing,) = find_timings(recording([(-1.6, 0.0)]))
    assert not timing.start_found


def test_withdrawn_attempts_are_not_learnt():
    made = recording(DELAYS, withdrawn=(1,))
    timings = find_timings(made)
    assert [timing.attempt.withdrawn for timing in timings] == [k == 1 for k in range(6)]
    left = seconds(retimed(made, timings).reference.stamps_ns)
    cue = LEAD + PERIOD
    assert not ((left > cue + REACTION_TIME + 1) & (left < cue + PERIOD - 0.5)).any()
    assert ((left > cue - 3) & (left < cue - 1)).any()


def test_repeated_labels_are_one_attempt():
    made = recording(DELAYS[:2])
    doubled = LabelTrack(
        np.repeat(made.labels.stamps_ns, 3),
        np.repeat(made.labels.movement, 3),
        np.repeat(made.labels.repetition, 3),
    )
    once, thrice = (attempts(labels, made.span_ns[1]) for labels in (made.labels, doubled))
    assert once == thrice
    assert [(a.movement, a.repetition) for a in once] == [(1, 1), (2, 1)]
    assert all(one.next_ns == other.start_ns for one, other in pairwise(once))


def test_labels_that_end_in_a_movement_end_with_the_recording():
    labels = LabelTrack(np.array([stamp(1.0)]), np.array([4]), np.array([2]))
    (attempt,) = attempts(labels, stamp(9.0))
    assert (attempt.start_ns, attempt.end_ns, attempt.next_ns) == (
        stamp(1.0),
        stamp(9.0),
        stamp(9.0),
    )


def test_the_best_step_of_exact_steps():
    values = np.array([0.0] * 30 + [2.0] * 20)
    step = best_step(values, 5)
    assert (step.place, step.height, step.explained) == (30, pytest.approx(2), pytest.approx(1))
    assert best_step(-values, 5) is None
    assert best_step(np.ones(50), 5) is None
    assert best_step(values[:9], 5) is None
    assert best_step(values[:0], 5) is None


def test_activity_is_the_log_of_the_rms_about_each_time():
    made = recording(DELAYS[:1])
    emg = activity(made)
    assert (np.diff(emg.stamps_ns) > 0).all()
    assert np.isfinite(emg.log_rms).all()
    loud = (seconds(emg.stamps_ns) > LEAD + 2) & (seconds(emg.stamps_ns) < LEAD + 4)
    assert emg.log_rms[loud, 0].mean() > emg.log_rms[~loud, 0].mean() + 0.8


def test_what_is_missing_is_named():
    made = recording(DELAYS[:1])
    for change, reason in (
        ({'labels': None}, 'has no movement labels'),
        ({'chunks': []}, 'has no EMG'),
        ({'chunks': made.chunks[:1]}, 'of EMG without a gap'),
        (
            {'labels': LabelTrack(np.array([START_NS]), np.array([0]), np.array([0]))},
            'ask for no movement',
        ),
    ):
        with pytest.raises(RecordingError, match=reason):
            find_timings(replace(made, **change))
    with pytest.raises(RecordingError, match='has no cue'):
        retimed(replace(made, reference=None), find_timings(made))
