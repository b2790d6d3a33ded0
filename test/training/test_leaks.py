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

"""Test data leak into no result of a training, under any protocol."""

from itertools import product

from builders import changed_where, make_recording, one_stack, weights_of
from leconvmn_ros.dataset.hold_out import BlockHoldOut, hold_out_named, Role
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.evaluation.comparison import compare, decode_recording
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
import pytest
import torch

torch.set_num_threads(1)
TINY = TrainingSettings(
    model=one_stack(planes=(3,)), fit=RecurrentFitSettings(epochs=3, lanes=2), second_pass=True
)
MODELS = {
    'le_convmn': TINY,
    'lstm': TINY.changed(model=LstmConfig(units=5)),
    'spgp': TrainingSettings(
        model=SpgpConfig(pseudo_inputs=6), fit=SpgpFitSettings(epochs=5), second_pass=True
    ),
    'ridge': TrainingSettings(model=RidgeConfig(), fit=RidgeFitSettings(), second_pass=True),
}
RECORDING = make_recording(repetitions=6)
HOLD_OUTS = {
    'repetitions': hold_out_named('repetitions', RECORDING),
    'paper': hold_out_named('paper', RECORDING),
    'blocks': BlockHoldOut(validation=0.2, test=0.2),
}


def scores_of(checkpoint, recording):
    estimates = decode_recording(Decoder(checkpoint), recording)
    hold_out = checkpoint.description.training.hold_out
    return compare(
        estimates, recording.reference, recording.labels, recording.span_ns, hold_out
    ).score()


@pytest.fixture(scope='module', params=product(HOLD_OUTS, MODELS), ids='-'.join)
def pair(request):
    """Return a recording and a copy with other test data, each with the results of a training."""
    hold_out, settings = HOLD_OUTS[request.param[0]], MODELS[request.param[1]]
    both = []
    for recording in (RECORDING, changed_where(RECORDING, Role.TEST, hold_out)):
        reports = []
        checkpoint = train([recording], settings, hold_out=hold_out, on_epoch=reports.append)
        both.append((recording, checkpoint, reports))
    return both


def test_the_test_data_change_nothing_in_the_checkpoint(pair):
    (_, one, reports), (_, other, other_reports) = pair
    assert reports == other_reports
    assert weights_of(one) == weights_of(other)
    # Statistics, limits, best epoch, validation scores: all but how long it took, and the hash
    # that tells which recording it was.
    named = {'seconds': True, 'learnt': {'__all__': {'emg_sha256'}}}
    descriptions = [
        checkpoint.description.model_dump(exclude={'training': named})
        for checkpoint in (one, other)
    ]
    assert descriptions[0] == descriptions[1]


def test_the_test_data_are_what_is_scored(pair):
    (one, checkpoint, _), (other, _, _) = pair
    before, after = scores_of(checkpoint, one), scores_of(checkpoint, other)
    assert before.count == after.count > 0
    for name, score in before.joints.items():
        assert after.joints[name].rmse > 2 * score.rmse


@pytest.mark.parametrize('name', HOLD_OUTS)
def test_the_training_data_do_change_the_checkpoint(name):
    """Otherwise the first test could not fail."""
    hold_out = HOLD_OUTS[name]
    one, other = (
        train([recording], TINY, hold_out=hold_out)
        for recording in (RECORDING, changed_where(RECORDING, Role.TRAINING, hold_out))
    )
    assert weights_of(one) != weights_of(other)
    assert one.description.statistics != other.description.statistics
    assert one.description.joints != other.description.joints
