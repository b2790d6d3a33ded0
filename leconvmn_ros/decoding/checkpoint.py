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

"""A trained decoder on disk: a folder with `weights.safetensors` and a readable `checkpoint.json`.

Neither file can run code. All sizes are checked before memory is allocated for them.
"""

from dataclasses import dataclass
import hashlib
from importlib.metadata import PackageNotFoundError, version
from math import prod
import os
from pathlib import Path
from typing import Any, Literal, TYPE_CHECKING

from leconvmn_ros.core.atomic_folder import check_output_folder, complete_folder, FolderKind
from leconvmn_ros.core.errors import CheckpointError
from leconvmn_ros.core.files import open_input, read_input
from leconvmn_ros.core.strict_model import first_problem, StrictModel
from leconvmn_ros.dataset.hold_out import HoldOut
from leconvmn_ros.decoding.feature_mixture import FeatureMixture
from leconvmn_ros.decoding.history import LearntRecording
from leconvmn_ros.decoding.movement_templates import MovementTemplates
from leconvmn_ros.emg.description import EmgDescription
from leconvmn_ros.emg.electrode_map import ElectrodeMap
from leconvmn_ros.emg.signal_path import FeatureStatistics, SignalPathConfig
from leconvmn_ros.models.config import MEMBER_WEIGHTS, Shape, Weights
from leconvmn_ros.models.kinds import AnyModelConfig
from leconvmn_ros.models.network import Network
import numpy as np
from pydantic import Field, model_validator, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

if TYPE_CHECKING:
    from leconvmn_ros.models.base import Model

DESCRIPTION_FILE = 'checkpoint.json'
WEIGHTS_FILE = 'weights.safetensors'
_FOLDER = FolderKind('checkpoint', DESCRIPTION_FILE, (DESCRIPTION_FILE, WEIGHTS_FILE))
LARGEST_DESCRIPTION = 4 * 2**20  # bytes
# Largest size of the JSON header of safetensors.
LARGEST_HEADER = 2**20  # bytes
# Old parts of the names of weights in version 0.1.0.
_RENAMED = {
    'shares': MEMBER_WEIGHTS,
    'by_image': 'input_conv',
    'by_state': 'hidden_conv',
}


class JointOutput(StrictModel):
    """Converts an output of the network to an angle: mean + scale * output, then clipped (rad)."""

    name: str = Field(min_length=1, max_length=64)
    mean: float
    scale: float = Field(gt=0)
    lower: float = Field(description='smallest angle published: the smallest in the training data')
    upper: float = Field(description='largest angle published: the largest in the training data')

    @model_validator(mode='after')
    def _ordered(self) -> 'JointOutput':
        if self.lower > self.upper:
            raise ValueError(f'{self.name}: lower {self.lower} is above upper {self.upper}')
        return self


class HeldOutScore(StrictModel):
    """The score of the same training on held-out data, before the weights were trained on all."""

    hold_out: HoldOut
    test: dict[str, float | None] = Field(
        description='for the test part, mean over joints; RMSE and MAE in degrees'
    )
    epochs: int = Field(ge=1, description='epochs of that training, and of these weights')


class TrainingRecord(StrictModel):
    """The data and settings of a training, and its scores on the validation data."""

    recordings: tuple[str, ...]
    information: tuple[dict[str, str], ...] = ()
    learnt: tuple[LearntRecording, ...] = Field(
        default=(),
        max_length=10_000,
        description='everything it has learnt from, including earlier decoders (fine-tuning)',
    )
    history_known: bool = Field(
        default=False, description='whether `learnt` is complete; false before version 0.2.0'
    )
    hold_out: HoldOut
    settings: dict[str, Any]
    epochs: int
    best_epoch: int
    validation: dict[str, float | None]
    seconds: float
    trained_on_all: HeldOutScore | None = Field(
        default=None,
        description='if trained on everything: the score of other weights, from the same training '
        'without the test part; these weights have no score of their own',
    )


class Description(StrictModel):
    """Everything about a decoder except its weights."""

    format: Literal['leconvmn_ros checkpoint'] = 'leconvmn_ros checkpoint'
    format_version: Literal[2] = 2
    package_version: str
    units: Literal['V, s, rad'] = 'V, s, rad'
    model: AnyModelConfig
    signal_path: SignalPathConfig
    statistics: FeatureStatistics | None
    joints: tuple[JointOutput, ...] = Field(min_length=1, max_length=64)
    training: TrainingRecord
    mixture: FeatureMixture | None = Field(
        default=None, description='distribution of the standardised features, for `adapt`'
    )
    templates: MovementTemplates | None = Field(
        default=None, description='mean course of each movement, for `adapt --prompted`'
    )
    electrodes: EmgDescription | None = Field(
        default=None, description='electrode positions in the training, if known'
    )
    electrode_map: ElectrodeMap | None = Field(
        default=None, description='map in front of the network, set by `adapt`'
    )
    weights_sha256: str = ''

    @model_validator(mode='after')
    def _consistent(self) -> 'Description':
        names = [joint.name for joint in self.joints]
        if len(set(names)) != len(names):
            raise ValueError(f'joint names {names}; each may appear once')
        if self.statistics is not None and len(self.statistics.mean) != self.signal_path.channels:
            raise ValueError(
                f'statistics of {len(self.statistics.mean)} channels '
                f'for {self.signal_path.channels}'
            )
        return self

    @model_validator(mode='after')
    def _adaptation_fits(self) -> 'Description':
        for part, channels in (
            ('mixture', self.mixture and self.mixture.channels),
            ('electrodes', self.electrodes and len(self.electrodes.channels)),
            ('electrode_map', self.electrode_map and self.electrode_map.channels),
        ):
            if channels is not None and channels != self.signal_path.channels:
                raise ValueError(f'{part} of {channels} channels for {self.signal_path.channels}')
        if self.templates is not None and self.templates.joints != len(self.joints):
            raise ValueError(f'templates of {self.templates.joints} joints for {len(self.joints)}')
        if self.electrode_map is not None and not self.standardised:
            raise ValueError('an electrode_map of features that are not standardised')
        return self

    @property
    def standardised(self) -> bool:
        """Whether features are standardised with training statistics."""
        return self.signal_path.standardise and self.statistics is not None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trained decoder: its description and its weights."""

    description: Description
    weights: Weights

    def network(self) -> Network:
        """Return the trained model."""
        description = self.description
        size = description.signal_path.image_size
        return Network(description.model, size, len(description.joints), self.weights)

    def build_model(self) -> 'Model':
        """Build the PyTorch module with the weights, in evaluation mode."""
        return self.network().module()

    def save(self, folder: Path) -> None:
        """Write the checkpoint; an older one is replaced when the new one is complete.

        Raises:
            OutputError: the place cannot be written, or holds something that is not a checkpoint.
        """
        data = save_tensors({n: np.ascontiguousarray(w) for n, w in self.weights.items()})
        described = self.description.model_copy(
            update={'weights_sha256': hashlib.sha256(data).hexdigest()}
        )
        with complete_folder(folder, _FOLDER, overwrite=True) as new:
            new.mkdir()
            (new / WEIGHTS_FILE).write_bytes(data)
            (new / DESCRIPTION_FILE).write_text(
                described.model_dump_json(indent=2) + '\n', encoding='utf-8'
            )


def check_place(folder: Path) -> None:
    """Check, before any work is done, that a checkpoint may be written.

    Raises:
        OutputError: the place cannot be written, or holds something that is not a checkpoint.
    """
    check_output_folder(folder, _FOLDER, overwrite=True)


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: it is missing, truncated, damaged or foreign; the message says
            which.
    """
    folder = Path(folder)
    description = _read_description(folder)
    data = _read_weights(folder, description)
    try:
        weights = load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f'{folder / WEIGHTS_FILE} is damaged: {error}') from error
    weights = {_current_name(name): array for name, array in weights.items()}
    expected = _weight_shapes(folder, description)
    found = {name: array.shape for name, array in weights.items()}
    if found != expected:
        raise CheckpointError(
            f'{folder}: the weights {found} do not fit the described network, which has {expected}'
        )
    if not all(w.dtype == np.float32 and np.isfinite(w).all() for w in weights.values()):
        raise CheckpointError(
            f'{folder / WEIGHTS_FILE} holds weights that are not finite float32 numbers'
        )
    return Checkpoint(description, weights)


def package_version() -> str:
    """Return the installed version of this package."""
    try:
        return version('leconvmn_ros')
    except PackageNotFoundError:  # the colcon route installs no Python metadata
        return 'unknown'


def _current_name(name: str) -> str:
    """Return the present name of a weight that was saved by version 0.1.0 or later."""
    return '.'.join(_RENAMED.get(part, part) for part in name.split('.'))


def _weight_shapes(folder: Path, description: Description) -> dict[str, Shape]:
    try:
        return description.model.weight_shapes(
            description.signal_path.image_size, len(description.joints)
        )
    except ValueError as error:
        raise CheckpointError(f'{folder / DESCRIPTION_FILE}: {error}') from error


def _read_description(folder: Path) -> Description:
    path = folder / DESCRIPTION_FILE
    try:
        content = read_input(path, LARGEST_DESCRIPTION)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(
            f'{folder} is not a checkpoint: '
            f'a folder with {DESCRIPTION_FILE} and {WEIGHTS_FILE} is needed'
        ) from error
    except OSError as error:
        raise CheckpointError(f'cannot read {path}: {error.strerror}') from error
    try:
        return Description.model_validate_json(content)
    except ValidationError as error:
        raise CheckpointError(
            f'{path} is not a checkpoint of this package: {first_problem(error)}'
        ) from error


def _read_weights(folder: Path, description: Description) -> bytes:
    path = folder / WEIGHTS_FILE
    bare = sum(4 * prod(shape) for shape in _weight_shapes(folder, description).values())
    try:
        with open_input(path) as file:
            size = os.fstat(file.fileno()).st_size
            if not bare < size <= bare + LARGEST_HEADER:
                raise CheckpointError(
                    f'{path} has {size} bytes; the described network needs {bare} and a header: '
                    'truncated or foreign'
                )
            data = file.read(size)
    except OSError as error:
        raise CheckpointError(f'cannot read {path}: {error.strerror}') from error
    if hashlib.sha256(data).hexdigest() != description.weights_sha256:
        raise CheckpointError(
            f'{path} is damaged or belongs to another {DESCRIPTION_FILE}: its SHA-256 differs'
        )
    return data
