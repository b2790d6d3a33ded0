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

"""The result of one run of a benchmark, as a file that is written completely or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal
from zipfile import ZipFile

from leconvmn_ros.core.errors import OutputError, RecordingError
from leconvmn_ros.core.files import open_input, read_input, write_bytes
from leconvmn_ros.core.strict_model import first_problem, StrictModel
from leconvmn_ros.dataset.hold_out import HoldOut
from leconvmn_ros.evaluation.comparison import Comparison
from leconvmn_ros.evaluation.metrics import as_json, ScoreTable
import numpy as np
from pydantic import Field, ValidationError

LARGEST_RESULT = 2**24  # bytes
LARGEST_ARRAY = 2**28  # bytes
RESULT_FILE = 'result.json'
CHECKPOINT_FOLDER = 'checkpoint'
COMPARISON_FILE = 'test_part.npz'


class Figures(StrictModel):
    """The five figures of metrics.py; an undefined one is None, with a reason."""

    cc: float | None
    rmse: float | None = Field(description='degrees')
    nrmse: float | None
    r2: float | None
    mae: float | None = Field(description='degrees')
    reason: str = ''


class Scores(StrictModel):
    """Scores of each joint and their mean over joints."""

    count: int = Field(ge=0, description='estimates scored')
    mean: Figures
    joints: dict[str, Figures]

    @classmethod
    def of(cls, table: ScoreTable) -> 'Scores':
        """Convert a score table of angles in degrees."""
        values = as_json(table)
        return cls(count=values['count'], mean=values['mean'], joints=values['joints'])


class UseFigures(StrictModel):
    """Scores to expect in use, see `evaluation.recording_scores`; None where unknown.

    The figures are those in shuffled order, or those in the recording's own order where it has no
    repetitions that could be shuffled.
    """

    shuffled_cc: float | None = Field(description='mean CC of the joints in shuffled order')
    gap: float | None = Field(description="CC in the recording's own order minus that")
    right_movements: float | None
    reference_right_movements: float | None
    delay: float | None = Field(description='s')
    unrest: float | None = Field(description='degrees')
    reference_unrest: float | None = Field(description='degrees')
    false_movements: float | None = Field(description='per minute of rest')
    same_before: float | None = Field(
        description="overlap in context with the training part, in the recording's own order"
    )
    same_before_shuffled: float | None = Field(description='the same in shuffled order')

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> 'UseFigures':
        """Convert those of an `evaluation_report`."""
        shuffled = report['shuffled_order'] or {'mean': {'cc': None}} | {
            'behaviour': report['behaviour']
        }
        own_cc, shuffled_cc = report['mean']['cc'], shuffled['mean']['cc']
        overlap = report['context_overlap'] or {}
        known = shuffled_cc is not None and own_cc is not None
        names = cls.model_fields.keys() & shuffled['behaviour'].keys()
        return cls(
            shuffled_cc=shuffled_cc,
            gap=own_cc - shuffled_cc if known else None,
            same_before=overlap.get('same_before'),
            same_before_shuffled=overlap.get('same_before_shuffled'),
            **{name: shuffled['behaviour'][name] for name in names},
        )


class Environment(StrictModel):
    """The machine and software of a run."""

    package: str
    python: str
    torch: str
    numpy: str
    scipy: str
    system: str
    processor: str
    device: str = Field(description='what the network ran on')
    threads: int = Field(ge=1, description='CPU threads of this run')


class Epoch(StrictModel):
    """Losses of one epoch, mean squared errors of standardised angles; None if not finite."""

    training_loss: float | None
    validation_loss: float | None


class Scored(StrictModel):
    """A completed run."""

    kind: Literal['scored'] = 'scored'
    information: dict[str, str] = Field(description='what the bag says about itself')
    hold_out: HoldOut
    scores: Scores = Field(description='of the part held out for the test')
    shuffled: Scores | None = Field(description='of that part in shuffled order, if it has any')
    in_use: UseFigures
    movements: dict[int, Scores] = Field(description='the same by movement number, 0 = rest')
    epochs: tuple[Epoch, ...] = Field(description='of the pass that picks the best one')
    best_epoch: int
    parameters: int = Field(ge=0, description='trained values')
    training_seconds: float = Field(ge=0)
    step_seconds: float = Field(ge=0, description='median time of one step of the network')
    environment: Environment


class DonningScore(StrictModel):
    """The scores of a decoder in one new session, adapted in one way or not at all."""

    session: str = Field(description='name of the session, or of the change that made one')
    draw: int = Field(default=0, ge=0, description='which draw of the change')
    trained_on: str = Field(description='what the decoder had learnt before')
    method: str = Field(description='how it was adapted')
    seconds: float = Field(ge=0, description='of EMG that it was adapted by')
    cc: float | None = Field(description='mean CC of the joints in shuffled order')
    refused: str = Field(default='', description='why it was not adapted; the decoder is kept')


class Donned(StrictModel):
    """A completed run of the protocol `redonning`."""

    kind: Literal['donned'] = 'donned'
    scores: tuple[DonningScore, ...]
    environment: Environment


class Failed(StrictModel):
    """A failed run."""

    kind: Literal['failed'] = 'failed'
    error: str
    traceback: str = Field(default='', description='of an unexpected error')


Outcome = Scored | Donned | Failed


class RunResult(StrictModel):
    """One preset with one seed, on one bag or on the sessions of one person."""

    format: Literal['leconvmn_ros benchmark run'] = 'leconvmn_ros benchmark run'
    format_version: Literal[2] = 2
    key: str = Field(description='hash of all that the result depends on')
    preset: str
    bag: str = Field(description='its name, or the person')
    seed: int
    outcome: Annotated[Outcome, Field(discriminator='kind')]

    @property
    def folder(self) -> Path:
        """Folder of its files, relative to the folder of the benchmark."""
        return run_folder(self.preset, self.bag, self.seed)


def run_folder(preset: str, bag: str, seed: int) -> Path:
    """Return the folder of a run, unique to it, relative to the folder of the benchmark."""
    return Path('runs', preset, bag, f'seed_{seed}')


@dataclass(frozen=True, slots=True)
class RunOutput:
    """The output of a run: its result and the other files to keep, by their relative path."""

    result: RunResult
    files: Mapping[str, bytes]


def write_output(folder: Path, output: RunOutput) -> None:
    """Write the files of a run; the result is written last and marks the others as complete.

    Raises:
        OutputError: the place cannot be written.
    """
    try:
        (folder / RESULT_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f'cannot write {folder}: {error.strerror or error}') from error
    for name, content in output.files.items():
        write_bytes(folder / name, content)
    text = output.result.model_dump_json(indent=2) + '\n'
    write_bytes(folder / RESULT_FILE, text.encode())


def read_result(folder: Path) -> RunResult | None:
    """Read the result of a run, None if there is none yet.

    Raises:
        RecordingError: the file cannot be read or is not a result.
    """
    path = folder / RESULT_FILE
    try:
        content = read_input(path, LARGEST_RESULT)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RecordingError(f'cannot read {path}: {error.strerror or error}') from error
    try:
        return RunResult.model_validate_json(content)
    except ValidationError as error:
        raise RecordingError(
            f'{path} is not a result of this version: {first_problem(error)}'
        ) from error


def pack_comparison(comparison: Comparison) -> bytes:
    """Return the estimates beside the truth (rad, float32) as the bytes of an .npz file."""
    buffer = BytesIO()
    np.savez_compressed(
        buffer,
        stamps_ns=comparison.stamps_ns,
        names=np.array(comparison.names),
        truth=comparison.truth.astype(np.float32),
        estimate=comparison.estimate.astype(np.float32),
    )
    return buffer.getvalue()


def read_comparison(folder: Path) -> Comparison:
    """Read what `pack_comparison` packed.

    Raises:
        RecordingError: the file is missing or damaged.
    """
    path = folder / COMPARISON_FILE
    try:
        with open_input(path) as file:
            _check_claims(path, file)
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                values: dict[str, Any] = {name: arrays[name] for name in Comparison._fields}
    except RecordingError:
        raise
    except Exception as error:  # NumPy answers damage with errors of zip, zlib, ast and its own
        raise RecordingError(f'cannot read {path}: {error}') from error
    comparison = Comparison(**values | {'names': tuple(map(str, values['names']))})
    _check_shapes(path, comparison)
    return comparison


def _check_claims(path: Path, file: BinaryIO) -> None:
    """Reject arrays by their declared sizes, before memory is allocated for them.

    Raises:
        RecordingError: one is too large, or holds anything but numbers and text.
    """
    with ZipFile(file) as archive:
        for name in Comparison._fields:
            with archive.open(f'{name}.npy') as member:
                version = np.lib.format.read_magic(member)
                if version != (1, 0):
                    raise RecordingError(f'{path}: {name} is of the format {version}, not (1, 0)')
                shape, _, kind = np.lib.format.read_array_header_1_0(member)
            size = prod(shape) * kind.itemsize
            if kind.kind not in 'fiU' or not 0 <= size <= LARGEST_ARRAY:
                raise RecordingError(
                    f'{path}: {name} claims {shape} values of type {kind}; numbers of at most '
                    f'{LARGEST_ARRAY} bytes are read'
                )


def _check_shapes(path: Path, comparison: Comparison) -> None:
    times, joints = comparison.stamps_ns.shape, len(comparison.names)
    expected = (*times, joints)
    for name in ('truth', 'estimate'):
        found = getattr(comparison, name).shape
        if len(times) != 1 or found != expected:
            raise RecordingError(
                f'{path}: {name} has shape {found} beside times of shape {times} '
                f'and {joints} joints'
            )
