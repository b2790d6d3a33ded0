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

"""Runs in processes of their own: real ones, which are killed and interrupted."""

import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from benchmark_builders import make_bag, make_plan, QUICK
from leconvmn_ros.benchmark.processes import _longest, run_in_processes
from leconvmn_ros.benchmark.results import Failed, RESULT_FILE, RunOutput, Scored
from leconvmn_ros.cli import EXIT_INTERRUPTED
import pytest

# So long that no test waits for its end.
ENDLESS = QUICK.changed('fit', epochs=10_000)


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return make_bag(tmp_path_factory.mktemp('bags'), 'S1')


def children(parent):
    """Return the processes of runs that a process has started."""
    found = []
    for status in Path('/proc').glob('[0-9]*/status'):
        try:
            text = status.read_text()
            command = (status.parent / 'cmdline').read_bytes()
        except OSError:  # ended meanwhile
            continue
        if f'\nPPid:\t{parent}\n' in text and b'spawn_main' in command:
            found.append(int(status.parent.name))
    return found


def test_a_killed_run_fails_alone(bag):
    jobs = make_plan([bag], presets={'ours': ENDLESS, 'theirs': QUICK}).jobs()
    events = run_in_processes(jobs, workers=1, device='cpu', threads=1)
    job, share = next(events)
    assert (job.preset, 0 < share < 1) == ('ours', True)
    (endless,) = children(os.getpid())
    os.kill(endless, signal.SIGKILL)
    ended = {job.preset: event for job, event in events if isinstance(event, RunOutput)}
    assert isinstance(ended['theirs'].result.outcome, Scored), ended['theirs'].result
    assert isinstance(ended['ours'].result.outcome, Failed)
    assert ended['ours'].result.outcome.error == ('its process ended by signal 9 (out of memory?)')
    assert children(os.getpid()) == []


def test_runs_end_with_whoever_asked_for_them(bag):
    jobs = make_plan([bag], presets={'ours': ENDLESS}, seeds=(0, 1)).jobs()
    events = run_in_processes(jobs, workers=2, device='cpu', threads=1)
    next(events)
    assert len(children(os.getpid())) == 2
    events.close()
    assert children(os.getpid()) == []


def test_the_longest_run_is_begun_first(bag):
    plan = make_plan([bag], presets={'slow': QUICK, 'quick': QUICK, 'new': QUICK}, against='new')
    slow, quick, new = plan.jobs()
    pace = {'slow': 2.0, 'quick': 0.1}
    assert _longest([quick, slow], pace) is slow
    # How long it takes is best found out early.
    assert _longest([quick, slow, new], pace) is new


PROGRAM = """
import sys
from leconvmn_ros import cli
from leconvmn_ros.training import presets
tiny = presets.PRESETS['lstm'].changed('model', networks=1, layers=1, units=8)
presets.PRESETS['small'] = tiny.changed('fit', epochs=1)
presets.PRESETS['paper'] = tiny.changed('fit', epochs=10_000)
sys.exit(cli.main(sys.argv[1:]))
"""


def start(tmp_path, *arguments):
    """Start a benchmark whose runs of 'small' are quick and whose runs of 'paper' never end."""
    program = tmp_path / 'program.py'
    # Guarded, since each process of a run looks at the program, too.
    program.write_text(PROGRAM.replace('sys.exit', "if __name__ == '__main__':\n    sys.exit"))
    return subprocess.Popen(
        [sys.executable, program, 'benchmark', *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Where a shell has put the test run in the background, SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        start_new_session=True,  # to interrupt all of it, as a terminal does
    )


def wait_until(condition, process):
    """Wait as long as it takes; the limit is that of the test."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_benchmark_leaves_whole_results_and_no_process(bag, tmp_path, how):
    output = tmp_path / 'out'
    arguments = [bag, '--output', output, '--workers', 1, '--device', 'cpu']
    process = start(tmp_path, *arguments, '--presets', 'small,paper')
    try:
        # The second run has begun: the process of the first is no longer there.
        first = output / 'runs' / 'small' / 'S1' / 'seed_0' / RESULT_FILE
        wait_until(lambda: first.exists() and children(process.pid), process)
        begun = children(process.pid)
        (os.killpg if how == signal.SIGINT else os.kill)(process.pid, how)
        _, errors = process.communicate()
    finally:
        process.kill()
    if how == signal.SIGINT:
        assert process.returncode == EXIT_INTERRUPTED
        assert errors.splitlines()[-1] == 'leconvmn_ros benchmark: stopped'
    assert 'Traceback' not in errors
    # After a kill, a run notices at its next epoch that nobody wants it any more.
    while any(Path(f'/proc/{pid}').exists() for pid in begun):
        time.sleep(0.05)
    assert json.loads(first.read_text())['outcome']['kind'] == 'scored'
    written = [path.name for path in (output / 'runs').rglob('*') if path.is_file()]
    assert not [name for name in written if name.endswith('.partial')]
    assert not (output / 'runs' / 'paper').exists()

    before = first.stat().st_mtime_ns
    again = start(tmp_path, *arguments, '--presets', 'small')
    _, errors = again.communicate()
    assert again.returncode == 0, errors
    assert '1 of 1 runs are there already' in errors
    assert first.stat().st_mtime_ns == before
    assert (output / 'report.html').is_file()
