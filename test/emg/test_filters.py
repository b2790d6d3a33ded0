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

"""Filters of raw EMG: pass band, stop band, and independence of chunks."""

from leconvmn_ros.emg.filters import Cascade, high_pass, notch, sections
from leconvmn_ros.emg.signal_path import SignalPath, SignalPathConfig
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest
from scipy import signal

RATE = 2000.0


def noise(samples, channels=3, seed=0):
    return np.random.default_rng(seed).normal(0, 1e-4, (samples, channels)).astype(np.float32)


def pushed(cascade, samples, cuts=()):
    return np.concatenate([cascade.push(part) for part in np.split(samples, cuts)])


@pytest.mark.parametrize(('corner', 'rate'), [(20.0, RATE), (5.0, 200.0), (20.0, 1111.1)])
def test_the_high_pass_is_a_butterworth_of_second_order(corner, rate):
    b, a = signal.butter(2, corner, 'highpass', fs=rate)
    section = high_pass(corner, rate)
    assert_allclose(section.gain * np.array([1, *section.zeros]), b, rtol=1e-12)
    assert_allclose([1, *section.poles], a, rtol=1e-12)
    assert abs(section.response(corner, rate)) == pytest.approx(np.sqrt(0.5))


def test_the_notch_is_that_of_scipy():
    b, _ = signal.iirnotch(50.0, 30.0, RATE)
    section = notch(50.0, RATE)
    assert_allclose(section.gain * np.array([1, *section.zeros]), b, rtol=1e-3)
    assert abs(section.response(50.0, RATE)) < 1e-12
    assert abs(section.response(60.0, RATE)) > 0.99


def test_harmonics_that_the_rate_cannot_show_have_no_notch():
    assert len(sections(0, 50, RATE)) == 5
    assert len(sections(5, 50, 200.0)) == 2


def test_filtered_samples_are_those_of_scipy():
    samples = noise(500)
    b, a = signal.butter(2, 20, 'highpass', fs=RATE)
    start = signal.lfilter_zi(b, a)[:, None] * samples[0].astype(np.float64)
    expected, _ = signal.lfilter(b, a, samples.astype(np.float64), axis=0, zi=start)
    assert_allclose(Cascade([high_pass(20, RATE)], 3).push(samples), expected, atol=1e-16)


@pytest.mark.parametrize('size', [1, 2, 7, 64])
def test_chunks_do_not_matter_to_the_last_bit(size):
    samples = noise(300)
    filters = sections(20, 50, RATE)
    whole = pushed(Cascade(filters, 3), samples)
    assert_array_equal(pushed(Cascade(filters, 3), samples, range(size, 300, size)), whole)


def test_an_offset_is_gone_from_the_first_sample_on():
    samples = noise(400)
    offset = np.array([5e-3, -8e-3, 0.0], dtype=np.float32)
    filters = sections(20, 50, RATE)
    shifted = Cascade(filters, 3).push(samples.astype(np.float64) + offset)
    assert_allclose(shifted, Cascade(filters, 3).push(samples.astype(np.float64)), atol=1e-15)


def test_hum_is_taken_out_and_muscle_is_kept():
    time = np.arange(4000)[:, None] / RATE
    hum = 1e-3 * np.sin(2 * np.pi * 50 * time) + 5e-4 * np.sin(2 * np.pi * 150 * time)
    muscle = 1e-4 * np.sin(2 * np.pi * 120 * time)
    out = Cascade(sections(20, 50, RATE), 1).push(hum + muscle)[2000:]
    assert out.std() == pytest.approx(muscle.std(), rel=0.05)


def test_the_delay_in_the_middle_of_the_band_is_below_a_millisecond():
    for corner, rate, middle in ((20.0, RATE, 100.0), (5.0, 200.0, 50.0)):
        section = high_pass(corner, rate)
        near = [np.angle(section.response(middle + step, rate)) for step in (-0.5, 0.5)]
        assert abs(np.diff(near)[0]) / (2 * np.pi) < 1e-3


def test_reset_forgets_everything():
    cascade = Cascade(sections(20, 50, RATE), 3)
    first = cascade.push(noise(50))
    cascade.push(noise(70, seed=1))
    cascade.reset()
    assert_array_equal(cascade.push(noise(50)), first)


def test_features_of_a_filtered_path_do_not_depend_on_chunks_or_offset():
    config = SignalPathConfig(channels=3, sampling_rate=RATE, high_pass=20, mains=50)
    samples = noise(1000)
    whole = SignalPath(config).push(samples)
    path = SignalPath(config)
    assert_array_equal(pushed(path, samples, range(13, 1000, 13)), whole)
    path.reset()
    assert_array_equal(path.push(samples), whole)
    bare = SignalPath(SignalPathConfig(channels=3, sampling_rate=RATE))
    offset = SignalPath(config).push(samples + np.float32(4e-3))
    assert_allclose(offset[300:], whole[300:], atol=2e-3)
    assert np.abs(bare.push(samples + np.float32(4e-3)) - whole)[300:].min() > 0.1


def test_a_corner_that_the_rate_cannot_have_is_refused():
    with pytest.raises(ValueError, match=r'high-pass of 100 Hz at a rate of 200 Hz; .* below 80'):
        SignalPathConfig(channels=1, sampling_rate=200.0, high_pass=100)
