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

"""Bags of several sessions of each person: who wore the electrodes, and which time it was.

A session is one donning: the electrodes are put on, something is recorded, they are taken off. The
person and the session are read from the information of the bag (`database`, `subject` and
`donning`). Whatever is missing there is taken from its path, PERSON/SESSION.
"""

from collections.abc import Sequence
import hashlib
from pathlib import Path
import re
from typing import Final

from leconvmn_ros.benchmark.plan import Bag
from leconvmn_ros.core.errors import ConfigurationError, printable
from leconvmn_ros.core.strict_model import StrictModel
from leconvmn_ros.recordings.bag_reader import open_bag
from leconvmn_ros.recordings.bags import bag_name
from pydantic import Field

# Key under which a bag names its session.
DONNING_KEY: Final = 'donning'
_UNKNOWN = frozenset({'', 'unknown'})
# A file name has at most 255 bytes.
_LONGEST_NAME = 60


class Session(StrictModel):
    """A bag of one donning."""

    name: str
    bag: Bag


class Person(StrictModel):
    """All sessions of a person, from the first on."""

    name: str = Field(min_length=1)
    database: str
    sessions: tuple[Session, ...] = Field(min_length=1)

    @property
    def slug(self) -> str:
        """A folder name for the person, unique across databases."""
        plain = re.sub(r'[^A-Za-z0-9]+', '_', self.name).strip('_')[:_LONGEST_NAME]
        # People in two databases may have the same name.
        digest = hashlib.sha256(f'{self.database}\n{self.name}'.encode()).hexdigest()
        return f'{plain}_{digest[:8]}'


def people_of(paths: Sequence[Path], *, grouped: bool = True) -> tuple[Person, ...]:
    """Group bags by person, in the order in which the people come.

    Args:
        paths: the bags.
        grouped: put the sessions of a person together, in the order of their names (numbers count
            as numbers); otherwise each bag stands for itself, under its own name.

    Raises:
        ConfigurationError: two bags are of the same session of a person, or are identical.
        RecordingError: a bag cannot be read.
    """
    found: dict[tuple[str, str], list[Session]] = {}
    known: dict[str, Path] = {}
    for path in paths:
        bag = Bag.at(path)
        if bag.sha256 in known:
            raise ConfigurationError(f'{path} and {known[bag.sha256]} are the same bag')
        known[bag.sha256] = path
        database, person, session = _identity(path)
        key = (database, person if grouped else bag.name)
        sessions = found.setdefault(key, [])
        if same := [each.bag.path for each in sessions if each.name == session or not grouped]:
            raise ConfigurationError(
                f'{same[0]} and {path} are both session {session!r} of {person!r}; a bag says who '
                f'and which it is by `subject` and `{DONNING_KEY}` of its information, or by its '
                'place PERSON/SESSION'
            )
        sessions.append(Session(name=session, bag=bag))
    return tuple(
        Person(
            name=person,
            database=database,
            sessions=tuple(sorted(sessions, key=lambda each: _natural(each.name))),
        )
        for (database, person), sessions in found.items()
    )


def check_enough(people: Sequence[Person], trained_on: int) -> None:
    """Reject people without a session after those used for training.

    Raises:
        ConfigurationError: with the number of sessions of each person.
    """
    for person in people:
        if len(person.sessions) <= trained_on:
            names = ', '.join(each.name for each in person.sessions)
            raise ConfigurationError(
                f'{person.name} has {len(person.sessions)} session(s) ({names}); to train on '
                f'{trained_on} and score later ones, {trained_on + 1} or more are needed. A bag '
                f'says who and which session it is by `subject` and `{DONNING_KEY}` of its '
                'information, or by its place PERSON/SESSION; --changes makes sessions out of '
                'single recordings'
            )


def _identity(path: Path) -> tuple[str, str, str]:
    """Return database, person and session of a bag."""
    with open_bag(path) as bag:
        told = {
            key: printable(bag.information.get(key, '').strip())
            for key in ('database', 'subject', DONNING_KEY)
        }
    place = path.absolute()
    # A bag in a folder may be given as the file in it.
    folder = place.parent if place.is_file() and place.stem != bag_name(path) else place
    database = told['database'] or 'unknown database'
    person = told['subject'] if told['subject'] not in _UNKNOWN else folder.parent.name
    session = told[DONNING_KEY] if told[DONNING_KEY] not in _UNKNOWN else bag_name(path)
    return database, person or 'unknown person', session


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    parts = re.split(r'([0-9]+)', name)
    return tuple((1, int(p), '') if p.isdigit() else (0, 0, p) for p in parts if p)
