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

"""Slow drift of gains is followed within bounds, and frozen where nothing can be known of it."""

from builders import evenly_cut
from leconvmn_ros.dataset.hold_out import RepetitionHoldOut
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.decoding.drift import FASTEST, MOST_OFFSET
from leconvmn_ros.recordings.ninapro import read_ninapro
import numpy as np
import pytest
from worn_band import trained_on, turned, worn_band

MINUTES = 10


def decoded(emg, *, follow, size=400, band=None):
    """Return a decoder that has heard EMG, its angles (rad), and their samples."""
    band = band or worn_band()
    decoder = Decoder(band.checkpoint, output_rate=0, follow_drift=follow)
    chunks = evenly_cut(emg, size, band.rate)
    estimates = [e for chunk in chunks for e in decoder.decode(chunk)]
    stamps = np.array([e.stamp_ns for e in estimates]) - chunks[0].stamp_ns
    samples = np.round(stamps * band.rate / 1e9).astype(int)
    return decoder, np.array([e.positions for e in estimates]), samples


def long_session(band=None):
    band = band or worn_band()
    count = round(60 * MINUTES * band.rate)
    times = -(-count // len(band.emg))
    return np.tile(band.emg, (times, 1))[:count], np.tile(band.positions, (times, 1))[:count]


def drifting(emg, ends):
    """Return EMG whose gains go from 1 to their ends."""
    gains = np.exp(np.linspace(0, 1, len(emg))[:, None] * np.log(ends))
    return (emg * gains).astype(np.float32)


def errors(emg, positions):
    """Return the RMSE (rad) in the second half without and with the option, and the drift."""
    found = []
    for follow in (False, True):
        decoder, angles, samples = decoded(emg, follow=follow)
        late = samples > len(emg) // 2
        difference = angles[late] - positions[samples[late]]
        found.append(float(np.sqrt(np.mean(difference**2))))
    return *found, decoder.input_map.drift.offset


def test_slow_drift_of_gains_costs_less_and_an_unchanged_session_nothing():
    emg, positions = long_session()
    usual, followed, offset = errors(emg, positions)
    assert followed < 1.02 * usual
    assert np.abs(offset).max() < 0.35
    # Each gain goes to its end, between half and twice, within ten minutes.
    ends = np.array([0.5, 2.0, 0.6, 1.8, 0.5, 0.7, 2.0, 1.2])
    without, with_it, offset = errors(drifting(emg, ends), positions)
    assert without > 1.1 * usual
    assert with_it - usual < 0.5 * (without - usual)
    assert (np.sign(offset) == -np.sign(np.log(ends)))[ends != 1.2].all()


def correlation(emg, positions, band, *, follow):
    """Return CC in the second half, mean over the joints."""
    _, angles, samples = decoded(emg, follow=follow, band=band)
    late = samples > len(emg) // 2
    pairs = zip(angles[late].T, positions[samples[late]].T, strict=True)
    return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))


@pytest.mark.timeout(600)  # it trains a network
def test_drift_on_a_real_recording(ninapro):
    subject = read_ninapro(ninapro / 'DB5' / 'S3_E1_A1.mat')
    band = trained_on(subject, 'small', RepetitionHoldOut(test=(2, 5)))
    emg, positions = long_session(band)
    usual, followed = (correlation(emg, positions, band, follow=f) for f in (False, True))
    assert followed > usual - 0.01
    ends = np.tile([0.5, 2.0, 0.6, 1.8, 0.5, 0.7, 2.0, 1.2], 2)
    emg = drifting(emg, ends)
    without, with_it = (correlation(emg, positions, band, follow=f) for f in (False, True))
    assert usual - with_it < 0.6 * (usual - without)


def test_the_offset_never_jumps_and_stays_in_bounds():
    band = worn_band()
    decoder = Decoder(band.checkpoint, output_rate=0, follow_drift=True)
    emg, _ = long_session()
    emg = np.tile(emg, (2, 1))
    emg[:, 2] *= np.geomspace(1, 20, len(emg))  # more than is followed
    offsets = []
    for chunk in evenly_cut(emg.astype(np.float32), round(band.rate), band.rate):
        decoder.decode(chunk)
        offsets.append(decoder.input_map.drift.offset.copy())
    # One step is of ten samples of movement: a second.
    assert np.abs(np.diff(offsets, axis=0)).max() <= FASTEST * 1.001
    assert np.abs(offsets).max() == MOST_OFFSET
    assert decoder.input_map.drift.at_bound.tolist() == [channel == 2 for channel in range(8)]


def test_nothing_is_followed_at_rest():
    band = worn_band()
    relaxed = (band.movement == 0) & (np.roll(band.movement, 140) == 0)
    decoder, *_ = decoded(np.tile(band.emg[relaxed], (15, 1)), follow=True)
    assert not decoder.input_map.drift.offset.any()
    assert decoder.input_map.why_drift_is_frozen == 'too little movement yet'


def test_nothing_is_followed_while_a_channel_is_dead():
    emg = np.tile(worn_band().emg, (3, 1))
    emg[:, 3] = 0
    decoder, *_ = decoded(emg, follow=True)
    assert decoder.quality.masked[3]
    assert not decoder.input_map.drift.offset.any()


@pytest.mark.parametrize('electrodes', [-2, 1])
def test_a_band_that_turned_is_not_taken_for_drift(electrodes):
    decoder, *_ = decoded(turned(np.tile(worn_band().emg, (3, 1)), electrodes), follow=True)
    assert not decoder.input_map.drift.offset.any()
    assert decoder.input_map.why_drift_is_frozen == 'the EMG does not fit the training'


def test_live_equals_offline_while_drift_is_followed():
    emg = (np.tile(worn_band().emg, (2, 1)) * np.linspace(0.7, 1.5, 8)).astype(np.float32)
    live, angles, _ = decoded(emg, follow=True, size=7)
    _, at_once, _ = decoded(emg, follow=True, size=len(emg))
    assert live.input_map.drift.offset.any()
    np.testing.assert_allclose(angles, at_once, rtol=0, atol=1e-6)


def test_a_new_source_has_no_drift():
    emg = (np.tile(worn_band().emg, (2, 1)) * np.linspace(0.7, 1.5, 8)).astype(np.float32)
    decoder, *_ = decoded(emg, follow=True)
    assert decoder.input_map.drift.offset.any()
    decoder.reset()
    assert not decoder.input_map.drift.offset.any()
