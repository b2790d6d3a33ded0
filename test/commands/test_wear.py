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

"""From a bare arm to a moving hand with a simulated wearer, as one command; and its ends."""

import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from cli_harness import run
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.msg import EmgArray
from leconvmn_ros.recordings.bags import read_bag
from leconvmn_ros.wearing.status import parse_status
from node_harness import LATCHED
import pytest
from std_msgs.msg import String
from std_srvs.srv import Trigger

pytest.importorskip('viser', reason='viser is not installed')

# Fewer movements than `quick`: the test is of the way, not of the movements.
SESSION = """
name: Short
movements: [fist, index pointing, thumb flexion]
repetitions: 4
ramp: 1.5
hold: 1.5
rest: 1.5
"""
PATIENCE = 240.0


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('wear')
    (folder / 'short.yaml').write_text(SESSION)
    return folder


class Wear:
    """The command in a process of its own."""

    def __init__(self, place, name, *words, domain='current'):
        self.folder = place / name
        self._log = place / f'{name}_{len(list(place.iterdir()))}.log'
        command = [sys.executable, '-m', 'leconvmn_ros.cli', 'wear', '--source', 'synthetic']
        command += ['--session', str(place / 'short.yaml'), '--output', str(self.folder)]
        command += ['--domain', domain, '--auto-start', '--port', '8700', '--speed', '8', *words]
        with self._log.open('wb') as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    @property
    def text(self):
        return self._log.read_text(errors='replace')

    def wait_for_text(self, text):
        deadline = time.monotonic() + PATIENCE
        while text not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.1)

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.wait(30)

    def children(self):
        """Return the nodes that still run."""
        mine = f'{self.folder}'.encode()
        running = []
        for entry in os.scandir('/proc'):
            if entry.name.isdecimal() and int(entry.name) != self.process.pid:
                try:
                    if mine in Path(entry.path, 'cmdline').read_bytes():
                        running.append(entry.name)
                except OSError:
                    continue
        return running


@pytest.fixture
def wear(place):
    started = []

    def start(name, *words, **options):
        started.append(Wear(place, name, *words, **options))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.end(signal.SIGTERM)


@pytest.fixture(scope='module')
def worn(place, ros_domain):
    """Go the whole way once, practice included."""
    del ros_domain  # the nodes need one that nobody else has
    made = Wear(place, 'me', '--practice', '--end', domain='own')
    try:
        assert made.process.wait(500) == 0, made.text
    finally:
        if made.process.poll() is None:
            made.end(signal.SIGTERM)
    return made


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_decoder_follows_what_the_wearer_means(worn):
    scores = json.loads((worn.folder / 'practice_1' / 'scores.json').read_text())
    # Of live estimates, in a session that it never saw, with what the simulated hand really did.
    assert scores['truth'] == 'what the simulated hand did'
    assert scores['mean']['cc'] >= 0.85
    record = load_checkpoint(worn.folder / 'decoder').description.training
    assert record.hold_out.kind == 'none'
    assert record.information[0]['reference'] == 'cue'
    assert record.trained_on_all.test['cc'] > 0.6
    assert 'on repetitions that it had not learnt' in worn.text
    assert worn.children() == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_next_day_it_offers_to_go_on_with_the_decoder(worn, wear, ros):
    assert (worn.folder / 'decoder').is_dir()
    statuses = ros.collect('/guide_status', String, LATCHED)
    again = wear('me')
    again.wait_for_text('choose on the page')
    assert ros.spin_until(lambda: statuses, 60)
    status = parse_status(statuses[-1].message.data)
    assert status.state == 'choose'
    assert status.actions == ('use', 'adapt', 'train')
    assert status.score.startswith('CC 0.')
    assert ros.call('/wear/use', Trigger, Trigger.Request()).success
    again.wait_for_text('the decoder is running')
    assert ros.spin_until(lambda: parse_status(statuses[-1].message.data).state == 'live', 60)
    assert not ros.call('/wear/train', Trigger, Trigger.Request()).success  # not now
    assert again.end() == 130
    assert again.children() == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_next_day_it_adapts_the_decoder_by_a_short_session(worn, wear):
    trained = (worn.folder / 'decoder' / 'checkpoint.json').read_bytes()
    again = wear('me', '--adapt', '--end')
    assert again.process.wait(300) == 0, again.text
    assert 'session Adapt: follow the hand' in again.text
    assert 'electrodes: as in the training (confidence ' in again.text
    assert 'the decoder is running' in again.text
    assert (worn.folder / 'decoder' / 'checkpoint.json').read_bytes() == trained
    adapted = load_checkpoint(worn.folder / 'adapted').description
    assert adapted.joints == load_checkpoint(worn.folder / 'decoder').description.joints
    assert again.children() == []


@pytest.mark.timeout(300)
def test_ctrl_c_in_the_session_keeps_what_was_recorded_and_it_goes_on(wear):
    first = wear('other')
    first.wait_for_text('session Short')
    bag = first.folder / 'session_1' / 'part_1'
    deadline = time.monotonic() + PATIENCE
    while not any(bag.glob('*.mcap')) or sum(f.stat().st_size for f in bag.iterdir()) < 300_000:
        assert time.monotonic() < deadline, first.text
        time.sleep(0.1)
    assert first.end() == 130
    assert first.children() == []
    assert read_bag(bag).chunks
    assert not (first.folder / 'decoder').exists()
    again = wear('other', '--preset', 'ridge', '--end')
    again.wait_for_text('session_1')  # not a new one
    assert again.process.wait(PATIENCE) == 0, again.text
    assert (again.folder / 'session_1' / 'part_2').is_dir()
    assert load_checkpoint(again.folder / 'decoder').description.training.recordings == (
        'part_1',
        'part_2',
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_the_training_leaves_no_half_decoder(worn, wear, place, number):
    copy = place / f'copy_{number}'
    copy.mkdir()
    subprocess.run(['cp', '-r', worn.folder / 'session_1', copy], check=True)
    (copy / 'session_1').rename(copy / 'bag')
    made = wear(
        copy.name, '--source', str(copy / 'bag' / 'part_1'), '--speed', '1', '--preset', 'small'
    )
    made.wait_for_text('training on part_1')
    assert made.end(number) == 128 + number
    assert sorted(path.name for path in copy.iterdir()) == ['bag', 'log']
    assert made.children() == []


def test_a_graph_on_which_somebody_publishes_emg_is_refused(wear, ros):
    ros.node.create_publisher(EmgArray, '/emg', 10)
    made = wear('refused')
    assert made.process.wait(60) == 1
    assert 'somebody publishes emg already' in made.text
    assert not (made.folder / 'session_1').exists()


@pytest.mark.parametrize(
    ('words', 'reason'),
    [
        (['--source', 'nothing'], 'there is no such source or bag'),
        (['--source', 'lsl', '--speed', '3'], '--speed needs --source synthetic'),
        (['--source', 'synthetic', '--session', 'none'], "no session 'none'"),
        (['--source', 'synthetic', '--hand', 'none'], 'none'),
        (['--source', 'synthetic', '--reference', 'mirrored'], 'needs --camera-model'),
        (['--source', 'synthetic', '--hand-urdf', 'x.urdf'], '--hand, which is not given'),
        (['--source', 'synthetic', '--use', '--again'], 'not allowed with'),
        (['--source', 'synthetic', '--domain', '999'], 'invalid'),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_started(words, reason, tmp_path, capsys):
    code, _, last = run(capsys, 'wear', '--output', tmp_path / 'me', *words)
    assert code != 0
    assert reason in last
    assert not (tmp_path / 'me' / 'log').exists()
