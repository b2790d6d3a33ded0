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

"""Settings of each kind of fit; the fits themselves are imported when they run.

This lets the command line know all options without PyTorch. A new kind of fit needs a class here,
a module with its `run`, and a place in the union in `presets`.
"""

from collections.abc import Callable
from importlib import import_module
from typing import ClassVar, Literal, TYPE_CHECKING

from leconvmn_ros.core.strict_model import StrictModel
from pydantic import Field

if TYPE_CHECKING:
    from leconvmn_ros.models.base import Model
    from leconvmn_ros.training.data import TrainingData
    from leconvmn_ros.training.reports import EpochReport, FitResult

# Order of the training data, see `sequences`.
Order = Literal['recording', 'repetitions']

# Penalties of the ridge regression to try. Each is multiplied by the number of training images, so
# that its effect does not depend on the length of a recording. Features are standardised: a
# penalty below 1e-5 has no effect, one above 10 shrinks the weights to almost nothing.
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


class FitSettings(StrictModel):
    """Settings of a fit for one kind of model.

    Each has `epochs`, the number of candidates to choose from.

    Attributes:
        models: the kinds of model that it fits.
        module: module with its `run` and, for long fits, its `expected_seconds`.
        needs_validation: whether it has choices that only validation data can make.
    """

    models: ClassVar[frozenset[str]]
    module: ClassVar[str]
    needs_validation: ClassVar[bool] = True

    def run(
        self,
        model: 'Model',
        data: 'TrainingData',
        *,
        seed: int,
        stop_after: int | None = None,
        on_epoch: 'Callable[[EpochReport], None] | None' = None,
    ) -> 'FitResult':
        """Fit a model.

        Args:
            model: model to fit, on the device to compute on.
            data: training data; without validation data the last epoch counts.
            seed: seed of all random numbers.
            stop_after: last epoch, as chosen by a first fit; the schedule is unchanged.
            on_epoch: called after each epoch.

        Raises:
            ConfigurationError: the settings do not fit the data.
            RecordingError: the fit diverged.
        """
        fit = import_module(f'leconvmn_ros.training.{self.module}')
        result: FitResult = fit.run(
            self, model, data, seed=seed, stop_after=stop_after, on_epoch=on_epoch
        )
        return result

    def expected_seconds(self, model: 'Model', data: 'TrainingData') -> float | None:
        """Return the expected duration of `run` (s), None if it is too short to measure."""
        fit = import_module(f'leconvmn_ros.training.{self.module}')
        expected = getattr(fit, 'expected_seconds', None)
        return None if expected is None else float(expected(model, data, self))


class RecurrentFitSettings(FitSettings):
    """Settings of the training of a recurrent model."""

    models = frozenset({'le_convmn', 'lstm'})
    module = 'recurrent_fit'
    needs_validation = False

    kind: Literal['recurrent'] = 'recurrent'
    epochs: int = Field(default=60, ge=1, le=10_000, description='passes over the training data')
    learning_rate: float = Field(
        default=3e-3, gt=0, le=1, description='rate of AdamW; the peak of a one-cycle schedule'
    )
    schedule: Literal['one_cycle', 'constant'] = Field(
        default='one_cycle', description='schedule of the learning rate'
    )
    weight_decay: float = Field(default=1e-2, ge=0, le=1, description='of AdamW')
    lanes: int = Field(default=8, ge=1, le=256, description='sequences trained in parallel')
    truncation: int = Field(
        default=10, ge=1, le=1000, description='images per back-propagation through time'
    )
    gradient_norm: float = Field(
        default=1.0, gt=0, description='gradients are clipped to this norm'
    )
    noise: float = Field(
        default=0,
        ge=0,
        le=10,
        description='standard deviation of the noise on standardised features',
    )
    order: Order = Field(
        default='recording',
        description='order of the training data: that of the recording, or single repetitions (a '
        'movement and the rest after it) in random order, with the hidden state carried from each '
        'to the next',
    )
    donnings: bool = Field(
        default=False,
        description='each recording is a separate donning: in training, its features are '
        'standardised by a random mixture of its own statistics and those of all recordings, so '
        'that the decoder fits a new donning with either',
    )
    random_phase: bool = Field(
        default=True, description='shift the grid of images by a random phase in each epoch'
    )
    averaging: float = Field(
        default=0,
        ge=0,
        lt=1,
        description='decay per step of the moving average of the weights; 0 = no averaging',
    )


class RidgeFitSettings(FitSettings):
    """Settings of the closed-form fit, with the best of PENALTIES."""

    models = frozenset({'ridge'})
    module = 'ridge_fit'

    kind: Literal['ridge'] = 'ridge'

    @property
    def epochs(self) -> int:
        """Number of penalties to choose from."""
        return len(PENALTIES)


class SpgpFitSettings(FitSettings):
    """Settings of the maximisation of the marginal likelihood with Adam."""

    models = frozenset({'spgp'})
    module = 'spgp_fit'

    kind: Literal['spgp'] = 'spgp'
    epochs: int = Field(
        default=60, ge=1, le=10_000, description='steps; each uses all training images'
    )
    learning_rate: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description='initial rate of Adam; for logarithms, and for pseudo-inputs in length-scales',
    )
