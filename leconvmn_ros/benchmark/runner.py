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

"""Does the runs of a plan that have no result yet, and stores the output of each."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

from leconvmn_ros.benchmark.donning_plan import AnyJob, AnyPlan
from leconvmn_ros.benchmark.results import (
    Failed,
    read_result,
    RunOutput,
    RunResult,
    write_output,
)
from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.files import read_input, write_bytes
from leconvmn_ros.core.strict_model import first_problem
from pydantic import Field, TypeAdapter, ValidationError

PLAN_FILE = 'benchmark.json'
LARGEST_PLAN = 2**24  # bytes

_ANY_PLAN: TypeAdapter[AnyPlan] = TypeAdapter(Annotated[AnyPlan, Field(discriminator='format')])

# Does runs and yields a job with the share of it that is done, or with its output.
Execute = Callable[[Sequence[AnyJob]], Generator[tuple[AnyJob, float | RunOutput], None, None]]


def save_plan(plan: AnyPlan, folder: Path) -> None:
    """Store the plan of a benchmark, for its report.

    Raises:
        OutputError: the place cannot be written.
    """
    write_bytes(folder / PLAN_FILE, plan.model_dump_json(indent=2).encode() + b'\n')


def check_same_kind(plan: AnyPlan, folder: Path) -> None:
    """Reject a folder with a benchmark of another kind, whose report would be lost.

    Raises:
        ConfigurationError: there is one.
    """
    try:
        known = load_plan(folder)
    except RecordingError:
        return
    if known.format != plan.format:
        raise ConfigurationError(
            f'{folder} holds a {known.format}, this is a {plan.format}: choose another --output'
        )


def load_plan(folder: Path) -> AnyPlan:
    """Read the plan that `save_plan` wrote.

    Raises:
        RecordingError: there is none, or none that this version can read.
    """
    path = folder / PLAN_FILE
    try:
        return _ANY_PLAN.validate_json(read_input(path, LARGEST_PLAN))
    except OSError as error:
        raise RecordingError(
            f'{folder} holds no benchmark: cannot read {path}: {error.strerror or error}'
        ) from error
    except ValidationError as error:
        raise RecordingError(
            f'{path} is not a benchmark of this version: {first_problem(error)}'
        ) from error


def results_of(plan: AnyPlan, folder: Path) -> list[RunResult]:
    """Return the available results, in the order of the plan; missing ones are left out."""
    found = (_matching(job, folder, lambda _: None) for job in plan.jobs())
    return [result for result in found if result is not None]


def run_missing(
    plan: AnyPlan,
    folder: Path,
    execute: Execute,
    *,
    say: Callable[[str], None],
    progress: Callable[[float, str], None],
) -> None:
    """Do the runs of a plan whose result is missing, failed, or belongs to another job.

    Args:
        plan: what to compare.
        folder: folder of the results.
        execute: does the runs.
        say: takes a remark about a run, one line.
        progress: takes the fraction done of the pending runs.

    Raises:
        RecordingError: a result cannot be written.
    """
    todo = [job for job in plan.jobs() if _is_missing(job, folder, say)]
    total = len(plan.jobs())
    if len(todo) < total:
        say(f'{total - len(todo)} of {total} runs are there already')
    shares = dict.fromkeys((job.folder for job in todo), 0.0)
    ended = failed = 0
    # Closed immediately in every case, which ends the runs.
    with closing(execute(todo)) as events:
        for job, event in events:
            if isinstance(event, RunOutput):
                write_output(folder / job.folder, event)
                ended += 1
                if isinstance(event.result.outcome, Failed):
                    failed += 1
                    say(f'{job} failed: {event.result.outcome.error}')
            shares[job.folder] = event if isinstance(event, float) else 1.0
            remark = f'{ended} of {len(todo)} runs' + (f', {failed} failed' if failed else '')
            progress(sum(shares.values()) / len(shares), remark)


def _is_missing(job: AnyJob, folder: Path, say: Callable[[str], None]) -> bool:
    result = _matching(job, folder, say)
    if result is not None and isinstance(result.outcome, Failed):
        say(f'{job} failed before and is done again: {result.outcome.error}')
        return True
    return result is None


def _matching(job: AnyJob, folder: Path, say: Callable[[str], None]) -> RunResult | None:
    """Return the result of just this job, if it is there."""
    try:
        result = read_result(folder / job.folder)
    except RecordingError as error:
        say(f'{job} is done again: {error}')
        return None
    if result is not None and result.key != job.key:
        say(f'{job} is done again: the result that is there has another bag or other settings')
        return None
    return result
