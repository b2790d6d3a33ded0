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

"""The folder of a wearer with a session and its bags.

    FOLDER/session.json     the session and the seed of its order
    FOLDER/part_1, part_2   bags; an interrupted session continues in the next one

The labels in the bags alone determine which repetitions are done.
"""

from pathlib import Path
import random
import re
from typing import Literal

from leconvmn_ros.core.errors import ConfigurationError, OutputError, RecordingError
from leconvmn_ros.core.files import read_input, write_text
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.core.strict_model import first_problem, StrictModel
from leconvmn_ros.recordings.bag_recovery import is_unfinished, recover_bag
from leconvmn_ros.recordings.bags import read_bag
from leconvmn_ros.wearing.course import finished_trials
from leconvmn_ros.wearing.session import Session, Trial
from pydantic import Field, ValidationError

DESCRIPTION = 'session.json'
LARGEST = 2**18  # bytes
LARGEST_SEED = 2**31 - 1


class SessionRecord(StrictModel):
    """The description of a session, stored beside its bags."""

    format: Literal['leconvmn_ros session'] = 'leconvmn_ros session'
    session: Session
    seed: int = Field(ge=0, le=LARGEST_SEED, description='of the order')


class SessionFolder:
    """A folder with a session and its bags.

    Attributes:
        path: the folder.
        record: the description of the session.
        recovered: number of messages recovered from bags of killed recorders.
        unusable: why bags of the session are unusable, such as one without EMG.
    """

    def __init__(self, path: Path, session: Session, seed: int | None = None) -> None:
        """Create the folder, or continue with its content.

        Args:
            path: the folder.
            session: the requested session.
            seed: seed of the order; random if None. A continued session keeps its own.

        Raises:
            ConfigurationError: the folder has another session, or an invalid description.
            OutputError: the folder cannot be written.
            RecordingError: a bag in it cannot be recovered.
        """
        self.path = path
        self.record = self._describe(session, seed)
        self.recovered = sum(recover_bag(bag) for bag in self._parts() if is_unfinished(bag))
        self.unusable: list[str] = []
        self._recordings = self._read()

    def bags(self) -> list[Path]:
        """Return the usable bags in recorded order."""
        return list(self._recordings)

    def next_bag(self) -> Path:
        """Return the path of the next bag."""
        numbers = [int(bag.name.partition('_')[2]) for bag in self._parts()]
        return self.path / f'part_{max(numbers, default=0) + 1}'

    def finished(self) -> set[Trial]:
        """Return the repetitions that are done."""
        return finished_trials(
            recording.labels
            for recording in self._recordings.values()
            if recording.labels is not None
        )

    def _read(self) -> dict[Path, Recording]:
        recordings = {}
        for bag in self._parts():
            try:
                recordings[bag] = read_bag(bag)
            except RecordingError as error:
                self.unusable.append(str(error))
        return recordings

    def _parts(self) -> list[Path]:
        parts = [path for path in self.path.glob('part_*') if re.fullmatch(r'part_\d+', path.name)]
        return sorted(parts, key=lambda path: int(path.name.partition('_')[2]))

    def _describe(self, session: Session, seed: int | None) -> SessionRecord:
        path = self.path / DESCRIPTION
        if path.exists():
            known = read_record(self.path)
            if known.session != session:
                raise ConfigurationError(
                    f'{self.path} holds the session {known.session.name!r}, which differs from '
                    f'{session.name!r}; choose another folder, or remove it'
                )
            return known
        if self._parts():
            raise ConfigurationError(f'{self.path} holds bags, but no {DESCRIPTION}')
        drawn = random.SystemRandom().randint(0, LARGEST_SEED) if seed is None else seed
        record = SessionRecord(session=session, seed=drawn)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f'cannot make {self.path}: {error.strerror or error}') from error
        write_text(path, record.model_dump_json(indent=2) + '\n')
        return record


def read_record(folder: Path) -> SessionRecord:
    """Read the description of the session in a folder.

    Raises:
        ConfigurationError: it is not the folder of a session.
    """
    path = folder / DESCRIPTION
    try:
        return SessionRecord.model_validate_json(read_input(path, LARGEST))
    except OSError as error:
        raise ConfigurationError(f'cannot read {path}: {error.strerror or error}') from error
    except ValidationError as error:
        raise ConfigurationError(f'{path}: {first_problem(error)}') from error


def session_bags(folder: Path) -> list[Path]:
    """Return the bags of a recorded session.

    Raises:
        RecordingError: there are none.
    """
    bags = SessionFolder(folder, read_record(folder).session).bags()
    if not bags:
        raise RecordingError(f'{folder} holds no usable bags of a session')
    return bags
