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

"""What `wear` needs to adapt a decoder: the session of its training, and a bag of a short one."""

from dataclasses import replace

from leconvmn_ros.commands.wear_adaptation import (
    adapted_by,
    LEAST_DURATION,
    session_to_adapt_by,
    write_session,
)
from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.decoding.feature_mixture import FeatureMixture
from leconvmn_ros.decoding.movement_templates import Course, POINTS, templates_of
from leconvmn_ros.wearing.session import load_session
import numpy as np
import pytest
from small_recordings import untrained_checkpoint

ROW = (0.0,) * 4
MIXTURE = FeatureMixture(
    movements=(0, 1),
    shares=(0.5, 0.5),
    means=(ROW, (1.0,) * 4),
    covariance=tuple(tuple(row) for row in np.eye(4).tolist()),
)
TEMPLATES = templates_of([Course(1, 2.0, np.zeros((POINTS, 10)))], np.zeros(10))


def decoder(folder, *sessions):
    """Save a decoder that was trained on these sessions."""
    place = untrained_checkpoint(folder)
    checkpoint = load_checkpoint(place)
    training = checkpoint.description.training.model_copy(
        update={'information': tuple({'guide': each.model_dump_json()} for each in sessions)}
    )
    changes = {'mixture': MIXTURE, 'templates': TEMPLATES, 'training': training}
    description = checkpoint.description.model_copy(update=changes)
    replace(checkpoint, description=description).save(place)
    return place


@pytest.mark.parametrize('name', ['quick', 'standard', 'full'])
def test_the_session_has_the_movements_of_the_training_and_is_short(tmp_path, name):
    known = load_session(name)
    session = session_to_adapt_by(decoder(tmp_path, known, known))
    assert session.movements == known.movements
    assert LEAST_DURATION <= session.duration <= 100
    write_session(session, tmp_path / 'adapt.yaml')
    assert load_session(str(tmp_path / 'adapt.yaml')) == session


def test_a_decoder_that_no_guided_session_taught_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match='was not trained on guided sessions'):
        session_to_adapt_by(decoder(tmp_path))


def test_sessions_whose_movements_contradict_each_other_are_refused(tmp_path):
    place = decoder(tmp_path, load_session('quick'), load_session('full'))
    with pytest.raises(ConfigurationError, match='with different movements'):
        session_to_adapt_by(place)


def test_a_decoder_that_keeps_nothing_of_its_training_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match='Train it again'):
        session_to_adapt_by(untrained_checkpoint(tmp_path))


def test_a_session_that_was_ended_at_once_is_refused(tmp_path):
    with pytest.raises(RecordingError, match='before anything was recorded'):
        adapted_by(decoder(tmp_path, load_session('quick')), [], print)
