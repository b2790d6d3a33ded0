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

"""Ctrl-C and SIGTERM while a command works: one line, its exit code, nothing half done."""

import contextlib
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from cli_harness import write_mat
from leconvmn_ros.cli import EXIT_INTERRUPTED, EXIT_TERMINATED
import pytest


def interrupted(arguments, when, tmp_path, number=signal.SIGINT):
    """Start a command, send a signal when it has come so far; return exit code and stderr."""
    errors = tmp_path / 'stderr'
    with errors.open('wb') as file:
        process = subprocess.Popen(
            [sys.executable, '-m', 'leconvmn_ros.cli', *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=file,
            env=os.environ | {'OMP_NUM_THREADS': '1'},
            # Where a shell has put the test run in the background, SIGINT is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        deadline = time.monotonic() + 60
        try:
            while not when() and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            assert process.poll() is None, errors.read_text()
            process.send_signal(number)
            code = process.wait(30)
        finally:
            process.kill()
            process.wait()
    text = errors.read_text()
    errors.unlink()
    # CPython ends by the signal itself, which shells show as 130 too, if the interrupt went
    # through an exec() on its way to where it was caught: so in an import of torch.
    return EXIT_INTERRUPTED if code == -signal.SIGINT else code, text


@pytest.mark.parametrize(
    ('number', 'expected'),
    [(signal.SIGINT, EXIT_INTERRUPTED), (signal.SIGTERM, EXIT_TERMINATED)],
)
def test_stopped_while_converting_leaves_no_broken_bag(tmp_path, number, expected):
    write_mat(tmp_path / 'long_A1_E1.mat', samples=300_000)
    output = tmp_path / 'out'
    code, errors = interrupted(
        # A message for each sample: seconds of writing.
        ['convert', tmp_path / 'long_A1_E1.mat', '--output', output, '--chunk', '0.01'],
        # In the midst of the messages. Earlier, modules are still imported, and an interrupt is
        # lost if it comes within the callbacks by which CPython frees the lock of a module.
        lambda: any(file.stat().st_size > 100_000 for file in output.rglob('*.mcap')),
        tmp_path,
        number,
    )
    assert code == expected, errors
    assert errors.splitlines()[-1] == 'leconvmn_ros convert: stopped'
    assert 'Traceback' not in errors
    assert list(output.iterdir()) == []


def test_ctrl_c_while_training_leaves_no_broken_checkpoint(folder, tmp_path):
    place = tmp_path / 'out' / 'checkpoint'
    code, errors = interrupted(
        ['train', folder / 'bag', '--output', place, '--epochs', '10000', '--threads', '1'],
        # The place is checked before the training starts.
        lambda: place.parent.exists() and (time.sleep(1.5) or True),
        tmp_path,
    )
    assert code == EXIT_INTERRUPTED
    assert errors.splitlines()[-1] == 'leconvmn_ros train: stopped'
    assert 'Traceback' not in errors
    assert list(place.parent.iterdir()) == []


@pytest.mark.slow
def test_a_demo_that_is_terminated_leaves_no_node_behind(tmp_path):
    place = tmp_path / 'demo'
    code, errors = interrupted(
        ['demo', '--output', place, '--rate', '1'],
        lambda: bool(programs_that_name(place)),
        tmp_path,
        signal.SIGTERM,
    )
    assert (code, errors.splitlines()[-1]) == (EXIT_TERMINATED, 'leconvmn_ros demo: stopped')
    assert programs_that_name(place) == []


def programs_that_name(place):
    """Return the command lines of the nodes that a path was given to."""
    lines = []
    for file in Path('/proc').glob('[0-9]*/cmdline'):
        with contextlib.suppress(OSError):  # it has just ended
            lines.append(file.read_bytes().replace(b'\0', b' ').decode(errors='replace'))
    return [line for line in lines if str(place) in line and '--ros-args' in line]
