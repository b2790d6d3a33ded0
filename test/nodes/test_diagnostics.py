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

"""What the diagnostics say of a decoder, and the message that carries it."""

from builders import CHANNELS, evenly_cut, make_checkpoint, make_emg
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from leconvmn_ros.core.status import Level, Status
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.decoding.health import DecoderHealth, FAULTS, in_words, InputState
from leconvmn_ros.nodes.diagnostics import diagnostic_array
import numpy as np
import pytest

LISTENING = InputState(active=True, silent_for=0.01, publishers=1)


@pytest.fixture
def decoder():
    return Decoder(make_checkpoint(), output_rate=0)


def report(health, state=LISTENING, period=1.0):
    return {status.part: status for status in health.report(state, period)}


def feed(decoder, samples, first=0, *, emg=None):
    emg = make_emg(first + samples) if emg is None else emg
    for chunk in evenly_cut(emg, 10):
        if chunk.first_sample >= first:
            decoder.decode(chunk)


@pytest.mark.parametrize(
    ('change', 'level', 'summary'),
    [
        ({}, Level.OK, 'fine'),
        ({'silent_for': None}, Level.WARN, 'no EMG yet'),
        ({'stale': True, 'silent_for': 1.26}, Level.ERROR, 'no EMG for 1.3 s'),
        ({'publishers': 2}, Level.ERROR, '2 publishers: their samples are mixed'),
        ({'trouble': 'deaf', 'publishers': 0}, Level.ERROR, 'deaf'),
        ({'active': False, 'silent_for': None}, Level.OK, 'inactive'),
    ],
)
def test_state_of_the_input(decoder, change, level, summary):
    status = report(DecoderHealth(decoder, 'm'), LISTENING._replace(**change))['input']
    assert (status.level, status.summary) == (level, summary)


def test_rates_are_of_the_last_period(decoder):
    health = DecoderHealth(decoder, 'm')
    feed(decoder, 200)
    values = report(health, period=2.0)['input'].values
    assert values['rate (Hz)'] == '100.0'
    assert values['messages per second'] == '10.0'
    assert values['expected rate (Hz)'] == '100'
    assert report(health)['input'].values['rate (Hz)'] == '0.0'


def test_what_only_the_node_knows_is_passed_on(decoder):
    state = LISTENING._replace(interruptions=2, lost_messages=3, missed_deadlines=4)
    values = report(DecoderHealth(decoder, 'm'), state)['input'].values
    assert values['times stale'] == '2'
    assert values['messages lost by the middleware'] == '3'
    assert values['missed deadlines'] == '4'
    assert values['time since the last EMG (s)'] == '0.010'


def test_faults_are_told_in_the_period_in_which_they_happen(decoder):
    health = DecoderHealth(decoder, 'm')
    feed(decoder, 100)
    feed(decoder, 50, first=150)
    assert health.news() == {'lost_samples': 50, 'restarts': 1}
    assert health.remarks() == [FAULTS + '50 lost samples, 1 restarts']
    status = report(health)['input']
    assert (status.level, status.summary) == (Level.WARN, '50 lost samples, 1 restarts')
    assert status.values['lost samples, total'] == '50'
    assert (health.news(), health.remarks()) == ({}, [])
    status = report(health)['input']
    assert (status.level, status.summary) == (Level.OK, 'fine')
    assert status.values['lost samples, total'] == '50'


def test_what_the_decoder_takes_is_told_where_something_else_comes(decoder):
    health = DecoderHealth(decoder, 'm')
    feed(decoder, 100, emg=make_emg(100, CHANNELS + 1))
    assert health.remarks() == [
        FAULTS + '10 wrong channels',
        f'this decoder takes {CHANNELS} channels at 100 Hz, other EMG is rejected',
    ]


def test_faults_of_before_are_no_news(decoder):
    feed(decoder, 100, emg=make_emg(100, CHANNELS + 1))
    assert DecoderHealth(decoder, 'm').news() == {}


def test_each_fault_is_told_in_one_place(decoder):
    health = DecoderHealth(decoder, 'm')
    decoder.counts.withheld_estimates = 3
    decoder.counts.humming_channels = 1
    decoder.counts.stale_messages = 2
    statuses = report(health)
    assert statuses['input'].summary == '2 stale messages'
    assert statuses['output'].summary == '3 withheld estimates'
    keys = [key for status in statuses.values() for key in status.values if 'total' in key]
    assert len(keys) == len(set(keys))
    assert {'stale messages, total', 'withheld estimates, total', 'humming channels, total'} <= {
        *keys
    }


def test_times_of_the_output(decoder):
    health = DecoderHealth(decoder, 'le_convmn, s1')
    for processing, ages in ((0.002, [0.004]), (0.004, [0.006, 0.008])):
        health.note(processing, ages)
    values = report(health)['output'].values
    assert values['rate (Hz)'] == '3.0'
    assert values['expected rate (Hz)'] == '10'
    assert values['model'] == 'le_convmn, s1'
    assert values['device'] == 'cpu'
    assert values['processing of a message, median (ms)'] == '3.00'
    assert values['latency from sample to estimate, median (ms)'] == '6.00'
    assert values['latency from sample to estimate, p99 (ms)'] == '7.96'
    # Nothing came since.
    assert 'latency from sample to estimate, median (ms)' not in report(health)['output'].values


@pytest.mark.parametrize('age', [1e6, -1e6, 11.0])
def test_no_latency_between_two_clocks(decoder, age):
    health = DecoderHealth(decoder, 'm')
    health.note(0.001, [age])
    values = report(health)['output'].values
    assert 'another clock' in values['latency']
    assert 'latency from sample to estimate, median (ms)' not in values


def test_a_decoder_that_does_not_keep_up_is_told(decoder):
    health = DecoderHealth(decoder, 'm')
    for _ in range(10):
        health.note(0.095, [0.5])
    status = report(health)['output']
    assert (status.level, status.summary) == (Level.ERROR, 'the decoder does not keep up')


def test_each_channel_is_told(decoder):
    health = DecoderHealth(decoder, 'm')
    emg = make_emg(200)
    emg[:, 1] = 0
    feed(decoder, 200, emg=emg)
    bad = make_emg(300)
    bad[210:260, 2] = np.nan
    feed(decoder, 100, first=200, emg=bad)
    status = report(health)['signal']
    assert (status.level, status.summary) == (Level.WARN, 'not fine: channel 1, 2')
    assert status.values['channel 0'] == 'fine'
    assert status.values['channel 1'] == 'flat, masked'
    assert status.values['channel 2'] == '50% NaN or infinite, rejected'


def test_too_few_channels_are_an_error(decoder):
    emg = make_emg(200)
    emg[:, :2] = 0
    feed(decoder, 200, emg=emg)
    status = report(DecoderHealth(decoder, 'm'))['signal']
    assert status.level == Level.ERROR
    assert status.summary == '2 of 3 channels masked: no estimates'


def test_counters_in_words():
    assert in_words({'lost_samples': 3, 'restarts': 1}) == '3 lost samples, 1 restarts'
    assert in_words({}) == ''


def test_the_message():
    statuses = [
        Status('input', Level.OK, 'fine', {'rate (Hz)': '200'}),
        Status('signal', Level.ERROR, 'bad', {}),
    ]
    message = diagnostic_array('/left/decoder', Time(sec=3, nanosec=5), statuses)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (3, 5)
    one, other = message.status
    assert one.name == 'left/decoder: input'
    assert one.hardware_id == other.hardware_id == 'left/decoder'
    (about,) = diagnostic_array('/left/decoder', Time(), statuses[:1], '/emg').status
    assert about.hardware_id == '/emg'
    assert (one.level, one.message) == (DiagnosticStatus.OK, 'fine')
    assert [(value.key, value.value) for value in one.values] == [('rate (Hz)', '200')]
    assert other.level == DiagnosticStatus.ERROR
    assert [
        int.from_bytes(level, 'big')
        for level in (DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR)
    ] == [*Level]
