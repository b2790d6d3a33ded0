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

"""Validates a sampled subject before it becomes a bag."""

from math import isfinite
from typing import Any

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import SampledSubject
import numpy as np
from numpy.typing import NDArray

# Labels are uint16 in MovementLabel.
LARGEST_LABEL = 2**16 - 1


def check_subject(subject: SampledSubject) -> None:
    """Refuse a subject with values or shapes that do not belong in a recording.

    Raises:
        RecordingError: an array has a wrong shape, holds NaN or infinity (the error names channel
            or joint, and sample, counted from 0), or labels are out of range.
    """
    if not (isfinite(subject.sampling_rate) and subject.sampling_rate > 0):
        raise RecordingError(
            f'{subject.name}: a sampling rate of {subject.sampling_rate} Hz; it must be above 0'
        )
    if subject.emg.ndim != 2 or 0 in subject.emg.shape:
        raise RecordingError(
            f'{subject.name}: EMG of shape {subject.emg.shape}; (samples, channels) is needed'
        )
    samples = len(subject.emg)
    for name, array, shape in (
        ('angles', subject.positions, (samples, len(JOINT_NAMES))),
        ('movement labels', subject.movement, (samples,)),
        ('repetition labels', subject.repetition, (samples,)),
    ):
        if array.shape != shape:
            raise RecordingError(
                f'{subject.name}: {name} of shape {array.shape} beside {samples} samples of EMG'
            )
    if place := first_non_finite(subject.emg):
        raise RecordingError(
            f'{subject.name}: EMG of channel {place[1]} is not finite at sample {place[0]}'
        )
    if place := first_non_finite(subject.positions):
        joint = JOINT_NAMES[place[1]]
        raise RecordingError(
            f'{subject.name}: the angle of {joint} is not finite at sample {place[0]}'
        )
    for name, labels in (('movement', subject.movement), ('repetition', subject.repetition)):
        if labels.min() < 0 or labels.max() > LARGEST_LABEL:
            raise RecordingError(
                f'{subject.name}: {name} labels from {labels.min()} to {labels.max()};'
                f' 0 to {LARGEST_LABEL} is allowed'
            )


def first_non_finite(values: NDArray[Any]) -> tuple[int, int] | None:
    """Return row and column of the first value that is NaN or infinite, None if all are finite.

    Args:
        values: numbers, shape (rows, columns); rows are searched in order.
    """
    finite = np.isfinite(values)
    if finite.all():
        return None
    row, column = np.unravel_index(np.argmin(finite), finite.shape)
    return int(row), int(column)
