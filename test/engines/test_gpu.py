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

"""Training and decoding on a GPU give the results of the CPU; see test_cuda_graph.py."""

from pathlib import Path
import subprocess
import sys

from builders import HOLD_OUT, make_checkpoint, make_recording, one_stack
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.models.le_convmn import LeConvMnConfig, StackConfig
from leconvmn_ros.models.lstm import LstmConfig
from leconvmn_ros.models.ridge import RidgeConfig
from leconvmn_ros.models.spgp import SpgpConfig
from leconvmn_ros.training.fit_settings import (
    RecurrentFitSettings,
    RidgeFitSettings,
    SpgpFitSettings,
)
from leconvmn_ros.training.presets import TrainingSettings
from leconvmn_ros.training.run import train
import numpy as np
import pytest
import torch

GPU = 'cuda'
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='there is no GPU')

RECURRENT = TrainingSettings(
    model=one_stack(planes=(4,)),
    fit=RecurrentFitSettings(epochs=4, lanes=2, averaging=0.9, noise=0.1),
    second_pass=True,
    threads=1,
)
# No dropout: a GPU draws other random numbers.
STACKS = LeConvMnConfig(
    stacks=(
        StackConfig(planes=(4, 5), electrodes='ring_then_all', time='all', head='all'),
        StackConfig(planes=(3,), electrodes='all', head='mean'),
    )
)
SETTINGS = {
    'paper': RECURRENT,
    'stacks': RECURRENT.changed(model=STACKS),
    'LSTM': RECURRENT.changed(model=LstmConfig(units=5, networks=2)),
    'LSTM of columns': RECURRENT.changed(model=LstmConfig(units=5, steps='columns')),
    'ridge': TrainingSettings(model=RidgeConfig(input='image'), fit=RidgeFitSettings()),
    'SPGP': TrainingSettings(model=SpgpConfig(pseudo_inputs=9), fit=SpgpFitSettings(epochs=5)),
}


@pytest.mark.parametrize('settings', SETTINGS.values(), ids=SETTINGS)
def test_what_is_trained_there_is_as_good(settings):
    recording = make_recording()
    here, there = (
        train([recording], settings, hold_out=HOLD_OUT, device=device) for device in ('cpu', GPU)
    )
    losses = [made.description.training.validation['loss'] for made in (here, there)]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    # It is a decoder for either.
    assert_same(there, recording, 'auto')


@pytest.mark.parametrize('engine', ['eager', 'graph'])
@pytest.mark.parametrize('model', [SETTINGS[name].model for name in ('paper', 'stacks', 'LSTM')])
def test_a_decoder_says_there_what_it_says_on_the_cpu(model, engine):
    assert_same(make_checkpoint(model=model), make_recording(), engine)


def assert_same(checkpoint, recording, engine):
    here = Decoder(checkpoint)
    there = Decoder(checkpoint, device=GPU, engine=engine)
    there.warm_up()
    assert torch.device(there.device).type == torch.device(GPU).type
    expected = [e for chunk in recording.chunks for e in here.decode(chunk)]
    live = [e for chunk in recording.chunks for e in there.decode(chunk)]
    there.reset()
    together = [e for some in there.decode_together(recording.chunks) for e in some]
    assert len(expected) > 100
    for found in (live, together):
        assert [e.stamp_ns for e in found] == [e.stamp_ns for e in expected]
        np.testing.assert_allclose(
            [e.positions for e in found], [e.positions for e in expected], rtol=0, atol=1e-4
        )


def test_a_gpu_that_is_lost_is_left_and_the_process_goes_on(tmp_path):
    # In a process of its own: what is done to the GPU's context cannot be undone.
    make_checkpoint(model=SETTINGS['stacks'].model).save(tmp_path / 'checkpoint')
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1] / 'support')!r})
from pathlib import Path
from builders import make_recording
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.decoding.decoder import Decoder
import torch
checkpoint = load_checkpoint(Path({str(tmp_path / 'checkpoint')!r}))
decoder = Decoder(checkpoint, device='cuda', engine='graph')
decoder.warm_up()
chunks = make_recording().chunks
for chunk in chunks[:50]:
    decoder.decode(chunk)
torch._assert_async(torch.zeros(1, device='cuda'))
after = [e for chunk in chunks[50:] for e in decoder.decode(chunk)]
print(decoder.device, len(after) > 50)
"""
    ended = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=False, timeout=300
    )
    assert (ended.returncode, ended.stdout) == (0, 'cpu True\n'), ended.stderr
    assert ended.stderr.count('the network fell back from cuda') == 1
