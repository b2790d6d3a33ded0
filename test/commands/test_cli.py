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

"""The command line itself: its help, wrong usage, and errors, one line each."""

import re
import subprocess
import sys

from cli_harness import content, run, SMALL
from leconvmn_ros.cli import COMMANDS, EXIT_FAILED, main
import pytest

# Arguments with {} for the folder of the fixture and {new} for an empty one; what is said.
FAILURES = {
    'convert a missing file': ('convert {}/no.mat --output {new}/o', 'cannot read .*no.mat'),
    'convert a foreign file': ('convert {}/file --output {new}/o', 'file has no known format'),
    'convert a folder': ('convert {}/other --output {new}/o', 'other has no known format'),
    'convert of another database': (
        'convert {}/S1_A1_E1.mat --database DB5 --output {new}/o',
        'DB5 has 16',
    ),
    'convert to a file': ('convert {}/S1_A1_E1.mat --output {}/file', 'cannot write .*file'),
    'convert to where nothing can be': (
        'convert {}/S1_A1_E1.mat --output /proc/nobody',
        'cannot write',
    ),
    'convert in no time': (
        'convert {}/S1_A1_E1.mat --chunk 0 --output {new}/o',
        '--chunk is 0; it must be',
    ),
    'synthesize over a bag': (f'synthesize --output {{}}/bag {" ".join(SMALL)}', 'exists already'),
    'synthesize over a thesis': (
        f'synthesize --output {{}}/other --overwrite {" ".join(SMALL)}',
        'is not a bag',
    ),
    'synthesize nothing': (
        'synthesize --output {new}/o --channels 0',
        "--channels: .* greater than or equal to 1, got '0'",
    ),
    'synthesize at nan': (
        'synthesize --output {new}/o --sampling-rate nan',
        "--sampling-rate: .*, got 'nan'",
    ),
    'synthesize too much': (
        'synthesize --output {new}/o --channels 256 --sampling-rate 10000 --repetitions 100',
        'at most 500000000 are allowed',
    ),
    'train on nothing': ('train {}/no --output {new}/o', 'no does not exist'),
    'train on a file': ('train {}/file --output {new}/o', 'file is not a rosbag2 bag'),
    'train on a checkpoint': ('train {}/checkpoint --output {new}/o', 'not a rosbag2 bag'),
    'train over a file': ('train {}/bag --output {}/file', 'file exists and is not a checkpoint'),
    'train over a bag': ('train {}/bag --output {}/bag', 'exists and is not a checkpoint'),
    'train over a thesis': ('train {}/bag --output {}/other', 'it holds thesis.tex'),
    'train to where nothing can be': ('train {}/bag --output /proc/nobody/o', 'cannot write'),
    'train no epoch': ('train {}/bag --output {new}/o --epochs 0', "--epochs: .*, got '0'"),
    'train a ridge for epochs': (
        'train {}/bag --output {new}/o --preset ridge --epochs 3',
        '--epochs does not apply to ridge',
    ),
    'train a ridge step by step': (
        'train {}/bag --output {new}/o --preset ridge --learning-rate 0.1',
        '--learning-rate does not apply to ridge',
    ),
    'train an SPGP no epoch': (
        'train {}/bag --output {new}/o --preset spgp --epochs 0',
        "--epochs: .* greater than or equal to 1, got '0'",
    ),
    'train an SPGP on too little': (
        'train {}/bag --output {new}/o --preset spgp',
        r'300 pseudo-inputs for \d+ training images; at most one for each',
    ),
    'train from nothing': ('train {}/bag --output {new}/o --from {}/no', 'no is not a checkpoint'),
    'train from a bag': ('train {}/bag --output {new}/o --from {}/bag', 'bag is not a checkpoint'),
    'train from a decoder by a preset': (
        'train {}/bag --output {new}/o --from {}/checkpoint --preset lstm',
        '--from keeps the model of its decoder: no --preset then',
    ),
    'train from a decoder of other electrodes': (
        'train {}/three_channels --output {new}/o --from {}/checkpoint',
        'decoder to start from is for .*channels=2 .* give .*channels=3 ',
    ),
    'train from a decoder of other images': (
        'train {}/bag --output {new}/o --from {}/checkpoint --exposure 0.2',
        r'decoder to start from is for .*exposure=0\.1 .* give .*exposure=0\.2 ',
    ),
    'train from a decoder no epoch': (
        'train {}/bag --output {new}/o --from {}/checkpoint --epochs 0',
        "--epochs: .*, got '0'",
    ),
    'train as the paper on repetitions': (
        'train {}/bag --output {new}/o --protocol paper --test 2 --validation 4',
        '--test and --validation name repetitions; --protocol paper has none',
    ),
    'train with a lag that cannot be found': (
        'train {}/bag --output {new}/o --reference-lag auto',
        'at least 30 s are needed',
    ),
    'train with a seed of nobody': (
        'train {}/bag --output {new}/o --seed -1',
        "--seed: .* greater than or equal to 0, got '-1'",
    ),
    'train on too many threads': (
        'train {}/bag --output {new}/o --threads 999999999999',
        "--threads: .* less than or equal to 256, got '999999999999'",
    ),
    'train too fast': (
        'train {}/bag --output {new}/o --learning-rate 9',
        "--learning-rate: .* less than or equal to 1, got '9.0'",
    ),
    'train on images too short': (
        'train {}/bag --output {new}/o --exposure 0.001',
        'exposure of 0.001 s .*at least 2 are needed',
    ),
    'train with one of two': (
        'train {}/bag --output {new}/o --validation 2',
        '--validation needs --test',
    ),
    'train on donnings of one day': (
        'train {}/bag --output {new}/o --donnings',
        '--donnings needs two or more BAGs, one per donning; got 1',
    ),
    'train on the test': (
        'train {}/bag --output {new}/o --test 2 --validation 2',
        r'repetitions \[2\] are in both',
    ),
    'train on repetitions that are not there': (
        'train {}/bag --output {new}/o --test 2 --validation 99',
        r'repetitions \[99\] cannot be held out; the recordings have \[1, 2, 3, 4, 5\]',
    ),
    'train on no device': ('train {}/bag --output {new}/o --device gpu', "device 'gpu' cannot"),
    'train on no topic': ('train {}/bag --output {new}/o --emg-topic /e', 'no topic /e; topics'),
    'train on different electrodes': (
        'train {}/bag {}/three_channels --output {new}/o',
        'different electrodes',
    ),
    'evaluate nothing': ('evaluate {}/no {}/bag', 'no is not a checkpoint'),
    'evaluate a bag with a bag': ('evaluate {}/bag {}/bag', 'bag is not a checkpoint'),
    'evaluate no bag': ('evaluate {}/checkpoint {}/no', 'no does not exist'),
    'evaluate other channels': (
        'evaluate {}/checkpoint {}/three_channels',
        "no estimate: .* 2 channels at 50 Hz; input: {'wrong_channels': 200}",
    ),
    'evaluate on no device': (
        'evaluate {}/checkpoint {}/bag --device meta',
        "device 'meta' cannot be used",
    ),
    'evaluate too often': (
        'evaluate {}/checkpoint {}/bag --output-rate 60',
        'output rate 60.0 Hz; allowed are 0 .* to 50 Hz',
    ),
    'evaluate to a folder': ('evaluate {}/checkpoint {}/bag --json {}/other', 'cannot write'),
    'evaluate a plot to nowhere': (
        'evaluate {}/checkpoint {}/bag --plot /proc/nobody/p.png',
        'cannot write /proc/nobody/p.png',
    ),
    'benchmark of nothing': ('benchmark --output {new}/o', 'no BAG given'),
    'benchmark of a missing bag': ('benchmark {}/no --output {new}/o', 'cannot read .*no'),
    'benchmark of one bag twice': (
        'benchmark {}/bag {}/bag --output {new}/o',
        'names of bags must differ; bag came twice',
    ),
    'benchmark against another': (
        'benchmark {}/bag --output {new}/o --presets paper --against small',
        "against 'small'; it must be one of paper",
    ),
    'benchmark to where nothing can be': (
        'benchmark {}/bag --output /proc/nobody',
        'cannot write',
    ),
    'benchmark with GPUs of nobody': (
        'benchmark {}/bag --output {new}/o --gpus-per-run 1',
        '--gpus-per-run is for --ray',
    ),
    'report of nothing': ('benchmark --report-only --output {}/other', 'holds no benchmark'),
    'report with a bag': (
        'benchmark {}/bag --report-only --output {}/other',
        '--report-only takes no BAG',
    ),
    'align nothing': ('align {}/no', 'no does not exist'),
    'align too little': ('align {}/bag', r'1\d s of training data .* at least 30 s are needed'),
    'align what never moves': (
        'align {}/three_channels',
        '0 s of training data with EMG and reference',
    ),
    'demo of nothing': ('demo {}/no.mat --output {new}/o', 'cannot read .*no.mat'),
}


@pytest.mark.parametrize('case', FAILURES)
def test_failures_are_one_line_and_leave_nothing(capsys, folder, tmp_path, case):
    (tmp_path / 'new').mkdir()
    arguments, message = FAILURES[case]
    words = arguments.replace('{new}', str(tmp_path / 'new')).replace('{}', str(folder)).split()
    before = content(folder)
    code, output, error = run(capsys, *words)
    assert code == EXIT_FAILED, (output, error)
    assert error.startswith(f'leconvmn_ros {words[0]}: ')
    assert re.search(message, error), error
    assert len(error) < 600
    assert content(folder) == before
    left = [path for path in (tmp_path / 'new').rglob('*') if path.is_file()]
    assert left == []


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ('', 'required: COMMAND'),
        ('fly', "invalid choice: 'fly'"),
        ('convert', 'required: FILE, --output'),
        ('convert a.mat --output o --database DB9', 'invalid choice'),
        ('train b --output o --test a', "'a' is not a list of repetitions such as 2,5"),
        ('train b --output o --test 1,,2', 'is not a list of repetitions'),
        ('evaluate c b --threads -1', "'-1' is not a whole number from 0 to 256"),
        ('evaluate c b --threads 9999999999999', 'from 0 to 256'),
        ('train b --output o --epochs many', "invalid int value: 'many'"),
        ('train b --output o --preset huge', 'invalid choice'),
        ('evaluate c b --output-rate nan', "'nan' is not a number from 0 to 1000"),
        ('evaluate c b --output-rate inf', 'from 0 to 1000'),
        ('evaluate c b --output-rate=-1', 'from 0 to 1000'),
        ('evaluate c b --threads 1.5', 'whole number'),
        ('evaluate c b --plot a.xyz', "'a.xyz' does not end in .png"),
        ('evaluate c b --part some', 'invalid choice'),
        ('demo --rate=-1', 'from 0 to 1000'),
        ('benchmark b --output o --presets small,huge', "'small,huge' is not a list of"),
        (
            'benchmark b --output o --presets small,small',
            "'small,small' is not a list of different presets",
        ),
        ('benchmark b --output o --seeds 0,,1', "'0,,1' is not a list of seeds"),
        ('benchmark b --output o --workers 0', 'whole number from 1'),
        ('align b --protocol none', 'invalid choice'),
        ('align b --plot a.xyz', "'a.xyz' does not end in .png"),
        ('train b --output o --reference-lag 11', "'11' is not a number from -10 to 10"),
        ('train b --output o --reference-lag soon', "'soon' is not a number from -10 to 10"),
        ('train b --output o --protocol none', 'invalid choice'),
        ('evaluate c b --reference-lag auto', "'auto' is not a number from -10 to 10"),
        ('evaluate c b --reference-lag 11', "'11' is not a number from -10 to 10"),
        ('urdf --side up', 'invalid choice'),
    ],
)
def test_wrong_usage_is_told_with_exit_code_2(capsys, arguments, message):
    code, output, error = run(capsys, *arguments.split())
    assert code == 2
    assert output == ''
    assert message in error


@pytest.mark.parametrize('command', COMMANDS)
def test_help_tells_every_argument(capsys, monkeypatch, command):
    monkeypatch.setenv('COLUMNS', '200')
    code, output, _ = run(capsys, command, '--help')
    assert code == 0
    _, *entries = output[output.index('options:') :].split('\n  --')
    told = {f'--{words[0]}': ' '.join(words) for words in map(str.split, entries)}
    expected = {
        'demo': {'--output', '--preset', '--rate'},
        'convert': {'--output', '--database', '--chunk', '--overwrite'},
        'synthesize': {'--output', '--channels', '--sampling-rate', '--seed', '--overwrite'},
        'align': {'--json', '--plot', '--protocol', '--reference-topic'},
        'train': {
            *('--output', '--preset', '--from', '--epochs', '--test', '--validation'),
            *('--protocol', '--reference-lag', '--device'),
        },
        'evaluate': {'--json', '--plot', '--estimates', '--part', '--output-rate', '--device'},
        'benchmark': {'--output', '--presets', '--against', '--seeds', '--workers', '--ray'},
        'speed': {'--engine', '--output-rate', '--json', '--compare'},
        'export': {'--output'},
        'urdf': {'--side', '--ghost', '--output'},
        'hand': set(),
        'record': {'--output', '--recover', '--all', '--duration'},
    }.get(command, set())
    assert expected <= told.keys()
    # Each of them says something, and no default is 'None'.
    assert all(len(text.split()) > 3 for text in told.values())
    assert 'None' not in output
    for option, text in {
        'train': [('--epochs', 'at least 1, at most 10000'), ('--exposure', 'above 0, at most 2')],
        'synthesize': [('--channels', 'at least 1, at most 256')],
        'evaluate': [('--threads', '1 to 256')],
        'demo': [('--rate', 'up to 1000')],
    }.get(command, []):
        assert text in told[option]


def test_help_lists_the_commands(capsys):
    code, output, _ = run(capsys, '--help')
    assert code == 0
    assert all(command in output for command in COMMANDS)


def test_overwrite_replaces_a_bag(capsys, tmp_path):
    arguments = ['synthesize', '--output', tmp_path / 'bag', *SMALL]
    assert run(capsys, *arguments)[0] == 0
    assert run(capsys, *arguments)[0] == EXIT_FAILED
    assert run(capsys, *arguments, '--overwrite', '--seed', 3)[0] == 0


def test_module_runs_as_a_program(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'leconvmn_ros.cli', 'evaluate', tmp_path / 'no', tmp_path / 'bag'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_FAILED
    assert done.stdout == ''
    assert 'is not a checkpoint' in done.stderr
    assert 'Traceback' not in done.stderr


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(['--version'])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith('leconvmn_ros ')


def test_the_command_bench_of_version_0_1_0_still_works(tmp_path, capsys):
    path = tmp_path / 'other.json'
    path.write_text('[]')
    assert main(['bench', '--compare', str(path), str(path)]) == 1
    assert 'leconvmn_ros speed' in capsys.readouterr().err
