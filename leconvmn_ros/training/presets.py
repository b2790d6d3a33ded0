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

"""Settings of a training, and named presets: LE-ConvMN in three sizes, and its baselines."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.strict_model import StrictModel
from leconvmn_ros.emg.signal_path import ExposureConfig
from leconvmn_ros.models.kinds import AnyModelConfig
from leconvmn_ros.models.le_convmn import LeConvMnConfig, StackConfig
from leconvmn_ros.models.lstm import LstmConfig
from leconvmn_ros.models.ridge import RidgeConfig
from leconvmn_ros.models.spgp import SpgpConfig
from leconvmn_ros.training.fit_settings import (
    Order,
    RecurrentFitSettings,
    RidgeFitSettings,
    SpgpFitSettings,
)
from pydantic import Field, model_validator


class TrainingSettings(StrictModel):
    """Model, data and fit of a training; the defaults are the network of the paper."""

    exposure: ExposureConfig = ExposureConfig()
    model: AnyModelConfig = LeConvMnConfig()
    fit: Annotated[
        RecurrentFitSettings | SpgpFitSettings | RidgeFitSettings, Field(discriminator='kind')
    ] = RecurrentFitSettings()
    high_pass: float | None = Field(
        default=None,
        ge=0,
        le=1000,
        description='corner of the high-pass of raw EMG (Hz); 0 = none; by default chosen by the '
        'rate, and none for an envelope',
    )
    mains: Literal[0, 50, 60] = Field(
        default=0, description='mains frequency that notches remove (Hz); 0 = none'
    )
    preset: str = Field(
        default='', description='name and version of the preset that the settings started from'
    )
    choose_epoch: bool = Field(
        default=True,
        description='choose the epoch on a validation part; otherwise the last epoch counts, and '
        'the validation part is trained on, too',
    )
    second_pass: bool = Field(
        default=False,
        description='if the epoch is chosen, train again with the validation part included',
    )
    threads: int = Field(
        default=0, ge=0, le=256, description='CPU threads, 0 = as many as torch chooses'
    )
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, description='seed of initial weights and order of the data'
    )

    @model_validator(mode='after')
    def _fitting(self) -> 'TrainingSettings':
        if self.model.kind not in self.fit.models:
            raise ValueError(
                f'fit {self.fit.kind} for a {self.model.kind}; '
                f'it fits {", ".join(sorted(self.fit.models))}'
            )
        if not self.choose_epoch and (self.second_pass or self.fit.needs_validation):
            raise ValueError(
                f'choose_epoch is off, but a {self.fit.kind} fit with second_pass '
                f'{self.second_pass} needs a validation part'
            )
        return self

    @property
    def order(self) -> Order:
        """Order of the training data, which does not matter to models without memory."""
        return self.fit.order if isinstance(self.fit, RecurrentFitSettings) else 'recording'

    def changed(self, part: str = '', **values: Any) -> 'TrainingSettings':
        """Return the settings with changes in one part ('fit', 'model', 'exposure').

        Raises:
            pydantic.ValidationError: a value is not allowed.
        """
        data = self.model_dump()
        (data[part] if part else data).update(values)
        return TrainingSettings.model_validate(data)


_COARSE = ExposureConfig(column_period=0.02)

DEFAULT_PRESET = 'le_convmn'

# The effects of these stacks are in docs/explanation/ablation.md.
# This one treats all electrodes alike, so its features rotate with the ring.
_RING = StackConfig(planes=(32, 32), electrodes='ring', time='all', head='all', dropout=0.3)
# The second layer also sees the position on the ring.
_RING_THEN_ALL = StackConfig(
    planes=(32, 128),
    electrodes='ring_then_all',
    time='all',
    head='all',
    dropout=0.3,
    layer_dropout=0.3,
)
# The first layer sees all electrodes at once.
_WHOLE = _RING_THEN_ALL.model_copy(update={'planes': (128, 128), 'electrodes': 'all'})
# Single repetitions in random order teach a decoder to follow movements in any order. The schedule
# ends at a rate near 0 and the weights are averaged, so the last epoch is as good as any that a
# validation part would choose. From 20 to 30 epochs an LSTM gained 0.024 in CC on the development
# people and LE-ConvMN 0.005 on DB5; neither gained from there to 40, nor one stack beyond 20.
_FIT = RecurrentFitSettings(epochs=30, noise=0.3, averaging=0.99, order='repetitions')
_FIT_SMALL = _FIT.model_copy(update={'epochs': 20})
# Version 0.1.0: long stretches in the order of the recording, and a second pass.
_FIT_1 = _FIT.model_copy(update={'order': 'recording'})
_LE_CONVMN = LeConvMnConfig(stacks=(_RING_THEN_ALL, _RING_THEN_ALL, _RING, _WHOLE))
_SMALL = LeConvMnConfig(stacks=(_RING_THEN_ALL,))
_LSTM = LstmConfig(networks=4, dropout=0.3)


def _trained(
    model: AnyModelConfig, fit: RecurrentFitSettings = _FIT, **values: Any
) -> TrainingSettings:
    # Several threads would mostly wait for one another, above all on a busy machine.
    return TrainingSettings(
        exposure=_COARSE, model=model, fit=fit, threads=1, choose_epoch=False, **values
    )


def _trained_as_in_0_1_0(model: AnyModelConfig, **fit: Any) -> TrainingSettings:
    return TrainingSettings(
        exposure=_COARSE,
        model=model,
        fit=_FIT_1.model_copy(update=fit),
        threads=1,
        second_pass=True,
    )


_PRESETS = {
    # The best LE-ConvMN here.
    'le_convmn': _trained(_LE_CONVMN),
    # A quarter of its computation, for slow machines; used by the demo.
    'small': _trained(_SMALL, _FIT_SMALL),
    # The network of the paper with a training that suits it: trained faster, its gates saturate.
    'paper': TrainingSettings(
        fit=RecurrentFitSettings(epochs=60, learning_rate=1e-3, lanes=4), second_pass=True
    ),
    # The paper's own training: one sequence, Adam at 1e-4, features unchanged.
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
    # The LSTM baseline of the paper reads RMS features one after another: five times as many
    # steps. At the usual rate it learns badly or, sometimes, nothing.
    'lstm_paper': _trained(
        LstmConfig(steps='columns'), _FIT.model_copy(update={'learning_rate': 1e-3})
    ),
    # A fair baseline: the same images, as many networks, the same training.
    'lstm': _trained(_LSTM),
    # A single network.
    'lstm_single': _trained(LstmConfig(dropout=0.3)),
    # Snelson and Ghahramani's process on the same images.
    'spgp': TrainingSettings(
        exposure=_COARSE, model=SpgpConfig(), fit=SpgpFitSettings(), second_pass=True, threads=1
    ),
    # As in the paper, on the present RMS features.
    'spgp_paper': TrainingSettings(
        exposure=_COARSE,
        model=SpgpConfig(input='column'),
        fit=SpgpFitSettings(),
        second_pass=True,
        threads=1,
    ),
    # The lower bound: a linear map.
    'ridge': TrainingSettings(
        exposure=_COARSE,
        model=RidgeConfig(input='image'),
        fit=RidgeFitSettings(),
        second_pass=True,
    ),
}
# Presets not listed here have version 1: they have not changed.
_VERSIONS = dict.fromkeys(('le_convmn', 'small', 'lstm', 'lstm_single', 'lstm_paper'), 2)
# Earlier versions for comparison, named `small@1` and so on.
_PRESETS_1 = {
    'le_convmn': _trained_as_in_0_1_0(_LE_CONVMN),
    'small': _trained_as_in_0_1_0(_SMALL, epochs=20),
    'lstm': _trained_as_in_0_1_0(_LSTM),
    'lstm_single': _trained_as_in_0_1_0(LstmConfig(dropout=0.3)),
    'lstm_paper': _trained_as_in_0_1_0(LstmConfig(steps='columns'), learning_rate=1e-3),
}


def _named(presets: Mapping[str, TrainingSettings]) -> dict[str, TrainingSettings]:
    return {name: s.model_copy(update={'preset': name}) for name, s in presets.items()}


CURRENT_PRESETS = {
    name: settings.model_copy(update={'preset': f'{name}@{_VERSIONS.get(name, 1)}'})
    for name, settings in _PRESETS.items()
}
# By name; earlier ones by name and version.
PRESETS = CURRENT_PRESETS | _named(
    {f'{name}@1': s.model_copy(update={'high_pass': 0.0}) for name, s in _PRESETS_1.items()}
)

# Fine-tuning adapts a decoder to other electrodes, which needs fewer and smaller steps.
FINE_TUNING = {'epochs': 20, 'learning_rate': 1e-3}


def check_goes_on(settings: TrainingSettings) -> None:
    """Check that these settings can continue the training of given weights.

    Raises:
        ConfigurationError: the fit would silently discard the given weights.
    """
    if not isinstance(settings.fit, RecurrentFitSettings):
        raise ConfigurationError(
            f'a {settings.model.kind} cannot be trained further; le_convmn and lstm can'
        )


def fine_tuning(settings: TrainingSettings) -> TrainingSettings:
    """Return settings for fine-tuning a decoder that was trained with these.

    Raises:
        ConfigurationError: the model is not trained step by step.
    """
    check_goes_on(settings)
    return settings.changed('fit', **FINE_TUNING)
