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

"""A decoder knows what it ever learnt from, and a part that it learnt is no test."""

from dataclasses import replace

from builders import (
    cut,
    emg_of,
    HOLD_OUT,
    make_recording,
    one_stack,
    with_emg,
)
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import JointTrack, LabelTrack
from leconvmn_ros.dataset.fingerprints import block_hashes, emg_hash
from leconvmn_ros.dataset.hold_out import BlockHoldOut, RepetitionHoldOut
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.decoding.history import learnt_recordings, merged, overlap_of
from leconvmn_ros.training.fit_settings import RecurrentFitSettings
from leconvmn_ros.training.presets import TrainingSettings
from leconvmn_ros.training.run import train
import numpy as np
import pytest
import torch

torch.set_num_threads(1)
# Of five repetitions, 3 is the test.
RECORDING = make_recording(repetitions=5, repetition_length=500)
SETTINGS = TrainingSettings(
    model=one_stack(planes=(2,)), fit=RecurrentFitSettings(epochs=1, lanes=2), threads=1
)
OTHER_TEST = RepetitionHoldOut(validation=(2,), test=(4,))
RATE = 100.0


def excerpt(recording, first, last):
    """Return the recording from one sample to another, with labels and angles as they were."""
    chunks = [
        chunk._replace(first_sample=chunk.first_sample - first)
        for chunk in recording.chunks
        if first <= chunk.first_sample < last
    ]
    return replace(recording, name='an excerpt', chunks=chunks)


def stamped(recording, seconds):
    """Return the recording as if it had been made at another time."""
    shift = round(seconds * 1e9)
    track, labels = recording.reference, recording.labels
    return replace(
        recording,
        name='later',
        chunks=[c._replace(stamp_ns=c.stamp_ns + shift) for c in recording.chunks],
        reference=JointTrack(track.stamps_ns + shift, track.names, track.positions),
        labels=LabelTrack(labels.stamps_ns + shift, labels.movement, labels.repetition),
    )


def numbered_anew(recording, by):
    labels = recording.labels
    return replace(
        recording,
        name='numbered anew',
        labels=LabelTrack(labels.stamps_ns, labels.movement, (labels.repetition + by) % 5 + 1),
    )


COPIES = {
    'itself': RECORDING,
    'in other messages': replace(RECORDING, chunks=cut(emg_of(RECORDING), [7] * 400)),
    'at another time': stamped(RECORDING, 1e6),
    'an excerpt': excerpt(RECORDING, 480, 2100),
    'with labels of its own': numbered_anew(RECORDING, 1),
}


def test_blocks_are_the_same_wherever_a_stretch_begins():
    emg = emg_of(RECORDING)
    whole, part = block_hashes(emg, RATE), block_hashes(emg[333:1777], RATE)
    assert part < whole
    # About two blocks a second, and all of the part but its ends is found again.
    assert 0.5 * len(emg) / 50 < len(whole) < 1.5 * len(emg) / 50
    assert len(part) > 0.5 * len(whole) * 1444 / len(emg)
    other = emg_of(make_recording(repetitions=5, repetition_length=500, seed=1))
    assert not whole & block_hashes(other, RATE)
    assert emg_hash(emg) != emg_hash(emg[1:])


def test_what_does_not_change_is_not_told_again():
    assert block_hashes(np.zeros((5000, 3), np.float32), RATE) == set()
    assert block_hashes(np.full((5000, 3), 0.1, np.float32), RATE) == set()


@pytest.mark.parametrize('hold_out', [HOLD_OUT, BlockHoldOut()])
def test_the_test_part_is_not_learnt_and_the_rest_is(hold_out):
    learnt = learnt_recordings([RECORDING], hold_out)
    assert overlap_of(RECORDING, hold_out, learnt).share == 0
    everything = overlap_of(RECORDING, None, learnt)
    assert 0.5 < everything.share < 0.9
    assert everything.learnt_as == ('made up',)


@pytest.mark.parametrize('copy', COPIES.values(), ids=COPIES)
def test_what_was_learnt_is_told_again(copy):
    learnt = learnt_recordings([RECORDING], HOLD_OUT)
    assert learnt[0].repetitions == (1, 2, 4, 5)
    assert overlap_of(copy, OTHER_TEST, learnt)


def test_another_recording_is_not():
    other = make_recording(repetitions=5, repetition_length=500, seed=1)
    assert not overlap_of(other, None, learnt_recordings([RECORDING], HOLD_OUT))


def test_which_repetitions_were_learnt_is_said():
    overlap = overlap_of(RECORDING, None, learnt_recordings([RECORDING], HOLD_OUT))
    assert overlap.repetitions == (1, 2, 4, 5)
    assert 'repetitions 1, 2, 4, 5) was learnt from made up' in overlap.text()


@pytest.fixture(scope='module')
def first():
    return train([RECORDING], SETTINGS, hold_out=HOLD_OUT)


def test_the_history_is_kept_and_survives_the_disk(first, tmp_path):
    first.save(tmp_path / 'c')
    record = load_checkpoint(tmp_path / 'c').description.training
    assert record.history_known
    assert record.learnt == learnt_recordings([RECORDING], HOLD_OUT)


@pytest.mark.parametrize('copy', COPIES.values(), ids=COPIES)
def test_going_on_must_not_hold_out_what_was_learnt(first, copy):
    with pytest.raises(
        RecordingError, match='the decoder to start from has learnt part of what is held out'
    ):
        train([copy], SETTINGS, hold_out=OTHER_TEST, start=first)


def test_going_on_with_the_same_test_or_another_recording_is_fine(first):
    other = make_recording(repetitions=5, repetition_length=500, seed=1)
    again = train([RECORDING], SETTINGS, hold_out=HOLD_OUT, start=first)
    elsewhere = train([other], SETTINGS, hold_out=OTHER_TEST, start=again)
    learnt = elsewhere.description.training.learnt
    assert [each.repetitions for each in learnt] == [(1, 2, 4, 5), (1, 2, 3, 5)]
    # The third decoder still knows what the first one learnt.
    with pytest.raises(RecordingError, match='repetitions 4'):
        train([RECORDING], SETTINGS, hold_out=OTHER_TEST, start=elsewhere)


def test_what_was_learnt_of_one_recording_at_different_times_is_one_entry():
    one = learnt_recordings([RECORDING], HOLD_OUT)
    other = learnt_recordings([RECORDING], OTHER_TEST)
    (both,) = merged(one, other)
    assert both.repetitions == (1, 2, 3, 4, 5)
    assert both.block_set() == one[0].block_set() | other[0].block_set()


def test_a_decoder_without_a_history_hands_that_on(first):
    described = first.description
    unknown = described.training.model_copy(update={'learnt': (), 'history_known': False})
    old = replace(first, description=described.model_copy(update={'training': unknown}))
    went_on = train([RECORDING], SETTINGS, hold_out=HOLD_OUT, start=old)
    assert not went_on.description.training.history_known


def test_one_recording_twice_with_different_labels_is_refused():
    with pytest.raises(RecordingError, match='held out for the test is also in the training data'):
        train([RECORDING, numbered_anew(RECORDING, 1)], SETTINGS, hold_out=HOLD_OUT)


def test_noise_added_to_the_emg_makes_it_another_recording():
    """What was measured again is other EMG, even of the same movements."""
    emg = emg_of(RECORDING) + np.float32(1e-7)
    learnt = learnt_recordings([RECORDING], HOLD_OUT)
    assert not overlap_of(with_emg(RECORDING, emg), None, learnt)
