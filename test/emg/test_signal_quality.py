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

"""Which channels are masked and when; clean recordings are never masked."""

from builders import CHANNELS, cut, evenly_cut, make_checkpoint, make_emg, RATE
from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.emg.intake import IntakeCounts
from leconvmn_ros.emg.signal_path import FeatureStatistics, SignalPath, SignalPathConfig
from leconvmn_ros.emg.signal_quality import Finding, SignalQuality
from leconvmn_ros.recordings.ninapro import read_ninapro
import numpy as np
import pytest

SECOND = int(RATE)


def judged(samples, *, features=None, rate=RATE, chunk=7, **options):
    """Return the quality after samples in chunks, and the masked features."""
    counts = IntakeCounts()
    config = SignalPathConfig(channels=samples.shape[1], sampling_rate=rate)
    quality = SignalQuality(config, counts, **options)
    features = np.ones_like(samples) if features is None else features.copy()
    for first in range(0, len(samples), chunk):
        part = slice(first, first + chunk)
        quality.mask(samples[part], features[part])
    return quality, features, counts


def noise(seconds, channels=CHANNELS, rate=RATE, seed=0):
    random = np.random.default_rng(seed)
    return (1e-4 * random.standard_normal((round(seconds * rate), channels))).astype(np.float32)


def lines(seconds, frequency, rate, share):
    """Return noise of which `share` of the power is a line, in channel 1."""
    emg = noise(seconds, rate=rate)
    time = np.arange(len(emg)) / rate
    emg[:, 1] *= np.sqrt(1 - share)
    emg[:, 1] += 1e-4 * np.sqrt(2 * share) * np.sin(2 * np.pi * frequency * time + 1)
    return emg


def test_a_clean_source_keeps_its_features():
    emg = noise(5)
    quality, features, counts = judged(emg)
    assert not quality.findings.any()
    np.testing.assert_array_equal(features, np.ones_like(emg))
    assert counts.faults() == {}


@pytest.mark.parametrize('value', [0.0, 3e-5, -1e-3])
def test_a_flat_channel_is_masked_after_a_second(value):
    emg = noise(4)
    emg[:, 1] = value
    quality, features, counts = judged(emg)
    assert quality.masked.tolist() == [False, True, False]
    assert quality.findings[Finding.FLAT].tolist() == [False, True, False]
    assert (features[:SECOND] == 1).all()
    assert (features[SECOND:, 1] == 0).all()
    assert (features[:, [0, 2]] == 1).all()
    assert counts.faults() == {'flat_channels': 1}


def test_an_envelope_may_rest_at_a_level_for_half_a_minute_but_not_at_zero():
    emg = np.abs(noise(35))
    emg[:, 1], emg[:, 2] = 2.4e-3, 0
    half_a_minute = 30 * SECOND
    quality, features, _ = judged(emg)
    assert quality.masked.tolist() == [False, True, True]
    assert features[:, 1].tolist() == [1] * half_a_minute + [0] * (len(emg) - half_a_minute)
    assert (features[SECOND:, 2] == 0).all()


def test_a_channel_that_comes_back_is_believed_after_two_seconds():
    emg = noise(8)
    emg[: 2 * SECOND, 1] = 0
    quality, features, counts = judged(emg)
    assert not quality.masked.any()
    assert (features[SECOND : 4 * SECOND, 1] == 0).all()
    assert (features[4 * SECOND :, 1] == 1).all()
    assert counts.faults() == {'flat_channels': 1}


def test_a_loose_contact_stays_masked():
    emg = noise(12)
    for start in range(SECOND, 12 * SECOND, 2 * SECOND):
        emg[start : start + SECOND, 1] = 0
    _, features, counts = judged(emg)
    assert (features[2 * SECOND :, 1] == 0).all()
    assert counts.faults() == {'flat_channels': 1}


def test_a_clipped_channel_is_masked_where_it_is_loud():
    emg = noise(3)
    emg[:, 1] = np.clip(100 * emg[:, 1], -1e-3, 1e-3)
    loud = np.full_like(emg, 2.5)
    quality, features, counts = judged(emg, features=loud)
    assert quality.findings[Finding.SATURATED].tolist() == [False, True, False]
    assert (features[SECOND:, 1] == 0).all()
    assert (features[:, [0, 2]] == 2.5).all()
    assert counts.faults() == {'saturated_channels': 1}
    # One count up and down is the rest of a coarse converter.
    quality, _, _ = judged(emg, features=np.ones_like(emg))
    assert not quality.findings.any()


@pytest.mark.parametrize('frequency', [50, 60])
@pytest.mark.parametrize('rate', [200.0, 2000.0])
def test_hum_is_told_and_not_masked(frequency, rate):
    quality, features, counts = judged(lines(3, frequency, rate, 0.8), rate=rate)
    assert quality.findings[Finding.HUMMING].tolist() == [False, True, False]
    assert quality.hum_share[1] == pytest.approx(0.8, abs=0.1)
    assert quality.hum_share[[0, 2]].max() < 0.2
    assert (features == 1).all()
    assert counts.faults() == {'humming_channels': 1}


def test_other_tones_and_little_hum_are_no_hum():
    for frequency, share in ((80, 0.8), (50, 0.3)):
        quality, _, _ = judged(lines(3, frequency, 1000.0, share), rate=1000.0)
        assert not quality.findings.any()


def test_a_rate_too_low_for_the_lines_is_not_judged_by_them():
    quality, _, _ = judged(lines(3, 40, 100.0, 0.9))
    assert quality.hum_share.tolist() == [0, 0, 0]


def test_features_that_know_no_mean_are_not_masked():
    emg = noise(3)
    emg[:, 1] = 0
    quality, features, counts = judged(emg, can_mask=False)
    assert not quality.masked.any()
    assert (features == 1).all()
    assert counts.faults() == {'flat_channels': 1}


def test_a_gap_ends_a_block_but_heals_no_electrode():
    emg = noise(2)
    emg[:, 1] = 0
    quality, _, _ = judged(emg)
    quality.interrupt()
    features = np.ones((10, CHANNELS), dtype=np.float32)
    quality.mask(emg[:10], features)
    assert (features[:, 1] == 0).all()
    quality.reset()
    features[:] = 1
    quality.mask(emg[:10], features)
    assert (features == 1).all()


@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(1, 90), max_size=30), seed=st.integers(0, 9))
def test_how_the_samples_are_cut_changes_nothing(sizes, seed):
    emg = noise(6, seed=seed)
    emg[150:400, 1] = 0
    emg[100:, 2] = np.clip(100 * emg[100:, 2], -1e-3, 1e-3)
    emg[300:, 0] = 0
    random = np.random.default_rng(seed)
    features = (2.5 + 0.1 * random.standard_normal(emg.shape)).astype(np.float32)
    _, whole, _ = judged(emg, features=features, chunk=len(emg))
    counts = IntakeCounts()
    quality = SignalQuality(SignalPathConfig(channels=CHANNELS, sampling_rate=RATE), counts)
    parts = features.copy()
    enough, first = [], 0
    for size in [*sizes, len(emg)]:
        part = slice(first, min(first + size, len(emg)))
        enough += quality.mask(emg[part], parts[part]).enough.tolist()
        first = part.stop
    np.testing.assert_array_equal(parts, whole)
    masked = (whole == 0).sum(axis=1)
    assert masked.max() >= 2
    assert enough == (masked <= CHANNELS / 2).tolist()


def decode(decoder, chunks):
    return [estimate for chunk in chunks for estimate in decoder.decode(chunk)]


def test_the_decoder_sees_the_training_mean_of_a_masked_channel(monkeypatch):
    emg = make_emg(600)
    emg[200:, 1] = 0
    decoder = Decoder(make_checkpoint())
    images = []
    advance = decoder._network.advance
    monkeypatch.setattr(
        decoder._network,
        'advance',
        lambda streams, pixels: images.extend(pixels) or advance(streams, pixels),
    )
    estimates = decode(decoder, evenly_cut(emg, 5))
    assert decoder.counts.faults() == {'flat_channels': 1}
    assert len(estimates) == 10 * 5 * 6 - 4
    assert (images[-1][1] == 0).all()
    path = SignalPath(
        make_checkpoint().description.signal_path, make_checkpoint().description.statistics
    )
    np.testing.assert_array_equal(images[-1][[0, 2]], path.push(emg)[-10:, [0, 2]].T)


def test_estimates_are_withheld_while_most_channels_are_masked():
    emg = make_emg(800)
    emg[200:400, :2] = 0
    decoder = Decoder(make_checkpoint())
    estimates = decode(decoder, evenly_cut(emg, 5))
    whole = decode(Decoder(make_checkpoint()), cut(make_emg(800), []))
    assert decoder.counts.flat_channels == 2
    # Masked from 3 s to 6 s.
    assert decoder.counts.withheld_estimates == 150
    silent = {e.stamp_ns for e in whole} - {e.stamp_ns for e in estimates}
    assert len(silent) == 150
    assert max(silent) - min(silent) == pytest.approx(3e9, abs=3e7)


@pytest.mark.parametrize('database', ['DB1', 'DB5'])
def test_real_recordings_are_left_as_they_are(ninapro, database):
    paths = sorted((ninapro / database).glob('*.mat'))[:3]
    assert paths
    for path in paths:
        subject = read_ninapro(path)
        config = SignalPathConfig(
            channels=subject.emg.shape[1], sampling_rate=subject.sampling_rate
        )
        features = SignalPath(config).push(subject.emg)
        features = SignalPath(config, FeatureStatistics.of(features)).push(subject.emg)
        _, left, counts = judged(
            subject.emg, features=features, rate=subject.sampling_rate, chunk=len(features)
        )
        np.testing.assert_array_equal(left, features)
        assert counts.faults() == {}
