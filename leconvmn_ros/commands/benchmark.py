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

"""The command `leconvmn_ros benchmark`; its arguments are in parsers/benchmark.py."""

import argparse
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
import shlex
from typing import Any

from leconvmn_ros.benchmark.donning_plan import DonningOptions, DonningPlan
from leconvmn_ros.benchmark.donning_report import (
    donning_tables,
    DonningSummary,
    summarise_donnings,
    write_donnings,
)
from leconvmn_ros.benchmark.people import check_apart
from leconvmn_ros.benchmark.plan import Bag, Plan, Topics
from leconvmn_ros.benchmark.processes import run_in_processes
from leconvmn_ros.benchmark.ray_cluster import run_on_ray
from leconvmn_ros.benchmark.report import report_page
from leconvmn_ros.benchmark.runner import (
    check_same_kind,
    Execute,
    load_plan,
    results_of,
    run_missing,
    save_plan,
)
from leconvmn_ros.benchmark.sessions import check_enough, people_of, Person
from leconvmn_ros.benchmark.summary import summarise, Summary
from leconvmn_ros.benchmark.tables import group_table, write_tables
from leconvmn_ros.commands.arguments import checked, option
from leconvmn_ros.commands.parsers.benchmark import REDONNING
from leconvmn_ros.commands.progress import progress_bar, remark, say, show
from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.files import write_text
from leconvmn_ros.dataset.hold_out import MovementHoldOut
from leconvmn_ros.decoding.decoder import DEFAULT_OUTPUT_RATE
from leconvmn_ros.engines.devices import runs_at_once
from leconvmn_ros.recordings.bags import bag_name
from leconvmn_ros.training.presets import PRESETS

# For one protocol alone; without a default, so that each is known to be given.
_OF_REDONNING = (
    'train_sessions',
    'unlabelled',
    'prompted',
    'changes',
    'draws',
    'upper_bound',
    'settle',
    'rings',
    'decoders',
)


def run(arguments: argparse.Namespace) -> int:
    """Do the missing runs and report all results."""
    folder = arguments.output
    if arguments.report_only:
        if arguments.bags or arguments.report or arguments.development:
            raise ConfigurationError('--report-only takes no BAG: the folder names them')
        plan = load_plan(folder)
        if arguments.against and isinstance(plan, Plan):
            plan = checked(Plan, plan.model_dump() | {'against': arguments.against})
    else:
        plan = _donning_plan(arguments) if arguments.protocol == REDONNING else _plan(arguments)
        check_same_kind(plan, folder)
        execute = _execute(arguments)
        save_plan(plan, folder)
        with progress_bar('benchmark') as progress:
            run_missing(plan, folder, execute, say=remark, progress=progress)
    if isinstance(plan, DonningPlan):
        return _report_donnings(plan, folder)
    return _report(plan, folder)


def _plan(arguments: argparse.Namespace) -> Plan:
    if given := [name for name in _OF_REDONNING if getattr(arguments, name) is not None]:
        raise ConfigurationError(f'{option(given[0])} is for --protocol {REDONNING}')
    topics = _topics(arguments)
    paths = _checked_paths(arguments, topics)
    plan: Plan = checked(
        Plan,
        _common(arguments, topics)
        | {
            'against': arguments.against or arguments.presets[0],
            'bags': tuple(Bag.at(path) for path in paths),
            'development': tuple(bag_name(path) for path in arguments.development),
            # None: what train() takes for each recording.
            'hold_out': MovementHoldOut() if arguments.protocol == 'paper' else None,
            'output_rate': arguments.output_rate,
        },
    )
    return plan


def _donning_plan(arguments: argparse.Namespace) -> DonningPlan:
    if arguments.against is not None or arguments.output_rate != DEFAULT_OUTPUT_RATE:
        raise ConfigurationError(f'--against and --output-rate are not for --protocol {REDONNING}')
    topics = _topics(arguments)
    paths = _checked_paths(arguments, topics)
    given = {name: getattr(arguments, name) for name in _OF_REDONNING if name != 'decoders'}
    for name in ('unlabelled', 'prompted'):
        given[name] = () if given[name] == (0,) else given[name]
    options: DonningOptions = checked(
        DonningOptions, {name: value for name, value in given.items() if value is not None}
    )
    people = people_of(paths, grouped=not options.changes)
    if not options.changes:
        check_enough(people, max(options.train_sessions))
    plan: DonningPlan = checked(
        DonningPlan,
        _common(arguments, topics)
        | {
            'people': people,
            'development': _slugs(people, arguments.development),
            'options': options,
            'decoders': None if arguments.decoders is None else str(arguments.decoders),
        },
    )
    return plan


def _slugs(people: Sequence[Person], paths: Sequence[Path]) -> tuple[str, ...]:
    """Return the people of bags."""
    wanted = {str(path) for path in paths}
    return tuple(
        person.slug
        for person in people
        if wanted & {session.bag.path for session in person.sessions}
    )


def _topics(arguments: argparse.Namespace) -> Topics:
    return Topics(
        emg=arguments.emg_topic,
        reference=arguments.reference_topic,
        label=arguments.label_topic,
    )


def _common(arguments: argparse.Namespace, topics: Topics) -> dict[str, Any]:
    """Return the part of the plan that all protocols share."""
    return {
        'started': f'{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC',
        'command': shlex.join(['leconvmn_ros', *arguments.words]),
        'presets': {name: PRESETS[name] for name in arguments.presets},
        'seeds': arguments.seeds,
        'topics': topics,
    }


def _checked_paths(arguments: argparse.Namespace, topics: Topics) -> tuple[Path, ...]:
    """Return the bags to report, then those for development.

    Raises:
        ConfigurationError: there are none, or a person is in both.
    """
    if arguments.bags and (arguments.report or arguments.development):
        raise ConfigurationError('a BAG must be one of --development or of --report')
    if arguments.development and not arguments.report:
        raise ConfigurationError('--development needs --report beside it')
    reported = arguments.bags or arguments.report
    if not reported:
        raise ConfigurationError('no BAG given')
    if arguments.development:
        check_apart(arguments.development, arguments.report, topics)
    return (*reported, *arguments.development)


def _execute(arguments: argparse.Namespace) -> Execute:
    """Choose where to do the runs."""
    # Ray counts the GPUs of its cluster by itself.
    where = arguments.device if arguments.ray is None else 'cpu'
    common = {
        'workers': arguments.workers or runs_at_once(where),
        'device': arguments.device,
        'threads': arguments.threads,
    }
    if arguments.ray is None:
        if arguments.gpus_per_run is not None:
            raise ConfigurationError('--gpus-per-run is for --ray; here the runs share --device')
        return partial(run_in_processes, **common)
    return partial(
        run_on_ray, address=arguments.ray, gpus_per_run=arguments.gpus_per_run, **common
    )


def _report(plan: Plan, folder: Path) -> int:
    results = results_of(plan, folder)
    summary = summarise(plan, results)
    write_tables(folder, plan, results, summary)
    write_text(folder / 'report.html', report_page(plan, results, summary, folder))
    for group in summary.groups:
        show(group_table(group))
    say(f'{folder}: {summary.scored} of {summary.planned} runs; see {folder / "report.html"}')
    return _check_done(summary)


def _report_donnings(plan: DonningPlan, folder: Path) -> int:
    results = results_of(plan, folder)
    summary = summarise_donnings(plan, results)
    write_donnings(folder, plan, results, summary)
    for table in donning_tables(summary):
        show(table)
    say(f'{folder}: {summary.scored} of {summary.planned} runs; see {folder / "results.csv"}')
    return _check_done(summary)


def _check_done(summary: Summary | DonningSummary) -> int:
    """Raise an error for failed or missing runs.

    Raises:
        RecordingError: a run failed, or was not done.
    """
    if summary.failed or summary.missing:
        raise RecordingError(
            f'{len(summary.failed)} of {summary.planned} runs failed'
            f'{_first(summary.failed)}, {len(summary.missing)} were not done'
            f'{_first(summary.missing)}; the report names them'
        )
    return 0


def _first(runs: Iterable[str]) -> str:
    run_name = next(iter(runs), '')
    return f' (the first: {run_name})' if run_name else ''
