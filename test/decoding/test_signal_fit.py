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

"""The decoder tells by itself whether the EMG still fits its training."""

from dataclasses import replace

from builders import evenly_cut
from leconvmn_ros.dataset.hold_out import RepetitionHoldOut
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.decoding.feature_mixture import FeatureMixture, UsualFit
from leconvmn_ros.decoding.health import DecoderHealth, InputState, WHAT_TO_DO
from leconvmn_ros.decoding.signal_fit import (
    LEAST_WINDOW,
    MARGIN,
    SignalFit,
    WINDOW,
    with_usual_fit,
    WORST,
)
from leconvmn_ros.recordings.ninapro import read_ninapro
import numpy as np
import pytest
from worn_band import trained_on, turned, worn_band


def decoded(emg, checkpoint=None, size=200, band=None):
    """Return a decoder that has heard EMG, and after how many seconds it first found no fit."""
    band = band or worn_band()
    decoder = Decoder(checkpoint or band.checkpoint, output_rate=0)
    alarm = None
    for number, chunk in enumerate(evenly_cut(emg, size, band.rate)):
        decoder.decode(chunk)
        if decoder.input_map.fit.fits is False and alarm is None:
            alarm = number * size / band.rate
    return decoder, alarm


def test_an_unchanged_session_fits():
    decoder, alarm = decoded(worn_band().emg)
    assert alarm is None
    assert decoder.input_map.fit.fits is True
    assert decoder.input_map.fit.compared > 200
    assert decoder.input_map.fit.unfit == 0


@pytest.mark.parametrize('electrodes', [-2, -1, 1, 2])
def test_a_band_that_turned_is_noticed_within_half_a_minute(electrodes):
    decoder, alarm = decoded(turned(worn_band().emg, electrodes))
    assert alarm < 30
    assert decoder.input_map.fit.fits is False


def test_other_gains_are_noticed():
    emg = worn_band().emg * np.where(np.isin(np.arange(8), (1, 4, 6)), 2, 1).astype(np.float32)
    assert decoded(emg)[1] < 60


@pytest.mark.parametrize(
    ('name', 'test', 'ring'),
    [('DB5/S1_E1_A1.mat', (2, 5), 8), ('DB1/S8_A1_E1.mat', (2, 5, 7), 8)],
)
def test_on_real_recordings_a_turn_is_noticed_and_nothing_else(ninapro, name, test, ring):
    subject = read_ninapro(ninapro / name)
    band = trained_on(subject, 'ridge', RepetitionHoldOut(validation=(4,), test=test))
    assert decoded(band.emg, band=band)[1] is None
    for electrodes in (-2, -1, 1, 2):
        emg = band.emg.copy()
        for first in range(0, emg.shape[1] - ring + 1, ring):
            emg[:, first : first + ring] = turned(emg[:, first : first + ring], electrodes)
        assert decoded(emg, band=band)[1] < 60


def test_a_relaxed_arm_says_nothing():
    band = worn_band()
    # Where a rest follows a movement, the muscles are not relaxed at once.
    relaxed = (band.movement == 0) & (np.roll(band.movement, 140) == 0)
    assert relaxed.sum() > 500
    decoder, alarm = decoded(np.tile(band.emg[relaxed], (20, 1)))
    assert alarm is None
    assert decoder.input_map.fit.score is None


def test_a_loud_artefact_is_no_other_fit():
    emg = worn_band().emg.copy()
    emg[4000:4100] *= 50
    assert decoded(emg)[1] is None


def test_how_the_samples_are_cut_changes_nothing():
    emg = worn_band().emg[:8000]
    whole, by_three = (decoded(emg, size=size)[0].input_map.fit for size in (8000, 3))
    assert whole.score == pytest.approx(by_three.score, abs=1e-9)
    assert whole.compared == by_three.compared > 0


def test_samples_with_a_masked_channel_are_not_compared():
    emg = turned(worn_band().emg, 1)
    emg[:, 3] = 0
    decoder, alarm = decoded(emg)
    assert decoder.quality.masked[3]
    assert alarm is None
    assert decoder.input_map.fit.score is None


def test_a_source_that_starts_again_is_judged_anew():
    decoder, _ = decoded(turned(worn_band().emg, 1))
    decoder.reset()
    assert decoder.input_map.fit.fits is None


def test_a_checkpoint_that_does_not_know_what_is_usual_stays_silent():
    checkpoint = worn_band().checkpoint
    old = checkpoint.description.mixture.model_copy(update={'usual': None})
    description = checkpoint.description.model_copy(update={'mixture': old})
    decoder, alarm = decoded(
        turned(worn_band().emg, 1), replace(checkpoint, description=description)
    )
    assert alarm is None
    assert not decoder.input_map.fit.known
    values = DecoderHealth(decoder, 'm').report(InputState(active=True), 1.0)[2].values
    assert values['fit to the training'].startswith('unknown')


def test_diagnostics_warn_and_the_log_says_once_what_to_do():
    decoder, _ = decoded(turned(worn_band().emg, 1))
    health = DecoderHealth(decoder, 'm')
    (remark,) = [line for line in health.remarks() if WHAT_TO_DO in line]
    assert 'does not fit the training' in remark
    assert not [line for line in health.remarks() if WHAT_TO_DO in line]
    signal = health.report(InputState(active=True), 1.0)[2]
    assert signal.level == 1
    assert 'does not fit the training' in signal.summary
    assert float(signal.values['fit to the training (nats)']) < -MARGIN


def flat_mixture(least=-1.0):
    """Rest and one movement, of which samples usually have a log-likelihood of 0."""
    return FeatureMixture(
        movements=(0, 1),
        shares=(0.5, 0.5),
        means=((0.0,), (5.0,)),
        covariance=((1.0,),),
        usual=UsualFit(by_movement=(0.0, 0.0), means=((0.0,), (5.0,)), least=least),
    )


def moving(score, samples):
    """Return logs of samples of the movement with a score."""
    return np.tile([-1e9, score], (samples, 1))


def test_the_alarm_ends_only_where_the_fit_is_usual_again():
    fit = SignalFit(flat_mixture())
    fit.add(moving(0.0, LEAST_WINDOW - 1))
    assert fit.score is None
    fit.add(moving(0.0, 1))
    assert (fit.score, fit.fits) == (0.0, True)
    # Between what is usual and the alarm it stays as it was.
    fit.add(moving(-1.0 - MARGIN / 2, WINDOW))
    assert fit.fits is True
    fit.add(moving(-1.0 - 2 * MARGIN, WINDOW))
    assert fit.fits is False
    fit.add(moving(-1.0 - MARGIN / 2, WINDOW))
    assert fit.fits is False
    fit.add(moving(-0.9, WINDOW))
    assert fit.fits is True


def test_a_short_window_needs_more():
    fit = SignalFit(flat_mixture())
    fit.add(moving(-1.0 - 2 * MARGIN, LEAST_WINDOW))
    assert fit.fits is True
    fit.add(moving(-1.0 - 2 * MARGIN, WINDOW))
    assert fit.fits is False


def test_no_sample_counts_more_than_the_worst():
    fit = SignalFit(flat_mixture())
    fit.add(moving(-1e6, WINDOW))
    assert fit.score == -WORST


def test_what_is_usual_needs_two_groups_and_movement():
    mixture = flat_mixture().model_copy(update={'usual': None})
    random = np.random.default_rng(0)
    movements = np.tile(np.repeat([0, 1], 50), 4)
    features = 5.0 * movements[:, None] + random.standard_normal((400, 1))
    groups = np.repeat([0, 1], 200)
    assert with_usual_fit(mixture, features, movements, np.zeros(400, dtype=int)) is mixture
    assert with_usual_fit(mixture, features[:4], movements[:4], groups[198:202]) is mixture
    usual = with_usual_fit(mixture, features, movements, groups).usual
    # Of a Gaussian of variance 1 with a share of a half.
    expected = -0.5 * np.log(2 * np.pi * np.e) - np.log(2)
    assert usual.by_movement == pytest.approx([expected, expected], abs=0.2)
    assert -0.5 < usual.least < 0.1
