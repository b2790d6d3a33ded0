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

import json

from leconvmn_ros.cli import main
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.speed import limits as load_limits
from leconvmn_ros.speed.limits import highest_held, MOST_RATE, what_broke
from leconvmn_ros.training.presets import PRESETS
import pytest


def machine(most):
    """A node that sustains rates up to this one, and the rates tried."""
    tried = []

    def try_rate(rate):
        tried.append(rate)
        return '' if rate <= most else f'broke at {rate:g}'

    return try_rate, tried


@pytest.mark.parametrize('most', [1.5, 90, 1000, 1001, 5300, 17_000, 99_000])
def test_the_highest_rate_is_bracketed(most):
    try_rate, tried = machine(most)
    limit = highest_held(try_rate)
    assert limit.held <= most < limit.broke_at
    assert limit.broke_at / limit.held < 1.1 or limit.broke_at - limit.held <= 1
    assert limit.reason == f'broke at {limit.broke_at:g}'
    assert limit.held in tried
    assert len(tried) == len(set(tried)) <= 14


def test_a_node_that_holds_everything_and_one_that_holds_nothing():
    assert highest_held(machine(1e9)[0]) == (MOST_RATE, None, '')
    assert highest_held(machine(0)[0]) == (0.0, 1.0, 'broke at 1')


def trip(**changes):
    """Four seconds at 50 Hz, without the last estimate."""
    good = {
        'late_ms': {'median': 0.1, 'p99': 1.0, 'most': 2.0},
        'latency_ms': {'median': 3.0, 'p99': 9.0, 'most': 20.0},
        'estimates': 195,
        'gaps': 0,
        'faults': [],
    }
    return good | changes


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({}, ''),
        ({'late_ms': None}, 'the source did not keep its own pace'),
        ({'late_ms': {'p99': 60.0}, 'faults': ['1 x']}, 'the source did not keep its own pace'),
        ({'faults': ['20 lost samples'], 'gaps': 4}, 'the decoder logged: 20 lost samples'),
        ({'latency_ms': None, 'estimates': 0}, 'no estimate came'),
        ({'latency_ms': {'p99': 900.0}}, 'fell behind: p99 of the latency was 900 ms'),
        ({'gaps': 2}, '195 of 200 estimates came, 2 are missing'),
        ({'estimates': 120}, '120 of 200 estimates came'),
    ],
)
def test_what_broke_first(changes, said):
    found = what_broke(trip(**changes), 4.0, 0.01, 50.0)
    assert said in found
    assert bool(found) == bool(said)


def test_limits_are_shown_and_written(tmp_path, capsys, monkeypatch):
    def measure_end_to_end(checkpoint, **options):
        path = checkpoint.description.signal_path
        assert options['chunk'] == round(0.02 * path.sampling_rate)
        if path.sampling_rate * path.channels > 20_000:
            return trip(faults=['20 lost samples'])
        if path.sampling_rate > 4000:
            raise ConfigurationError('decoder ended with code 1: out of memory')
        return trip()

    monkeypatch.setattr(load_limits, 'measure_end_to_end', measure_end_to_end)
    path = tmp_path / 'limits.json'
    arguments = ['speed', '--preset', 'small', '--limits', '2,16', '--chunk', '0.02']
    assert main([*arguments, '--seconds', '4', '--json', str(path)]) == 0
    shown = capsys.readouterr().out
    few, many = json.loads(path.read_text())['limits']
    assert 3600 < few['held'] <= 4000 < few['broke_at']
    assert few['reason'] == 'decoder ended with code 1: out of memory'
    assert many['values'] == 16 * many['held'] <= 20_000 < 16 * many['broke_at']
    missed = 'the decoder logged: 20 lost samples'
    # What broke is tried once more.
    assert [trial['reason'] for trial in many['trials'][:3]] == ['', missed, missed]
    for limit in (few, many):
        assert f'{limit["held"]:.0f}' in shown
    assert main(['speed', '--compare', str(path), str(path)]) == 1


def test_a_disturbance_is_no_limit(monkeypatch):
    seen = set()

    def measure_end_to_end(checkpoint, **_):
        rate = checkpoint.description.signal_path.sampling_rate
        first = rate not in seen
        seen.add(rate)
        return trip(gaps=3) if first or rate > 2000 else trip()

    monkeypatch.setattr(load_limits, 'measure_end_to_end', measure_end_to_end)
    found = load_limits.find_limit(
        PRESETS['small'],
        2,
        chunk_seconds=0.01,
        output_rate=50.0,
        seconds=4.0,
        device='cpu',
        engine='onnx',
        threads=1,
        progress=lambda _: None,
    )
    assert (found['held'], found['values']) == (2000, 4000)


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (['--limits', '8', '--seconds', '0'], 'needs --seconds above 0'),
        (['x', '--limits', '8'], 'takes --preset and no CHECKPOINT'),
    ],
)
def test_impossible_wishes_are_refused(arguments, reason, capsys):
    assert main(['speed', *arguments]) == 1
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize('counts', ['0', '16,', '257', 'a'])
def test_impossible_channel_counts_are_refused(counts, capsys):
    with pytest.raises(SystemExit):
        main(['speed', '--limits', counts])
    assert 'is not a whole number from 1 to 256' in capsys.readouterr().err
