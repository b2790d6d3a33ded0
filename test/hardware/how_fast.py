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
each task in turn with one checkout and the other, and prints a table with the ratios. Both use the
Python that runs this script; each checkout needs its built messages. BAG is a recording that both
read, such as a converted Ninapro file. Nothing else should run on the machine meanwhile.

A task whose name ends with a number of cores is held to so many. Trainings are those of the
presets, unless --epochs makes them shorter; they take most of the time. They, the scoring and the
demo run once, the quick tasks --repeats times. All of it takes about a quarter of an hour.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import re
import signal
from statistics import median
import subprocess
import sys
from tempfile import TemporaryDirectory
from threading import Timer
import time
from typing import NamedTuple

# Modules had other names in 0.1.0.
READ = """
import sys, time
from pathlib import Path
try:
    from leconvmn_ros.recordings.bags import read_bag
except ImportError:
    from leconvmn_ros.bags import read_bag
started = time.perf_counter()
recording = read_bag(Path(sys.argv[1]))
print('SECONDS', time.perf_counter() - started)
start_ns, end_ns = recording.span_ns
print('RECORDED', (end_ns - start_ns) / 1e9)
"""
STEP = """
import sys
from pathlib import Path
from statistics import median
try:
    from leconvmn_ros.decoding.checkpoint import load_checkpoint
    from leconvmn_ros.decoding.decoder import Decoder
except ImportError:
    from leconvmn_ros.checkpoint import load_checkpoint
    from leconvmn_ros.decoder import Decoder
decoder = Decoder(load_checkpoint(Path(sys.argv[1])), engine='auto')
if hasattr(decoder, 'choose_engine'):
    decoder.choose_engine()  # 0.1.0 measured which is the fastest
print('SECONDS', median(decoder.warm_up() for _ in range(40)))
"""
WRITE_HOUR = """
import sys
from leconvmn_ros.core.recording import SampledSubject
from leconvmn_ros.recordings.bags import write_bag
import numpy as np
samples = 3600 * 2000
emg = np.random.default_rng(0).standard_normal((samples, 16), dtype=np.float32) * 1e-4
seconds = np.repeat(np.arange(3600), 2000)
angles = np.zeros((samples, 10)) + np.sin(np.arange(samples) / 2000)[:, None]
write_bag(SampledSubject('hour', 2000.0, emg, angles, seconds % 2, seconds // 2), sys.argv[1])
"""
NODE = 'from leconvmn_ros.nodes.{} import main; import sys; sys.exit(main())'
# The programs of nodes are looked for below the prefix; those there are of one version only.
COMMAND = 'import sys; sys.prefix = sys.argv.pop(1); from leconvmn_ros.cli import main; main()'
# What the node logs when its decoder is loaded and it listens.
ACTIVE = ' Hz out; '
LONGEST_START = 60.0  # s
LONGEST_TASK = 900.0  # s
COMMANDS = ('demo', 'convert', 'train', 'evaluate', 'export', 'benchmark')
PRESETS = ('small', 'lstm', 'le_convmn')

Measured = dict[str, float]


class Task(NamedTuple):
    """What is measured.

    Attributes:
        measure: does it with a checkout; returns figures by what they are of.
        cores: to which it is held; 0 = all of them.
        once: whether once is enough.
    """

    measure: Callable[['Checkout'], Measured]
    cores: int = 0
    once: bool = False


class TaskError(Exception):
    """A program that a task needs failed, or took too long."""


class Ended(NamedTuple):
    """A process that ended: what it printed, how long it took (s), its CPU time (s), MiB."""

    text: str
    seconds: float
    cpu_seconds: float
    memory: float

    def figure(self, name: str) -> float:
        """Return the figure that it printed after a name."""
        found = re.search(rf'^{name} (\S+)$', self.text, re.MULTILINE)
        assert found, 'the program prints it'
        return float(found[1])


class Checkout:
    """One version of the package."""

    def __init__(self, root: Path, bag: Path, folder: Path, hour: Path, epochs: int) -> None:
        """Run with the package in `root`; results go to `folder`."""
        self._bag, self._folder, self._hour, self._epochs = bag, folder, hour, epochs
        folder.mkdir()
        self._environment = {
            **os.environ,
            'PYTHONPATH': str(root),
            'AMENT_PREFIX_PATH': sys.prefix,
            'ROS_DOMAIN_ID': '102',  # no other program of this package takes it
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        }
        self._environment.pop('OMP_NUM_THREADS', None)

    def run(self, *words: object) -> Ended:
        """Run Python with these words."""
        log = self._folder / 'stderr'
        started = time.perf_counter()
        with (
            log.open('w') as said,
            subprocess.Popen(
                [sys.executable, *map(str, words)],
                env=self._environment,
                cwd=self._folder,  # python -m looks there first
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                start_new_session=True,
            ) as process,
        ):
            assert process.stdout is not None, 'it is a pipe'
            timer = Timer(LONGEST_TASK, os.killpg, (process.pid, signal.SIGKILL))
            timer.start()
            text = process.stdout.read()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            timer.cancel()
        if process.returncode == -signal.SIGKILL:
            raise TaskError(f'{words[-1]}: took more than {LONGEST_TASK:g} s')
        if process.returncode:
            last = log.read_text().strip().rpartition('\n')[2]
            raise TaskError(f'failed, exit code {process.returncode}: {last[-200:]}')
        seconds = time.perf_counter() - started
        return Ended(text, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)

    def command(self, *words: object) -> Ended:
        """Run the command line."""
        return self.run('-m', 'leconvmn_ros.cli', *words)

    def checkpoint(self, preset: str) -> Path:
        """Return a decoder of a preset; one of an epoch if none was trained."""
        place = self._folder / preset
        if not place.is_dir():
            self.command('train', self._bag, '--preset', preset, '--epochs', 1, '--output', place)
        return place

    def help(self) -> Measured:
        """Help of the slowest command."""
        times = [self.command(name, '--help').seconds for name in COMMANDS]
        return {'COMMAND --help, the slowest (s)': max(times)}

    def read(self) -> Measured:
        """Reading the bag."""
        ended = self.run('-c', READ, self._bag)
        return {f'reading {ended.figure("RECORDED"):.0f} s of EMG (s)': ended.figure('SECONDS')}

    def read_hour(self) -> Measured:
        """Reading an hour of 16 channels at 2 kHz."""
        ended = self.run('-c', READ, self._hour)
        what = 'reading an hour of 16 x 2 kHz'
        return {f'{what} (s)': ended.figure('SECONDS'), f'{what} (MiB)': ended.memory}

    def train(self, preset: str, cores: int) -> Measured:
        """Training; the decoder is used by the tasks after it."""
        place = self._folder / preset
        options = ['--epochs', self._epochs] if self._epochs else []
        if place.exists():
            place = self._folder / f'{preset}-{cores}'
        ended = self.command('train', self._bag, '--preset', preset, '--output', place, *options)
        return {f'train --preset {preset}, cores: {cores} (s)': ended.seconds}

    def evaluate(self, preset: str) -> Measured:
        """Scoring."""
        recorded = self.run('-c', READ, self._bag).figure('RECORDED')
        ended = self.command('evaluate', self.checkpoint(preset), self._bag)
        return {
            f'evaluate, {preset}, CPU time (s)': ended.cpu_seconds,
            f'evaluate, {preset}, times real time': recorded / ended.cpu_seconds,
        }

    def step(self) -> Measured:
        """One estimate."""
        return {
            f'one state, {preset} (ms)': 1e3
            * self.run('-c', STEP, self.checkpoint(preset)).figure('SECONDS')
            for preset in PRESETS
        }

    def demo(self) -> Measured:
        """The demo, without what an earlier one left."""
        programs = self._folder / 'prefix' / 'lib' / 'leconvmn_ros'
        programs.mkdir(parents=True)
        for name in ('decoder', 'evaluator', 'replay'):
            (programs / name).write_text(f'#!{sys.executable}\n{NODE.format(name)}\n')
            (programs / name).chmod(0o700)
        words = ('-c', COMMAND, self._folder / 'prefix', 'demo', '--output', self._folder / 'demo')
        return {'demo (s)': self.run(*words).seconds}

    def node(self) -> Measured:
        """Start and memory of the decoder node."""
        place = self.checkpoint('small')
        words = ('--ros-args', '-p', f'checkpoint:={place}', '-p', 'device:=cpu')
        started = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, '-c', NODE.format('decoder'), *words],
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


def all_tasks() -> dict[str, Task]:
    """Return the tasks by name, in an order in which each finds what it needs."""

    def training(preset: str, cores: int) -> Task:
        return Task(lambda checkout: checkout.train(preset, cores), cores, once=True)

    tasks = {
        'help': Task(Checkout.help),
        'read': Task(Checkout.read),
        'train-small-1': training('small', 1),
        'train-lstm-1': training('lstm', 1),
        'train-le_convmn-1': training('le_convmn', 1),
    }
    for preset in PRESETS:
        tasks[f'evaluate-{preset}-1'] = Task(
            lambda checkout, preset=preset: checkout.evaluate(preset), 1, once=True
        )
    return tasks | {
        'step-1': Task(Checkout.step, 1),
        'node': Task(Checkout.node),
        'demo': Task(Checkout.demo, once=True),
        # A preset of one network is trained on one core.
        'train-lstm-2': training('lstm', 2),
        'train-le_convmn-2': training('le_convmn', 2),
        'hour': Task(Checkout.read_hour, once=True),
    }


@contextmanager
def held_to(cores: int) -> Iterator[None]:
    """Hold what is started meanwhile to so many cores; 0 = all."""
    every = os.sched_getaffinity(0)
    if cores > len(every):
        raise SystemExit(f'a task for {cores} cores; this machine has {len(every)}')
    os.sched_setaffinity(0, sorted(every)[: cores or None])
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def rows(name: str, task: Task, both: list[Checkout], repeats: int) -> Iterator[str]:
    """Measure a task and yield the lines of the table."""
    with held_to(task.cores):
        # In turn, so that a disturbance meets both alike.
        try:
            turns = [
                [task.measure(checkout) for checkout in both]
                for _ in range(1 if task.once else repeats)
            ]
        except TaskError as error:
            yield f'| {name} | {error} | | | |'
            return
    for what in turns[0][0]:
        old, new = (median(turn[side][what] for turn in turns) for side in (0, 1))
        yield f'| {name} | {what} | {old:.3g} | {new:.3g} | {new / old:.2f} |'


def main() -> None:
    """Measure and print a table in Markdown."""
    tasks = all_tasks()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('bag', type=Path)
    parser.add_argument('--before', type=Path, required=True, metavar='CHECKOUT')
    parser.add_argument('--after', type=Path, required=True, metavar='CHECKOUT')
    parser.add_argument('--repeats', type=int, default=3, help='turns of each quick task')
    parser.add_argument('--epochs', type=int, default=0, help="of a training; 0 = the preset's")
    parser.add_argument('--tasks', default=','.join(tasks), help=f'of {", ".join(tasks)}')
    parser.add_argument('--output', type=Path, help='write the table here, too')
    arguments = parser.parse_args()
    if unknown := {*arguments.tasks.split(',')} - {*tasks}:
        parser.error(f'tasks {", ".join(sorted(unknown))}; allowed are {", ".join(tasks)}')
    lines = ['| task | what | before | after | after / before |', '|---|---|---|---|---|']
    with TemporaryDirectory() as folder:
        both = [
            Checkout(
                place.resolve(),
                arguments.bag.resolve(),
                Path(folder, name),
                Path(folder, 'hour'),
                arguments.epochs,
            )
            for name, place in (('before', arguments.before), ('after', arguments.after))
        ]
        if 'hour' in arguments.tasks.split(','):
            both[1].run('-c', WRITE_HOUR, Path(folder, 'hour'))
        print('\n'.join(lines), flush=True)
        for name in arguments.tasks.split(','):
            for line in rows(name, tasks[name], both, arguments.repeats):
                lines.append(line)
                print(line, flush=True)
                if arguments.output:
                    arguments.output.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
