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

"""A session is cut in two parts that share nothing, and the calibration tells no angle."""

from dataclasses import replace

from builders import CHANNELS, HOLD_OUT, make_recording, RATE
from leconvmn_ros.benchmark.calibration import nearest, split
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import LabelTrack
from leconvmn_ros.dataset.hold_out import RepetitionHoldOut
from leconvmn_ros.dataset.repetitions import held_out_repetitions
import numpy as np
import pytest


def session(movements=3, repetitions=4, length=100):
    """Return a recording of so many movements in a row, each with rest in its second half."""
    recording = make_recording(repetitions=movements * repetitions, repetition_length=length)
    starts = recording.labels.stamps_ns
    half = round(length / 2 / RATE * 1e9)
    movement = np.repeat(np.arange(1, movements + 1), repetitions)
    repetition = np.tile(np.arange(1, repetitions + 1), movements)
    return replace(
        recording,
        labels=LabelTrack(
            np.stack([starts, starts + half], axis=1).ravel(),
            np.stack([movement, 0 * movement], axis=1).ravel(),
            np.repeat(repetition, 2),
        ),
    )


def times(pieces):
    return {int(ns) for piece in pieces for ns in piece.stamps_ns}


def test_calibration_and_score_share_no_sample_and_leave_none_out():
    recording = session()
    parts = split(recording, None)
    assert times(parts.calibration).isdisjoint(times(parts.scored))
    assert len(times(parts.calibration) | times(parts.scored)) == 12 * 100
    assert {each.label.repetition for each in parts.calibration} == {1}
    assert {each.label.repetition for each in parts.scored} == {2, 3, 4}
    assert [each.label.movement for each in parts.calibration] == [1, 2, 3]


def test_what_a_decoder_learnt_neither_calibrates_nor_is_scored():
    hold_out = RepetitionHoldOut(test=(2, 4))
    recording = session()
    parts = split(recording, hold_out)
    held_out = times(held_out_repetitions(recording, hold_out))
    assert times(parts.calibration) | times(parts.scored) == held_out
    assert {each.label.repetition for each in parts.calibration} == {2}
    assert {each.label.repetition for each in parts.scored} == {4}


def test_a_session_with_one_repetition_is_refused():
    with pytest.raises(RecordingError, match=r'whole repetitions \[3\] can be used; two are need'):
        split(session(), HOLD_OUT)
    with pytest.raises(RecordingError, match='no reference angles'):
        split(replace(session(), reference=None), None)


def test_the_calibration_is_drawn_from_a_seed_and_has_no_angles():
    parts = split(session(movements=6), None)

    def drawn(seed, *, labelled=False):
        random = np.random.default_rng(seed)
        return parts.calibration_recording(3.0, random, labelled=labelled)

    emg = {
        seed: np.concatenate([c.samples for c in drawn(seed).chunks]).tobytes()
        for seed in range(5)
    }
    assert len({*emg.values()}) > 2
    again = np.concatenate([c.samples for c in drawn(3).chunks]).tobytes()
    assert again == emg[3]
    assert drawn(0).reference is drawn(0).labels is None
    assert drawn(0, labelled=True).reference is None
    assert len(again) == 3 * 100 * CHANNELS * 4


def test_labels_of_a_calibration_are_at_its_movements():
    recording = session(movements=6)
    parts = split(recording, None)
    calibration = parts.calibration_recording(4.0, np.random.default_rng(1), labelled=True)
    emg = np.concatenate([chunk.samples for chunk in calibration.chunks])
    starts = calibration.labels.stamps_ns[calibration.labels.movement > 0]
    for start, movement in zip(
        starts, calibration.labels.movement[calibration.labels.movement > 0], strict=True
    ):
        first = round((start - calibration.span_ns[0]) / 1e9 * RATE)
        (own,) = [each for each in parts.calibration if each.label.movement == movement]
        np.testing.assert_array_equal(emg[first : first + 100], own.samples)
    rests = calibration.labels.stamps_ns[calibration.labels.movement == 0]
    np.testing.assert_array_equal(rests - starts, 500_000_000)


def test_whole_movements_come_nearest_to_a_duration():
    pieces = split(session(movements=6), None).calibration  # of 1 s each
    lengths = [len(nearest(pieces, RATE, seconds)) for seconds in (0.2, 1.4, 1.6, 99)]
    assert lengths == [1, 1, 2, 6]


def test_a_change_applies_to_both_parts_and_to_no_angle():
    parts = split(session(), None)
    changed = parts.changed(lambda samples: 2 * samples)
    for before, after in (
        (parts.calibration, changed.calibration),
        (parts.scored, changed.scored),
    ):
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(new.samples, 2 * old.samples)
    assert changed.reference is parts.reference
