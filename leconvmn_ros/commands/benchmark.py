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

"""What `leconvmn_ros benchmark` does; its arguments are in parsers/benchmark.py."""

import argparse
from collections.abc import Iterable
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
import shlex

from leconvmn_ros.benchmark.people import check_apart
from leconvmn_ros.benchmark.plan import Bag, Plan, Topics
from leconvmn_ros.benchmark.processes import run_in_processes
from leconvmn_ros.benchmark.ray_cluster import run_on_ray
from leconvmn_ros.benchmark.report import report_page
from leconvmn_ros.benchmark.runner import Execute, load_plan, results_of, run_missing, save_plan
from leconvmn_ros.benchmark.summary import summarise
from leconvmn_ros.benchmark.tables import group_table, write_tables
from leconvmn_ros.commands.arguments import (
    checked,
)
from leconvmn_ros.commands.progress import progress_bar, remark, say, show
from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.files import write_text
from leconvmn_ros.dataset.hold_out import MovementHoldOut
from leconvmn_ros.engines.devices import runs_at_once
from leconvmn_ros.recordings.bags import bag_name
from leconvmn_ros.training.presets import PRESETS


def run(arguments: argparse.Namespace) -> int:
    """Run what is missing and report everything."""
    folder = arguments.output
    if arguments.report_only:
        if arguments.bags or arguments.report or arguments.development:
            raise ConfigurationError('--report-only takes no BAG: the folder names them')
        plan = load_plan(folder)
        if arguments.against:
            plan = checked(Plan, plan.model_dump() | {'against': arguments.against})
    else:
        plan = _plan(arguments)
        execute = _execute(arguments)
        save_plan(plan, folder)
        with progress_bar('benchmark') as progress:
            run_missing(plan, folder, execute, say=remark, progress=progress)
    return _report(plan, folder)


def _plan(arguments: argparse.Namespace) -> Plan:
    topics = Topics(
        emg=arguments.emg_topic,
        reference=arguments.reference_topic,
        label=arguments.label_topic,
    )
    bags = _bags(arguments, topics)
    plan: Plan = checked(
        Plan,
        {
            'started': f'{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC',
            'command': shlex.join(['leconvmn_ros', *arguments.words]),
            'presets': {name: PRESETS[name] for name in arguments.presets},
            'against': arguments.against or arguments.presets[0],
            'seeds': arguments.seeds,
            'bags': bags,
            'development': tuple(bag_name(path) for path in arguments.development),
            # None: what train() takes for each recording.
            'hold_out': MovementHoldOut() if arguments.protocol == 'paper' else None,
            'output_rate': arguments.output_rate,
            'topics': topics,
        },
    )
    return plan


def _bags(arguments: argparse.Namespace, topics: Topics) -> tuple[Bag, ...]:
    """Return the bags to report, then those for development.

    Raises:
        ConfigurationError: there are none, or one person is in both.
    """
    if arguments.bags and (arguments.report or arguments.development):
        raise ConfigurationError('a BAG must be one of --development or of --report')
    if arguments.development and not arguments.report:
        raise ConfigurationError('--development needs --report beside it')
    reported = arguments.bags or arguments.report
    if not reported:
        raise ConfigurationError('no BAG given')
    bags = tuple(Bag.at(path) for path in (*reported, *arguments.development))
    if arguments.development:
        check_apart(arguments.development, arguments.report, topics)
    return bags


def _execute(arguments: argparse.Namespace) -> Execute:
    """Choose where the runs are done."""
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
