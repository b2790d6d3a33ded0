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

"""The summary before a training names everything that is left out."""

from dataclasses import replace

from builders import HOLD_OUT, make_recording
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import JointTrack, LabelTrack
from leconvmn_ros.dataset.hold_out import BlockHoldOut, MovementHoldOut
from leconvmn_ros.dataset.summary import training_summary
import numpy as np
import pytest


def with_names(recording, names):
    track = recording.reference
    return replace(recording, reference=JointTrack(track.stamps_ns, names, track.positions))


def test_it_says_what_is_for_what():
    # Five repetitions of two seconds, of which one chooses the epoch and one is the test.
    recording = make_recording(joints=JOINT_NAMES)
    (line,) = training_summary(recording, HOLD_OUT)
    assert line == (
        'made up: 10 s of EMG; 6 s to learn from, 2 s to choose the epoch, 2 s to test'
    )


def test_joints_that_are_not_learnt_are_named():
    recording = make_recording(joints=(*JOINT_NAMES[1:], 'elbow'))
    _, missing, foreign = training_summary(recording, HOLD_OUT)
    assert missing == 'not in the reference, so not learnt: thumb_mcp'
    assert foreign == 'in the reference, but none of the ten joints: elbow'


def test_too_slow_a_reference_is_told():
    recording = make_recording(joints=JOINT_NAMES)
    track = recording.reference
    some = np.concatenate((np.arange(0, 500, 50), np.arange(0, 500, 50) + 1))
    some = np.sort(some[some < len(track.stamps_ns)])
    slow = JointTrack(track.stamps_ns[some], track.names, track.positions[some])
    lines = training_summary(replace(recording, reference=slow), HOLD_OUT)
    assert lines[1].startswith('only 3% of the EMG has reference angles')


def test_a_movement_of_the_test_alone_is_told():
    recording = make_recording(joints=JOINT_NAMES)
    labels = recording.labels
    late = labels.stamps_ns > np.quantile(recording.reference.stamps_ns, 0.8)
    movement = np.where(late & (labels.movement > 0), 7, labels.movement)
    changed = replace(recording, labels=LabelTrack(labels.stamps_ns, movement, labels.repetition))
    assert training_summary(changed, BlockHoldOut())[1:] == [
        'only in the test, so never learnt: movement 7'
    ]
    assert training_summary(changed, MovementHoldOut())[1:] == []
    unlabelled = replace(changed, labels=None)
    assert training_summary(unlabelled, BlockHoldOut())[1:] == []


def test_what_cannot_be_trained_on_is_refused():
    with pytest.raises(RecordingError, match='no reference angles to learn from'):
        training_summary(replace(make_recording(), reference=None), HOLD_OUT)
    with pytest.raises(RecordingError, match='none of'):
        training_summary(with_names(make_recording(), ('a', 'b', 'c')), HOLD_OUT)
