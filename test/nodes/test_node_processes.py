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

"""Child processes, with shell scripts in place of the nodes."""

import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from leconvmn_ros.core import node_processes as module
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.node_processes import _yaml, find_executable, node_processes
import pytest
import yaml

DEADLINE = 10.0  # s


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """Return a folder that takes the place of a sourced workspace."""
    monkeypatch.setattr(sys, 'prefix', str(tmp_path / 'none'))
    monkeypatch.setattr(sys, 'executable', str(tmp_path / 'bin' / 'python3'))
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/nowhere{os.pathsep}{tmp_path / "workspace"}')
    (tmp_path / 'bin').mkdir()
    return tmp_path / 'workspace'


def make_program(folder, name, script):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\n{script}\n')
    path.chmod(0o755)
    return path


def node(prefix, script, name='node'):
    return make_program(prefix / 'lib' / 'leconvmn_ros', name, script)


def wait_for(condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, 'in vain'
        time.sleep(0.01)


def test_a_program_of_the_same_name_beside_python_is_not_taken(prefix, tmp_path):
    make_program(tmp_path / 'bin', 'replay', 'exit 1')
    with pytest.raises(ConfigurationError, match='the program replay of leconvmn_ros is in none'):
        find_executable('replay')
    ours = node(prefix, 'exit 0', 'replay')
    assert find_executable('replay') == ours


def test_a_program_that_is_not_there_is_one_clear_error(prefix):
    with pytest.raises(
        ConfigurationError, match=f'nobody of leconvmn_ros is in none of .*{prefix}'
    ):
        find_executable('nobody')
    node(prefix, '').chmod(0o644)
    with pytest.raises(ConfigurationError):
        find_executable('node')


def test_installed_nodes_are_found():
    for name in ('decoder', 'evaluator', 'replay'):
        assert os.access(find_executable(name), os.X_OK)


@pytest.mark.parametrize(
    'value', [True, False, 3, 0.25, 'true', '123', "it's: [1]", Path("a 'b'"), '', '~']
)
def test_parameters_are_read_as_what_they_are(value):
    read = yaml.safe_load(_yaml(value))
    expected = str(value) if isinstance(value, Path) else value
    assert read == expected
    assert type(read) is type(expected)


def test_parameters_and_output(prefix, tmp_path):
    node(prefix, 'for argument; do echo "$argument"; done; echo to stderr >&2')
    with node_processes(tmp_path / 'logs') as launcher:
        started = launcher.start('node', {'rate': 1.5, 'bag': Path('a b')})
        assert started.process.wait(DEADLINE) == 0
        assert launcher.failed() is None
    assert started.log == tmp_path / 'logs' / 'node.log'
    assert started.log.read_text().splitlines() == [
        '--ros-args',
        '-p',
        'rate:=1.5',
        '-p',
        "bag:='a b'",
        'to stderr',
    ]


def test_a_node_that_fails_is_told(prefix, tmp_path):
    node(prefix, 'exec sleep 60', 'fine')
    node(prefix, 'exit 3', 'broken')
    with node_processes(tmp_path) as launcher:
        launcher.start('fine', {})
        assert launcher.failed() is None
        broken = launcher.start('broken', {})
        broken.process.wait(DEADLINE)
        assert launcher.failed() == broken


@pytest.mark.parametrize('error', [None, KeyboardInterrupt, RuntimeError])
def test_all_have_ended_when_the_context_is_left(prefix, tmp_path, monkeypatch, error):
    monkeypatch.setattr(module, 'LONGEST_SHUTDOWN', 0.3)
    node(prefix, 'exec sleep 60', 'polite')
    node(prefix, 'trap "" TERM; echo deaf; while :; do sleep 0.05; done', 'deaf')
    started = []

    def run():
        with node_processes(tmp_path) as launcher:
            started.extend(launcher.start(name, {}) for name in ('polite', 'deaf'))
            wait_for(lambda: started[1].log.read_text() == 'deaf\n')
            if error is not None:
                raise error

    if error is None:
        run()
    else:
        with pytest.raises(error):
            run()
    assert [one.process.returncode for one in started] == [-15, -9]


def test_no_file_stays_open(prefix, tmp_path):
    node(prefix, 'exit 0')
    before = set(Path('/proc/self/fd').iterdir())
    for _ in range(3):
        with node_processes(tmp_path) as launcher:
            launcher.start('node', {}).process.wait(DEADLINE)
    assert len(set(Path('/proc/self/fd').iterdir()) - before) == 0


def test_a_node_reads_nothing_from_the_terminal(prefix, tmp_path):
    node(prefix, 'read line && exit 1; exit 0')
    with node_processes(tmp_path) as launcher:
        process = launcher.start('node', {}).process
        assert isinstance(process, subprocess.Popen)
        assert process.wait(DEADLINE) == 0


@pytest.mark.parametrize(
    ('script', 'told'),
    [
        ('echo first; echo "what went wrong  "; echo; exit 3', 'code 3: what went wrong'),
        ('exit 4', 'code 4: it said nothing'),
    ],
)
def test_how_a_node_ended_is_told_in_a_line(prefix, tmp_path, script, told):
    node(prefix, script)
    with node_processes(tmp_path) as launcher:
        started = launcher.start('node', {})
        started.process.wait(DEADLINE)
        assert launcher.failed().ending() == f'node ended with {told}'


def test_a_signal_while_a_node_starts_waits_until_it_can_be_ended(prefix, tmp_path, monkeypatch):
    node(prefix, 'exec sleep 60')
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(subprocess, 'Popen', Popen)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), node_processes(tmp_path) as launcher:
            launcher.start('node', {})
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert [process.returncode for process in started] == [-signal.SIGTERM]
