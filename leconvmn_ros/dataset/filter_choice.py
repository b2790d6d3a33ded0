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

"""Chooses the filters for the EMG of recordings before training."""

from collections.abc import Sequence
from typing import cast, Final, get_args, Literal, NamedTuple

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.dataset.hold_out import HoldOut, Role
from leconvmn_ros.emg.kind import EMG_KIND, EmgKind, guess_kind, has_offset
import numpy as np
from numpy.typing import NDArray

CORNER: Final = 20.0  # Hz, see `emg/filters.py`
# An armband at 200 Hz covers only frequencies up to 100 Hz, and most are AC-coupled. There, the
# filter is used only against an offset, with a lower corner.
CORNER_BELOW_400_HZ: Final = 5.0  # Hz
RATE_OF_AMPLIFIERS: Final = 400.0  # Hz
SLOWEST_WITH_FILTER: Final = 100.0  # Hz
_MOST_LOOKED_AT = 200_000  # samples
Mains = Literal[0, 50, 60]


class FilterChoice(NamedTuple):
    """Filters of a signal path.

    Attributes:
        high_pass: corner of the high-pass (Hz), 0 = none.
        mains: mains frequency that notches take out (Hz), 0 = none.
    """

    high_pass: float = 0.0
    mains: Mains = 0


NO_FILTERS = FilterChoice()


def choose_filters(
    recordings: Sequence[Recording],
    high_pass: float | None,
    mains: Mains,
    hold_out: HoldOut | None = None,
) -> FilterChoice:
    """Return the filters for recordings with the same electrodes.

    Args:
        recordings: recordings with EMG.
        high_pass: corner (Hz), 0 = none; None = as raw EMG of this rate needs, none for an
            envelope.
        mains: mains frequency (Hz), 0 = no notches.
        hold_out: parts that must not be inspected; None = inspect all.

    Raises:
        RecordingError: some recordings are raw EMG, others an envelope.
    """
    rate = max((each.chunks[0].sampling_rate for each in recordings if each.chunks), default=0.0)
    kinds = {kind_of(each) for each in recordings if each.chunks}
    if len(kinds) > 1:
        raise RecordingError(
            f'{", ".join(f"{each.name}: {kind_of(each)}" for each in recordings if each.chunks)}; '
            'raw EMG and envelopes cannot be trained on together'
        )
    if high_pass is None:
        if kinds != {'raw'} or rate < SLOWEST_WITH_FILTER:
            return FilterChoice(0.0, mains)
        if rate >= RATE_OF_AMPLIFIERS:
            high_pass = CORNER
        else:
            needed = any(
                has_offset(_looked_at(each, hold_out), rate) for each in recordings if each.chunks
            )
            high_pass = CORNER_BELOW_400_HZ if needed else 0.0
    return FilterChoice(float(high_pass), mains)


def kind_of(recording: Recording) -> EmgKind:
    """Return whether EMG is raw or an envelope, as stated or by its looks."""
    for kind in get_args(EmgKind):
        if recording.information.get(EMG_KIND) == kind:
            return cast('EmgKind', kind)
    return guess_kind(_looked_at(recording), recording.chunks[0].sampling_rate)


def filter_remarks(recordings: Sequence[Recording], choice: FilterChoice) -> list[str]:
    """Return sentences on the filters and the reasons for them."""
    remarks = [
        f'{each.name}: the EMG looks like an envelope and is taken as one, without a high-pass; '
        f"set {EMG_KIND} (raw or envelope) in the bag's metadata to make sure"
        for each in recordings
        if each.chunks
        and each.information.get(EMG_KIND) not in get_args(EmgKind)
        and kind_of(each) == 'envelope'
    ]
    if choice.high_pass:
        remarks.append(f'the EMG is filtered: high-pass at {choice.high_pass:g} Hz')
    if choice.mains:
        remarks.append(f'the EMG is filtered: mains hum of {choice.mains} Hz')
    return remarks


def _looked_at(recording: Recording, hold_out: HoldOut | None = None) -> NDArray[np.float32]:
    """Return the first minutes of EMG that may be inspected."""
    chunks = recording.usual_chunks
    if hold_out is not None:
        stamps_ns = np.array([chunk.stamp_ns for chunk in chunks], dtype=np.int64)
        roles = hold_out.roles(stamps_ns, recording.labels, recording.span_ns)
        own = np.flatnonzero(roles == Role.TRAINING).tolist()
        chunks = [chunks[place] for place in own] or chunks
    samples, taken = [], 0
    for chunk in chunks:
        samples.append(chunk.samples)
        taken += len(chunk.samples)
        if taken >= _MOST_LOOKED_AT:
            break
    return np.nan_to_num(np.concatenate(samples))
