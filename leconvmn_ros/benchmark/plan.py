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

"""The plan of a benchmark: bags, presets, seeds and options, as pure data."""

from dataclasses import dataclass
import hashlib
import json
from pathlib import Path
from typing import Any, Final, Literal

from leconvmn_ros.benchmark.results import run_folder
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.files import check_input, hash_file
from leconvmn_ros.core.strict_model import StrictModel
from leconvmn_ros.dataset.hold_out import HoldOut
from leconvmn_ros.decoding.checkpoint import package_version
from leconvmn_ros.decoding.decoder import DEFAULT_OUTPUT_RATE
from leconvmn_ros.recordings.bag_types import EMG_TOPIC, LABEL_TOPIC, REFERENCE_TOPIC
from leconvmn_ros.recordings.bags import bag_name
from leconvmn_ros.training.presets import TrainingSettings
from pydantic import Field, model_validator

# Incremented whenever the same job would give a different result.
RUN_VERSION: Final = 2


class Bag(StrictModel):
    """A bag, identified by its content."""

    name: str = Field(min_length=1)
    path: str
    sha256: str = Field(description='see `hash_bag`')
    size: int = Field(ge=0, description='bytes')

    @classmethod
    def at(cls, path: Path) -> 'Bag':
        """Look at a bag.

        Raises:
            RecordingError: it cannot be read.
        """
        files = bag_files(path)
        try:
            size = sum(file.stat().st_size for file in files.values())
            return cls(name=bag_name(path), path=str(path), sha256=hash_bag(path), size=size)
        except OSError as error:
            raise RecordingError(f'cannot read {path}: {error.strerror or error}') from error


class Topics(StrictModel):
    """Where the signals are in the bags."""

    emg: str = EMG_TOPIC
    reference: str = REFERENCE_TOPIC
    label: str = LABEL_TOPIC


@dataclass(frozen=True, slots=True)
class Job:
    """One run.

    Attributes:
        preset: name of the settings.
        settings: how to train, seed included.
        bag: what to train on and to score.
        hold_out: the parts for training and scoring; None = the default of `train`.
        output_rate: estimates per second to score (Hz).
        topics: where the signals are in the bag.
    """

    preset: str
    settings: TrainingSettings
    bag: Bag
    hold_out: HoldOut | None
    output_rate: float
    topics: Topics

    @property
    def key(self) -> str:
        """Hash of everything that the result depends on, up to rounding.

        The device and the number of threads change how long a run takes, but not its result.
        """
        depends_on = {
            'version': RUN_VERSION,
            'bag': self.bag.sha256,
            'settings': self.settings.model_dump(mode='json', exclude={'threads'}),
            'hold_out': self.hold_out and self.hold_out.model_dump(mode='json'),
            'output_rate': self.output_rate,
            'topics': self.topics.model_dump(),
        }
        return hash_of(depends_on)

    @property
    def name(self) -> str:
        """Name of the bag that it uses."""
        return self.bag.name

    @property
    def size(self) -> int:
        """Size of its input (bytes)."""
        return self.bag.size

    @property
    def folder(self) -> Path:
        """Folder of its files, relative to the folder of the benchmark."""
        return run_folder(self.preset, self.name, self.settings.seed)

    def __str__(self) -> str:
        return f'{self.preset} on {self.bag.name}, seed {self.settings.seed}'


class Plan(StrictModel):
    """The contents of a benchmark, in the order in which they are reported."""

    format: Literal['leconvmn_ros benchmark'] = 'leconvmn_ros benchmark'
    format_version: Literal[1] = 1
    package_version: str = Field(default_factory=package_version)
    started: str = Field(description='date and time, UTC')
    command: str = Field(description='the command line')
    presets: dict[str, TrainingSettings] = Field(min_length=1)
    against: str = Field(description='the preset that the others are tested against')
    seeds: tuple[int, ...] = Field(min_length=1)
    bags: tuple[Bag, ...] = Field(min_length=1)
    development: tuple[str, ...] = Field(
        default=(), description='names of the bags that choose something and are not reported'
    )
    hold_out: HoldOut | None = None
    output_rate: float = Field(default=DEFAULT_OUTPUT_RATE, ge=0, le=1000)
    topics: Topics = Topics()

    @model_validator(mode='after')
    def _consistent(self) -> 'Plan':
        if self.against not in self.presets:
            raise ValueError(
                f'against {self.against!r}; it must be one of {", ".join(self.presets)}'
            )
        unknown = sorted({*self.development} - {bag.name for bag in self.bags})
        if unknown:
            raise ValueError(f'development bags {", ".join(unknown)} are not bags of the plan')
        for what, values in (
            ('seeds', self.seeds),
            ('names of bags', tuple(bag.name for bag in self.bags)),
            ('contents of bags', tuple(bag.sha256 for bag in self.bags)),
        ):
            twice = sorted({str(value) for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f'{what} must differ; {", ".join(twice)} came twice')
        return self

    def jobs(self) -> list[Job]:
        """Return all runs: presets, in them bags, in them seeds."""
        return [
            Job(
                preset,
                settings.changed(seed=seed),
                bag,
                self.hold_out,
                self.output_rate,
                self.topics,
            )
            for preset, settings in self.presets.items()
            for bag in self.bags
            for seed in self.seeds
        ]


def hash_of(depends_on: dict[str, Any]) -> str:
    """Hash JSON values, whatever the order of their keys."""
    text = json.dumps(depends_on, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def bag_files(path: Path) -> dict[str, Path]:
    """Return the files of a bag (a folder, or one file) by name, in the order of the names.

    Raises:
        RecordingError: there is no such bag.
    """
    try:
        if not path.is_dir():
            check_input(path)
            return {path.name: path}
        files = [file for file in path.iterdir() if file.is_file()]
    except OSError as error:
        raise RecordingError(f'cannot read {path}: {error.strerror or error}') from error
    return {file.name: file for file in sorted(files)}


def hash_bag(path: Path) -> str:
    """Hash the files of a bag, as `LC_ALL=C; cd BAG && sha256sum * | sha256sum` does."""
    lines = [f'{hash_file(file)}  {name}\n' for name, file in bag_files(path).items()]
    return hashlib.sha256(''.join(lines).encode()).hexdigest()
