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

"""Summarises what a training will use of a recording, before it starts."""

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import NANOSECONDS, Recording
from leconvmn_ros.dataset.alignment import LONGEST_GAP_NS, reference_joints
from leconvmn_ros.dataset.filter_choice import kind_of
from leconvmn_ros.dataset.hold_out import HoldOut, movement_at, Role
from leconvmn_ros.dataset.segments import cut_segments
from leconvmn_ros.emg.level import unit_words
import numpy as np
from numpy.typing import NDArray

# If less of the EMG has reference angles, something is wrong with them.
LEAST_COVERED = 0.5


def training_summary(
    recording: Recording, hold_out: HoldOut, *, learn_validation: bool = False
) -> list[str]:
    """Return lines on how a recording is divided, and on what of it is unusable.

    Args:
        recording: a recording with reference angles.
        hold_out: the hold-out.
        learn_validation: whether the validation part is trained on, too.

    Raises:
        RecordingError: it cannot be trained on.
    """
    reference = recording.reference
    if reference is None:
        raise RecordingError(f'{recording.name} has no reference angles to learn from')
    names = reference_joints(reference)
    segments = cut_segments(recording, names, hold_out, learn_validation=learn_validation)
    rate = recording.chunks[0].sampling_rate
    whole = sum(len(chunk.samples) for chunk in recording.chunks) / rate
    learn, choose, test = (
        sum(len(segment.samples) for segment in segments if segment.role is role) / rate
        for role in Role
    )
    parts = f'{learn:.0f} s to learn from, '
    if not learn_validation:
        parts += f'{choose:.0f} s to choose the epoch, '
    parts += f'{test:.0f} s to test'
    lines = [f'{recording.name}: {whole:.0f} s of EMG; {parts}']
    learnt = [segment.samples for segment in segments if segment.role is Role.TRAINING]
    envelope = kind_of(recording) == 'envelope'
    if learnt and (doubt := unit_words(max(learnt, key=len), envelope=envelope)):
        lines.append(doubt)
    if (covered := (learn + choose + test) / whole) < LEAST_COVERED:
        lines.append(
            f'only {covered:.0%} of the EMG has reference angles, of the same time and no more '
            f'than {LONGEST_GAP_NS / NANOSECONDS:g} s apart: nothing else is used'
        )
    if missing := [name for name in JOINT_NAMES if name not in names]:
        lines.append(f'not in the reference, so not learnt: {", ".join(missing)}')
        if others := [name for name in reference.names if name not in names]:
            lines.append(f'in the reference, but none of the ten joints: {", ".join(others)}')
    if never := _never_learnt(recording, reference.stamps_ns, hold_out):
        lines.append(f'only in the test, so never learnt: movement {", ".join(map(str, never))}')
    return lines


def _never_learnt(
    recording: Recording, stamps_ns: NDArray[np.int64], hold_out: HoldOut
) -> list[int]:
    """Return the movements that are made in the test alone."""
    if recording.labels is None:
        return []
    movement = movement_at(recording.labels, stamps_ns)
    roles = hold_out.roles(stamps_ns, recording.labels, recording.span_ns)
    learnt = movement[roles != Role.TEST]
    return sorted({*movement.tolist()} - {*learnt.tolist(), 0})
