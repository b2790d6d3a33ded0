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

"""A network that fails between the source and the decoder: two network namespaces and a cable."""

from contextlib import contextmanager
import json
import os
from pathlib import Path
import subprocess
import sys
import time

from leconvmn_ros.core.node_processes import find_executable
from node_harness import wait_until
import pytest
from small_recordings import untrained_checkpoint

SUPPORT = Path(__file__).parents[1] / 'support'


def ip(*words):
    subprocess.run(['ip', *words], check=True, capture_output=True, timeout=30)


@contextmanager
def two_machines():
    """Make two namespaces, each with one end of a cable; yields their names and their ends."""
    sides = [(f'emg{side}{os.getpid()}', f'cable{side}') for side in 'ab']
    (one, one_end), (other, other_end) = sides
    made = []
    try:
        for space, _ in sides:
            ip('netns', 'add', space)
            made.append(space)
        ip('link', 'add', one_end, 'netns', one, 'type', 'veth', 'peer', other_end, 'netns', other)
        for number, (space, end) in enumerate(sides, start=1):
            ip('-n', space, 'address', 'add', f'10.77.0.{number}/24', 'dev', end)
            ip('-n', space, 'link', 'set', 'lo', 'up')
            plug_in(space, end)
        yield sides
    finally:
        for space in made:
            ip('netns', 'delete', space)


def plug_in(space, end):
    ip('-n', space, 'link', 'set', end, 'up')
    ip('-n', space, 'route', 'add', '224.0.0.0/4', 'dev', end)  # nodes find one another by it


@pytest.fixture
def sides(monkeypatch):
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')
    monkeypatch.setenv('PYTHONPATH', f'{SUPPORT}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
    try:
        machines = two_machines()
        sides = machines.__enter__()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f'no network namespaces here: {error}')
    yield sides
    machines.__exit__(None, None, None)


@contextmanager
def narrow(space, end, rate, latency):
    """Let no more than `rate` through: what waits longer than `latency` is dropped."""
    tc = ['tc', '-s', '-n', space, 'qdisc']
    limit = ['tbf', 'rate', rate, 'burst', '3kb', 'latency', latency]
    made = subprocess.run(
        [*tc, 'add', 'dev', end, 'root', *limit], check=False, capture_output=True, timeout=30
    )
    if made.returncode != 0:
        pytest.skip(f'this kernel limits no rate: {made.stderr.decode()}')
    try:
        yield
    finally:
        shown = [*tc, 'show', 'dev', end]
        told = subprocess.run(shown, check=True, capture_output=True, text=True, timeout=30)
        subprocess.run([*tc, 'delete', 'dev', end, 'root'], check=True, timeout=30)
    # The cable did drop: 'Sent 1 bytes 2 pkt (dropped 3, overlimits ...'.
    assert int(told.stdout.partition('(dropped ')[2].partition(',')[0]) > 0, told.stdout


@contextmanager
def running(space, log, command):
    with log.open('wb') as output:
        process = subprocess.Popen(
            ['ip', 'netns', 'exec', space, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def decoding(source_space, decoder_space, folder):
    """Run a source and a decoder; yields the source, and what waits for a text of either."""
    checkpoint = untrained_checkpoint(folder)
    logs = {name: folder / f'{name}.log' for name in ('decoder', 'source')}
    decode = [str(find_executable('decoder')), '--ros-args', '-p', f'checkpoint:={checkpoint}']
    send = [sys.executable, str(SUPPORT / 'emg_source.py')]
    with (
        running(decoder_space, logs['decoder'], decode),
        running(source_space, logs['source'], send) as source,
    ):

        def said(name, text):
            return wait_until(lambda: text in logs[name].read_text())

        assert said('source', 'sending'), logs['source'].read_text() + logs['decoder'].read_text()
        yield source, said


def account_of(source, folder):
    """End a source and return what it has sent and what the decoder has counted."""
    source.communicate(timeout=60)
    return json.loads((folder / 'source.log').read_text().splitlines()[-1])


def test_a_link_that_delays_and_drops(sides, tmp_path):
    """Too narrow for the EMG: half of it waits in the queue of the link, half is dropped."""
    (source_space, source_end), (decoder_space, _) = sides
    with decoding(source_space, decoder_space, tmp_path) as (source, said):
        with narrow(source_space, source_end, '60kbit', '300ms'):
            time.sleep(5)
            # On a machine that stalls, the source may fill the queue no sooner.
            assert said('decoder', 'lost samples')
        time.sleep(1)
        account = account_of(source, tmp_path)
    assert account['lost samples'] > 0
    assert account['samples'] + account['lost samples'] == account['sent']


def test_a_cable_that_is_pulled_and_plugged_in_again(sides, tmp_path):
    (source_space, source_end), (decoder_space, _) = sides
    with decoding(source_space, decoder_space, tmp_path) as (source, said):
        time.sleep(1)
        ip('-n', source_space, 'link', 'set', source_end, 'down')
        assert said('decoder', 'no EMG')
        time.sleep(1)
        plug_in(source_space, source_end)
        assert said('decoder', 'EMG is back')
        time.sleep(1)
        account = account_of(source, tmp_path)
    assert account['lost samples'] > 0
    assert account['samples'] + account['lost samples'] == account['sent']
    assert account['restarts'] == 1
