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

"""Trains the members of an ensemble separately, in parallel processes if cores are free.

Each member has its own loss and learns nothing from the others. It can therefore be trained alone,
with its own order of the data and its own noise, and the result does not depend on the number of
processes. If a validation part must choose a common epoch, or on a GPU, all members are trained
together instead.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
import copy
from dataclasses import dataclass
from functools import partial
from math import nan
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from leconvmn_ros.core.errors import LeconvmnError, RecordingError
from leconvmn_ros.models.base import Model
from leconvmn_ros.training.data import TrainingData
from leconvmn_ros.training.fit_settings import RecurrentFitSettings
from leconvmn_ros.training.recurrent_fit import fit_recurrent
from leconvmn_ros.training.reports import EpochReport, FitResult
import numpy as np
from numpy.typing import NDArray
import torch
from torch import nn

# Expected duration of a training (s) from which several processes pay off; starting one takes one
# or two seconds.
WORTH_PROCESSES = 10.0
_Weights = dict[str, NDArray[np.float32]]
# An event in the training of a member: the loss of an epoch, its final weights, or an error.
_Event = float | _Weights | LeconvmnError


@dataclass(frozen=True, slots=True)
class _Task:
    """One member to train."""

    model: Model
    data: TrainingData
    settings: RecurrentFitSettings
    seed: int
    stop_after: int | None


def trains_apart(model: Model, data: TrainingData) -> bool:
    """Whether the members of a model are trained separately."""
    return len(model.member_weights) > 1 and not data.validation and model.device.type == 'cpu'


def fit_members(
    model: Model,
    data: TrainingData,
    settings: RecurrentFitSettings,
    *,
    seed: int,
    processes: int = 1,
    stop_after: int | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> FitResult:
    """Train each member of a model separately; the last epoch counts.

    Args:
        model: an ensemble, on the CPU.
        data: training data without a validation part.
        settings: settings of the fit.
        seed: seed of the order of the data and the noise; each member derives its own.
        processes: number of members to train at a time; 1 = in this process.
        stop_after: last epoch; the schedule is still that of `settings.epochs`.
        on_epoch: called for each epoch as soon as all members have completed it.

    Raises:
        RecordingError: a training diverged, or its process was killed.
    """
    members = _members(model)
    seeds = np.random.SeedSequence(seed).generate_state(len(members))
    tasks = [
        _Task(_alone(model, number), data, settings, int(member_seed), stop_after)
        for number, member_seed in enumerate(seeds)
    ]
    last = settings.epochs if stop_after is None else stop_after
    done = 0

    def take(number: int, event: _Event) -> None:
        nonlocal done
        if isinstance(event, LeconvmnError):
            raise event
        if isinstance(event, dict):
            alone = tasks[number].model
            alone.load_weights(event)
            members[number].load_state_dict(_members(alone)[0].state_dict())
            return
        done += 1
        if on_epoch is not None and done % len(members) == 0:
            epoch, again = done // len(members), stop_after is not None
            on_epoch(EpochReport(epoch, last, event, nan, epoch, second_pass=again))

    if processes == 1:
        for number, task in enumerate(tasks):
            _train(task, partial(take, number))
    else:
        _in_processes(tasks, processes, take)
    return FitResult(model.eval(), last, nan)


def _members(model: Model) -> nn.ModuleList:
    (members,) = (part for part in model.children() if isinstance(part, nn.ModuleList))
    return members


def _alone(model: Model, number: int) -> Model:
    """Return a copy of a model with one of its members."""
    alone = copy.deepcopy(model)
    ((name, members),) = (
        (name, part) for name, part in alone.named_children() if isinstance(part, nn.ModuleList)
    )
    setattr(alone, name, nn.ModuleList([members[number]]))
    alone.register_buffer('member_weights', torch.ones(1), persistent=False)
    return alone


def _train(task: _Task, send: Callable[[_Event], None]) -> None:
    # Torch's random numbers (dropout) belong to the member, in any process.
    with torch.random.fork_rng([]):
        torch.manual_seed(task.seed)
        try:
            fitted = fit_recurrent(
                task.model,
                task.data,
                task.settings,
                seed=task.seed,
                stop_after=task.stop_after,
                on_epoch=lambda report: send(report.training_loss),
            )
        except LeconvmnError as error:
            send(error)
        else:
            send(fitted.model.trained_weights())


def _in_processes(
    tasks: Sequence[_Task], processes: int, take: Callable[[int, _Event], None]
) -> None:
    """Train that many members at a time; `take` gets their events as they occur."""
    waiting = list(enumerate(tasks))
    running: dict[Connection, tuple[int, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                number, task = waiting.pop(0)
                receiver, process = _start(task)
                running[receiver] = number, process
            ready = wait(list(running))
            for receiver, (number, process) in [r for r in running.items() if r[0] in ready]:
                event = _receive(receiver, process, f'member {number + 1} of {len(tasks)}')
                if not isinstance(event, float):
                    process.join()
                    receiver.close()
                    del running[receiver]
                take(number, event)
    finally:
        for _, process in running.values():
            process.terminate()


def _start(task: _Task) -> tuple[Connection, BaseProcess]:
    context = get_context('spawn')
    receiver, sender = context.Pipe(duplex=False)
    arguments = (sender, task, torch.get_num_threads())
    process = context.Process(target=_work, args=arguments, daemon=True)
    process.start()
    sender.close()  # our copy: the receiver then sees the end of the process
    return receiver, process


def _receive(receiver: Connection, process: BaseProcess, what: str) -> _Event:
    try:
        event: _Event = receiver.recv()
    except (EOFError, OSError):
        process.join()
        return RecordingError(
            f'the process that trained {what} ended with exit code {process.exitcode}'
        )
    return event


def _work(sender: Connection, task: _Task, threads: int) -> None:
    torch.set_num_threads(threads)

    def send(event: _Event) -> None:
        try:
            sender.send(event)
        except OSError:  # the parent has ended
            raise SystemExit(1) from None

    with suppress(KeyboardInterrupt):  # Ctrl-C is handled by the parent
        _train(task, send)
