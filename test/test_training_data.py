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

"""What is trained on: nothing of what is held out, each image once, each angle in its place."""

from dataclasses import replace

from builders import (
    emg_of,
    evenly_cut,
    HOLD_OUT,
    JOINTS,
    make_recording,
    PERIOD_NS,
    RATE,
    START_NS,
    with_emg,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.errors import RecordingError
from leconvmn_ros.protocol import BlockHoldOut, Role
from leconvmn_ros.recording import JointTrack
from leconvmn_ros.signal_path import FeatureStatistics, SignalPath, SignalPathConfig
from leconvmn_ros.training_data import arrange_lanes, cut_segments, features_of
import numpy as np
import pytest

LENGTH = 200  # samples of one repetition
PATH = SignalPathConfig(channels=3, sampling_rate=RATE)
BLOCKS = BlockHoldOut(validation=0.2, test=0.2)


def of_role(segments, role):
    return [segment for segment in segments if segment.role is role]


def assert_equal_segments(some, others):
    assert len(some) == len(others) > 0
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
        np.testing.assert_array_equal(one.angles, other.angles)


def held_out_changed(recording, hold_out, roles):
    """Return the recording with everything of these roles replaced: EMG and angles."""
    emg = emg_of(recording)
    stamps_ns = START_NS + PERIOD_NS * np.arange(len(emg))
    labels, span_ns = recording.labels, recording.span_ns
    emg[np.isin(hold_out.roles(stamps_ns, labels, span_ns), roles)] = 0.7
    track = recording.reference
    positions = track.positions.copy()
    positions[np.isin(hold_out.roles(track.stamps_ns, labels, span_ns), roles)] = -9.0
    changed = with_emg(recording, emg, len(recording.chunks[0].samples))
    return replace(changed, reference=JointTrack(track.stamps_ns, track.names, positions))


@pytest.mark.parametrize('hold_out', [HOLD_OUT, BLOCKS])
@pytest.mark.parametrize('repetition_length', [200, 199, 203, 37])
def test_nothing_held_out_reaches_what_is_used_before(hold_out, repetition_length):
    recording = make_recording(repetition_length=repetition_length, chunk=7)
    segments = cut_segments(recording, JOINTS, hold_out)
    for used, held_out in (
        (Role.TRAINING, [Role.VALIDATION, Role.TEST]),
        (Role.VALIDATION, [Role.TEST]),
    ):
        changed = held_out_changed(recording, hold_out, held_out)
        others = of_role(cut_segments(changed, JOINTS, hold_out), used)
        assert_equal_segments(of_role(segments, used), others)
        # Features and statistics come from the segments alone.
        features, others = (
            np.concatenate(features_of(part, PATH, None))
            for part in (of_role(segments, used), others)
        )
        assert FeatureStatistics.of(features) == FeatureStatistics.of(others)


@pytest.mark.parametrize('lost', [[40], [40, 42], [38, 40], [60]])
def test_a_bridged_gap_carries_nothing_over_the_border(lost):
    """A short gap is bridged with the samples before it, which may be of a held-out repetition."""
    recording = make_recording(chunk=10)
    changed = held_out_changed(recording, HOLD_OUT, [Role.VALIDATION, Role.TEST])

    def lossy(one):
        kept = [chunk for number, chunk in enumerate(one.chunks) if number not in lost]
        return replace(one, chunks=kept)

    segments, others = (
        of_role(cut_segments(lossy(one), JOINTS, HOLD_OUT), Role.TRAINING)
        for one in (recording, changed)
    )
    assert_equal_segments(segments, others)


def test_every_sample_has_its_role_and_its_angle():
    recording = make_recording()
    emg = emg_of(recording)
    segments = cut_segments(recording, JOINTS, HOLD_OUT)
    assert [segment.role for segment in segments] == [0, 1, 2, 0]
    first = 0
    for segment, repetitions in zip(segments, (1, 1, 1, 2), strict=True):
        length = len(segment.samples)
        # The reference measures every other sample; no angle lies between the last one of a role
        # and its end.
        assert length == repetitions * LENGTH - 1
        np.testing.assert_array_equal(segment.samples, emg[first : first + length])
        np.testing.assert_array_equal(
            segment.angles[::2],
            recording.reference.positions[first // 2 : (first + length + 1) // 2],
        )
        middle = (segment.angles[:-2:2] + segment.angles[2::2]) / 2
        np.testing.assert_allclose(segment.angles[1::2], middle, atol=1e-12)
        first += repetitions * LENGTH


def test_joints_are_taken_by_name():
    recording = make_recording()
    track = recording.reference
    order = [2, 0, 1]
    shuffled = replace(
        recording,
        reference=JointTrack(
            track.stamps_ns, tuple(JOINTS[j] for j in order), track.positions[:, order]
        ),
    )
    assert_equal_segments(
        cut_segments(shuffled, JOINTS, HOLD_OUT), cut_segments(recording, JOINTS, HOLD_OUT)
    )
    one = cut_segments(recording, JOINTS[1:2], HOLD_OUT)
    np.testing.assert_array_equal(
        one[0].angles[:, 0], cut_segments(recording, JOINTS, HOLD_OUT)[0].angles[:, 1]
    )
    with pytest.raises(RecordingError, match='has no joint elbow'):
        cut_segments(recording, ['elbow'], HOLD_OUT)


def test_reference_in_degrees_is_refused():
    recording = make_recording()
    track = recording.reference
    degrees = JointTrack(track.stamps_ns, track.names, np.degrees(track.positions))
    with pytest.raises(RecordingError, match='look like degrees'):
        cut_segments(replace(recording, reference=degrees), JOINTS, HOLD_OUT)


def test_a_long_gap_in_the_emg_ends_a_segment():
    recording = make_recording()
    lossy = replace(recording, chunks=recording.chunks[:5] + recording.chunks[17:])
    segments = cut_segments(lossy, JOINTS, HOLD_OUT)
    assert [segment.role for segment in segments] == [0, 0, 1, 2, 0]
    emg = emg_of(recording)
    np.testing.assert_array_equal(segments[0].samples, emg[:50])
    np.testing.assert_array_equal(segments[1].samples, emg[170:199])
    np.testing.assert_array_equal(segments[1].angles[0], recording.reference.positions[85])


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_emg_that_is_not_finite_is_never_trained_on(value):
    recording = make_recording()
    emg = emg_of(recording)
    emg[55, 1] = value
    emg[800:1000] = value
    segments = cut_segments(with_emg(recording, emg), JOINTS, HOLD_OUT)
    assert all(np.isfinite(segment.samples).all() for segment in segments)
    assert len(of_role(segments, Role.TRAINING)[-1].samples) <= LENGTH
    emg[...] = value
    with pytest.raises(RecordingError, match=r"made up has no usable EMG: \{'not_finite': 100\}"):
        cut_segments(with_emg(recording, emg), JOINTS, HOLD_OUT)


def test_angles_that_are_not_finite_are_left_out():
    recording = make_recording()
    track = recording.reference
    positions = track.positions.copy()
    positions[20, 1] = np.nan
    segments = cut_segments(
        replace(recording, reference=JointTrack(track.stamps_ns, track.names, positions)),
        JOINTS,
        HOLD_OUT,
    )
    # Sample 40 is not known, and neither are those between it and its neighbours.
    assert [len(segment.samples) for segment in segments[:2]] == [39, LENGTH - 1 - 42]
    assert all(np.isfinite(segment.angles).all() for segment in segments)


def test_a_hole_in_the_reference_is_left_out():
    recording = make_recording()
    track = recording.reference
    kept = np.r_[0:20, 60 : len(track.stamps_ns)]
    segments = cut_segments(
        replace(
            recording,
            reference=JointTrack(track.stamps_ns[kept], track.names, track.positions[kept]),
        ),
        JOINTS,
        HOLD_OUT,
    )
    assert [len(segment.samples) for segment in segments[:2]] == [39, LENGTH - 1 - 120]


def test_a_recording_without_what_is_needed_is_one_clear_error():
    recording = make_recording()
    later = recording.reference.stamps_ns + 10**12
    shifted = JointTrack(later, JOINTS, recording.reference.positions)
    for change, message in (
        ({'chunks': []}, 'made up has no EMG'),
        ({'reference': None}, 'made up has no reference angles'),
        ({'labels': None}, 'no movement labels'),
        ({'reference': shifted}, 'share no time'),
    ):
        with pytest.raises(RecordingError, match=message):
            cut_segments(replace(recording, **change), JOINTS, HOLD_OUT)


def numbered(lengths, channels=2):
    """Return features and targets that tell which segment and sample they are of."""
    features = [
        (1000 * k + np.arange(n, dtype=np.float32))[:, None] + np.zeros(channels, np.float32)
        for k, n in enumerate(lengths, start=1)
    ]
    return features, [feature[:, :1] for feature in features]


def images_of(lanes):
    """Return the used images, lane by lane: first and last sample, target, fresh."""
    return [
        [
            (
                int(lanes.images[step, lane, 0, 0]),
                int(lanes.images[step, lane, 0, -1]),
                int(lanes.targets[step, lane, 0]),
                bool(lanes.fresh[step, lane]),
            )
            for step in range(len(lanes.images))
            if lanes.used[step, lane]
        ]
        for lane in range(lanes.images.shape[1])
    ]


def test_images_and_targets_are_aligned():
    features, targets = numbered([35])
    lanes = arrange_lanes(features, targets, PATH, lanes=3)
    assert images_of(lanes) == [
        [(1000, 1009, 1009, True), (1010, 1019, 1019, False), (1020, 1029, 1029, False)]
    ]
    assert lanes.images.shape == (3, 1, 2, 10)
    np.testing.assert_array_equal(lanes.images[1, 0, 1], np.arange(1010, 1020))


def test_columns_are_those_of_the_live_images():
    path = PATH.model_copy(update={'column_period': 0.02})
    recording = make_recording()
    feature = SignalPath(path, None).push(emg_of(recording))
    lanes = arrange_lanes([feature], [feature], path, lanes=1)
    assert lanes.images.shape[2:] == (3, 5)
    np.testing.assert_array_equal(lanes.images[2, 0], feature[21:30:2].T)
    np.testing.assert_array_equal(lanes.targets[2, 0], feature[29])


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(0, 90), min_size=1, max_size=9),
    lanes=st.integers(1, 6),
    seed=st.none() | st.integers(0, 99),
)
def test_lanes_hold_each_image_once_and_in_order(lengths, lanes, seed):
    features, targets = numbered(lengths)
    rng = None if seed is None else np.random.default_rng(seed)
    if max(lengths) < 10:
        with pytest.raises(RecordingError, match='whole image of 10 samples'):
            arrange_lanes(features, targets, PATH, lanes, rng)
        return
    arranged = arrange_lanes(features, targets, PATH, lanes, rng)
    images = images_of(arranged)
    assert len(images) == min(lanes, sum(length >= 10 for length in lengths))
    found = {}
    for lane in images:
        segment = None
        for first, last, target, fresh in lane:
            assert last == target == first + 9
            assert fresh == (first // 1000 != segment)
            segment = first // 1000
            found.setdefault(segment, []).append(first % 1000)
    for segment, length in enumerate(lengths, start=1):
        firsts = found.get(segment, [])
        if length < 10:
            assert firsts == []
            continue
        phase = firsts[0]
        assert phase == 0 if seed is None else 0 <= phase < 10
        assert firsts == list(range(phase, length - 9, 10))
    # Used images come first; what is behind them is filler.
    assert (np.diff(arranged.used.astype(int), axis=0) <= 0).all()
    assert arranged.used[:, np.argmax(arranged.used.sum(axis=0))].all()
    assert not arranged.images[~arranged.used].any()
    longest, shortest = max(map(len, images)), min(map(len, images))
    assert longest - shortest <= max(lengths) // 10


def test_augmentation_reaches_every_phase():
    features, targets = numbered([95])
    rng = np.random.default_rng(0)
    firsts = {
        images_of(arrange_lanes(features, targets, PATH, 1, rng))[0][0][0] for _ in range(200)
    }
    assert firsts == set(range(1000, 1010))


def test_features_of_a_segment_start_afresh():
    recording = make_recording()
    segments = cut_segments(recording, JOINTS, HOLD_OUT)
    statistics = FeatureStatistics(mean=(0.1, 0.2, 0.3), scale=(1, 2, 3))
    last = features_of(segments, PATH, statistics)[-1]
    alone = SignalPath(PATH, statistics).push(segments[-1].samples)
    np.testing.assert_array_equal(last, alone)


def test_recording_in_chunks_of_any_size_gives_the_same_segments():
    recording = make_recording()
    expected = cut_segments(recording, JOINTS, HOLD_OUT)
    for size in (1, 33, 10_000):
        rechunked = replace(recording, chunks=evenly_cut(emg_of(recording), size))
        assert_equal_segments(cut_segments(rechunked, JOINTS, HOLD_OUT), expected)
