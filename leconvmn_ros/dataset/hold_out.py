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

"""Which part of a recording may be trained on, which picks the epoch, which is the test."""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Annotated, Literal

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import LabelTrack, Recording
from leconvmn_ros.core.strict_model import StrictModel
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

# 'repetitions' holds out whole repetitions where there are some, 'paper' the end of each movement.
Protocol = Literal['repetitions', 'paper']
# Start and end (ns).
Interval = tuple[int, int]


class Role(IntEnum):
    """What a moment of a recording may be used for."""

    TRAINING = 0
    VALIDATION = 1
    TEST = 2


Repetition = Annotated[int, Field(ge=1)]


class _Rule(StrictModel):
    """What all kinds of hold-out have in common."""

    def rule(self) -> str:
        """Say what is held out in words, without the intervals of one recording."""
        content = self.model_dump(mode='json', exclude={'spans_ns', 'recordings'})
        parts = [
            f'{key} {_plain(value)}'
            for key, value in content.items()
            if key != 'kind' and value != []
        ]
        return ', '.join((content['kind'], *parts))


def _plain(value: object) -> str:
    return ' and '.join(map(str, value)) if isinstance(value, list) else str(value)


class RepetitionHoldOut(_Rule):
    """Whole repetitions, each with the rest that follows it, are held out.

    What comes before the first repetition belongs to the training data.
    """

    kind: Literal['repetitions'] = 'repetitions'
    validation: tuple[Repetition, ...] = Field(
        default=(), description='repetitions that choose the epoch, where anything is chosen'
    )
    test: tuple[Repetition, ...] = Field(
        min_length=1, description='repetitions that are only ever scored'
    )

    @model_validator(mode='after')
    def _disjoint(self) -> 'RepetitionHoldOut':
        both = sorted(set(self.validation) & set(self.test))
        if both:
            raise ValueError(
                f'repetitions {both} are in both validation {self.validation} and test {self.test}'
            )
        return self

    def of(self, recordings: Sequence[Recording]) -> 'RepetitionHoldOut':
        """Return the same; see `HoldOut`.

        Raises:
            RecordingError: no recording has a repetition that is to be held out: nothing would be
                left to test on, without a word.
        """
        tracks = [recording.labels for recording in recordings if recording.labels is not None]
        there = {int(number) for track in tracks for number in track.repetition if number > 0}
        missing = sorted({*self.validation, *self.test} - there)
        if tracks and missing:
            raise RecordingError(
                f'repetitions {missing} cannot be held out; the recordings have {sorted(there)}'
            )
        return self

    def roles(
        self,
        stamps_ns: NDArray[np.int64],
        labels: LabelTrack | None,
        span_ns: Interval,  # noqa: ARG002 - one signature for every kind
    ) -> NDArray[np.int64]:
        """Return the role at each of the times (ns), shape (times,); see `HoldOut`."""
        if labels is None:
            raise RecordingError(
                'the recording has no movement labels, so no repetitions can be held out'
            )
        repetition = repetition_at(labels, stamps_ns)
        roles = np.full(stamps_ns.shape, Role.TRAINING, dtype=np.int64)
        roles[np.isin(repetition, self.validation)] = Role.VALIDATION
        roles[np.isin(repetition, self.test)] = Role.TEST
        return roles


class BlockHoldOut(_Rule):
    """The end of a recording is the test, the share before it picks the epoch."""

    kind: Literal['blocks'] = 'blocks'
    validation: float = Field(default=0.15, gt=0, lt=0.5, description='share of the duration')
    test: float = Field(default=0.25, gt=0, lt=0.5, description='share of the duration')
    spans_ns: tuple[Interval, ...] = Field(
        default=(), description='start and end of each recording trained on; set by the training'
    )

    def of(self, recordings: Sequence[Recording]) -> 'BlockHoldOut':
        """Return the same for just these recordings.

        What is scored later, live or from a part of the bag, then keeps the role that it had in
        the training; what lies outside of these recordings has none and counts as training.
        """
        return self.model_copy(update={'spans_ns': tuple(r.span_ns for r in recordings)})

    def roles(
        self,
        stamps_ns: NDArray[np.int64],
        labels: LabelTrack | None,  # noqa: ARG002 - one signature for every kind
        span_ns: Interval,
    ) -> NDArray[np.int64]:
        """Return the role at each of the times (ns), shape (times,); see `HoldOut`."""
        whole = not self.spans_ns or span_ns in self.spans_ns
        roles = np.full(stamps_ns.shape, -1, dtype=np.int64)
        for first, last in (span_ns,) if whole else self.spans_ns:
            share = (stamps_ns - first) / max(1, last - first)
            inside = (share >= 0) & (share <= 1) if self.spans_ns else np.ones_like(share, bool)
            role = np.full_like(roles, Role.TRAINING)
            role[share >= 1 - self.test - self.validation] = Role.VALIDATION
            role[share >= 1 - self.test] = Role.TEST
            # Recordings that overlap in time: what one of them trained on is no test.
            roles[inside] = np.where(roles == -1, role, np.minimum(roles, role))[inside]
        return np.where(roles == -1, Role.TRAINING, roles)


class HeldOutParts(StrictModel):
    """What is held out of one recording, in intervals of time; the rest is training data."""

    span_ns: Interval = Field(description='start and end of the EMG')
    validation_ns: tuple[Interval, ...] = Field(description='what picks the epoch')
    test_ns: tuple[Interval, ...] = Field(description='what is only ever scored')

    def roles(self, stamps_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the role at each of the times (ns), shape (times,)."""
        roles = np.full(stamps_ns.shape, Role.TRAINING, dtype=np.int64)
        for role, intervals in (
            (Role.VALIDATION, self.validation_ns),
            (Role.TEST, self.test_ns),
        ):
            for first, last in intervals:
                roles[(stamps_ns >= first) & (stamps_ns < last)] = role
        return roles


class MovementHoldOut(_Rule):
    """The end of each movement's time is the test, the share before it picks the epoch.

    The time of a movement is that of all its repetitions, each with the rest that follows it,
    within the EMG of the recording; what comes before the first movement belongs to the training
    data. Where movements come in any order, a movement's time is made of several stretches and
    the shares are of their total.

    The shares of the method paper (Guo et al., J. Neural Eng. 18 (2021) 026027) could not be
    found. The code that its laboratory published with a later paper (Lin et al., IEEE Trans.
    Neural Syst. Rehabil. Eng. 31 (2023) 87) cuts each movement, from its first onset to its last
    end with the rests between, at 80 % of its time; the last fifth is the test. So is it here.
    That code has no validation part, or takes it from that last fifth; here it is the tenth
    before the test, so that 70 % are left to train on.

    The test follows on what was trained on: less of a test than whole repetitions are.
    """

    kind: Literal['movements'] = 'movements'
    validation: float = Field(
        default=0.1, gt=0, lt=0.5, description="share of each movement's time"
    )
    test: float = Field(default=0.2, gt=0, lt=0.5, description="share of each movement's time")
    recordings: tuple[HeldOutParts, ...] = Field(
        default=(), description='what is held out of each recording; set by the training'
    )

    def of(self, recordings: Sequence[Recording]) -> 'MovementHoldOut':
        """Return the same for just these recordings; see `HoldOut`.

        What is scored later, live or from a part of the bag, then keeps the role that it had in
        the training; what lies outside of these recordings has none and counts as training.

        Raises:
            RecordingError: a recording has no labels, or none of a movement.
        """
        parts = tuple(self._checked_parts(r.labels, r.span_ns, r.name) for r in recordings)
        return self.model_copy(update={'recordings': parts})

    def roles(
        self, stamps_ns: NDArray[np.int64], labels: LabelTrack | None, span_ns: Interval
    ) -> NDArray[np.int64]:
        """Return the role at each of the times (ns), shape (times,); see `HoldOut`."""
        known = self.recordings
        if not known:
            known = (self._checked_parts(labels, span_ns, 'the recording'),)
        elif (whole := self._parts(labels, span_ns)) in known:
            known = (whole,)  # not another one of the same times
        roles = np.full(stamps_ns.shape, Role.TEST, dtype=np.int64)
        outside = np.ones(stamps_ns.shape, dtype=np.bool_)
        for parts in known:
            first, last = parts.span_ns
            inside = (stamps_ns >= first) & (stamps_ns <= last)
            # Recordings that overlap in time: what one of them trained on is no test.
            roles[inside] = np.minimum(roles, parts.roles(stamps_ns))[inside]
            outside &= ~inside
        return np.where(outside, Role.TRAINING, roles)

    def _checked_parts(
        self, labels: LabelTrack | None, span_ns: Interval, name: str
    ) -> HeldOutParts:
        parts = self._parts(labels, span_ns)
        if not parts.test_ns:
            raise RecordingError(
                f'{name} has no movement labels, so no part of a movement can be held out'
            )
        return parts

    def _parts(self, labels: LabelTrack | None, span_ns: Interval) -> HeldOutParts:
        stretches = {} if labels is None else _movement_stretches(labels, span_ns)
        validation: list[Interval] = []
        test: list[Interval] = []
        for own in stretches.values():
            total = sum(last - first for first, last in own)
            training_end, validation_end = (
                round(total * (1 - share)) for share in (self.test + self.validation, self.test)
            )
            validation += _between(own, training_end, validation_end)
            test += _between(own, validation_end, total)
        return HeldOutParts(
            span_ns=span_ns, validation_ns=tuple(sorted(validation)), test_ns=tuple(sorted(test))
        )


class NoHoldOut(_Rule):
    """Nothing is held out: all of the recordings is learnt, as a decoder to be worn needs it.

    What lies outside of these recordings, such as another day, is test data.
    """

    kind: Literal['none'] = 'none'
    spans_ns: tuple[Interval, ...] = Field(
        default=(), description='start and end of each recording trained on; set by the training'
    )

    def rule(self) -> str:
        """Say it in words."""
        return 'nothing'

    def of(self, recordings: Sequence[Recording]) -> 'NoHoldOut':
        """Return the same for just these recordings; see `HoldOut`."""
        return self.model_copy(update={'spans_ns': tuple(r.span_ns for r in recordings)})

    def roles(
        self,
        stamps_ns: NDArray[np.int64],
        labels: LabelTrack | None,  # noqa: ARG002 - one signature for every kind
        span_ns: Interval,  # noqa: ARG002
    ) -> NDArray[np.int64]:
        """Return the role at each of the times (ns), shape (times,); see `HoldOut`."""
        if not self.spans_ns:
            return np.full(stamps_ns.shape, Role.TRAINING, dtype=np.int64)
        roles = np.full(stamps_ns.shape, Role.TEST, dtype=np.int64)
        for first, last in self.spans_ns:
            roles[(stamps_ns >= first) & (stamps_ns <= last)] = Role.TRAINING
        return roles


# Each kind has
# roles(stamps_ns, labels, span_ns): the role (a `Role` value) at each of the times (ns), given the
# labels of the recording and the start and end of its EMG. Raises RecordingError if what it needs
# is missing.
# of(recordings): the same, fixed to the recordings that are trained on, so that a role does not
# depend on how much of a recording is heard later. Raises RecordingError if nothing can be held
# out of them.
HoldOut = Annotated[
    RepetitionHoldOut | BlockHoldOut | MovementHoldOut | NoHoldOut, Field(discriminator='kind')
]


def hold_out_named(
    protocol: Protocol, recording: Recording
) -> RepetitionHoldOut | BlockHoldOut | MovementHoldOut:
    """Return what a protocol holds out of a recording."""
    return MovementHoldOut() if protocol == 'paper' else default_hold_out(recording)


def default_hold_out(
    recording: Recording,
) -> RepetitionHoldOut | BlockHoldOut | MovementHoldOut:
    """Choose what to hold out: by repetition if the recording has at least three.

    With six or ten repetitions these are the splits usual for Ninapro DB2 and DB5 (test 2, 5) and
    DB1 (test 2, 5, 7). With one or two it is the end of each movement, so that all movements are
    learnt; without labels, the end of the recording.
    """
    labels = recording.labels
    repetitions = (
        [] if labels is None else sorted(set(labels.repetition[labels.repetition > 0].tolist()))
    )
    if len(repetitions) < 3:
        there = labels is not None and labels.movement.any()
        return MovementHoldOut() if there else BlockHoldOut()
    usual = (2, 5, 7) if len(repetitions) >= 10 else (2, 5)
    if set(usual) | {4} <= set(repetitions):
        return RepetitionHoldOut(validation=(4,), test=usual)
    return RepetitionHoldOut(validation=(repetitions[-2],), test=(repetitions[-1],))


def repetition_at(labels: LabelTrack, stamps_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the repetition that holds at each of the times (ns), 0 before the first label."""
    return _at(labels, labels.repetition, stamps_ns)


def movement_at(labels: LabelTrack, stamps_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the movement that holds at each of the times (ns), 0 before the first label."""
    return _at(labels, labels.movement, stamps_ns)


def _at(
    labels: LabelTrack, values: NDArray[np.int64], stamps_ns: NDArray[np.int64]
) -> NDArray[np.int64]:
    index = np.searchsorted(labels.stamps_ns, stamps_ns, side='right') - 1
    # Index -1, before the first label, finds the 0 put at the end.
    return np.append(values, 0)[index]


def _movement_stretches(labels: LabelTrack, span_ns: Interval) -> dict[int, list[Interval]]:
    """Return when each movement and the rests after it are on, within the span, in time order."""
    at = np.maximum.accumulate(np.where(labels.movement > 0, np.arange(len(labels.movement)), -1))
    owner = np.where(at < 0, 0, labels.movement[at])
    changes = np.flatnonzero(np.diff(owner, prepend=0)).tolist()
    stamps = labels.stamps_ns
    stretches: dict[int, list[Interval]] = {}
    for place, after in pairwise([*changes, len(owner)]):
        end_ns = int(stamps[after]) if after < len(stamps) else span_ns[1]
        first, last = max(int(stamps[place]), span_ns[0]), min(end_ns, span_ns[1])
        if first < last:
            stretches.setdefault(int(owner[place]), []).append((first, last))
    return stretches


def _between(stretches: Iterable[Interval], start: int, end: int) -> list[Interval]:
    """Return what of the stretches lies between two amounts of their accumulated time (ns)."""
    cut = []
    passed = 0
    for first, last in stretches:
        own = first + max(start - passed, 0), first + min(end - passed, last - first)
        if own[0] < own[1]:
            cut.append(own)
        passed += last - first
    return cut
