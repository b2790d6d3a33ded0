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

"""Runs `leconvmn_ros speed`; its arguments are in parsers/speed.py."""

import argparse
from contextlib import ExitStack
from functools import partial
from typing import Any

from leconvmn_ros.commands.progress import progress_bar, say, show
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.files import write_json
from leconvmn_ros.core.machine_info import describe_machine
from leconvmn_ros.decoding.checkpoint import Checkpoint, load_checkpoint
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.engines.devices import CPU, find_device
from leconvmn_ros.speed.end_to_end import measure_end_to_end
from leconvmn_ros.speed.floor import measure_floor
from leconvmn_ros.speed.limits import find_limit
from leconvmn_ros.speed.machine_check import check_machine, PRESETS_CHECKED
from leconvmn_ros.speed.peak_rates import measure_peak_rates
from leconvmn_ros.speed.report import (
    check_table,
    comparison_table,
    FORMAT,
    limit_table,
    read_result,
    remarks,
    stage_table,
)
from leconvmn_ros.speed.stages import (
    collector_pauses,
    fractions_of_peak,
    measure,
    measure_in_turn,
    multiplications_of,
    network_stages,
    random_checkpoint,
    signal_stages,
    Stage,
)
from leconvmn_ros.training.presets import PRESETS
import torch

# Messages decoded while the garbage collector is observed.
_WATCHED = 2000
_LONGEST_FLOOR = 60.0  # s


def run(arguments: argparse.Namespace) -> int:
    """Measure and show results, or compare two."""
    if arguments.compare:
        show(comparison_table(*(read_result(path) for path in arguments.compare)))
        return 0
    if arguments.check:
        with progress_bar('check') as progress:
            rows = []
            for row in check_machine(
                arguments.channels, arguments.sampling_rate, device=arguments.device
            ):
                rows.append(row)
                progress(len(rows) / len(PRESETS_CHECKED), row.preset)
        show(check_table(rows, describe_machine()))
        return 0
    if arguments.limits:
        result = _limits(arguments)
        if arguments.json:
            write_json(arguments.json, result)
        show(limit_table(result))
        return 0
    torch.set_num_threads(arguments.threads)
    checkpoint, name = _network(arguments)
    result = _measured(checkpoint, name, arguments)
    if arguments.json:
        write_json(arguments.json, result)
    show(stage_table(result))
    for line in remarks(result):
        say(line)
    return 0


def _limits(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.checkpoint:
        raise ConfigurationError(
            '--limits tries decoders of many shapes, so it takes --preset and no CHECKPOINT'
        )
    if not arguments.seconds:
        raise ConfigurationError('--limits needs --seconds above 0')
    counts = arguments.limits
    limits = []
    with progress_bar('limits') as progress:
        for done, channels in enumerate(counts):
            limits.append(
                find_limit(
                    PRESETS[arguments.preset],
                    channels,
                    chunk_seconds=arguments.chunk,
                    output_rate=arguments.output_rate,
                    seconds=arguments.seconds,
                    device=arguments.device,
                    engine=arguments.engine,
                    threads=arguments.threads,
                    progress=partial(progress, done / len(counts)),
                )
            )
    return {
        'format': f'{FORMAT} --limits',
        'machine': describe_machine(),
        'settings': {
            'network': f'{arguments.preset} (untrained)',
            'chunk_seconds': arguments.chunk,
            'output_rate': arguments.output_rate,
            'seconds': arguments.seconds,
            'threads': arguments.threads,
            'device': arguments.device,
            'engine': arguments.engine,
        },
        'limits': limits,
    }


def _network(arguments: argparse.Namespace) -> tuple[Checkpoint, str]:
    if arguments.checkpoint:
        return load_checkpoint(arguments.checkpoint), arguments.checkpoint.name
    try:
        checkpoint = random_checkpoint(
            PRESETS[arguments.preset], arguments.channels, arguments.sampling_rate
        )
    except ValueError as error:
        raise ConfigurationError(f'preset {arguments.preset}: {error}') from error
    return checkpoint, f'{arguments.preset} (untrained)'


def _measured(checkpoint: Checkpoint, name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    path = checkpoint.description.signal_path
    chunk = max(1, round(arguments.chunk * path.sampling_rate))
    device = find_device(arguments.device)
    result: dict[str, Any] = {
        'format': FORMAT,
        'machine': describe_machine(),
        'settings': {
            'network': name,
            'channels': path.channels,
            'sampling_rate': path.sampling_rate,
            'chunk': chunk,
            'output_rate': arguments.output_rate,
            'threads': arguments.threads,
            'device': device,
            'engine': arguments.engine,
        },
        'multiplications': multiplications_of(checkpoint.network()),
    }
    decoder = Decoder(
        checkpoint,
        output_rate=arguments.output_rate,
        device=device,
        engine=arguments.engine,
        threads=arguments.threads,
    )
    with progress_bar('speed') as progress:
        best = measure_peak_rates()
        progress(0.2)
        stages, rows = _stages(checkpoint, chunk, decoder, arguments.messages, result)
        progress(0.4)
        networks = network_stages(checkpoint, arguments.threads, None if device == CPU else device)
        stages |= networks
        rows |= measure_in_turn(networks, arguments.steps)
        progress(0.6)
        result['ceilings'] = best
        result['stages'] = {
            n: row | fractions_of_peak(row, stages[n], best) for n, row in rows.items()
        }
        result['collector'] = collector_pauses(stages['decoder, all of it'].call, _WATCHED)
        if arguments.seconds:
            result['live'] = measure_end_to_end(
                checkpoint,
                chunk=chunk,
                output_rate=arguments.output_rate,
                seconds=arguments.seconds,
                device=device,
                engine=arguments.engine,
                threads=arguments.threads,
                progress=lambda share: progress(0.6 + 0.3 * share),
            )
            if latency := result['live']['latency_ms']:
                # In the same run, for the duration of the whole path.
                result['live']['floor'] = measure_floor(
                    latency['median'] / 1e3,
                    1 / decoder.output_rate,
                    min(arguments.seconds, _LONGEST_FLOOR),
                )
    return result


def _stages(
    checkpoint: Checkpoint, chunk: int, decoder: Decoder, calls: int, result: dict[str, Any]
) -> tuple[dict[str, Stage], dict[str, dict[str, Any]]]:
    """Time all stages except the network; stages that need ROS are skipped without it."""
    path = checkpoint.description.signal_path
    stages = signal_stages(checkpoint, chunk, decoder)
    with ExitStack() as stack:
        try:
            from leconvmn_ros.nodes.message_timing import message_stages  # noqa: PLC0415 - ROS
        except ImportError:
            result['skipped'] = 'the message stages were skipped: there is no ROS 2 here'
        else:
            stages |= stack.enter_context(message_stages(path.channels, path.sampling_rate, chunk))
        # The decoder includes the network, which is slow.
        few = max(10, calls // 10)
        rows = {
            name: measure(stage, few if name.startswith('decoder') else calls)
            for name, stage in stages.items()
        }
    return stages, rows
