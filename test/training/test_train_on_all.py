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

"""A decoder to be worn learns everything, and says whose score it carries."""

from builders import changed_where, HOLD_OUT, make_recording, weights_of
from leconvmn_ros.dataset.hold_out import NoHoldOut, RepetitionHoldOut, Role
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.models.ridge import RidgeConfig
from leconvmn_ros.training.fit_settings import RidgeFitSettings
from leconvmn_ros.training.presets import TrainingSettings
from leconvmn_ros.training.run import train
from leconvmn_ros.training.train_on_all import held_out_scores, train_on_all
import numpy as np
import pytest

SETTINGS = TrainingSettings(
    model=RidgeConfig(input='image'), fit=RidgeFitSettings(), second_pass=True, choose_epoch=True
)


@pytest.fixture(scope='module')
def recording():
    return make_recording()


@pytest.fixture(scope='module')
def worn(recording):
    return train_on_all([recording], SETTINGS, hold_out=HOLD_OUT)


def test_the_checkpoint_says_which_score_belongs_to_what(recording, worn):
    first = train([recording], SETTINGS, hold_out=HOLD_OUT)
    record = worn.description.training
    assert record.hold_out.kind == 'none'
    assert record.trained_on_all.hold_out == first.description.training.hold_out
    assert record.trained_on_all.epochs == first.description.training.best_epoch
    assert record.trained_on_all.test == held_out_scores(first, [recording])
    assert record.trained_on_all.test['cc'] > 0.5
    assert record.validation == first.description.training.validation


def test_the_test_part_is_learnt_in_the_end(recording, worn):
    other = changed_where(recording, Role.TEST, HOLD_OUT)
    changed = train_on_all([other], SETTINGS, hold_out=HOLD_OUT)
    assert weights_of(changed) != weights_of(worn)
    assert weights_of(train([other], SETTINGS, hold_out=HOLD_OUT)) == weights_of(
        train([recording], SETTINGS, hold_out=HOLD_OUT)
    )


def test_the_score_is_told_before_the_second_training(recording):
    told = []
    train_on_all([recording], SETTINGS, hold_out=HOLD_OUT, on_score=told.append)
    (score,) = told
    assert score.hold_out.test == (3,)


def test_it_is_saved_and_read(worn, tmp_path):
    worn.save(tmp_path / 'worn')
    assert load_checkpoint(tmp_path / 'worn').description == worn.description.model_copy(
        update={'weights_sha256': load_checkpoint(tmp_path / 'worn').description.weights_sha256}
    )


def test_what_was_learnt_is_no_test_and_another_day_is(recording):
    hold_out = NoHoldOut().of([recording])
    first, last = recording.span_ns
    stamps = np.array([first - 1, first, (first + last) // 2, last, last + 1])
    roles = hold_out.roles(stamps, recording.labels, recording.span_ns)
    assert roles.tolist() == [Role.TEST, *[Role.TRAINING] * 3, Role.TEST]
    assert (NoHoldOut().roles(stamps, None, (0, 1)) == Role.TRAINING).all()
    assert hold_out.rule() == 'nothing'


def test_a_repetition_that_is_not_there_is_one_clear_error(recording):
    from leconvmn_ros.core.errors import RecordingError

    with pytest.raises(RecordingError, match=r'repetitions \[9\] cannot be held out'):
        train_on_all([recording], SETTINGS, hold_out=RepetitionHoldOut(test=(9,)))
    with pytest.raises(RecordingError, match='no recordings'):
        train_on_all([], SETTINGS)
