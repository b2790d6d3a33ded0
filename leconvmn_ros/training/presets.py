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

"""Settings of a training, and the named ones: LE-ConvMN in three sizes, and its rivals."""

from typing import Annotated, Any

from leconvmn_ros.emg.signal_path import ExposureConfig
from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.models.build import ModelConfig
from leconvmn_ros.models.le_convmn import LeConvMnConfig, StackConfig
from leconvmn_ros.models.lstm import LstmConfig
from leconvmn_ros.models.ridge import RidgeConfig
from leconvmn_ros.models.spgp import SpgpConfig
from leconvmn_ros.strict_model import StrictModel
from leconvmn_ros.training.recurrent_fit import RecurrentFitSettings
from leconvmn_ros.training.ridge_fit import RidgeFitSettings
from leconvmn_ros.training.spgp_fit import SpgpFitSettings
from pydantic import Field, model_validator


class TrainingSettings(StrictModel):
    """Which model to train, on what, and how; the defaults are the network of the paper."""

    exposure: ExposureConfig = ExposureConfig()
    model: ModelConfig = LeConvMnConfig()
    fit: Annotated[
        RecurrentFitSettings | SpgpFitSettings | RidgeFitSettings, Field(discriminator='kind')
    ] = RecurrentFitSettings()
    second_pass: bool = Field(
        default=False,
        description='when the epoch is chosen, train once more, on the validation part as well',
    )
    threads: int = Field(
        default=0, ge=0, le=256, description='CPU threads, 0 = as many as torch chooses'
    )
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, description='of initial weights and order of the data'
    )

    @model_validator(mode='after')
    def _fitting(self) -> 'TrainingSettings':
        if self.model.kind not in self.fit.models:
            raise ValueError(
                f'fit {self.fit.kind} for a {self.model.kind}; '
                f'it fits {", ".join(sorted(self.fit.models))}'
            )
        return self

    def changed(self, part: str = '', **values: Any) -> 'TrainingSettings':
        """Return the settings with other values, of a part of them ('fit', 'model', 'exposure').

        Raises:
            pydantic.ValidationError: a value is not allowed.
        """
        data = self.model_dump()
        (data[part] if part else data).update(values)
        return TrainingSettings.model_validate(data)


_COARSE = ExposureConfig(column_period=0.02)

DEFAULT_PRESET = 'le_convmn'

# What each is worth: see resource/ablation.md. What turns with the electrodes;
_RING = StackConfig(planes=(32, 32), electrodes='ring', time='all', head='all', dropout=0.3)
# the same, and then where on the ring it was;
_RING_THEN_ALL = StackConfig(
    planes=(32, 128),
    electrodes='ring_then_all',
    time='all',
    head='all',
    dropout=0.3,
    layer_dropout=0.3,
)
# and the whole image at once.
_WHOLE = _RING_THEN_ALL.model_copy(update={'planes': (128, 128), 'electrodes': 'all'})
_FIT = RecurrentFitSettings(epochs=30, noise=0.3, averaging=0.99)

PRESETS = {
    # The best LE-ConvMN there is here.
    'le_convmn': TrainingSettings(
        exposure=_COARSE,
        model=LeConvMnConfig(stacks=(_RING_THEN_ALL, _RING_THEN_ALL, _RING, _WHOLE)),
        fit=_FIT,
        second_pass=True,
        # Several would mostly wait for one another, and badly so on a busy machine.
        threads=1,
    ),
    # A quarter of its work: for slow machines, and what the demo runs.
    'small': TrainingSettings(
        exposure=_COARSE,
        model=LeConvMnConfig(stacks=(_RING_THEN_ALL,)),
        fit=_FIT.model_copy(update={'epochs': 20}),
        second_pass=True,
        threads=1,
    ),
    # The network of the paper, trained as it takes it: faster, its gates saturate for good.
    'paper': TrainingSettings(
        fit=RecurrentFitSettings(epochs=60, learning_rate=1e-3, lanes=4), second_pass=True
    ),
    # The paper's own way to train it: one sequence, Adam at 1e-4, features as they are.
    'paper_training': TrainingSettings(
        exposure=ExposureConfig(standardise=False),
        fit=RecurrentFitSettings(
            epochs=1500,
            learning_rate=1e-4,
            schedule='constant',
            weight_decay=0,
            lanes=1,
            truncation=1,
            random_phase=False,
        ),
    ),
    # The LSTM that the paper compares with: RMS features, one after another: five times as many
    # steps, and at the usual rate it learns badly or, now and then, nothing.
    'lstm_paper': TrainingSettings(
        exposure=_COARSE,
        model=LstmConfig(steps='columns'),
        fit=_FIT.model_copy(update={'learning_rate': 1e-3}),
        second_pass=True,
        threads=1,
    ),
    # A fair one: it sees the same images, is as many networks, and is trained the same way.
    'lstm': TrainingSettings(
        exposure=_COARSE,
        model=LstmConfig(networks=4, dropout=0.3),
        fit=_FIT,
        second_pass=True,
        threads=1,
    ),
    # One network alone.
    'lstm_single': TrainingSettings(
        exposure=_COARSE, model=LstmConfig(dropout=0.3), fit=_FIT, second_pass=True, threads=1
    ),
    # Snelson and Ghahramani's process, on the same images.
    'spgp': TrainingSettings(
        exposure=_COARSE, model=SpgpConfig(), fit=SpgpFitSettings(), second_pass=True, threads=1
    ),
    # As the paper has it, on the RMS features of the moment.
    'spgp_paper': TrainingSettings(
        exposure=_COARSE,
        model=SpgpConfig(input='column'),
        fit=SpgpFitSettings(),
        second_pass=True,
        threads=1,
    ),
    # The floor: a straight line.
    'ridge': TrainingSettings(
        exposure=_COARSE,
        model=RidgeConfig(input='image'),
        fit=RidgeFitSettings(),
        second_pass=True,
    ),
}

# To go on from a decoder: it has only to get used to other electrodes, so fewer and smaller steps.
FINE_TUNING = {'epochs': 20, 'learning_rate': 1e-3}


def check_goes_on(settings: TrainingSettings) -> None:
    """Check that training with these settings goes on from given weights.

    Raises:
        ConfigurationError: it chooses the weights anew, and would silently drop those given.
    """
    if not isinstance(settings.fit, RecurrentFitSettings):
        raise ConfigurationError(
            f'a {settings.model.kind} cannot be trained further; le_convmn and lstm can'
        )


def fine_tuning(settings: TrainingSettings) -> TrainingSettings:
    """Return settings to go on from a decoder that was trained with these.

    Raises:
        ConfigurationError: the model is not trained step by step.
    """
    check_goes_on(settings)
    return settings.changed('fit', **FINE_TUNING)
