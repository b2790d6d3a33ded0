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

"""Training that goes on from a decoder: what it keeps, what it learns and what it refuses."""

from dataclasses import replace

from builders import (
    changed_where,
    emg_of,
    HOLD_OUT,
    JOINTS,
    make_recording,
    one_stack,
    weights_of,
    with_emg,
)
from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.recording import JointTrack
from leconvmn_ros.dataset.hold_out import Role
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.emg.intake import RATE_TOLERANCE
from leconvmn_ros.evaluation.comparison import compare, decode_recording
from leconvmn_ros.models.lstm import LstmConfig
from leconvmn_ros.training.data import gather
from leconvmn_ros.training.fit_settings import RecurrentFitSettings
from leconvmn_ros.training.presets import FINE_TUNING, fine_tuning, PRESETS, TrainingSettings
from leconvmn_ros.training.run import train
import numpy as np
import pytest
import torch

torch.set_num_threads(1)
TINY = TrainingSettings(
    model=one_stack(planes=(3,)), fit=RecurrentFitSettings(epochs=2, lanes=2), threads=1
)
KINDS = {'le_convmn': TINY, 'lstm': TINY.changed(model=LstmConfig(units=5))}
RECORDING = make_recording()


def standing(settings):
    """Return settings that learn next to nothing."""
    return settings.changed('fit', learning_rate=1e-12, epochs=1)


def reaching_further(recording):
    """Return the recording with angles from -0.5 to 1.5 instead of from 0 to 1."""
    track = recording.reference
    return replace(
        recording, reference=JointTrack(track.stamps_ns, track.names, 2 * track.positions - 0.5)
    )


def at_rate(recording, rate):
    return replace(
        recording, chunks=[chunk._replace(sampling_rate=rate) for chunk in recording.chunks]
    )


@pytest.fixture(scope='module')
def trained():
    """Return a decoder of each kind."""
    return {
        kind: train([RECORDING], settings, hold_out=HOLD_OUT) for kind, settings in KINDS.items()
    }


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('second_pass', [False, True])
def test_it_starts_from_the_weights_of_the_decoder(trained, kind, second_pass):
    settings = standing(KINDS[kind]).changed(second_pass=second_pass, seed=5)
    known = trained[kind]
    other = reaching_further(make_recording(seed=1))
    went_on = train([other], settings, hold_out=HOLD_OUT, start=known)
    anew = train([other], settings, hold_out=HOLD_OUT)
    for name, weight in known.weights.items():
        np.testing.assert_allclose(went_on.weights[name], weight, rtol=0, atol=1e-6)
    assert any(
        np.abs(anew.weights[name] - weight).max() > 0.01 for name, weight in known.weights.items()
    )


@pytest.mark.parametrize('kind', KINDS)
def test_having_learnt_nothing_new_it_decodes_as_before(trained, kind):
    settings = standing(KINDS[kind])
    went_on = train([RECORDING], settings, hold_out=HOLD_OUT, start=trained[kind])
    before, after = (
        decode_recording(Decoder(checkpoint), RECORDING).positions
        for checkpoint in (trained[kind], went_on)
    )
    assert before.std(axis=0).min() > 1e-3
    np.testing.assert_allclose(after, before, atol=1e-6)


@pytest.mark.parametrize('second_pass', [False, True])
def test_outputs_keep_their_meaning_and_limits_only_widen(trained, second_pass):
    known = trained['le_convmn'].description
    # Of the second recording only the validation part goes beyond what is known.
    for recording, widened in (
        (reaching_further(RECORDING), True),
        (changed_where(RECORDING, Role.VALIDATION, HOLD_OUT), second_pass),
        (changed_where(RECORDING, Role.TEST, HOLD_OUT), False),
    ):
        described = train(
            [recording],
            TINY.changed(second_pass=second_pass),
            hold_out=HOLD_OUT,
            start=trained['le_convmn'],
        ).description
        for joint, old in zip(described.joints, known.joints, strict=True):
            assert (joint.name, joint.mean, joint.scale) == (old.name, old.mean, old.scale)
            assert joint.lower <= old.lower
            assert joint.upper >= old.upper
            assert (joint.upper > old.upper + 0.3) == widened
    # The lower one too, and no further than the angles go.
    (joint, *_), (old, *_) = (
        gather(
            [recording],
            TINY.exposure,
            HOLD_OUT,
            known_joints=known.joints,
        ).joints
        for recording in (reaching_further(RECORDING), RECORDING)
    )
    assert joint.lower == pytest.approx(2 * old.lower - 0.5)
    assert joint.upper == pytest.approx(2 * old.upper - 0.5)


def test_limits_do_not_narrow(trained):
    track = RECORDING.reference
    still = replace(
        RECORDING,
        reference=JointTrack(track.stamps_ns, track.names, np.full_like(track.positions, 0.5)),
    )
    known = trained['le_convmn']
    described = train([still], TINY, hold_out=HOLD_OUT, start=known).description
    assert described.joints == known.description.joints


def test_targets_are_in_the_units_of_the_decoder(trained):
    known = trained['le_convmn'].description
    moved = reaching_further(RECORDING)
    for learn_validation in (False, True):
        plain, data = (
            gather(
                [moved],
                TINY.exposure,
                HOLD_OUT,
                learn_validation=learn_validation,
                known_joints=joints,
            )
            for joints in ((), known.joints)
        )
        # Features are in those of the new electrodes.
        assert data.statistics == plain.statistics
        for stretch, own in zip(
            data.training + data.validation, plain.training + plain.validation, strict=True
        ):
            np.testing.assert_array_equal(stretch.features, own.features)
            for j, (joint, new) in enumerate(zip(known.joints, plain.joints, strict=True)):
                angles = new.mean + new.scale * own.targets[own.context :, j]
                np.testing.assert_allclose(
                    joint.mean + joint.scale * stretch.targets[stretch.context :, j],
                    angles,
                    atol=1e-5,
                )


def test_it_gets_used_to_electrodes_that_were_turned():
    recording = make_recording(repetitions=8, repetition_length=400)
    turned = with_emg(recording, np.roll(emg_of(recording), 1, axis=1))
    settings = TINY.changed(model=LstmConfig(units=16, layers=1)).changed(
        'fit', epochs=10, lanes=4, learning_rate=1e-2
    )
    start = train([recording], settings, hold_out=HOLD_OUT)
    went_on = train([turned], settings, hold_out=HOLD_OUT, start=start)

    def score(checkpoint, of):
        estimates = decode_recording(Decoder(checkpoint), of)
        return compare(estimates, of.reference, of.labels, of.span_ns, HOLD_OUT).score().mean.nrmse

    assert score(start, recording) < 0.3
    assert score(went_on, turned) < 0.8 * score(start, turned)


def test_it_is_reproducible_and_recorded(trained):
    known = trained['le_convmn']
    before = weights_of(known)
    other = make_recording(seed=1, name='next day')
    one, same = (train([other], TINY, hold_out=HOLD_OUT, start=known) for _ in range(2))
    assert weights_of(one) == weights_of(same) != before
    assert weights_of(known) == before  # the decoder it starts from stays as it is
    assert one.description.training.recordings == ('next day',)
    assert one.description.model == known.description.model


def test_test_data_change_nothing(trained):
    one, other = (
        train([recording], TINY.changed(second_pass=True), hold_out=HOLD_OUT, start=each)
        for each in [trained['le_convmn']]
        for recording in (RECORDING, changed_where(RECORDING, Role.TEST, HOLD_OUT))
    )
    assert weights_of(one) == weights_of(other)
    assert one.description.joints == other.description.joints
    assert one.description.statistics == other.description.statistics


@pytest.mark.parametrize(
    ('recording', 'kind', 'message'),
    [
        (
            make_recording(joints=JOINTS[:2]),
            RecordingError,
            f'reference angles of {JOINTS[0]}, {JOINTS[1]}; the decoder .* has .*{JOINTS[2]}',
        ),
        (
            make_recording(joints=('little_pip', *JOINTS[1:])),
            RecordingError,
            f'little_pip; the decoder to start from has {JOINTS[0]}, ',
        ),
        (
            with_emg(RECORDING, emg_of(RECORDING)[:, :2]),
            ConfigurationError,
            'decoder to start from is for .*channels=3 .*; the recordings and .* channels=2 ',
        ),
        (
            at_rate(RECORDING, 100 * (1 + 2 * RATE_TOLERANCE)),
            ConfigurationError,
            r'decoder to start from is for .*sampling_rate=100\.0 .*; .* give .*sampling_rate=102',
        ),
    ],
    ids=['fewer joints', 'another joint', 'fewer channels', 'another rate'],
)
def test_recordings_of_another_kind_are_one_clear_error(trained, recording, kind, message):
    with pytest.raises(kind, match=message):
        train([recording], TINY, hold_out=HOLD_OUT, start=trained['le_convmn'])


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (KINDS['lstm'], "decoder to start from is kind='le_convmn' .* ask for kind='lstm'"),
        (
            TINY.changed(model=one_stack(planes=(4,))),
            r'planes=\(3,\).*; the settings ask for .*planes=\(4,\)',
        ),
        (TINY.changed('exposure', exposure=0.2), r'exposure=0\.1 .* give .*exposure=0\.2 '),
        (
            TINY.changed('exposure', standardise=False),
            'standardise=True.* give .*standardise=False',
        ),
    ],
    ids=['another model', 'other planes', 'another exposure', 'another scale'],
)
def test_settings_of_another_decoder_are_one_clear_error(trained, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        train([RECORDING], settings, hold_out=HOLD_OUT, start=trained['le_convmn'])


def test_a_rate_that_is_measured_slightly_differently_is_the_same(trained):
    slower = at_rate(RECORDING, 100 * (1 + RATE_TOLERANCE / 2))
    described = train([slower], TINY, hold_out=HOLD_OUT, start=trained['le_convmn']).description
    assert described.signal_path.sampling_rate > 100


@pytest.mark.parametrize('name', [n for n, s in PRESETS.items() if s.fit.kind == 'recurrent'])
def test_settings_to_go_on_with_differ_in_steps_alone(name):
    settings = PRESETS[name]
    going_on = fine_tuning(settings)
    assert {name: getattr(going_on.fit, name) for name in FINE_TUNING} == FINE_TUNING
    back = {name: getattr(settings.fit, name) for name in FINE_TUNING}
    assert going_on.changed('fit', **back) == settings
    assert going_on.fit.learning_rate < RecurrentFitSettings().learning_rate


@pytest.mark.parametrize('name', ['spgp', 'spgp_paper', 'ridge'])
def test_models_that_are_not_trained_by_steps_cannot_go_on(name):
    with pytest.raises(ConfigurationError, match='cannot be trained further; le_convmn and lstm'):
        fine_tuning(PRESETS[name])


def test_models_that_choose_their_weights_anew_are_refused():
    ridge = PRESETS['ridge'].changed('', second_pass=False)
    start = train([RECORDING], ridge, hold_out=HOLD_OUT)
    with pytest.raises(ConfigurationError, match='a ridge cannot be trained further'):
        train([RECORDING], ridge, hold_out=HOLD_OUT, start=start)
