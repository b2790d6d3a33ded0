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
"""Measure what a person waits for, before and after a change, in one run.

`python test/hardware/how_fast.py BAG --before CHECKOUT --after CHECKOUT --output table.md` runs
each task in turn with one checkout and the other, and prints medians and their ratio. Both use the
Python that runs this script; each checkout needs its built messages. BAG is a recording that both
read, such as a converted Ninapro file. The trainings take most of the time; --tasks chooses.
"""

import argparse
from collections.abc import Callable
import os
from pathlib import Path
import re
from statistics import median
import subprocess
import sys
from tempfile import TemporaryDirectory
import time

READ = """
import sys, time
try:
    from leconvmn_ros.recordings.bags import read_bag
except ImportError:
    from leconvmn_ros.bags import read_bag
from pathlib import Path
started = time.perf_counter()
read_bag(Path(sys.argv[1]))
print('SECONDS', time.perf_counter() - started)
"""
NODE = 'from leconvmn_ros.nodes.decoder import main; import sys; sys.exit(main())'
# What the node logs when its decoder is loaded and it listens.
ACTIVE = ' Hz out; '
LONGEST_START = 60.0  # s
ENDING = re.compile(r'SECONDS ([\d.]+)')

Measured = dict[str, float]


class Checkout:
    """One version of the package."""

    def __init__(self, root: Path, bag: Path, folder: Path, threads: int) -> None:
        """Run with the package in `root`; results go to `folder`."""
        self._bag, self._folder = bag, folder
        folder.mkdir()
        self._environment = {
            **os.environ,
            'PYTHONPATH': str(root),
            'OMP_NUM_THREADS': str(threads),
            'ROS_DOMAIN_ID': '91',
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        }

    def _run(self, *words: object) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            env=self._environment,
            cwd=self._folder,  # python -m looks there first
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f'{" ".join(map(str, words))}: {done.stderr[-500:]}')
        return done.stdout

    def _timed(self, *words: object) -> float:
        started = time.perf_counter()
        self._run('-m', 'leconvmn_ros.cli', *words)
        return time.perf_counter() - started

    def help(self) -> Measured:
        """Help of the slowest command."""
        return {'train --help (s)': self._timed('train', '--help')}

    def read(self) -> Measured:
        """Reading the bag."""
        found = ENDING.search(self._run('-c', READ, self._bag))
        assert found, 'the program prints it'
        return {'reading the bag (s)': float(found[1])}

    def train(self, preset: str, epochs: int) -> Measured:
        """A training of a few epochs; the checkpoint is used by the tasks after it."""
        place = self._folder / preset
        options = ('--preset', preset, '--epochs', epochs, '--output', place)
        return {
            f'train --preset {preset}, {epochs} epochs (s)': self._timed(
                'train', self._bag, *options
            )
        }

    def evaluate(self, preset: str) -> Measured:
        """Scoring with the decoder of `train`."""
        place = self._folder / preset
        return {f'evaluate, {preset} (s)': self._timed('evaluate', place, self._bag)}

    def node(self) -> Measured:
        """Start and memory of the decoder node."""
        words = ('--ros-args', '-p', f'checkpoint:={self._folder / "small"}', '-p', 'device:=cpu')
        started = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, '-c', NODE, *words],
            env=self._environment,
            cwd=self._folder,
            stderr=subprocess.STDOUT,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None, 'it is a pipe'
            for line in process.stdout:
                if ACTIVE in line or time.perf_counter() - started > LONGEST_START:
                    break
            seconds = time.perf_counter() - started
            pages = int(Path(f'/proc/{process.pid}/statm').read_text().split()[1])
            process.terminate()
        return {
            'decoder node: start to active (s)': seconds,
            'decoder node: memory (MiB)': pages * os.sysconf('SC_PAGE_SIZE') / 2**20,
        }


def tasks(checkout: Checkout, epochs: int) -> dict[str, Callable[[], Measured]]:
    """Return the tasks by name, in an order in which each finds what it needs."""
    made: dict[str, Callable[[], Measured]] = {'help': checkout.help, 'read': checkout.read}
    for preset in ('small', 'lstm', 'le_convmn'):
        made[f'train-{preset}'] = lambda preset=preset: checkout.train(preset, epochs)
        made[f'evaluate-{preset}'] = lambda preset=preset: checkout.evaluate(preset)
    made['node'] = checkout.node
    return made


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('bag', type=Path)
    parser.add_argument('--before', type=Path, required=True, metavar='CHECKOUT')
    parser.add_argument('--after', type=Path, required=True, metavar='CHECKOUT')
    parser.add_argument('--repeats', type=int, default=3, help='turns of each task')
    parser.add_argument('--epochs', type=int, default=3, help='of each training')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--tasks', help='names with commas; default: all')
    parser.add_argument('--output', type=Path, help='write the table here, too')
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        both = [
            Checkout(
                place.resolve(), arguments.bag.resolve(), Path(folder) / name, arguments.threads
            )
            for name, place in (('before', arguments.before), ('after', arguments.after))
        ]
        lists = [tasks(checkout, arguments.epochs) for checkout in both]
        chosen = arguments.tasks.split(',') if arguments.tasks else list(lists[0])
        lines = ['| what | before | after | after / before |', '|---|---|---|---|']
        for name in chosen:
            # In turn, so that a disturbance meets both alike.
            turns = [[of[name]() for of in lists] for _ in range(arguments.repeats)]
            for what in turns[0][0]:
                old, new = (median(turn[side][what] for turn in turns) for side in (0, 1))
                lines.append(f'| {what} | {old:.2f} | {new:.2f} | {new / old:.2f} |')
                print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
