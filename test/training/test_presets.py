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

"""Presets: each can be trained and decodes; settings are checked and changed part by part."""

from builders import HOLD_OUT, JOINTS, make_recording
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.evaluation.comparison import decode_recording
from leconvmn_ros.models.le_convmn import LeConvMnConfig
from leconvmn_ros.models.lstm import LstmConfig
from leconvmn_ros.training.presets import (
    CURRENT_PRESETS,
    DEFAULT_PRESET,
    PRESETS,
    TrainingSettings,
)
from leconvmn_ros.training.run import train
import numpy as np
from pydantic import ValidationError
import pytest
import torch

torch.set_num_threads(1)


@pytest.mark.parametrize('name', PRESETS)
def test_each_preset_trains_and_decodes(name, tmp_path):
    recording = make_recording(repetition_length=60)
    settings = PRESETS[name].changed(threads=1)
    if settings.model.kind == 'spgp':
        settings = settings.changed('model', pseudo_inputs=5)
    if settings.fit.kind != 'ridge':
        settings = settings.changed('fit', epochs=1)
    reports = []
    checkpoint = train([recording], settings, hold_out=HOLD_OUT, on_epoch=reports.append)
    if settings.fit.kind == 'recurrent':
        assert len(reports) == 1 + settings.second_pass
    assert checkpoint.description.model == settings.model
    assert TrainingSettings(**checkpoint.description.training.settings) == settings
    validation = checkpoint.description.training.validation
    assert bool(validation) == settings.choose_epoch
    assert np.isfinite(list(validation.values())).all()
    estimates = decode_recording(Decoder(checkpoint), recording)
    assert estimates.names == JOINTS
    # At 100 Hz, two samples from one to the next; the first image takes ten.
    assert len(estimates.stamps_ns) == (300 - 10) // 2 + 1
    assert np.isfinite(estimates.positions).all()
    assert (estimates.positions.std(axis=0) > 1e-6).all()
    checkpoint.save(tmp_path / name)
    again = decode_recording(Decoder(load_checkpoint(tmp_path / name)), recording)
    np.testing.assert_array_equal(again.positions, estimates.positions)


def test_what_the_presets_stand_for():
    assert DEFAULT_PRESET in PRESETS
    # The paper's network, by name and by default.
    for settings in (PRESETS['paper'], PRESETS['paper_training'], TrainingSettings()):
        assert settings.model == LeConvMnConfig()
        assert settings.exposure.column_period == 0
    # What is compared has learnt the same data; the paper knows no validation data.
    learns_all = [s.second_pass or not s.choose_epoch for s in PRESETS.values()]
    assert [name for name, all_ in zip(PRESETS, learns_all, strict=True) if not all_] == [
        'paper_training'
    ]
    # One sequence, a step of the optimiser for each image, as in the paper.
    training = PRESETS['paper_training']
    assert (training.fit.learning_rate, training.fit.schedule) == (1e-4, 'constant')
    assert (training.fit.lanes, training.fit.truncation, training.fit.weight_decay) == (1, 1, 0)
    # The fair rival sees and is trained as the one it is compared with.
    rival, own = PRESETS['lstm'], PRESETS['le_convmn']
    assert isinstance(rival.model, LstmConfig)
    assert rival.model_copy(update={'model': own.model, 'preset': own.preset}) == own
    assert rival.model.networks == len(own.model.stacks)
    assert PRESETS['lstm_paper'].model.steps == 'columns'


def test_presets_have_versions_and_the_ones_before_are_kept():
    for name, settings in CURRENT_PRESETS.items():
        assert settings.preset.startswith(f'{name}@')
        assert PRESETS[name] == settings
    for name in PRESETS.keys() - CURRENT_PRESETS.keys():
        before, now = PRESETS[name], PRESETS[name.removesuffix('@1')]
        assert (before.preset, now.preset) == (name, name.replace('@1', '@2'))
        # The same network, learnt in the order of the recording.
        assert before.model == now.model
        assert (before.order, now.order) == ('recording', 'repetitions')


def test_what_needs_a_validation_part_cannot_do_without():
    with pytest.raises(ValidationError, match='choose_epoch is off, but a ridge fit'):
        PRESETS['ridge'].changed(second_pass=False, choose_epoch=False)
    with pytest.raises(ValidationError, match='second_pass True needs a validation part'):
        PRESETS['small'].changed(second_pass=True)


@pytest.mark.parametrize('name', PRESETS)
def test_settings_survive_json(name):
    settings = PRESETS[name]
    assert TrainingSettings.model_validate_json(settings.model_dump_json()) == settings


def test_parts_are_changed_one_at_a_time():
    settings = TrainingSettings()
    changed = settings.changed('fit', epochs=7, lanes=3).changed('exposure', exposure=0.2)
    assert (changed.fit.epochs, changed.fit.lanes, changed.exposure.exposure) == (7, 3, 0.2)
    assert settings == TrainingSettings()
    whole = settings.changed(seed=5, model=LstmConfig(units=9))
    assert (whole.seed, whole.model) == (5, LstmConfig(units=9))
    assert whole.fit == settings.fit
    assert settings.changed('model', forget_bias=2).model.forget_bias == 2


@pytest.mark.parametrize(
    ('part', 'values', 'message'),
    [
        ('fit', {'epochs': 0}, 'epochs'),
        ('model', {'stacks': ({'planes': (0,)},)}, 'planes'),
        ('model', {'kind': 'resnet'}, 'resnet'),
        ('model', {'units': 3}, 'units'),
        ('exposure', {'exposure': 0}, 'exposure'),
        ('', {'seed': -1}, 'seed'),
        ('', {'threads': 257}, 'threads'),
        ('', {'epochs': 5}, 'epochs'),
    ],
)
def test_changes_are_checked(part, values, message):
    with pytest.raises(ValidationError, match=message):
        TrainingSettings().changed(part, **values)
