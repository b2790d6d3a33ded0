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

"""What strangers named is shown and does nothing; where output cannot go, one line says so."""

import os
from pathlib import Path
import subprocess
import sys

from cli_harness import run
from leconvmn_ros.commands.progress import CONSOLE, progress_bar, remark, say, show
from leconvmn_ros.core.errors import LeconvmnError, printable
from leconvmn_ros.evaluation.tables import score_table_text
from leconvmn_ros.recordings.array_bag import write_arrays
import numpy as np
import pytest
from rich.table import Table

# A line break, a colour, the title of the window, a mark that turns the direction of writing, a
# byte that is not text, and markup of rich.
EVIL = 'a\nb\x1b[31m\x1b]0;owned\x07\r\u202e\udcff[bold]x[/bold]'
SHOWN = r'a\nb\x1b[31m\x1b]0;owned\x07\r\u202e\udcff[bold]x[/bold]'
FORBIDDEN = ('\x1b', '\x07', '\r', '\u202e')


def test_a_name_becomes_one_line_that_is_only_shown():
    assert printable(EVIL) == SHOWN
    assert printable(SHOWN) == SHOWN
    assert str(LeconvmnError(EVIL)) == SHOWN
    assert printable('Zoë, 手 и µV') == 'Zoë, 手 и µV'


@pytest.mark.parametrize('tell', [say, remark])
def test_a_line_with_an_evil_name_is_one_line(capsys, tell):
    tell(f'{EVIL}: done')
    output = capsys.readouterr()
    assert (output.out + output.err) == f'{SHOWN}: done\n'


def test_a_table_with_an_evil_name_shows_it(capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '300')
    score = dict.fromkeys(('cc', 'rmse', 'nrmse', 'r2', 'mae'), 0.5)
    show(score_table_text({'joints': {EVIL: score}, 'mean': score}, EVIL))
    output = capsys.readouterr().out
    assert output.count(SHOWN) == 2
    assert not any(sign in output for sign in FORBIDDEN)


def test_a_table_that_forgot_to_escape_sends_no_sequence(capsys):
    show(Table(EVIL, title=EVIL))
    assert not any(sign in capsys.readouterr().out for sign in FORBIDDEN)


def test_a_progress_bar_with_an_evil_name_shows_it(capsys, monkeypatch):
    monkeypatch.setattr(CONSOLE, 'width', 300)
    with progress_bar(EVIL) as move:
        move(0.5, EVIL)
    output = capsys.readouterr().err
    assert SHOWN in output
    assert not any(sign in output for sign in FORBIDDEN)


def test_commands_show_evil_names_of_files_and_joints(capsys, tmp_path):
    name = 'a\nb\x1b[31m'
    write_arrays(
        tmp_path / name,
        np.random.default_rng(0).normal(0, 1e-4, (4000, 2)),
        200.0,
        np.zeros((4000, 1)),
        joint_names=['x\x1b]0;owned\x07'],
    )
    for words in (('align', tmp_path / name), ('evaluate', tmp_path / name, tmp_path / name)):
        _, output, errors = run(capsys, *words)
        assert not any(sign in output + errors for sign in FORBIDDEN)


def test_an_evil_argument_is_shown(capsys, tmp_path):
    code, _, errors = run(capsys, 'convert', tmp_path, '--output', tmp_path, '--\x1b[31m')
    assert code == 2
    assert r'--\x1b[31m' in errors
    assert '\x1b' not in errors


def into(target, *words):
    with Path(target).open('w') as output:
        return subprocess.run(
            [sys.executable, '-m', 'leconvmn_ros.cli', *words],
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=100,
            check=False,
        )


@pytest.mark.parametrize('words', [('urdf',), ('hand',), ('--version',)], ids=' '.join)
def test_a_full_standard_output_is_one_line(words):
    result = into('/dev/full', *words)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert 'cannot write to standard output: No space left on device; redirect it' in line


def test_a_closed_pipe_is_one_line():
    command = f'{sys.executable} -m leconvmn_ros.cli urdf'
    with subprocess.Popen(
        command.split(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        child.stdout.close()
        errors = child.stderr.read().decode()
    assert child.returncode == 1
    assert errors == 'leconvmn_ros urdf: the program that reads the output has closed it\n'


@pytest.mark.parametrize('home', [None, '', '/proc', '/dev/null'])
def test_a_command_needs_no_home(home):
    environment = {'HOME': home} if home is not None else {}
    keep = ('PATH', 'PYTHONPATH', 'VIRTUAL_ENV')
    environment |= {name: os.environ[name] for name in keep if name in os.environ}
    result = subprocess.run(
        [sys.executable, '-m', 'leconvmn_ros.cli', 'align', '/nowhere'],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 1
    assert 'Traceback' not in result.stderr
    assert result.stderr.splitlines()[-1] == 'leconvmn_ros align: /nowhere does not exist'


@pytest.mark.parametrize(
    ('words', 'option'),
    [
        (('align', '/nowhere'), '--json'),
        (('evaluate', '/nowhere', '/nowhere'), '--json'),
        (('evaluate', '/nowhere', '/nowhere'), '--estimates'),
        (('speed',), '--json'),
        (('export', '/nowhere'), '--output'),
        (('urdf',), '--output'),
    ],
)
def test_an_output_that_is_no_regular_file_is_refused_before_any_work(
    capsys, tmp_path, words, option
):
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'target').write_text('precious')
    (tmp_path / 'link').symlink_to('target')
    for name, kind in (('pipe', 'a FIFO'), ('link', 'a link')):
        code, _, errors = run(capsys, *words, option, tmp_path / name)
        assert code == 1
        assert f'it is {kind}; only a regular file is replaced' in errors
    assert (tmp_path / 'target').read_text() == 'precious'
    assert (tmp_path / 'pipe').is_fifo()
