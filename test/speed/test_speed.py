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

import gc
import json
import os
import sys

from builders import make_checkpoint
from leconvmn_ros.cli import main
from leconvmn_ros.core.machine_info import cpu_seconds, describe_machine, resident_bytes
from leconvmn_ros.core.node_processes import find_executable
from leconvmn_ros.speed.floor import is_at_floor, measure_floor
from leconvmn_ros.speed.machine_check import _held, PRESETS_CHECKED
from leconvmn_ros.speed.peak_rates import measure_peak_rates
from leconvmn_ros.speed.stages import (
    collector_pauses,
    fractions_of_peak,
    measure,
    measure_in_turn,
    multiplications_of,
    random_checkpoint,
    Stage,
)
from leconvmn_ros.training.presets import PRESETS
import numpy as np
import pytest

SMALL = ['--preset', 'small', '--channels', '4', '--sampling-rate', '200', '--messages', '20']
SMALL += ['--steps', '5']


def speed(*arguments):
    return main(['speed', *SMALL, *map(str, arguments)])


def test_multiplications_of_the_paper_are_as_computed_by_hand():
    checkpoint = random_checkpoint(PRESETS['paper'], 12, 2000.0)
    # Planes in and out of each layer with kernels of 3 x 3, on 12 x 200 pixels; the head.
    by_hand = 9 * (65 * 256 + 96 * 128 + 42 * 40) * 2400 + 10 * 2400
    assert multiplications_of(checkpoint.network()) == by_hand


def test_machine_is_described():
    told = describe_machine()
    assert told['cores'] == os.cpu_count()
    assert told['processor']
    assert set(told['libraries']) >= {'torch', 'numpy'}
    assert all(value > 0 for value in measure_peak_rates().values())


def test_use_of_a_process():
    number = os.getpid()
    before, memory = cpu_seconds(number), resident_bytes(number)
    block = np.ones(2**24)  # 128 MiB
    for _ in range(20):
        block += 1
    assert cpu_seconds(number) > before
    assert resident_bytes(number) > memory + block.nbytes / 2


def test_a_stage_is_measured():
    kept = []
    row = measure(Stage(lambda: kept.append(np.zeros(1000))), repetitions=50)
    assert 0 < row['least_us'] <= row['median_us'] <= row['p99_us'] <= row['most_us']
    assert row['calls'] == 50
    assert row['bytes_for_a_time'] >= 8000
    assert row['objects_left'] >= 1  # it keeps everything
    assert measure(Stage(lambda: None), 50)['objects_left'] < 0.5


def test_stages_in_turn_are_compared_with_the_first():
    rows = measure_in_turn({'one': Stage(lambda: None), 'other': Stage(lambda: None)}, 5)
    assert rows['one']['of_first'] == 1
    assert rows['other']['of_first'] == rows['other']['least_us'] / rows['one']['least_us']


def test_shares_are_of_the_right_ceiling():
    best = {'copy': 1e9, 'float32': 4e9}
    row = {'least_us': 1000.0}
    found = fractions_of_peak(row, Stage(lambda: None, 100_000, 2_000_000), best)
    assert found == pytest.approx({'share_of_copying': 0.1, 'share_of_multiplying': 0.5})
    assert 'share_of_multiplying' not in fractions_of_peak(row, Stage(lambda: None, 100_000), best)


def test_pauses_of_the_collector_are_seen():
    seen = collector_pauses(gc.collect, 3)
    assert seen['collections'] == 3
    assert seen['longest_ms'] > 0
    assert gc.get_freeze_count() == 0


def test_without_ros(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'leconvmn_ros.nodes.message_timing', None)
    path = tmp_path / 'result.json'
    assert speed('--seconds', 0, '--json', path) == 0
    shown = capsys.readouterr().out
    result = json.loads(path.read_text())
    for name in ('check', 'RMS', 'features', 'image', 'decoder, all of it', 'network, eager'):
        assert name in shown
        assert result['stages'][name]['median_us'] > 0
    assert result['stages']['network, onnx']['of_first'] == 1
    assert 'the message stages were skipped' in shown
    assert 'live' not in result


def test_a_checkpoint_and_ros_and_a_comparison(tmp_path, capsys):
    make_checkpoint().save(tmp_path / 'trained')
    paths = [tmp_path / 'a.json', tmp_path / 'b.json']
    assert speed(tmp_path / 'trained', '--seconds', 0, '--json', paths[0]) == 0
    assert speed('--seconds', 0, '--json', paths[1]) == 0
    first, second = (json.loads(path.read_text()) for path in paths)
    assert (first['settings']['network'], first['settings']['channels']) == ('trained', 3)
    assert {'message in', 'message to samples', 'publish'} <= set(first['stages'])
    capsys.readouterr()
    assert main(['speed', '--compare', *map(str, paths)]) == 0
    shown = capsys.readouterr().out
    rows = [f'{r["stages"]["RMS"]["median_us"]:.1f}' for r in (first, second)]
    (line,) = [line for line in shown.splitlines() if line.split()[:1] == ['RMS']]
    assert line.split()[1:3] == rows


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (None, 'cannot read'),
        ('{', 'is not JSON'),
        ('[]', 'was not written by leconvmn_ros speed'),
        ('{"format": "other"}', 'was not written by leconvmn_ros speed'),
    ],
)
def test_foreign_results_are_refused(tmp_path, capsys, content, reason):
    path = tmp_path / 'a.json'
    if content is not None:
        path.write_text(content)
    assert main(['speed', '--compare', str(path), str(path)]) == 1
    assert reason in capsys.readouterr().err


def test_impossible_geometry_is_refused(capsys):
    assert main(['speed', '--preset', 'paper', '--sampling-rate', '5', '--seconds', '0']) == 1
    assert 'preset paper' in capsys.readouterr().err


def test_the_whole_way(tmp_path, capsys):
    find_executable('load')  # installed with the package
    path = tmp_path / 'result.json'
    assert speed('--seconds', 2, '--chunk', 0.02, '--engine', 'onnx', '--json', path) == 0
    shown = capsys.readouterr().out
    live = json.loads(path.read_text())['live']
    assert live['chunks'] == 100
    assert 0 < live['estimates'] <= 96  # 50 Hz, but for the first image
    assert live['gaps'] <= 96 - live['estimates']
    assert 0 < live['latency_ms']['median'] <= live['latency_ms']['most']
    assert live['memory'] > 50 * 2**20
    assert f'{live["estimates"]} estimates' in shown


def test_the_floor_is_plain_arithmetic_of_the_length_asked_for():
    floor = measure_floor(2e-3, 5e-3, 0.1)
    assert floor['work_ms'] == 2.0
    # Never faster than an idle machine, which the calibration found.
    assert floor['latency_ms']['median'] > 1.0
    assert floor['latency_ms']['most'] >= floor['latency_ms']['p99']


@pytest.mark.parametrize(('p99', 'expected'), [(10.0, True), (12.4, True), (20.0, False)])
def test_a_tail_is_at_the_floor_or_above(p99, expected):
    assert is_at_floor(p99, 10.0) is expected


def test_the_check_gives_a_line_for_each_preset_and_advice_where_it_is_slow(capsys):
    assert main(['speed', '--check', '--channels', '4', '--sampling-rate', '200']) == 0
    output = capsys.readouterr().out
    assert all(preset in output for preset in PRESETS_CHECKED)
    slow = _held('paper', [15.0] * 100)
    assert slow.rates == (10.0, 20.0)
    assert 'output_rate:=20' in slow.advice
    assert _held('paper', [100.0] * 10).advice == 'too slow for this machine'
