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

So the command line knows every option without PyTorch. A new kind of fit is one class here, one
module with its `run`, and a place in the union of `presets`.
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

# How the training data follow one another, see `sequences`.
Order = Literal['recording', 'repetitions']

# Of a ridge regression, tried one by one; each is multiplied by the number of training images, so
# that it weighs the same however long a recording is. Features are standardised: below 1e-5 a
# penalty changes nothing, above 10 little is left of the weights.
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


class FitSettings(StrictModel):
    """How a kind of model is fitted.

    Each has `epochs`, how many there are to choose from.

    Attributes:
        models: the kinds of model that it fits.
        module: where its `run` and, if it takes long, its `expected_seconds` are.
        needs_validation: whether there is something that only validation data can choose.
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
            model: to be fitted, on the device to compute on.
            data: what to learn; without validation data the last epoch counts.
            seed: of everything that is drawn at random.
            stop_after: the epoch that a first fit chose, to end with; the schedule stays.
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
        """Return how long `run` will take (s), None if it is too short to measure."""
        fit = import_module(f'leconvmn_ros.training.{self.module}')
        expected = getattr(fit, 'expected_seconds', None)
        return None if expected is None else float(expected(model, data, self))


class RecurrentFitSettings(FitSettings):
    """How to train a recurrent model."""

    models = frozenset({'le_convmn', 'lstm'})
    module = 'recurrent_fit'
    needs_validation = False

    kind: Literal['recurrent'] = 'recurrent'
    epochs: int = Field(default=60, ge=1, le=10_000, description='passes over the training data')
    learning_rate: float = Field(
        default=3e-3, gt=0, le=1, description='of AdamW; the peak of a one-cycle schedule'
    )
    schedule: Literal['one_cycle', 'constant'] = Field(
        default='one_cycle', description='how the learning rate goes'
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
        default=0, ge=0, le=10, description='standard deviation added to the standardised features'
    )
    order: Order = Field(
        default='recording',
        description='how the training data follow one another: in the order of the recording, or '
        'as single repetitions (a movement and the rest after it) in random order, with the state '
        'carried from each to the next',
    )
    donnings: bool = Field(
        default=False,
        description='each recording is a donning of its own: while learning, its features are '
        'standardised a random share of the way by its own statistics instead of by those of all, '
        'so that the decoder fits a new donning with either',
    )
    random_phase: bool = Field(
        default=True, description='shift the grid of images by a random phase in each epoch'
    )
    averaging: float = Field(
        default=0,
        ge=0,
        lt=1,
        description='decay per step of the moving average of the weights that is kept; 0 = none',
    )


class RidgeFitSettings(FitSettings):
    """Fit in closed form, with the best of PENALTIES."""

    models = frozenset({'ridge'})
    module = 'ridge_fit'

    kind: Literal['ridge'] = 'ridge'

    @property
    def epochs(self) -> int:
        """How many penalties there are to choose from."""
        return len(PENALTIES)


class SpgpFitSettings(FitSettings):
    """Maximise the marginal likelihood with Adam."""

    models = frozenset({'spgp'})
    module = 'spgp_fit'

    kind: Literal['spgp'] = 'spgp'
    epochs: int = Field(
        default=60, ge=1, le=10_000, description='steps; each looks at all training images'
    )
    learning_rate: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description='of Adam at the start; of logarithms, and of pseudo-inputs in length-scales',
    )
