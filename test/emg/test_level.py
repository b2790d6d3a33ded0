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

"""EMG in a wrong unit is detected."""

from leconvmn_ros.emg.level import level_words, LevelMeter, unit_words
from leconvmn_ros.emg.signal_path import FeatureStatistics, SignalPath, SignalPathConfig
import numpy as np
import pytest

RATE = 200.0


def emg(seconds=10.0, seed=0):
    samples = round(seconds * RATE)
    return np.random.default_rng(seed).normal(0, 1e-4, (samples, 4)).astype(np.float32)


def ratio_of(samples, size=20, **config):
    path = SignalPathConfig(channels=4, sampling_rate=RATE, **config)
    statistics = FeatureStatistics.of(SignalPath(path).push(emg(seed=1)))
    meter, signal_path = LevelMeter(path, statistics), SignalPath(path, statistics)
    for first in range(0, len(samples), size):
        meter.add(signal_path.push(samples[first : first + size]))
    return meter.ratio


@pytest.mark.parametrize('config', [{}, {'companding': False}, {'standardise': False}])
@pytest.mark.parametrize('factor', [1.0, 1e3, 1e6, 0.05])
def test_the_level_is_compared_with_that_of_the_training(factor, config):
    assert ratio_of(emg() * np.float32(factor), **config) == pytest.approx(factor, rel=0.2)


def test_a_short_artefact_is_no_level():
    samples = emg()
    samples[1700:1720] *= 1e6
    assert ratio_of(samples) < 10


def test_nothing_is_said_of_the_first_second():
    assert ratio_of(emg(0.9)) is None
    assert level_words(None) == ''


@pytest.mark.parametrize(
    ('ratio', 'words'),
    [
        (1.3, ''),
        (0.2, ''),
        (20.0, 'EMG is 20 times as loud as in training; is it in V?'),
        (1e3, 'EMG is 10^3 times as loud as in training; is it in V, or in mV?'),
        (1.2e6, 'EMG is 10^6 times as loud as in training; is it in V, or in uV?'),
        (1e-6, 'EMG is 10^6 times as quiet as in training; is it in V?'),
    ],
)
def test_the_likely_mistake_is_named(ratio, words):
    assert level_words(ratio) == words


def test_a_recording_that_cannot_be_in_volts_is_told_before_the_training():
    assert unit_words(emg(), envelope=False) == ''
    assert unit_words(emg() + np.float32(5e-3), envelope=False) == ''
    assert 'is it in mV, uV or counts?' in unit_words(emg() * np.float32(1e3), envelope=False)
    assert unit_words(np.abs(emg()) * np.float32(1e4), envelope=True) == ''
