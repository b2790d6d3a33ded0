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

"""The training data of a decoder, and whether a score would include any of them.

Training stores hashes of the blocks of EMG that it learns from in the checkpoint, together with
those of the decoder that it started from. A part that is scored must contain none of them.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from leconvmn_ros.core.recording import Recording
from leconvmn_ros.core.strict_model import StrictModel
from leconvmn_ros.dataset.fingerprints import block_hashes, emg_hash, HASH_BYTES
from leconvmn_ros.dataset.hold_out import HoldOut, repetition_at, Role
from leconvmn_ros.dataset.segments import gapless_runs
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

# A smaller share may occur in two recordings by chance.
LEAST_SHARE = 0.01
_HEX_DIGITS = 2 * HASH_BYTES


class LearntRecording(StrictModel):
    """The learnt part of a recording; data that chose the epoch count as learnt."""

    name: str
    emg_sha256: str = Field(
        pattern='^[0-9a-f]{64}$', description='hash of all EMG, see `dataset.fingerprints`'
    )
    repetitions: tuple[int, ...] = Field(description='numbers of the repetitions; 0 = none')
    blocks: str = Field(
        pattern=f'^([0-9a-f]{{{_HEX_DIGITS}}})*$',
        description='concatenated hashes of the blocks of EMG',
    )

    def block_set(self) -> set[bytes]:
        """Return the hashes of the blocks."""
        content = bytes.fromhex(self.blocks)
        return {content[i : i + HASH_BYTES] for i in range(0, len(content), HASH_BYTES)}


class Overlap(NamedTuple):
    """How much of the EMG to be scored was learnt.

    Attributes:
        share: share of its blocks, 0 to 1.
        repetitions: the affected repetitions.
        learnt_as: names of the recordings from which it was learnt.
    """

    share: float
    repetitions: tuple[int, ...]
    learnt_as: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.share >= LEAST_SHARE

    def text(self) -> str:
        """Describe it in words."""
        of = f' (repetitions {", ".join(map(str, self.repetitions))})' if self.repetitions else ''
        return f'{self.share:.0%} of it{of} was learnt from {", ".join(self.learnt_as)}'


def learnt_recordings(
    recordings: Iterable[Recording], hold_out: HoldOut
) -> tuple[LearntRecording, ...]:
    """Return what a training with this hold-out learns from, or chooses by.

    Raises:
        RecordingError: a recording has no usable EMG.
    """
    learnt = []
    for recording in recordings:
        blocks: set[bytes] = set()
        numbers: set[int] = set()
        for samples, stamps_ns in _stretches(recording, hold_out, test=False):
            blocks |= block_hashes(samples, recording.chunks[0].sampling_rate)
            numbers |= _numbers(recording, stamps_ns)
        learnt.append(
            LearntRecording(
                name=recording.name,
                emg_sha256=emg_hash(np.concatenate([c.samples for c in recording.usual_chunks])),
                repetitions=tuple(sorted(numbers)),
                blocks=b''.join(sorted(blocks)).hex(),
            )
        )
    return tuple(learnt)


def merged(
    before: Sequence[LearntRecording], learnt: Sequence[LearntRecording]
) -> tuple[LearntRecording, ...]:
    """Merge both lists, with one entry for each recording."""
    found: dict[tuple[str, str], LearntRecording] = {}
    for each in (*before, *learnt):
        key = each.name, each.emg_sha256
        if (known := found.get(key)) is not None:
            numbers = {*known.repetitions, *each.repetitions}
            blocks = b''.join(sorted(known.block_set() | each.block_set()))
            each = known.model_copy(  # noqa: PLW2901
                update={'repetitions': tuple(sorted(numbers)), 'blocks': blocks.hex()}
            )
        found[key] = each
    return tuple(found.values())


def overlap_of(
    recording: Recording, hold_out: HoldOut | None, learnt: Sequence[LearntRecording]
) -> Overlap:
    """Return how much of the part to be scored was learnt.

    Args:
        recording: the recording to be scored.
        hold_out: its test part is scored; None = everything.
        learnt: everything that the decoder has learnt from.

    Raises:
        RecordingError: the recording has no usable EMG.
    """
    known: dict[str, set[bytes]] = {}
    for each in learnt:
        known.setdefault(each.name, set()).update(each.block_set())
    everything = set().union(*known.values())
    scored: set[bytes] = set()
    numbers: set[int] = set()
    for samples, stamps_ns in _stretches(recording, hold_out, test=True):
        blocks = block_hashes(samples, recording.chunks[0].sampling_rate)
        scored |= blocks
        if blocks & everything:
            numbers |= _numbers(recording, stamps_ns)
    names = tuple(name for name, blocks in known.items() if blocks & scored)
    share = len(scored & everything) / max(1, len(scored))
    return Overlap(share, tuple(sorted(numbers - {0})), names)


def _stretches(
    recording: Recording, hold_out: HoldOut | None, *, test: bool
) -> Iterable[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Yield the EMG and its times inside, or outside, the test part."""
    for samples, stamps_ns, _ in gapless_runs(recording):
        wanted = np.full(len(stamps_ns), test)
        if hold_out is not None:
            roles = hold_out.roles(stamps_ns, recording.labels, recording.span_ns)
            wanted = (roles == Role.TEST) == test
        # One stretch for each repetition, so that the affected one can be named.
        numbers = np.zeros(len(stamps_ns), dtype=np.int64)
        if recording.labels is not None:
            numbers = repetition_at(recording.labels, stamps_ns)
        changes = np.flatnonzero(np.diff(wanted) | (test & (np.diff(numbers) != 0))) + 1
        for first, last in pairwise([0, *changes.tolist(), len(wanted)]):
            if wanted[first]:
                yield samples[first:last], stamps_ns[first:last]


def _numbers(recording: Recording, stamps_ns: NDArray[np.int64]) -> set[int]:
    if recording.labels is None:
        return set()
    return set(np.unique(repetition_at(recording.labels, stamps_ns)).tolist())
