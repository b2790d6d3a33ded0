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

"""The common behaviour of all models."""

from builders import one_stack
from leconvmn_ros.models.base import parameter_count
from leconvmn_ros.models.le_convmn.network import LeConvMn
from leconvmn_ros.models.lstm import LstmConfig
from leconvmn_ros.models.lstm.network import Lstm
import pytest
import torch
from torch import nn

MODELS = [
    (one_stack(planes=(4,)), LeConvMn),
    (one_stack(planes=(4,), electrodes='ring', head='last'), LeConvMn),
    (one_stack(planes=(4,), electrodes='all', head='mean'), LeConvMn),
    (LstmConfig(units=5), Lstm),
    (LstmConfig(units=5, networks=2), Lstm),
    (LstmConfig(units=5, steps='columns'), Lstm),
]
every_model = pytest.mark.parametrize('config', [config for config, _ in MODELS])


def make(config):
    torch.manual_seed(0)
    return config.build((3, 5), 2).eval()


@pytest.mark.parametrize(('config', 'kind'), MODELS)
@torch.no_grad()
def test_images_and_a_state_in_outputs_and_a_state_out(config, kind):
    model = make(config)
    assert type(model) is kind
    assert model.image_size == (3, 5)
    state = model.initial_state(4)
    images = torch.randn(6, 4, 3, 5)
    outputs, after = model(images, state)
    assert outputs.shape == (6, 4, 2)
    assert outputs.dtype == torch.float32
    shapes = [[part.shape for part in layer] for layer in state]
    assert [[part.shape for part in layer] for layer in after] == shapes
    assert all(len(part) == 4 and (part == 0).all() for layer in state for part in layer)
    assert all((part != 0).any() for layer in after for part in layer)


@every_model
@torch.no_grad()
def test_lanes_of_a_batch_do_not_mix(config):
    model = make(config)
    images = torch.randn(6, 4, 3, 5)
    outputs, _ = model(images, model.initial_state(4))
    images[:, 2] += 1
    others, _ = model(images, model.initial_state(4))
    kept = [0, 1, 3]
    torch.testing.assert_close(outputs[:, kept], others[:, kept])
    assert not torch.allclose(outputs[:, 2], others[:, 2])


@every_model
@torch.no_grad()
def test_nothing_of_the_future_is_seen(config):
    model = make(config)
    images = torch.randn(6, 1, 3, 5)
    outputs, _ = model(images, model.initial_state())
    images[4:] += 1
    others, _ = model(images, model.initial_state())
    torch.testing.assert_close(outputs[:4], others[:4])
    assert not torch.allclose(outputs[4:], others[4:])


def test_parameters_are_counted():
    assert parameter_count(nn.Linear(7, 3)) == 24
