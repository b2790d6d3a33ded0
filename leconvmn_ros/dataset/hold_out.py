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

"""Divides recordings into parts for training, for the choice of the epoch, and for the test."""

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

# 'repetitions' holds out whole repetitions if possible, 'paper' the end of each movement.
Protocol = Literal['repetitions', 'paper']
# Start and end (ns).
Interval = tuple[int, int]


class Role(IntEnum):
    """The use of a moment of a recording."""

    TRAINING = 0
    VALIDATION = 1
    TEST = 2


Repetition = Annotated[int, Field(ge=1)]


class _Rule(StrictModel):
    """Common base of all kinds of hold-out."""

    def rule(self) -> str:
        """Describe what is held out, without the intervals of one recording."""
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
    """Holds out whole repetitions, each with the rest that follows it.

    Samples before the first repetition are training data.
    """

    kind: Literal['repetitions'] = 'repetitions'
    validation: tuple[Repetition, ...] = Field(
        default=(), description='repetitions for choosing the epoch, if it is chosen'
    )
    test: tuple[Repetition, ...] = Field(
        min_length=1, description='repetitions that are only scored'
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
        """Return itself; see `HoldOut`.

        Raises:
            RecordingError: no recording has a repetition to hold out, so nothing would be left
                to test on.
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
    """Holds out the end of a recording as the test; the share before it picks the epoch."""

    kind: Literal['blocks'] = 'blocks'
    validation: float = Field(default=0.15, gt=0, lt=0.5, description='share of the duration')
    test: float = Field(default=0.25, gt=0, lt=0.5, description='share of the duration')
    spans_ns: tuple[Interval, ...] = Field(
        default=(), description='start and end of each training recording; set by the training'
    )

    def of(self, recordings: Sequence[Recording]) -> 'BlockHoldOut':
        """Return it, fixed to these recordings.

        If a part of them is scored later, live or from a bag, it keeps its role of the training.
        All that lies outside of these recordings has no role and counts as training.
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
            # If recordings overlap, training data of one cannot be a test.
            roles[inside] = np.where(roles == -1, role, np.minimum(roles, role))[inside]
        return np.where(roles == -1, Role.TRAINING, roles)


class HeldOutParts(StrictModel):
    """The parts held out of one recording, as intervals of time; the rest is training data."""

    span_ns: Interval = Field(description='start and end of the EMG')
    validation_ns: tuple[Interval, ...] = Field(description='parts for choosing the epoch')
    test_ns: tuple[Interval, ...] = Field(description='parts that are only scored')

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
    """Holds out the end of each movement's time as the test; the share before it picks the epoch.

    The time of a movement is that of all its repetitions, each with the rest that follows it,
    within the EMG of the recording. Samples before the first movement are training data. If
    movements come in any order, the time of one consists of several stretches, and shares are
    taken of their total.

    The shares of the method paper (Guo et al., J. Neural Eng. 18 (2021) 026027) are not known. The
    code that its laboratory published with a later paper (Lin et al., IEEE Trans. Neural Syst.
    Rehabil. Eng. 31 (2023) 87) cuts each movement, from its first onset to its last end including
    rests, at 80 % of its time; the last fifth is the test. We do the same. That code has no
    validation part, or takes it from the last fifth; here it is the tenth before the test, which
    leaves 70 % for training.

    The test directly follows training data, so it is a weaker test than whole repetitions.
    """

    kind: Literal['movements'] = 'movements'
    validation: float = Field(
        default=0.1, gt=0, lt=0.5, description="share of each movement's time"
    )
    test: float = Field(default=0.2, gt=0, lt=0.5, description="share of each movement's time")
    recordings: tuple[HeldOutParts, ...] = Field(
        default=(), description='parts held out of each recording; set by the training'
    )

    def of(self, recordings: Sequence[Recording]) -> 'MovementHoldOut':
        """Return it, fixed to these recordings; see `HoldOut`.

        If a part of them is scored later, live or from a bag, it keeps its role of the training.
        All that lies outside of these recordings has no role and counts as training.

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
            known = (whole,)  # not another recording of the same time
        roles = np.full(stamps_ns.shape, Role.TEST, dtype=np.int64)
        outside = np.ones(stamps_ns.shape, dtype=np.bool_)
        for parts in known:
            first, last = parts.span_ns
            inside = (stamps_ns >= first) & (stamps_ns <= last)
            # If recordings overlap, training data of one cannot be a test.
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
    """Holds out nothing: the decoder learns from all of the recordings, for use.

    All that lies outside of these recordings, such as another day, is test data.
    """

    kind: Literal['none'] = 'none'
    spans_ns: tuple[Interval, ...] = Field(
        default=(), description='start and end of each training recording; set by the training'
    )

    def rule(self) -> str:
        """Describe it."""
        return 'nothing'

    def of(self, recordings: Sequence[Recording]) -> 'NoHoldOut':
        """Return it, fixed to these recordings; see `HoldOut`."""
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


# All kinds have two methods:
# roles(stamps_ns, labels, span_ns): the `Role` at each of the times (ns), given the labels of the
# recording and the start and end of its EMG. Raises RecordingError if required data are missing.
# of(recordings): the same hold-out, fixed to the training recordings, so that roles do not depend
# on how much of a recording is present later. Raises RecordingError if nothing can be held out of
# them.
HoldOut = Annotated[
    RepetitionHoldOut | BlockHoldOut | MovementHoldOut | NoHoldOut, Field(discriminator='kind')
]


def hold_out_named(
    protocol: Protocol, recording: Recording
) -> RepetitionHoldOut | BlockHoldOut | MovementHoldOut:
    """Return the hold-out of a protocol for a recording."""
    return MovementHoldOut() if protocol == 'paper' else default_hold_out(recording)


def default_hold_out(
    recording: Recording,
) -> RepetitionHoldOut | BlockHoldOut | MovementHoldOut:
    """Choose what to hold out: repetitions if the recording has at least three.

    With six or ten repetitions these are the usual splits of Ninapro DB2 and DB5 (test 2, 5) and
    DB1 (test 2, 5, 7). With one or two, it is the end of each movement, so that all movements are
    trained; without labels, the end of the recording.
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
    """Return the repetition at each of the times (ns), 0 before the first label."""
    return _at(labels, labels.repetition, stamps_ns)


def movement_at(labels: LabelTrack, stamps_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the movement at each of the times (ns), 0 before the first label."""
    return _at(labels, labels.movement, stamps_ns)


def _at(
    labels: LabelTrack, values: NDArray[np.int64], stamps_ns: NDArray[np.int64]
) -> NDArray[np.int64]:
    index = np.searchsorted(labels.stamps_ns, stamps_ns, side='right') - 1
    # Index -1, before the first label, hits the 0 appended at the end.
    return np.append(values, 0)[index]


def _movement_stretches(labels: LabelTrack, span_ns: Interval) -> dict[int, list[Interval]]:
    """Return, by movement, the intervals of it and its rests within the span, in order."""
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
    """Return the part of the stretches between two values of their accumulated time (ns)."""
    cut = []
    passed = 0
    for first, last in stretches:
        own = first + max(start - passed, 0), first + min(end - passed, last - first)
        if own[0] < own[1]:
            cut.append(own)
        passed += last - first
    return cut
