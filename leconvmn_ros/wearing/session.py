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

"""Guided sessions: YAML files, some of them shipped.

Ramps of two seconds rather than steps, holds, two to three seconds of rest, three to six
repetitions: good practice according to studies of regression control. The order of movements is
shuffled within each repetition unless the file says otherwise, because in use no movement follows
from the one before.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
import random
from typing import Annotated, Any, Literal, NamedTuple

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.strict_model import first_problem, StrictModel
from leconvmn_ros.core.yaml_file import read_yaml
from leconvmn_ros.wearing.poses import Finger, MOVEMENTS, pose
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator, ValidationError

SESSIONS = Path(__file__).with_name('sessions')
DEFAULT_SESSION = 'standard'
LONGEST = 3600.0  # s
# Attempts to draw an order in which no movement comes twice in a row.
DRAWS = 100

Name = Annotated[str, Field(min_length=1, max_length=60, pattern=r'^[^\x00-\x1f\x7f<>&]+$')]
Bend = Annotated[float, Field(ge=-1, le=1)]


class Movement(StrictModel):
    """One movement of a session."""

    name: Name = Field(description='name on the page')
    fingers: dict[Finger, Bend] = Field(
        description='1 = full flexion, -1 = full extension; fingers not listed rest'
    )

    def pose(self) -> NDArray[np.float64]:
        """Return the ten angles of the held pose (rad), shape (10,)."""
        return pose(self.fingers)


class Trial(NamedTuple):
    """One repetition of one movement.

    Attributes:
        movement: number of the movement in the session, from 1.
        repetition: number of the repetition, from 1.
    """

    movement: int
    repetition: int


class Session(StrictModel):
    """A guided session."""

    name: Name = Field(description='name on the page')
    note: str = Field(default='', max_length=500, description='note to the wearer')
    movements: tuple[Movement, ...] = Field(
        min_length=1,
        max_length=40,
        description='names of known movements, or a name with the bend of fingers for each',
    )
    repetitions: int = Field(default=4, ge=1, le=20, description='repetitions of each movement')
    ramp: float = Field(
        default=2.0, ge=0.3, le=10, description='time to reach the pose, and to return (s)'
    )
    hold: float = Field(default=1.5, ge=0, le=30, description='time to hold the pose (s)')
    rest: float = Field(default=2.0, ge=0.5, le=60, description='rest after each repetition (s)')
    order: Literal['shuffled', 'fixed'] = Field(
        default='shuffled', description='order of the movements within a repetition'
    )

    @field_validator('movements', mode='before')
    @classmethod
    def _known_by_name(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return tuple(_named(entry) if isinstance(entry, str) else entry for entry in value)

    @model_validator(mode='after')
    def _bounded(self) -> 'Session':
        names = [movement.name for movement in self.movements]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f'movements {twice} appear twice')
        if self.duration > LONGEST:
            raise ValueError(
                f'the session takes {self.duration:.0f} s; at most {LONGEST:.0f} s are allowed'
            )
        return self

    @property
    def moving(self) -> float:
        """Time from the cue to the end of the movement (s)."""
        return 2 * self.ramp + self.hold

    @property
    def period(self) -> float:
        """Time from one cue to the next (s)."""
        return self.moving + self.rest

    @property
    def duration(self) -> float:
        """Length of the whole session without repeated trials (s)."""
        return len(self.movements) * self.repetitions * self.period

    def trials(self, seed: int) -> tuple[Trial, ...]:
        """Return all repetitions of all movements in order.

        Every movement comes once before any is repeated, so that a session that is cut short
        contains all of them. In shuffled order, none comes twice in a row.

        Args:
            seed: seed of a shuffled order.
        """
        numbers = range(1, len(self.movements) + 1)
        drawn = random.Random(seed)
        orders: list[Sequence[int]] = []
        for _ in range(self.repetitions):
            order = list(numbers)
            if self.order == 'shuffled':
                before = orders[-1][-1] if orders else 0
                for _ in range(DRAWS):
                    drawn.shuffle(order)
                    if order[0] != before:
                        break
            orders.append(order)
        return tuple(
            chain.from_iterable(
                (Trial(movement, repetition) for movement in order)
                for repetition, order in enumerate(orders, start=1)
            )
        )


def _named(name: str) -> dict[str, Any]:
    if name not in MOVEMENTS:
        raise ValueError(f'{name!r} is not a known movement; known are {", ".join(MOVEMENTS)}')
    return {'name': name, 'fingers': dict(MOVEMENTS[name])}


def session_names() -> tuple[str, ...]:
    """Return the names of the shipped sessions, the shortest first."""
    names = [path.stem for path in SESSIONS.glob('*.yaml')]
    return tuple(sorted(names, key=lambda name: load_session(name).duration))


def load_session(name: str) -> Session:
    """Read a shipped session, or one of the user's.

    Args:
        name: `quick`, `standard`, `full`, or the path of a .yaml file.

    Raises:
        ConfigurationError: there is none of that name, or the file is not allowed.
    """
    if name.endswith(('.yaml', '.yml')):
        path = Path(name)
    else:
        path = SESSIONS / f'{name}.yaml'
        if not name.isidentifier() or not path.is_file():
            known = ', '.join(sorted(entry.stem for entry in SESSIONS.glob('*.yaml')))
            raise ConfigurationError(
                f'there is no session {name!r}; allowed are {known}, or the path of a .yaml file'
            )
    try:
        return Session.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ConfigurationError(f'{path}: {first_problem(error)}') from error
