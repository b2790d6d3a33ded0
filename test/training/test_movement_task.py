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

"""Naming the movement as a second task: it teaches the network and leaves nothing behind."""

from dataclasses import replace

from builders import HOLD_OUT, make_recording, one_stack, weights_of
from leconvmn_ros.models.lstm import LstmConfig
from leconvmn_ros.recording import LabelTrack
from leconvmn_ros.training.data import gather
from leconvmn_ros.training.movement_task import movements_of, MovementTask
from leconvmn_ros.training.presets import TrainingSettings
from leconvmn_ros.training.recurrent_fit import RecurrentFitSettings
from leconvmn_ros.training.sequences import arrange_sequences
from leconvmn_ros.training.train import train
import numpy as np
import pytest
import torch

torch.set_num_threads(1)
SETTINGS = TrainingSettings(
    model=one_stack(planes=(3,)),
    fit=RecurrentFitSettings(epochs=2, lanes=2, order='repetitions', movement_weight=0.5),
    threads=1,
)
MODELS = {
    'a head of its own for each joint': one_stack(planes=(3,), head='all'),
    'a head that all joints share': one_stack(planes=(3,)),
    'several parts': LstmConfig(units=12, networks=2),
}


def labelled():
    """Return a recording of movements 4 and 7 and of rests, in five repetitions each."""
    recording = make_recording(repetitions=5, repetition_length=200)
    starts = recording.labels.stamps_ns
    quarter = (starts[1] - starts[0]) // 4
    stamps = (starts[:, None] + quarter * np.arange(4)).ravel()
    movement, repetition = np.tile([4, 0, 7, 0], 5), np.repeat(np.arange(1, 6), 4)
    return replace(recording, labels=LabelTrack(stamps, movement, repetition))


def prepared(model):
    data = gather([labelled()], SETTINGS.exposure, HOLD_OUT)
    torch.manual_seed(0)
    return model.build(data.signal_path.image_size, len(data.joints)), data


@pytest.mark.parametrize('config', MODELS.values(), ids=MODELS)
def test_the_movement_can_be_learnt_from_what_the_heads_read(config):
    model, data = prepared(config)
    assert movements_of(data.training).tolist() == [0, 4, 7]
    task = MovementTask(model, len(data.joints), movements_of(data.training), 0.05)
    lanes = arrange_sequences(data.training, data.signal_path, 2, order='repetitions')
    window = range(len(lanes.images))
    losses = []
    for _ in range(25):
        state = model.initial_state(lanes.images.shape[1])
        model.member_outputs(torch.from_numpy(lanes.images), state, torch.from_numpy(lanes.fresh))
        loss = task.loss(lanes, window)
        loss.backward()
        task.step(0.05)
        losses.append(float(loss.detach()))
    assert losses[0] > 0.9  # of chance: ln 3 is 1.1
    assert losses[-1] < 0.85 * losses[0]
    assert all(p.grad is not None for n, p in model.named_parameters() if 'head' not in n)


@pytest.mark.parametrize('config', MODELS.values(), ids=MODELS)
def test_the_model_is_left_as_it_was(config):
    model, data = prepared(config)
    names = set(model.state_dict())
    task = MovementTask(model, len(data.joints), movements_of(data.training), 0.05)
    task.detach()
    assert set(model.state_dict()) == names
    model(torch.zeros(2, 1, *model.image_size), model.initial_state())
    assert task._read == []


def test_training_with_it_gives_another_network_of_the_same_kind():
    checkpoint = train([labelled()], SETTINGS, hold_out=HOLD_OUT)
    without = train([labelled()], SETTINGS.changed('fit', movement_weight=0), hold_out=HOLD_OUT)
    assert weights_of(checkpoint).keys() == weights_of(without).keys()
    assert weights_of(checkpoint) != weights_of(without)
    # Whether it is said beforehand how long it takes makes no difference.
    timed = train([labelled()], SETTINGS, hold_out=HOLD_OUT, on_start=lambda _: None)
    assert weights_of(checkpoint) == weights_of(timed)


def test_without_labels_there_is_no_such_task():
    settings = SETTINGS.changed('fit', movement_weight=0)
    unlabelled = replace(labelled(), labels=None)
    one, other = (train([unlabelled], s) for s in (SETTINGS, settings))
    assert weights_of(one) == weights_of(other)
