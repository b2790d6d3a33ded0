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

"""Runs fuzz targets in processes of their own, so that a crash, a hang or a flood is caught.

A case is known by target, seed and number: the same three give the same case again. Allowed are
success and the errors of errors.py; all else is a finding.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
import ctypes
from dataclasses import dataclass, field
import faulthandler
from importlib import import_module
import json
import os
from pathlib import Path
import resource
import signal
import subprocess
import sys
from tempfile import TemporaryDirectory
import time
import traceback
from typing import Any
import warnings

from leconvmn_ros.core.errors import LeconvmnError
import numpy as np
from numpy.random import Generator

# The child process below runs this file as a script.
sys.path.append(str(Path(__file__).parents[1] / 'support'))

# Module and class of each target.
TARGETS = {
    'intake': 'fuzz_messages:IntakeTarget',
    'decoder': 'fuzz_messages:DecoderTarget',
    'bags': 'fuzz_files:BagTarget',
    'checkpoints': 'fuzz_files:CheckpointTarget',
    'mat': 'fuzz_files:MatTarget',
    'profiles': 'fuzz_profiles:ProfileTarget',
    'calibrations': 'fuzz_profiles:CalibrationTarget',
    'settings': 'fuzz_settings:SettingsTarget',
    'training': 'fuzz_settings:TrainingTarget',
}
# What a case may take beyond what a process has when it is ready (bytes).
MEMORY_LIMIT = 2**29
# A case takes milliseconds (s of processor time: the machine may be busy, or stall).
TIME_LIMIT = 30.0
# What sleeps forever uses no processor: so many times the limit, in real time, is a hang as well.
PATIENCE = 20
# Imports, on a busy machine (s).
LONGEST_START = 600.0
# Of each finding, so many cases are told.
CASES_TOLD = 3
_PACKAGE = 'leconvmn_ros'


@dataclass
class Findings:
    """What came of the cases of one target.

    Attributes:
        cases: how many ran.
        refused: how many ended in an error of errors.py.
        memory: the most that a process has taken beyond what it had at its start (bytes).
        places: how often each kind of finding came, by error and place.
        told: the first cases of each.
    """

    cases: int = 0
    refused: int = 0
    memory: int = 0
    places: Counter[str] = field(default_factory=Counter)
    told: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    def add(self, place: str, case: int, text: str) -> None:
        self.places[place] += 1
        told = self.told.setdefault(place, [])
        if len(told) < CASES_TOLD:
            told.append((case, text))


def make_target(name: str, folder: Path) -> Callable[[Generator], None]:
    """Make a target, by its name or as module:class; the folder is its to write in."""
    module, _, kind = TARGETS.get(name, name).partition(':')
    target: Callable[[Generator], None] = getattr(import_module(module), kind)(folder)
    return target


def run_case(target: Callable[[Generator], None], seed: int, case: int) -> None:
    """Run one case; whatever it raises comes out."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        target(np.random.default_rng([seed, case]))


def run(
    name: str,
    *,
    cases: int,
    seed: int,
    time_limit: float = TIME_LIMIT,
) -> Findings:
    """Run the cases 0 to `cases` - 1 in child processes; a new one follows one that died."""
    findings = Findings()
    with TemporaryDirectory() as folder:
        while findings.cases < cases:
            first = findings.cases
            child = _Child(Path(folder), name, seed, first, cases - first)
            with child.running():
                _watch(child, time_limit)
            findings.cases = first + child.done
            findings.refused += child.refused
            findings.memory = max(findings.memory, child.memory)
            for line in child.findings():
                findings.add(line['place'], line['case'], line['text'])
            if child.died:
                findings.add(child.died, findings.cases, child.last_words)
                findings.cases += 1
    return findings


def _watch(child: '_Child', time_limit: float) -> None:
    """Wait for the end of a child; one that makes no progress is ended with its traceback."""
    done, since, used = -1, 0.0, 0.0
    while child.process.poll() is None:
        time.sleep(0.05)
        passed, spent = time.monotonic() - since, child.processor_time - used
        if child.done != done:
            done, since, used = child.done, time.monotonic(), child.processor_time
        elif passed > (PATIENCE * time_limit if child.ready else LONGEST_START) or (
            child.ready and spent > time_limit
        ):
            child.process.send_signal(signal.SIGABRT)
            child.process.wait()
            child.hung = True


class _Child:
    """A process that runs some cases, as its parent sees it."""

    def __init__(self, folder: Path, name: str, seed: int, first: int, count: int) -> None:
        self._folder = folder
        self._command = [sys.executable, __file__, name, *map(str, (seed, first, count)), folder]
        self._first = first
        self.hung = False
        for file in ('findings', 'errors'):
            (folder / file).write_bytes(b'')
        # Cases done, refused, memory taken (bytes), whether it is ready.
        self._state = np.memmap(folder / 'state', np.int64, 'w+', shape=4)
        self.process: subprocess.Popen[bytes]

    @contextmanager
    def running(self) -> Iterator[None]:
        with (self._folder / 'errors').open('wb') as errors:
            self.process = subprocess.Popen(self._command, stderr=errors)
        try:
            yield
        finally:
            self.process.kill()
            self.process.wait()

    done = property(lambda self: int(self._state[0]))
    refused = property(lambda self: int(self._state[1]))
    memory = property(lambda self: int(self._state[2]))
    ready = property(lambda self: bool(self._state[3]))

    @property
    def processor_time(self) -> float:
        """Time that it has used so far (s), 0 if it has ended."""
        try:
            status = Path(f'/proc/{self.process.pid}/stat').read_text()
        except OSError:
            return 0.0
        user, system = status.rpartition(')')[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf('SC_CLK_TCK')

    @property
    def died(self) -> str:
        """Say how it ended, if that was no good end."""
        code = self.process.returncode
        if self.hung:
            return 'hang'
        if code != 0 and not self.ready:
            raise RuntimeError(f'a fuzz target cannot start:\n{self.last_words}')
        return '' if code == 0 else f'crash ({signal.Signals(-code).name if code < 0 else code})'

    @property
    def last_words(self) -> str:
        return (self._folder / 'errors').read_text(errors='replace')[-4000:]

    def findings(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self._folder / 'findings').read_text().splitlines()]


def _work(name: str, seed: int, first: int, count: int, folder: Path) -> None:
    """Run cases: what a child does."""
    faulthandler.enable()
    # Not without the parent, which ends what hangs: prctl(PR_SET_PDEATHSIG).
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    state = np.memmap(folder / 'state', np.int64, 'r+', shape=4)
    with TemporaryDirectory() as own, (folder / 'findings').open('a') as findings:
        target = make_target(name, Path(own))
        base = _memory('VmHWM')
        limit = _memory('VmSize') + MEMORY_LIMIT
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        state[3] = 1
        for case in range(first, first + count):
            finding = _outcome(target, seed, case, state)
            if finding:
                findings.write(json.dumps(finding | {'case': case}) + '\n')
                findings.flush()
            state[0] += 1
            if case % 100 == 0 or case == first + count - 1:
                state[2] = _memory('VmHWM') - base


def _outcome(
    target: Callable[[Generator], None], seed: int, case: int, state: Any
) -> dict[str, str] | None:
    try:
        run_case(target, seed, case)
    except LeconvmnError as error:
        state[1] += 1
        if isinstance(error.__cause__, MemoryError):
            return _told(error.__cause__)
        if '\n' in str(error).strip() or not str(error).strip():
            return {'place': 'an error that is not one line', 'text': repr(str(error))}
    except Exception as error:  # noqa: BLE001 - what else there may be is what is looked for
        return _told(error)
    return None


def _told(error: BaseException) -> dict[str, str]:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if _PACKAGE in Path(frame.filename).parts] or frames
    place = f'{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}'
    return {'place': place, 'text': ''.join(traceback.format_exception(error))[-4000:]}


def _memory(name: str) -> int:
    """Return a figure of /proc/self/status (bytes)."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(name + ':'):
            return 1024 * int(line.split()[1])
    raise OSError(f'no {name} in /proc/self/status')


if __name__ == '__main__':
    for variable in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'):
        os.environ[variable] = '1'
    _name, *_numbers, _folder = sys.argv[1:]
    _work(_name, *map(int, _numbers), Path(_folder))
