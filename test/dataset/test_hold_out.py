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

"""What is held out: repetitions with the rest after them, the end of each movement, or time."""

from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import EmgChunk, LabelTrack, Recording
from leconvmn_ros.dataset.hold_out import (
    BlockHoldOut,
    default_hold_out,
    hold_out_named,
    HoldOut,
    MovementHoldOut,
    repetition_at,
    RepetitionHoldOut,
    Role,
)
import numpy as np
from pydantic import TypeAdapter, ValidationError
import pytest

SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND


def ninapro_labels(movements, repetitions):
    """Each movement is made `repetitions` times in a row: 3 s of rest, 5 s of movement.

    Before the first movement lie 3 s of rest of no repetition.
    """
    entries = [(0, 0, 0)]
    for number in range(movements * repetitions):
        movement, repetition = number // repetitions + 1, number % repetitions + 1
        entries += [(8 * number + 3, movement, repetition), (8 * number + 8, 0, repetition)]
    seconds, movement, repetition = np.array(entries, dtype=np.int64).T
    return LabelTrack(START_NS + seconds * SECOND, movement, repetition)


def recording_of(labels):
    chunks = [
        EmgChunk(START_NS + k * SECOND, 200.0, 200 * k, np.zeros((200, 2), np.float32))
        for k in range(11)
    ]
    return Recording('made up', chunks, labels=labels)


def seconds(*values):
    return START_NS + np.rint(np.array(values) * SECOND).astype(np.int64)


def roles_of(hold_out, labels, stamps_ns):
    roles = hold_out.roles(stamps_ns, labels, (START_NS, int(stamps_ns[-1])))
    assert roles.shape == stamps_ns.shape
    return [Role(role) for role in roles]


# ---- repetitions


@pytest.mark.parametrize(
    ('movements', 'repetitions', 'test'), [(12, 6, (2, 5)), (12, 10, (2, 5, 7))]
)
def test_ninapro_is_split_by_repetition(movements, repetitions, test):
    labels = ninapro_labels(movements, repetitions)
    hold_out = default_hold_out(recording_of(labels))
    assert hold_out == RepetitionHoldOut(validation=(4,), test=test)
    for movement in range(movements):
        for repetition in range(1, repetitions + 1):
            onset = 8 * (movement * repetitions + repetition - 1) + 3
            # onset, end of the movement, rest after it, last moment before the next onset
            roles = roles_of(
                hold_out, labels, seconds(onset, onset + 4.9, onset + 5, onset + 7.999)
            )
            expected = (
                Role.TEST
                if repetition in test
                else Role.VALIDATION
                if repetition == 4
                else Role.TRAINING
            )
            assert roles == [expected] * 4


def test_what_comes_before_the_first_repetition_is_training_data():
    labels = ninapro_labels(2, 3)
    hold_out = RepetitionHoldOut(validation=(2,), test=(1,))
    assert roles_of(hold_out, labels, seconds(-5, 0, 2.9, 3)) == [Role.TRAINING] * 3 + [Role.TEST]


def test_label_holds_from_its_very_nanosecond():
    labels = ninapro_labels(1, 2)
    onset = START_NS + 3 * SECOND
    assert repetition_at(labels, np.array([onset - 1, onset])).tolist() == [0, 1]
    assert repetition_at(labels, np.array([onset + 8 * SECOND - 1])).tolist() == [1]
    assert repetition_at(labels, np.array([onset + 8 * SECOND])).tolist() == [2]


def test_last_repetition_holds_to_the_end():
    labels = ninapro_labels(1, 3)
    assert repetition_at(labels, seconds(1e6)).tolist() == [3]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(0, 50), min_size=0, max_size=10).map(sorted),
    st.lists(st.integers(-5, 60), min_size=1, max_size=20),
)
def test_repetition_is_that_of_the_latest_label(entries, times):
    labels = LabelTrack(
        np.array(entries, dtype=np.int64),
        np.zeros(len(entries), dtype=np.int64),
        np.arange(1, len(entries) + 1),
    )
    expected = [sum(entry <= time for entry in entries) for time in times]
    assert repetition_at(labels, np.array(times, dtype=np.int64)).tolist() == expected


def test_recording_without_labels_has_no_repetitions_to_hold_out():
    hold_out = RepetitionHoldOut(validation=(1,), test=(2,))
    with pytest.raises(RecordingError, match='no movement labels'):
        hold_out.roles(seconds(0, 1), None, (START_NS, START_NS + SECOND))


def test_repetition_in_both_parts_is_refused_and_named():
    with pytest.raises(ValidationError, match=r'repetitions \[2, 5\].*\(2, 3, 5\).*\(5, 2\)'):
        RepetitionHoldOut(validation=(2, 3, 5), test=(5, 2))


@pytest.mark.parametrize('part', ['validation', 'test'])
@pytest.mark.parametrize('value', [(0,), (-1,), (1.5,), 'x'])
def test_impossible_repetitions_are_refused(part, value):
    with pytest.raises(ValidationError) as caught:
        RepetitionHoldOut(**({'validation': (8,), 'test': (9,)} | {part: value}))
    assert caught.value.errors()[0]['loc'][0] == part


def test_nothing_need_choose_the_epoch_but_something_must_be_tested():
    hold_out = RepetitionHoldOut(test=(2, 5))
    assert hold_out.rule() == 'repetitions, test 2 and 5'
    with pytest.raises(ValidationError):
        RepetitionHoldOut(validation=(2,), test=())


# ---- blocks


def test_end_of_the_recording_is_the_test_and_before_it_the_validation():
    stamps_ns = seconds(*np.arange(0, 100.5, 0.5))
    roles = roles_of(BlockHoldOut(validation=0.2, test=0.3), None, stamps_ns)
    assert roles[:100] == [Role.TRAINING] * 100
    assert roles[101:139] == [Role.VALIDATION] * 38
    assert roles[141:] == [Role.TEST] * 60


def test_blocks_use_the_span_of_the_recording_not_of_the_times():
    hold_out = BlockHoldOut(validation=0.25, test=0.25)
    span_ns = (START_NS, START_NS + 100 * SECOND)
    for time, role in ((10, Role.TRAINING), (60, Role.VALIDATION), (90, Role.TEST)):
        assert hold_out.roles(seconds(time), None, span_ns).tolist() == [role]


def test_default_blocks_keep_most_for_training():
    stamps_ns = seconds(*np.linspace(0, 100, 1001))
    roles = roles_of(BlockHoldOut(), None, stamps_ns)
    shares = [roles.count(role) / len(roles) for role in Role]
    assert shares == pytest.approx([0.6, 0.15, 0.25], abs=0.01)


def test_labels_do_not_matter_to_blocks():
    stamps_ns = seconds(*range(100))
    labels = ninapro_labels(3, 4)
    assert roles_of(BlockHoldOut(), labels, stamps_ns) == roles_of(BlockHoldOut(), None, stamps_ns)


@pytest.mark.parametrize('part', ['validation', 'test'])
@pytest.mark.parametrize('value', [0.0, 0.5, -0.1, 1.0, float('nan')])
def test_impossible_shares_are_refused_and_named(part, value):
    with pytest.raises(ValidationError) as caught:
        BlockHoldOut(**{part: value})
    (problem,) = caught.value.errors()
    assert problem['loc'] == (part,)
    assert str(value) in str(caught.value)


# ---- movements


def span_of(until):
    return START_NS, START_NS + until * SECOND


def labelled_recording(labels, until, name='made up'):
    chunk = EmgChunk(START_NS, 1.0, 0, np.zeros((until, 2), np.float32))
    return Recording(name, [chunk], labels=labels)


def test_end_of_each_movement_is_the_test_and_before_it_the_validation():
    """Movement m has ten repetitions of 8 s: from 3 + 80 m on, with the rest after the last."""
    labels = ninapro_labels(3, 10)
    hold_out = MovementHoldOut()
    span_ns = span_of(243)
    for movement in range(3):
        first = 3 + 80 * movement
        times = seconds(first, first + 55.99, first + 56, first + 63.99, first + 64, first + 79.99)
        roles = hold_out.roles(times, labels, span_ns)
        assert roles.tolist() == [
            *[Role.TRAINING, Role.TRAINING],
            *[Role.VALIDATION, Role.VALIDATION],
            *[Role.TEST, Role.TEST],
        ]


def test_shares_of_the_movements_are_those_asked_for():
    labels = ninapro_labels(4, 6)
    times = seconds(*np.arange(3, 3 + 4 * 48, 0.01))
    hold_out = MovementHoldOut(validation=0.15, test=0.35)
    roles = hold_out.roles(times, labels, span_of(3 + 4 * 48))
    shares = [np.mean(roles == role) for role in Role]
    assert shares == pytest.approx([0.5, 0.15, 0.35], abs=0.001)


def test_what_comes_before_the_first_movement_is_training_data_of_any_protocol():
    roles = MovementHoldOut().roles(seconds(-5, 0, 2.9), ninapro_labels(2, 3), span_of(51))
    assert set(roles) == {Role.TRAINING}


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 3), min_size=3, max_size=30).filter(any))
def test_movements_in_any_order_are_cut_by_their_accumulated_time(order):
    """One label a second; second k belongs to the latest movement up to it."""
    labels = LabelTrack(
        START_NS + SECOND * np.arange(len(order)), np.array(order), np.ones(len(order), np.int64)
    )
    hold_out = MovementHoldOut(validation=0.2, test=0.4)
    step = 0.02
    times = np.arange(0, len(order), step) + step / 2
    roles = hold_out.roles(seconds(*times), labels, span_of(len(order)))
    latest, owner = 0, []
    for movement in order:
        latest = movement or latest
        owner.append(latest)
    owner = np.array(owner)[times.astype(int)]
    assert set(roles[owner == 0]) <= {Role.TRAINING}
    for movement in set(order) - {0}:
        own = roles[owner == movement]
        assert (np.diff(own) >= 0).all()  # training, then validation, then test
        for role, share in zip(Role, (0.4, 0.2, 0.4), strict=True):
            assert np.mean(own == role) == pytest.approx(share, abs=2.1 * step)


def test_labels_beyond_the_emg_do_not_count():
    """The label track goes on for 8 s after the EMG has ended, and began 3 s before it."""
    labels = ninapro_labels(1, 3)
    span_ns = START_NS + 3 * SECOND, START_NS + 13 * SECOND  # 10 s of movement 1
    roles = MovementHoldOut().roles(seconds(3, 9.9, 10.1, 10.9, 11.1, 12.9), labels, span_ns)
    assert roles.tolist() == [0, 0, Role.VALIDATION, Role.VALIDATION, Role.TEST, Role.TEST]


@pytest.mark.parametrize(
    'labels',
    [None, LabelTrack(START_NS + SECOND * np.arange(3), np.zeros(3, int), np.zeros(3, int))],
    ids=['no labels', 'rest only'],
)
def test_recording_without_movements_has_none_to_hold_out(labels):
    with pytest.raises(RecordingError, match='no movement labels, so no part of a movement'):
        MovementHoldOut().roles(seconds(0, 1), labels, span_of(10))
    with pytest.raises(RecordingError, match='mine has no movement labels'):
        MovementHoldOut().of([labelled_recording(labels, 10, name='mine')])


@pytest.mark.parametrize('part', ['validation', 'test'])
@pytest.mark.parametrize('value', [0.0, 0.5, -0.1, 1.0, float('nan')])
def test_impossible_shares_of_a_movement_are_refused_and_named(part, value):
    with pytest.raises(ValidationError) as caught:
        MovementHoldOut(**{part: value})
    (problem,) = caught.value.errors()
    assert problem['loc'] == (part,)


def test_movements_keep_their_roles_while_a_recording_is_still_coming_in():
    labels = ninapro_labels(2, 6)
    recording = labelled_recording(labels, 99)
    hold_out = MovementHoldOut().of([recording])
    times = seconds(*np.arange(0, 99, 0.5))
    whole = hold_out.roles(times, labels, recording.span_ns)
    assert set(whole) == set(Role)
    for until in (1, 4, 20, 45, 60, 98):
        now = START_NS + until * SECOND
        so_far = labels.stamps_ns <= now
        heard = LabelTrack(
            labels.stamps_ns[so_far], labels.movement[so_far], labels.repetition[so_far]
        )
        past = times <= now
        for known in (heard, None):  # the labels may not have come at all
            roles = hold_out.roles(times[past], known, (START_NS, now))
            np.testing.assert_array_equal(roles, whole[past])


def test_movements_of_a_recording_say_nothing_of_other_times():
    labels = ninapro_labels(2, 6)
    hold_out = MovementHoldOut().of([labelled_recording(labels, 99)])
    later = LabelTrack(labels.stamps_ns + 1000 * SECOND, labels.movement, labels.repetition)
    roles = hold_out.roles(
        seconds(*np.arange(1000, 1099)),
        later,
        (START_NS + 1000 * SECOND, START_NS + 1099 * SECOND),
    )
    assert set(roles) == {Role.TRAINING}


def test_two_recordings_of_the_same_times_are_told_apart_by_their_labels():
    """Bags converted from files all start at the same time."""
    one, two = ninapro_labels(2, 6), ninapro_labels(3, 4)
    recordings = [labelled_recording(labels, 99) for labels in (one, two)]
    hold_out = MovementHoldOut().of(recordings)
    times = seconds(*np.arange(0, 99, 0.5))
    for recording in recordings:
        alone = MovementHoldOut().of([recording])
        np.testing.assert_array_equal(
            hold_out.roles(times, recording.labels, recording.span_ns),
            alone.roles(times, recording.labels, recording.span_ns),
        )


def test_what_one_of_two_overlapping_recordings_trained_on_is_no_test_of_a_movement():
    one, two = ninapro_labels(2, 6), ninapro_labels(3, 4)
    recordings = [labelled_recording(labels, 99) for labels in (one, two)]
    hold_out = MovementHoldOut().of(recordings)
    times = seconds(*np.arange(0, 99, 0.5))
    of_both = [MovementHoldOut().roles(times, r.labels, r.span_ns) for r in recordings]
    heard = hold_out.roles(times, None, span_of(50))  # which of them is not known
    np.testing.assert_array_equal(heard, np.minimum(*of_both))


# ---- fixed to recordings


def test_repetitions_are_the_same_whatever_the_recordings():
    hold_out = RepetitionHoldOut(validation=(4,), test=(2, 5))
    assert hold_out.of([recording_of(ninapro_labels(2, 6))]) == hold_out
    assert hold_out.of([recording_of(None)]) == hold_out  # refused where roles are asked for


def test_repetitions_that_are_not_there_cannot_be_held_out():
    hold_out = RepetitionHoldOut(validation=(4,), test=(2, 7))
    with pytest.raises(RecordingError, match=r'\[7\] cannot be held out.*\[1, 2, 3, 4, 5, 6\]'):
        hold_out.of([recording_of(ninapro_labels(2, 6))])


# ---- the choice


def test_protocols_by_name():
    for labels in (None, ninapro_labels(2, 1), ninapro_labels(2, 6)):
        recording = recording_of(labels)
        assert hold_out_named('repetitions', recording) == default_hold_out(recording)
        assert hold_out_named('paper', recording) == MovementHoldOut()


@pytest.mark.parametrize(
    ('repetitions', 'expected'),
    [
        (0, BlockHoldOut()),
        (1, MovementHoldOut()),
        (2, MovementHoldOut()),
        (3, RepetitionHoldOut(validation=(2,), test=(3,))),
        (4, RepetitionHoldOut(validation=(3,), test=(4,))),
        (6, RepetitionHoldOut(validation=(4,), test=(2, 5))),
        (10, RepetitionHoldOut(validation=(4,), test=(2, 5, 7))),
    ],
)
def test_default_for_each_number_of_repetitions(repetitions, expected):
    assert default_hold_out(recording_of(ninapro_labels(2, repetitions))) == expected


def test_default_without_labels_is_by_time():
    assert default_hold_out(recording_of(None)) == BlockHoldOut()


def test_default_holds_out_only_repetitions_that_there_are():
    labels = ninapro_labels(1, 7)
    kept = ~np.isin(labels.repetition, [2])
    labels = LabelTrack(labels.stamps_ns[kept], labels.movement[kept], labels.repetition[kept])
    expected = RepetitionHoldOut(validation=(6,), test=(7,))
    assert default_hold_out(recording_of(labels)) == expected


@pytest.mark.parametrize(
    'hold_out',
    [
        RepetitionHoldOut(validation=(4,), test=(2, 5)),
        BlockHoldOut(test=0.3),
        MovementHoldOut(test=0.3).of([labelled_recording(ninapro_labels(2, 3), 60)]),
    ],
)
def test_hold_out_comes_back_from_json(hold_out):
    adapter = TypeAdapter(HoldOut)
    assert adapter.validate_json(adapter.dump_json(hold_out)) == hold_out


def test_unknown_kind_of_hold_out_is_refused_and_named():
    with pytest.raises(ValidationError, match='subjects'):
        TypeAdapter(HoldOut).validate_python({'kind': 'subjects', 'test': [1]})
    with pytest.raises(ValidationError, match='tset'):
        TypeAdapter(HoldOut).validate_python({'kind': 'blocks', 'tset': 0.2})


def test_span_of_a_recording_is_from_its_first_sample_to_the_end_of_its_last_chunk():
    assert recording_of(None).span_ns == (START_NS, START_NS + 11 * SECOND)


def test_blocks_of_a_recording_stay_where_they_were_when_only_a_part_is_heard():
    recording = recording_of(None)  # 11 s
    hold_out = BlockHoldOut(validation=0.2, test=0.2).of([recording])
    first_half = seconds(*np.arange(0, 5.5, 0.1))

    heard = hold_out.roles(first_half, None, (int(first_half[0]), int(first_half[-1])))

    assert set(heard) == {Role.TRAINING}
    whole = hold_out.roles(seconds(1, 7, 10), None, recording.span_ns)
    assert whole.tolist() == [Role.TRAINING, Role.VALIDATION, Role.TEST]


def test_blocks_of_a_recording_say_nothing_of_other_times():
    hold_out = BlockHoldOut().of([recording_of(None)])
    later = seconds(1000, 1010, 1020)
    roles = hold_out.roles(later, None, (int(later[0]), int(later[-1])))
    assert roles.tolist() == [Role.TRAINING] * 3


def test_what_one_of_two_overlapping_recordings_trained_on_is_no_test():
    early = recording_of(None)
    late = Recording('late', [c._replace(stamp_ns=c.stamp_ns + 5 * SECOND) for c in early.chunks])
    hold_out = BlockHoldOut(validation=0.2, test=0.2).of([early, late])
    heard = hold_out.roles(seconds(10, 15.5), None, (START_NS, START_NS + 20 * SECOND))
    assert heard.tolist() == [Role.TRAINING, Role.TEST]
