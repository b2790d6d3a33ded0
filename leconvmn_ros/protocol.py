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

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, Literal

from leconvmn_ros.errors import RecordingError
from leconvmn_ros.recording import LabelTrack, Recording
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Role(IntEnum):
    """What a moment of a recording may be used for."""

    TRAINING = 0
    VALIDATION = 1
    TEST = 2


Repetition = Annotated[int, Field(ge=1)]


class RepetitionHoldOut(BaseModel):
    """Whole repetitions, each with the rest that follows it, are held out.

    What comes before the first repetition belongs to the training data.
    """

    model_config = ConfigDict(frozen=True, extra='forbid')

    kind: Literal['repetitions'] = 'repetitions'
    validation: tuple[Repetition, ...] = Field(
        min_length=1, description='repetitions that choose the epoch'
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

    def roles(
        self,
        stamps_ns: NDArray[np.int64],
        labels: LabelTrack | None,
        span_ns: tuple[int, int],  # noqa: ARG002 - one signature for every kind
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


class BlockHoldOut(BaseModel):
    """The end of a recording is the test, the share before it picks the epoch."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    kind: Literal['blocks'] = 'blocks'
    validation: float = Field(default=0.15, gt=0, lt=0.5, description='share of the duration')
    test: float = Field(default=0.25, gt=0, lt=0.5, description='share of the duration')
    spans_ns: tuple[tuple[int, int], ...] = Field(
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
        span_ns: tuple[int, int],
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


# Both have roles(stamps_ns, labels, span_ns): the role (a `Role` value) at each of the times (ns),
# given the labels of the recording and the start and end of its EMG. Raises
# RecordingError if what it needs is missing.
HoldOut = Annotated[RepetitionHoldOut | BlockHoldOut, Field(discriminator='kind')]


def default_hold_out(recording: Recording) -> RepetitionHoldOut | BlockHoldOut:
    """Choose what to hold out: by repetition if the recording has at least three, else by time.

    With six or ten repetitions these are the splits usual for Ninapro DB2 and DB5 (test 2, 5) and
    DB1 (test 2, 5, 7).
    """
    labels = recording.labels
    repetitions = (
        [] if labels is None else sorted(set(labels.repetition[labels.repetition > 0].tolist()))
    )
    if len(repetitions) < 3:
        return BlockHoldOut()
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
