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

"""Segments: no held-out data, each angle in its place, and the right lead-in."""

from dataclasses import replace

from builders import (
    cut,
    emg_of,
    evenly_cut,
    HOLD_OUT,
    JOINTS,
    make_recording,
    PERIOD_NS,
    START_NS,
    with_emg,
)
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import JointTrack
from leconvmn_ros.dataset.hold_out import BlockHoldOut, RepetitionHoldOut, Role
from leconvmn_ros.dataset.segments import cut_segments, gapless_runs, joined_rows, MOST_PIECES
import numpy as np
import pytest

LENGTH = 200  # samples of one repetition
BLOCKS = BlockHoldOut(validation=0.2, test=0.2)


def of_role(segments, role):
    return [segment for segment in segments if segment.role is role]


def assert_equal_segments(some, others):
    assert len(some) == len(others) > 0
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
        np.testing.assert_array_equal(one.angles, other.angles)
        np.testing.assert_array_equal(one.lead_in, other.lead_in)


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


def test_angles_that_are_not_finite_for_long_are_left_out():
    recording = make_recording()
    track = recording.reference
    positions = track.positions.copy()
    positions[20:30, 1] = np.nan
    segments = cut_segments(
        replace(recording, reference=JointTrack(track.stamps_ns, track.names, positions)),
        JOINTS,
        HOLD_OUT,
    )
    # Samples 40 to 58 are not known, and neither are those between them and their neighbours.
    assert [len(segment.samples) for segment in segments[:2]] == [39, LENGTH - 1 - 60]
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
    sparse = JointTrack(
        1 + recording.reference.stamps_ns[::50], JOINTS, recording.reference.positions[::50]
    )
    for change, message in (
        ({'chunks': []}, 'made up has no EMG'),
        ({'reference': None}, 'made up has no reference angles'),
        ({'labels': None}, 'no movement labels'),
        ({'reference': shifted}, r'the EMG is from \d.* not on one clock'),
        ({'reference': sparse}, r'no EMG has reference angles.* 0\.2 s apart'),
    ):
        with pytest.raises(RecordingError, match=message):
            cut_segments(replace(recording, **change), JOINTS, HOLD_OUT)


def uncounted(size):
    recording = make_recording()
    chunks = [chunk._replace(first_sample=0) for chunk in evenly_cut(emg_of(recording), size)]
    return replace(recording, chunks=chunks)


def test_a_source_that_does_not_count_is_told_so():
    with pytest.raises(RecordingError, match=r'falls into \d+ pieces.* first_sample must count'):
        gapless_runs(uncounted(5))


def test_a_few_pieces_may_be_long_gaps():
    recording = uncounted(100)
    assert len(gapless_runs(recording)) == len(recording.chunks) <= MOST_PIECES


@pytest.mark.parametrize('sizes', [[7, 1, 30] * 20, [1] * 600, [600]])
def test_a_recording_without_faults_is_one_run(sizes):
    """The fast path gives the same as reading chunk by chunk."""
    recording = make_recording()
    chunks = cut(emg_of(recording)[:600], sizes)
    # A clock that is 0.1 % slow and stamps that are off by a little.
    random = np.random.default_rng(0)
    chunks = [
        c._replace(stamp_ns=c.stamp_ns + c.stamp_ns // 1000 + int(random.integers(0, 10**6)))
        for c in chunks
    ]
    (run,) = gapless_runs(replace(recording, chunks=chunks))
    # A message that comes twice is dropped, but makes the recording no plain one.
    (read,) = gapless_runs(replace(recording, chunks=[*chunks, chunks[-1]]))
    np.testing.assert_array_equal(run.samples, read.samples)
    np.testing.assert_array_equal(run.stamps_ns, read.stamps_ns)
    assert run.bridged == read.bridged == []
    assert len(run.samples) == sum(len(c.samples) for c in chunks)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_a_chunk_with_a_value_that_is_not_finite_is_left_out_of_a_run(value):
    recording = make_recording()
    chunks = evenly_cut(emg_of(recording), 20)
    chunks[8] = chunks[8]._replace(samples=chunks[8].samples.copy())
    chunks[8].samples[3, 1] = value
    runs = gapless_runs(replace(recording, chunks=chunks))
    assert all(np.isfinite(run.samples).all() for run in runs)
    assert sum(map(len, (run.samples for run in runs))) <= len(emg_of(recording))
    assert len(runs) == 2 or runs[0].bridged


def test_recording_in_chunks_of_any_size_gives_the_same_segments():
    recording = make_recording()
    expected = cut_segments(recording, JOINTS, HOLD_OUT)
    for size in (1, 33, 10_000):
        rechunked = replace(recording, chunks=evenly_cut(emg_of(recording), size))
        assert_equal_segments(cut_segments(rechunked, JOINTS, HOLD_OUT), expected)


def with_reference(recording, kept):
    track = recording.reference
    return replace(
        recording, reference=JointTrack(track.stamps_ns[kept], track.names, track.positions[kept])
    )


def lead_ins(segments):
    return [segment.lead_in for segment in of_role(segments, Role.VALIDATION)]


@pytest.mark.parametrize(
    ('validation', 'test', 'spans'),
    [
        ((2,), (3,), [(0, 200)]),
        ((3,), (5,), [(0, 400)]),
        ((2, 3), (5,), [(0, 200)]),
        ((2, 4), (5,), [(0, 200), (400, 600)]),
        ((4,), (2,), [(400, 600)]),
        # Nothing is before it, or test data are.
        ((1,), (3,), [(0, 0)]),
        ((3,), (2,), [(400, 400)]),
    ],
)
@pytest.mark.parametrize('every', [1, 2, 5])
def test_validation_is_led_in_by_the_training_data_right_before_it(validation, test, spans, every):
    recording = make_recording()
    hold_out = RepetitionHoldOut(validation=validation, test=test)
    # However sparse the reference: it has no angles next to a border.
    sparse = with_reference(recording, np.arange(0, len(recording.reference.stamps_ns), every))
    segments = cut_segments(sparse, JOINTS, hold_out)
    emg = emg_of(recording)
    found = lead_ins(segments)
    assert len(found) == len(spans)
    for lead_in, (first, last) in zip(found, spans, strict=True):
        np.testing.assert_array_equal(lead_in, emg[first:last])
    assert all(len(s.lead_in) == 0 for s in segments if s.role is not Role.VALIDATION)


def test_what_leads_in_and_what_is_led_in_follow_one_another():
    recording = make_recording()
    # The first angle of the validation part is missing: its samples up to the next one lead in.
    segments = cut_segments(with_reference(recording, np.r_[0:100, 103:500]), JOINTS, HOLD_OUT)
    (segment,) = of_role(segments, Role.VALIDATION)
    np.testing.assert_array_equal(
        np.concatenate((segment.lead_in, segment.samples)), emg_of(recording)[:399]
    )
    assert len(segment.lead_in) == 206


def test_a_hole_in_the_reference_does_not_interrupt_what_leads_in():
    recording = make_recording()
    emg = emg_of(recording)
    for hole, lengths in ((range(20, 60), [200]), (range(120, 160), [200, 320])):
        kept = np.delete(np.arange(500), hole)
        found = lead_ins(cut_segments(with_reference(recording, kept), JOINTS, HOLD_OUT))
        assert [len(lead_in) for lead_in in found] == lengths
        for lead_in in found:
            np.testing.assert_array_equal(lead_in, emg[: len(lead_in)])


@pytest.mark.parametrize(
    ('lost', 'length'),
    [
        (range(5, 17), 30),  # too long a gap to be bridged, 30 samples before the border
        (range(17, 29), 0),  # over the border
        ([20], 0),  # bridged with training data, in the validation part
    ],
)
def test_nothing_leads_in_over_a_gap(lost, length):
    recording = make_recording()
    kept = [chunk for number, chunk in enumerate(recording.chunks) if number not in lost]
    (lead_in,) = lead_ins(cut_segments(replace(recording, chunks=kept), JOINTS, HOLD_OUT))
    np.testing.assert_array_equal(lead_in, emg_of(recording)[200 - length : 200])


@pytest.mark.parametrize('hold_out', [HOLD_OUT, BLOCKS])
def test_validation_can_be_learnt_too_but_nothing_of_the_test(hold_out):
    recording = make_recording()
    segments, others = (
        cut_segments(one, JOINTS, hold_out, learn_validation=True)
        for one in (recording, held_out_changed(recording, hold_out, [Role.TEST]))
    )
    assert not of_role(segments, Role.VALIDATION)
    training = of_role(segments, Role.TRAINING)
    assert_equal_segments(training, of_role(others, Role.TRAINING))
    # One stretch with the training data before it, without a seam between the two.
    first = training[0]
    assert len(first.samples) == (399 if hold_out is HOLD_OUT else 799)
    np.testing.assert_array_equal(first.samples, emg_of(recording)[: len(first.samples)])
    np.testing.assert_array_equal(
        first.angles[::2], recording.reference.positions[: len(first.samples) // 2 + 1]
    )
    untouched = cut_segments(recording, JOINTS, hold_out)
    assert_equal_segments(of_role(segments, Role.TEST), of_role(untouched, Role.TEST))


def test_what_lies_behind_one_another_is_joined_without_a_copy():
    values = np.arange(40, dtype=np.float32)
    parts = [values[first : first + 8].reshape(-1, 2) for first in range(0, 40, 8)]
    whole = joined_rows(parts[1:])
    assert np.shares_memory(whole, values)
    np.testing.assert_array_equal(whole, np.concatenate(parts[1:]))
    for others in (parts[::2], parts[::-1], [parts[0], parts[1].copy()], [parts[0][::-1]]):
        np.testing.assert_array_equal(joined_rows(others), np.concatenate(others))
        assert not np.shares_memory(joined_rows(others), values)
