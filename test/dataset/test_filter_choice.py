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

"""The choice of filters for raw EMG and envelopes."""

from dataclasses import replace

from builders import evenly_cut
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.dataset.filter_choice import choose_filters, filter_remarks, FilterChoice
import numpy as np
import pytest


def loudness(samples, rate):
    return 1.1 + np.sin(2 * np.pi * 0.5 * np.arange(samples) / rate)[:, None]


def recording(rate, *, offset=0.0, wander=0.0, **information):
    random = np.random.default_rng(0)
    time = np.arange(round(20 * rate))[:, None] / rate
    emg = 1e-5 * loudness(len(time), rate) ** 3 * random.standard_normal((len(time), 3))
    emg += offset + wander * np.sin(2 * np.pi * 0.1 * time)
    return Recording('it', evenly_cut(emg.astype(np.float32), 20, rate), information=information)


def envelope(**information):
    random = np.random.default_rng(0)
    emg = 1e-4 * loudness(2000, 100.0) + 1e-6 * random.uniform(0, 1, (2000, 3))
    return Recording('it', evenly_cut(emg.astype(np.float32), 2, 100.0), information=information)


def chosen(*recordings):
    return choose_filters(recordings, None, 0)


def test_raw_emg_of_an_amplifier_gets_20_hz():
    assert chosen(recording(1000.0)) == FilterChoice(20.0, 0)
    assert filter_remarks([recording(1000.0)], FilterChoice(20.0, 50)) == [
        'the EMG is filtered: high-pass at 20 Hz',
        'the EMG is filtered: mains hum of 50 Hz',
    ]


@pytest.mark.parametrize('fault', [{}, {'offset': 5e-3}, {'offset': 5e-3, 'wander': 1e-3}])
def test_an_armband_gets_a_lower_corner_only_against_an_offset(fault):
    assert chosen(recording(200.0, **fault)) == FilterChoice(5.0 if fault else 0.0, 0)


def test_an_envelope_gets_none_and_a_guess_is_reported():
    assert chosen(envelope(emg_kind='envelope')) == FilterChoice(0.0, 0)
    assert filter_remarks([envelope(emg_kind='envelope')], FilterChoice()) == []
    assert chosen(envelope()) == FilterChoice(0.0, 0)
    (remark,) = filter_remarks([envelope()], FilterChoice())
    assert 'looks like an envelope' in remark


def test_raw_emg_above_zero_is_no_envelope():
    assert chosen(recording(200.0, offset=5e-3)).high_pass == 5.0
    assert filter_remarks([recording(200.0, offset=5e-3)], FilterChoice()) == []


def test_what_is_asked_for_is_taken():
    assert choose_filters([recording(200.0)], 10.0, 60) == FilterChoice(10.0, 60)
    assert choose_filters([recording(1000.0)], 0.0, 0) == FilterChoice(0.0, 0)


def test_raw_emg_and_envelopes_are_not_mixed():
    both = [replace(envelope(), name='smooth'), replace(recording(100.0), name='rough')]
    with pytest.raises(RecordingError, match='smooth: envelope, rough: raw'):
        choose_filters(both, None, 0)
