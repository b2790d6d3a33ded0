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

"""One run of a benchmark: train a preset on a bag, decode the bag, score what was held out.

A `Plan` says which presets, bags and seeds; each combination is a `Job`, whose key tells whether a
result that is already there is the one that the job would give.
"""

from collections.abc import Callable
from dataclasses import dataclass
import hashlib
import json
from math import isfinite
from pathlib import Path
import platform
import tempfile
import traceback
from typing import Final, Literal

from leconvmn_ros.benchmark.results import (
    CHECKPOINT_FOLDER,
    COMPARISON_FILE,
    Environment,
    Epoch,
    Failed,
    pack_comparison,
    run_folder,
    RunOutput,
    RunResult,
    Scored,
    Scores,
)
from leconvmn_ros.dataset.hold_out import HoldOut, movement_at
from leconvmn_ros.decoding.autotune import settle_for_recordings
from leconvmn_ros.decoding.checkpoint import Checkpoint, package_version
from leconvmn_ros.decoding.decoder import Decoder, DEFAULT_OUTPUT_RATE
from leconvmn_ros.engines.devices import find_device
from leconvmn_ros.errors import LeconvmnError, RecordingError
from leconvmn_ros.evaluation.comparison import compare, Comparison, decode_recording
from leconvmn_ros.models.base import parameter_count
from leconvmn_ros.recording import LabelTrack
from leconvmn_ros.recordings.bag_types import EMG_TOPIC, LABEL_TOPIC, REFERENCE_TOPIC
from leconvmn_ros.recordings.bags import bag_name, read_bag
from leconvmn_ros.training.presets import TrainingSettings
from leconvmn_ros.training.reports import EpochReport
from leconvmn_ros.training.train import train
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
import scipy
import torch

# Changes whenever the same job would give another result.
RUN_VERSION: Final = 1
# Of the time of a run, for its progress.
SHARE_OF_TRAINING: Final = 0.8


class Bag(BaseModel):
    """A bag, told apart by its content."""

    model_config = ConfigDict(frozen=True, extra='forbid')

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


class Topics(BaseModel):
    """Where the signals are in the bags."""

    model_config = ConfigDict(frozen=True, extra='forbid')

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
        hold_out: which part is for what; what `train` chooses if None.
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
        """Hash of all that the result depends on, up to rounding.

        Device and number of threads change the time that a run takes, and not what it finds.
        """
        depends_on = {
            'version': RUN_VERSION,
            'bag': self.bag.sha256,
            'settings': self.settings.model_dump(mode='json', exclude={'threads'}),
            'hold_out': self.hold_out and self.hold_out.model_dump(mode='json'),
            'output_rate': self.output_rate,
            'topics': self.topics.model_dump(),
        }
        text = json.dumps(depends_on, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """Where its files are, below the folder of the benchmark."""
        return run_folder(self.preset, self.bag.name, self.settings.seed)

    def __str__(self) -> str:
        return f'{self.preset} on {self.bag.name}, seed {self.settings.seed}'


class Plan(BaseModel):
    """What a benchmark compares, in the order in which it is reported."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    format: Literal['leconvmn_ros benchmark'] = 'leconvmn_ros benchmark'
    format_version: Literal[1] = 1
    package_version: str = Field(default_factory=package_version)
    started: str = Field(description='date and time, UTC')
    command: str = Field(description='the command line')
    presets: dict[str, TrainingSettings] = Field(min_length=1)
    against: str = Field(description='the preset that the others are tested against')
    seeds: tuple[int, ...] = Field(min_length=1)
    bags: tuple[Bag, ...] = Field(min_length=1)
    hold_out: HoldOut | None = None
    output_rate: float = Field(default=DEFAULT_OUTPUT_RATE, ge=0, le=1000)
    topics: Topics = Topics()

    @model_validator(mode='after')
    def _consistent(self) -> 'Plan':
        if self.against not in self.presets:
            raise ValueError(
                f'against {self.against!r}; it must be one of {", ".join(self.presets)}'
            )
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
                TrainingSettings(**settings.model_dump() | {'seed': seed}),
                bag,
                self.hold_out,
                self.output_rate,
                self.topics,
            )
            for preset, settings in self.presets.items()
            for bag in self.bags
            for seed in self.seeds
        ]


def bag_files(path: Path) -> dict[str, Path]:
    """Return the files of a bag (a folder, or one file) by name, in the order of the names.

    Raises:
        RecordingError: there is no such bag.
    """
    try:
        files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    except OSError as error:
        raise RecordingError(f'cannot read {path}: {error.strerror or error}') from error
    return {file.name: file for file in sorted(files)}


def hash_bag(path: Path) -> str:
    """Hash the files of a bag: what `LC_ALL=C; cd BAG && sha256sum * | sha256sum` prints."""
    lines = [
        f'{hashlib.sha256(file.read_bytes()).hexdigest()}  {name}\n'
        for name, file in bag_files(path).items()
    ]
    return hashlib.sha256(''.join(lines).encode()).hexdigest()


def perform(
    job: Job,
    path: Path,
    *,
    device: str,
    threads: int,
    on_progress: Callable[[float], None],
) -> RunOutput:
    """Do one run; whatever goes wrong in it becomes its result.

    Args:
        job: what to do.
        path: where the bag is on this machine.
        device: 'auto', 'cpu' or 'cuda', see `find_device`.
        threads: CPU threads.
        on_progress: called with the share done, 0 to 1.
    """
    try:
        return _score(job, path, device, threads, on_progress)
    except LeconvmnError as error:
        return failure(job, str(error))
    except Exception as error:  # noqa: BLE001 - the other runs go on
        return failure(job, f'{type(error).__name__}: {error}', traceback.format_exc())


def failure(job: Job, error: str, trace: str = '') -> RunOutput:
    """Return the output of a run that failed."""
    return RunOutput(_result(job, Failed(error=error, traceback=trace)), {})


def _result(job: Job, outcome: Scored | Failed) -> RunResult:
    return RunResult(
        key=job.key,
        preset=job.preset,
        bag=job.bag.name,
        seed=job.settings.seed,
        outcome=outcome,
    )


def _score(
    job: Job, path: Path, device: str, threads: int, on_progress: Callable[[float], None]
) -> RunOutput:
    torch.set_num_threads(threads)
    recording = read_bag(
        path,
        emg_topic=job.topics.emg,
        reference_topic=job.topics.reference,
        label_topic=job.topics.label,
    )
    if recording.reference is None:
        raise RecordingError(f'{recording.name} has no reference angles to score against')
    epochs: list[Epoch] = []

    def on_epoch(report: EpochReport) -> None:
        on_progress(SHARE_OF_TRAINING * report.share(job.settings.second_pass))
        if report.second_pass:
            return
        losses = (report.training_loss, report.validation_loss)
        training, validation = (loss if isfinite(loss) else None for loss in losses)
        epochs.append(Epoch(training_loss=training, validation_loss=validation))

    settings = job.settings.model_copy(update={'threads': threads})
    checkpoint = train(
        [recording], settings, hold_out=job.hold_out, device=device, on_epoch=on_epoch
    )
    decoder = Decoder(checkpoint, output_rate=job.output_rate, device=device, engine='auto')
    # The time of a step is that of the live decoder.
    decoder.choose_engine()
    step_seconds = decoder.warm_up()
    settle_for_recordings(decoder, threads)
    estimates = decode_recording(
        decoder,
        recording,
        lambda share: on_progress(SHARE_OF_TRAINING + (1 - SHARE_OF_TRAINING) * share),
    )
    record = checkpoint.description.training
    tested = compare(
        estimates, recording.reference, recording.labels, recording.span_ns, record.hold_out
    )
    outcome = Scored(
        information=dict(recording.information),
        hold_out=record.hold_out,
        scores=Scores.of(tested.score()),
        movements=score_movements(tested, recording.labels),
        epochs=tuple(epochs),
        best_epoch=record.best_epoch,
        parameters=parameter_count(checkpoint.build_model()),
        training_seconds=record.seconds,
        step_seconds=step_seconds,
        environment=environment(decoder.device, threads),
    )
    files = _files_of(checkpoint) | {COMPARISON_FILE: pack_comparison(tested)}
    return RunOutput(_result(job, outcome), files)


def score_movements(tested: Comparison, labels: LabelTrack | None) -> dict[int, Scores]:
    """Score each movement (0 = rest) on its own, by the label that holds at each estimate."""
    if labels is None:
        return {}
    movement = movement_at(labels, tested.stamps_ns)
    return {
        int(number): Scores.of(_part(tested, movement == number).score())
        for number in np.unique(movement)
    }


def _part(comparison: Comparison, chosen: NDArray[np.bool_]) -> Comparison:
    return Comparison(
        comparison.stamps_ns[chosen],
        comparison.names,
        comparison.truth[chosen],
        comparison.estimate[chosen],
    )


def environment(device: str, threads: int) -> Environment:
    """Describe this machine and its software; `device` as `find_device` takes it."""
    found = find_device(device)
    return Environment(
        package=package_version(),
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=np.__version__,
        scipy=scipy.__version__,
        system=f'{platform.system()} {platform.machine()}',
        processor=_processor(),
        device=torch.cuda.get_device_name(found) if found.type == 'cuda' else str(found),
        threads=threads,
    )


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    # Some kernels do not tell.
    return names[0] if names else platform.processor() or 'unknown'


def _files_of(checkpoint: Checkpoint) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, CHECKPOINT_FOLDER)
        checkpoint.save(folder)
        return {f'{CHECKPOINT_FOLDER}/{file.name}': file.read_bytes() for file in folder.iterdir()}
