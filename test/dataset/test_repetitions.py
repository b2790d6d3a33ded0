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

"""Repetitions: a movement and the rest after it, whole, held out and without a gap."""

from dataclasses import replace

from builders import cut, emg_of, make_recording, PERIOD_NS, START_NS
from leconvmn_ros.core.recording import LabelTrack
from leconvmn_ros.dataset.hold_out import RepetitionHoldOut
from leconvmn_ros.dataset.repetitions import held_out_repetitions, Repetition, repetitions_of
import numpy as np
import pytest

HOLD_OUT = RepetitionHoldOut(validation=(2,), test=(3,))


def track(*entries):
    stamps, movement, repetition = np.array(entries, dtype=np.int64).T
    return LabelTrack(stamps, movement, repetition)


def labelled():
    """Return a recording of 10 s: two movements, three times each, a second of it and of rest."""
    entries = []
    for place in range(6):
        movement, repetition = place // 3 + 1, place % 3 + 1
        start = START_NS + place * 160 * PERIOD_NS
        entries += [(start, movement, repetition), (start + 80 * PERIOD_NS, 0, repetition)]
    return replace(make_recording(), labels=track(*entries))


def test_a_repetition_lasts_until_the_next_movement():
    labels = track((0, 0, 0), (10, 1, 1), (15, 0, 1), (20, 1, 2), (26, 0, 2), (30, 2, 1))
    assert repetitions_of(labels, 40) == [
        Repetition(1, 1, 10, 15, 20),
        Repetition(1, 2, 20, 26, 30),
        Repetition(2, 1, 30, 40, 40),
    ]


def test_a_rest_that_is_counted_to_the_next_repetition_is_left_out():
    labels = track((0, 0, 1), (10, 1, 1), (15, 0, 2), (20, 1, 2))
    assert repetitions_of(labels, 30) == [
        Repetition(1, 1, 10, 15, 15),
        Repetition(1, 2, 20, 30, 30),
    ]


def test_labels_that_are_repeated_change_nothing():
    once = track((10, 1, 1), (15, 0, 1), (20, 1, 2))
    often = track((10, 1, 1), (12, 1, 1), (15, 0, 1), (17, 0, 1), (20, 1, 2), (30, 1, 2))
    assert repetitions_of(once, 40) == repetitions_of(often, 40)


def test_movements_without_a_rest_between_them_are_told_apart():
    labels = track((0, 1, 1), (5, 1, 2), (9, 2, 2))
    assert [(r.movement, r.repetition, r.rest_ns) for r in repetitions_of(labels, 12)] == [
        (1, 1, 5),
        (1, 2, 9),
        (2, 2, 12),
    ]


@pytest.mark.parametrize('labels', [track((0, 0, 0)), LabelTrack(*[np.zeros(0, np.int64)] * 3)])
def test_without_movements_there_are_none(labels):
    assert repetitions_of(labels, 9) == []


def test_held_out_repetitions_are_whole_and_of_the_test_alone():
    recording = labelled()
    held_out = held_out_repetitions(recording, HOLD_OUT)
    assert [(r.label.movement, r.label.repetition) for r in held_out] == [(1, 3), (2, 3)]
    emg = emg_of(recording)
    np.testing.assert_array_equal(held_out[0].samples, emg[320:480])
    np.testing.assert_array_equal(held_out[1].samples, emg[800:])  # to the end of the recording
    assert held_out[0].stamps_ns[0] == START_NS + 320 * PERIOD_NS
    assert len(held_out_repetitions(recording, None)) == 6


def test_a_repetition_with_a_gap_is_left_out():
    recording = labelled()
    chunks = cut(emg_of(recording), [10] * 100)
    del chunks[35:40]  # half a second within the third repetition
    held_out = held_out_repetitions(replace(recording, chunks=chunks), HOLD_OUT)
    assert [(r.label.movement, r.label.repetition) for r in held_out] == [(2, 3)]


def test_without_labels_nothing_can_be_put_in_another_order():
    assert held_out_repetitions(replace(labelled(), labels=None), None) == []
