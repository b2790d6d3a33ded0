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

"""Members of an ensemble that are trained alone: the same, however many processes there are."""

import os
import signal

from builders import HOLD_OUT, make_recording, one_stack, weights_of
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.models.le_convmn.config import LeConvMnConfig, StackConfig
from leconvmn_ros.models.lstm.config import LstmConfig
from leconvmn_ros.training import member_fit
from leconvmn_ros.training import run as training
from leconvmn_ros.training.data import gather
from leconvmn_ros.training.fit_settings import RecurrentFitSettings
from leconvmn_ros.training.member_fit import fit_members, trains_apart
from leconvmn_ros.training.presets import TrainingSettings
from leconvmn_ros.training.recurrent_fit import fit_recurrent
from leconvmn_ros.training.run import train
import numpy as np
import pytest
import torch

torch.set_num_threads(1)
FIT = RecurrentFitSettings(epochs=2, lanes=2, order='repetitions', averaging=0.9)
# Dropout draws random numbers while the members learn.
STACK = StackConfig(planes=(3,), dropout=0.2)
MODELS = {
    'le_convmn': LeConvMnConfig(stacks=(STACK, STACK, StackConfig(planes=(2,)))),
    'lstm': LstmConfig(units=3, networks=3, dropout=0.2),
}


def prepared(config, *, learn_validation=True):
    settings = TrainingSettings(model=config, fit=FIT)
    data = gather(
        [make_recording()], settings.exposure, HOLD_OUT, learn_validation=learn_validation
    )
    torch.manual_seed(0)
    return config.build(data.signal_path.image_size, len(data.joints)), data


def bytes_of(model):
    return {name: weights.tobytes() for name, weights in model.trained_weights().items()}


@pytest.mark.parametrize('config', MODELS.values(), ids=MODELS)
def test_each_member_is_trained_and_all_count_alike(config):
    model, data = prepared(config)
    before, reports = bytes_of(model), []
    fitted = fit_members(model, data, FIT, seed=0, on_epoch=reports.append)
    after = bytes_of(fitted.model)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == set(after) - {'member_weights'}
    np.testing.assert_allclose(fitted.model.member_weights, 1 / 3)
    assert [(r.epoch, r.epochs) for r in reports] == [(1, 2), (2, 2)]
    assert fitted.epoch == 2
    assert not any(part.training for part in fitted.model.modules())


def test_a_member_learns_what_it_would_alone():
    config = LeConvMnConfig(stacks=(STACK, STACK))
    model, data = prepared(config)
    alone = one_stack(planes=(3,), dropout=0.2).build(data.signal_path.image_size, 3)
    alone.stacks[0].load_state_dict(model.stacks[1].state_dict())
    seed = int(np.random.SeedSequence(5).generate_state(2)[1])
    torch.manual_seed(seed)
    expected = fit_recurrent(alone, data, FIT, seed=seed).model
    found = fit_members(model, data, FIT, seed=5).model
    for name, weight in expected.stacks[0].state_dict().items():
        torch.testing.assert_close(found.stacks[1].state_dict()[name], weight, rtol=0, atol=0)


def test_processes_change_nothing():
    fits, reports = [], []
    for processes in (1, 2):
        model, data = prepared(LeConvMnConfig(stacks=(STACK, STACK)))
        seen = []
        fit = fit_members(
            model, data, FIT, seed=3, processes=processes, stop_after=1, on_epoch=seen.append
        )
        fits.append(bytes_of(fit.model))
        reports.append([(r.epoch, r.second_pass) for r in seen])
    assert fits[0] == fits[1]
    assert reports == [[(1, True)], [(1, True)]]


def test_a_training_that_diverges_is_an_error():
    model, data = prepared(MODELS['le_convmn'])
    data.training[0].targets[...] = np.nan
    with pytest.raises(RecordingError, match='training diverged'):
        fit_members(model, data, FIT, seed=0)


def test_a_process_that_is_killed_is_an_error(monkeypatch):
    model, data = prepared(MODELS['le_convmn'])
    start = member_fit._start

    def started(task):
        receiver, process = start(task)
        os.kill(process.pid, signal.SIGKILL)
        return receiver, process

    monkeypatch.setattr(member_fit, '_start', started)
    with pytest.raises(RecordingError, match=r'member [12] of 3 ended with exit code -9'):
        fit_members(model, data, FIT, seed=0, processes=1 + 1)


def test_a_validation_part_or_a_single_member_is_trained_together():
    model, data = prepared(MODELS['lstm'], learn_validation=False)
    assert not trains_apart(model, data)
    model, data = prepared(MODELS['lstm'])
    assert trains_apart(model, data)
    model, data = prepared(one_stack(planes=(3,)))
    assert not trains_apart(model, data)


def test_a_training_takes_processes_if_it_is_long_enough(monkeypatch):
    settings = TrainingSettings(model=MODELS['le_convmn'], fit=FIT, threads=1, choose_epoch=False)
    counts = []

    def fit(*arguments, processes, **options):
        counts.append(processes)
        return fit_members(*arguments, processes=1, **options)

    monkeypatch.setattr(training, 'fit_members', fit)
    made = [train([make_recording()], settings, hold_out=HOLD_OUT, processes=4)]
    monkeypatch.setattr(training, 'WORTH_PROCESSES', 0)
    made.append(train([make_recording()], settings, hold_out=HOLD_OUT, processes=4))
    assert counts == [1, 4]
    assert weights_of(made[0]) == weights_of(made[1])
