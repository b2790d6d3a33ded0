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

"""The runs of a benchmark in processes of this machine, one process for each run.

A fresh process costs seconds, a run takes minutes. In exchange, no state is carried over from one
run to the next, and a run that crashes or runs out of memory affects no other run.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
import os
from pathlib import Path
import signal
from time import monotonic
from typing import Final

from leconvmn_ros.benchmark.donning_plan import AnyJob, DonningJob
from leconvmn_ros.benchmark.donning_run import perform_donnings
from leconvmn_ros.benchmark.results import RunOutput
from leconvmn_ros.benchmark.run import failure, perform

THREAD_VARIABLES: Final = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')
# Time that a process has to end by itself before it is killed.
PATIENCE: Final = 3.0  # s


@dataclass(frozen=True, slots=True)
class _Run:
    job: AnyJob
    process: BaseProcess
    started: float


def run_in_processes(
    jobs: Sequence[AnyJob], *, workers: int, device: str, threads: int
) -> Generator[tuple[AnyJob, float | RunOutput], None, None]:
    """Do runs, several at a time, those expected to take longest first.

    Args:
        jobs: what to do.
        workers: number of runs at a time.
        device: 'auto', 'cpu' or 'cuda', see `find_device`.
        threads: CPU threads of each.

    Yields:
        A job with the fraction of it that is done, or with its output when it has ended.
    """
    for variable in THREAD_VARIABLES:  # for the libraries that the processes will load
        os.environ[variable] = str(threads)
    waiting = list(jobs)
    runs: dict[Connection, _Run] = {}
    pace: dict[str, float] = {}
    try:
        while waiting or runs:
            while waiting and len(runs) < workers:
                job = _longest(waiting, pace)
                waiting.remove(job)
                receiver, process = _start(job, device, threads)
                runs[receiver] = _Run(job, process, monotonic())
            ready = wait(list(runs))
            for receiver, run in [item for item in runs.items() if item[0] in ready]:
                event = _receive(receiver, run)
                if isinstance(event, RunOutput):
                    pace[run.job.preset] = (monotonic() - run.started) / max(1, run.job.size)
                    run.process.join()
                    receiver.close()
                    del runs[receiver]
                yield run.job, event
    finally:
        _end([run.process for run in runs.values()])


def _longest(waiting: Sequence[AnyJob], pace: dict[str, float]) -> AnyJob:
    """Choose by the seconds per byte of its preset so far; one not timed yet goes first."""
    return max(waiting, key=lambda job: pace.get(job.preset, inf) * max(1, job.size))


def _start(job: AnyJob, device: str, threads: int) -> tuple[Connection, BaseProcess]:
    context = get_context('spawn')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, job, device, threads), daemon=True)
    with _sheltered_from_ctrl_c():
        process.start()
    sender.close()  # here; once the process ends, nothing more can come
    return receiver, process


@contextmanager
def _sheltered_from_ctrl_c() -> Iterator[None]:
    """Start processes that never see a Ctrl-C: it is for this process, which ends them."""
    resource_tracker.ensure_running()  # starting it would lift the block
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _work(sender: Connection, job: AnyJob, device: str, threads: int) -> None:
    def send(event: float | RunOutput) -> None:
        try:
            sender.send(event)
        except OSError:  # the reader of the result is gone
            raise SystemExit(1) from None

    if isinstance(job, DonningJob):
        send(perform_donnings(job, device=device, threads=threads, on_progress=send))
    else:
        send(perform(job, Path(job.bag.path), device=device, threads=threads, on_progress=send))


def _receive(receiver: Connection, run: _Run) -> float | RunOutput:
    try:
        event: float | RunOutput = receiver.recv()
    except (EOFError, OSError):
        run.process.join()
        code = run.process.exitcode or 0
        how = f'by signal {-code}' if code < 0 else f'with exit code {code}'
        killed = ' (out of memory?)' if code == -signal.SIGKILL else ''
        return failure(run.job, f'its process ended {how}{killed}')
    return event


def _end(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    deadline = monotonic() + PATIENCE
    for process in processes:
        process.join(max(0.0, deadline - monotonic()))
        if process.is_alive():
            process.kill()
