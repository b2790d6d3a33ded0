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

"""The mean course of each movement, from which fine-tuning without a glove learns.

A template is the mean of the joint angles over the repetitions of the training. Time is counted
in shares of a repetition, 0 at its start and 1 at its end according to the EMG. A template
therefore fits a repetition of another session once its start and end are known.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from leconvmn_ros.core.strict_model import StrictModel
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

POINTS = 36
# Extent of a template before the start and after the end of a movement, in shares of its length:
# the hand moves later than the muscle, and returns slowly.
LEAD, TAIL = 0.25, 0.5
# With more movements, the description in a checkpoint would have megabytes.
MOST_MOVEMENTS = 100
_DIGITS = 5
_Row = tuple[float, ...]
PHASES = np.linspace(-LEAD, 1 + TAIL, POINTS)


class MovementTemplate(StrictModel):
    """The mean course of one movement."""

    movement: int = Field(ge=1, description='number of the movement in the labels')
    repetitions: int = Field(ge=1, description='number of repetitions averaged')
    duration: float = Field(gt=0, description='median duration (s)')
    angles: tuple[_Row, ...] = Field(
        min_length=POINTS,
        max_length=POINTS,
        description=f'{POINTS} points from {-LEAD:g} to {1 + TAIL:g} of the duration, one '
        'angle per joint (rad)',
    )


class MovementTemplates(StrictModel):
    """The templates of all movements in a training."""

    rest: _Row = Field(
        min_length=1, max_length=64, description='median angle of each joint at rest (rad)'
    )
    movements: tuple[MovementTemplate, ...] = Field(min_length=1, max_length=MOST_MOVEMENTS)

    @model_validator(mode='after')
    def _consistent(self) -> 'MovementTemplates':
        numbers = [each.movement for each in self.movements]
        if len(set(numbers)) < len(numbers):
            raise ValueError(f'movements {numbers}; each may appear once')
        lengths = {len(row) for each in self.movements for row in each.angles}
        if lengths != {self.joints}:
            raise ValueError(f'rows of {sorted(lengths)} angles for {self.joints} joints')
        return self

    @property
    def joints(self) -> int:
        """Number of joints."""
        return len(self.rest)

    def by_number(self) -> Mapping[int, MovementTemplate]:
        """Return the templates by the numbers of the movements."""
        return {each.movement: each for each in self.movements}


class Course(NamedTuple):
    """The course of one repetition.

    Attributes:
        movement: number of the movement.
        duration: duration from start to end (s).
        angles: angles at the points of a template (rad), shape (POINTS, joints); NaN = unknown.
    """

    movement: int
    duration: float
    angles: NDArray[np.float64]


def templates_of(courses: Sequence[Course], rest: NDArray[np.float64]) -> MovementTemplates | None:
    """Average the repetitions of each movement; None if there are none, or too many movements.

    Args:
        courses: the repetitions.
        rest: angle of each joint at rest (rad), shape (joints,).
    """
    by_movement: dict[int, list[Course]] = {}
    for course in courses:
        if np.isfinite(course.angles).all(axis=1).any():
            by_movement.setdefault(course.movement, []).append(course)
    if not 0 < len(by_movement) <= MOST_MOVEMENTS:
        return None
    return MovementTemplates(
        rest=_rounded(rest),
        movements=tuple(
            MovementTemplate(
                movement=number,
                repetitions=len(own),
                duration=float(np.median([course.duration for course in own])),
                angles=tuple(map(_rounded, _mean(np.stack([course.angles for course in own])))),
            )
            for number, own in sorted(by_movement.items())
        ),
    )


def _mean(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the known angles at each point, shape (POINTS, joints).

    Args:
        angles: shape (repetitions, POINTS, joints).
    """
    masked = np.ma.masked_invalid(angles)
    mean: NDArray[np.float64] = masked.mean(axis=0).filled(np.nan)
    there = np.flatnonzero(np.isfinite(mean).all(axis=1))
    # Unknown points, such as those next to another movement, get the nearest known value.
    return np.stack([np.interp(PHASES, PHASES[there], column) for column in mean[there].T], axis=1)


def _rounded(values: NDArray[np.float64]) -> _Row:
    return tuple(float(f'{value:.{_DIGITS}g}') for value in values)
