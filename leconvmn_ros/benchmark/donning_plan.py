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

"""The plan of the protocol `redonning`, as pure data.

It covers either bags of several sessions of each person, with training on the first sessions and
scoring on the later ones, or single recordings that randomly drawn changes turn into sessions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from leconvmn_ros.benchmark.changes import Change
from leconvmn_ros.benchmark.plan import hash_of, Job, Plan, Topics
from leconvmn_ros.benchmark.results import run_folder
from leconvmn_ros.benchmark.sessions import Person
from leconvmn_ros.core.strict_model import StrictModel
from leconvmn_ros.decoding.checkpoint import package_version
from leconvmn_ros.decoding.decoder import DEFAULT_OUTPUT_RATE
from leconvmn_ros.training.presets import TrainingSettings
from pydantic import Field, model_validator

# Incremented whenever the same job would give a different result.
DONNING_VERSION: Final = 1
Seconds = Annotated[float, Field(ge=1, le=3600)]


class DonningOptions(StrictModel):
    """How sessions are created, adapted to and scored."""

    changes: tuple[Change, ...] = Field(
        default=(), description='what makes sessions of single recordings; none = real sessions'
    )
    draws: int = Field(default=4, ge=1, le=1000, description='of each change, with each seed')
    train_sessions: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        default=(1,), min_length=1, description='how many first sessions to train on, in turn'
    )
    unlabelled: tuple[Seconds, ...] = Field(
        default=(30.0,), description='EMG to adapt by, without labels'
    )
    prompted: tuple[Seconds, ...] = Field(
        default=(30.0,), description='EMG to adapt by, with the prompted movements'
    )
    upper_bound: bool = Field(
        default=True, description='whether a decoder is trained on each new session, too'
    )
    orders: int = Field(default=2, ge=1, le=100, description='random orders to score in')
    settle: float = Field(
        default=0.0,
        ge=0,
        le=60,
        description='seconds after each change of the movement that are not scored',
    )
    rings: tuple[Annotated[int, Field(ge=3, le=256)], ...] = Field(
        default=(), description='electrodes of each band, where the bags do not say it'
    )


@dataclass(frozen=True, slots=True)
class DonningJob:
    """One run: a preset with one seed on the sessions of one person.

    Attributes:
        preset: name of the settings.
        settings: how to train, seed included.
        person: whose sessions.
        options: how to adapt and score.
        topics: where the signals are in the bags.
        decoders: folder of a benchmark, whose decoders are not trained again; None = none.
    """

    preset: str
    settings: TrainingSettings
    person: Person
    options: DonningOptions
    topics: Topics
    decoders: str | None

    @property
    def key(self) -> str:
        """Hash of everything that the result depends on, up to rounding."""
        depends_on = {
            'version': DONNING_VERSION,
            'sessions': [each.bag.sha256 for each in self.person.sessions],
            'settings': self.settings.model_dump(mode='json', exclude={'threads'}),
            'options': self.options.model_dump(mode='json'),
            'topics': self.topics.model_dump(),
        }
        return hash_of(depends_on)

    @property
    def name(self) -> str:
        """Name of the person that it uses."""
        return self.person.slug

    @property
    def size(self) -> int:
        """Size of its input (bytes)."""
        return sum(each.bag.size for each in self.person.sessions)

    @property
    def folder(self) -> Path:
        """Folder of its files, relative to the folder of the benchmark."""
        return run_folder(self.preset, self.name, self.settings.seed)

    @property
    def training(self) -> Job:
        """The run of the usual benchmark that trains on the only recording of this person."""
        (session,) = self.person.sessions
        return Job(self.preset, self.settings, session.bag, None, DEFAULT_OUTPUT_RATE, self.topics)

    def __str__(self) -> str:
        return f'{self.preset} on {self.person.name}, seed {self.settings.seed}'


class DonningPlan(StrictModel):
    """The contents of a benchmark of adaptation, in the order in which they are reported."""

    format: Literal['leconvmn_ros redonning'] = 'leconvmn_ros redonning'
    format_version: Literal[1] = 1
    package_version: str = Field(default_factory=package_version)
    started: str = Field(description='date and time, UTC')
    command: str = Field(description='the command line')
    presets: dict[str, TrainingSettings] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    people: tuple[Person, ...] = Field(min_length=1)
    development: tuple[str, ...] = Field(
        default=(), description='slugs of the people on whom something was chosen'
    )
    options: DonningOptions
    topics: Topics = Topics()
    decoders: str | None = None

    @model_validator(mode='after')
    def _consistent(self) -> 'DonningPlan':
        if len({*self.seeds}) < len(self.seeds):
            raise ValueError(f'seeds must differ; given are {self.seeds}')
        for name, settings in self.presets.items():
            if settings.choose_epoch:
                raise ValueError(
                    f'preset {name} chooses an epoch by a part that is held out; the protocol '
                    'redonning learns whole sessions and takes presets that choose none'
                )
        if self.options.changes and any(len(person.sessions) > 1 for person in self.people):
            raise ValueError('changes make sessions of single recordings')
        return self

    def jobs(self) -> list[DonningJob]:
        """Return all runs: presets, in them people, in them seeds."""
        return [
            DonningJob(
                preset,
                settings.changed(seed=seed),
                person,
                self.options,
                self.topics,
                self.decoders,
            )
            for preset, settings in self.presets.items()
            for person in self.people
            for seed in self.seeds
        ]


AnyJob = Job | DonningJob
AnyPlan = Plan | DonningPlan
