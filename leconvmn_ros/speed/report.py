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

"""Results of `leconvmn_ros speed` as tables."""

from collections.abc import Mapping, Sequence
import json
from pathlib import Path
from typing import Any

from leconvmn_ros.core.errors import ConfigurationError, printable
from leconvmn_ros.core.files import read_input
from leconvmn_ros.speed.floor import is_at_floor
from leconvmn_ros.speed.machine_check import Held
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

FORMAT = 'leconvmn_ros speed'
# As written by version 0.1.0.
OLD_FORMAT = 'leconvmn_ros bench'
LARGEST_RESULT = 2**22  # bytes


def read_result(path: Path) -> dict[str, Any]:
    """Read the output of `leconvmn_ros speed --json`.

    Raises:
        ConfigurationError: the file cannot be read or holds something else.
    """
    try:
        result = json.loads(read_input(path, LARGEST_RESULT))
    except OSError as error:
        raise ConfigurationError(f'cannot read {path}: {error.strerror or error}') from error
    except ValueError as error:
        raise ConfigurationError(f'{path} is not JSON: {error}') from error
    if not isinstance(result, dict) or result.get('format') not in {FORMAT, OLD_FORMAT}:
        raise ConfigurationError(f'{path} was not written by leconvmn_ros speed --json')
    return result


def stage_table(result: Mapping[str, Any]) -> Table:
    """Format the stages: times in us, memory, and the share of the machine's peak."""
    table = Table(
        title=Text(printable(_title(result))),
        title_justify='left',
        box=SIMPLE,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column('stage (us a call)', no_wrap=True)
    for title in ('median', 'p99', 'most', 'jitter', 'CPU', 'KiB', '% best', 'x eager'):
        table.add_column(title, justify='right', no_wrap=True)
    for name, row in result['stages'].items():
        best = max(row['share_of_copying'], row.get('share_of_multiplying', 0))
        table.add_row(
            Text(printable(name)),
            *(_us(row[f'{key}_us']) for key in ('median', 'p99', 'most', 'jitter', 'cpu')),
            f'{row["bytes_for_a_time"] / 1024:.0f}',
            _percent(best),
            f'{row["of_first"]:.2f}' if 'of_first' in row else '',
        )
    return table


def remarks(result: Mapping[str, Any]) -> list[str]:
    """Return the lines below the table."""
    best, gc = result['ceilings'], result['collector']
    peak = f'{best["float32"] / 1e9:.0f} GMAC/s float32, {best["copy"] / 1e9:.1f} GB/s copied'
    lines = [
        f'the machine at its best: {peak}; one step is {result["multiplications"] / 1e9:.3f} GMAC',
        f'garbage collector: {gc["collections"]} runs, {gc["longest_ms"]:.2f} ms at most',
    ]
    lines += [
        f'{name} by events of the GPU itself: median {_us(row["events_us"])} us'
        for name, row in result['stages'].items()
        if 'events_us' in row
    ]
    if result.get('skipped'):
        lines.append(result['skipped'])
    if live := result.get('live'):
        lines += _live(live)
    return lines


def _live(live: Mapping[str, Any]) -> list[str]:
    latency, late = live['latency_ms'], live['late_ms']
    lines = [f'over ROS 2: {live["chunks"]} chunks, {live["estimates"]} estimates, ']
    lines[0] += f'{live["gaps"]} missing; the decoder took {live["cores"]:.2f} cores and '
    lines[0] += f'{live["memory"] / 2**20:.0f} MiB ({live["growth"] / 2**20:+.1f} in the run)'
    if latency:
        lines.append(
            f'chunk published to estimate received: median {latency["median"]:.2f}, '
            f'p99 {latency["p99"]:.2f}, most {latency["most"]:.2f} ms '
            f'(the source itself was late by p99 {late["p99"]:.2f} ms)'
        )
    if latency and (floor := live.get('floor')):
        bare = floor['latency_ms']
        verdict = 'at the floor' if is_at_floor(latency['p99'], bare['p99']) else 'above the floor'
        lines.append(
            f'floor of this machine ({floor["work_ms"]:.2f} ms of arithmetic after a sleep): '
            f'median {bare["median"]:.2f}, p99 {bare["p99"]:.2f}, most {bare["most"]:.2f} ms; '
            f'the p99 of the whole path is {verdict}'
        )
    if live['faults']:
        lines.append(f'the decoder logged: {"; ".join(live["faults"][:3])}')
    return lines


def comparison_table(first: Mapping[str, Any], second: Mapping[str, Any]) -> Table:
    """Format two results side by side: medians and processor times, and their ratios."""
    title = f'A: {_title(first)}\nB: {_title(second)}'
    table = Table(title=Text(printable(title)), title_justify='left', box=SIMPLE)
    table.add_column('stage (us a call)', no_wrap=True)
    for title in ('median A', 'median B', 'B/A', 'CPU A', 'CPU B', 'B/A'):
        table.add_column(title, justify='right')
    for name, row in first['stages'].items():
        if (other := second['stages'].get(name)) is None:
            continue
        cells = []
        for key in ('median_us', 'cpu_us'):
            cells += [_us(row[key]), _us(other[key]), f'{other[key] / row[key]:.2f}']
        table.add_row(Text(printable(name)), *cells)
    table.add_section()
    for name, of in first['ceilings'].items():
        ratio = second['ceilings'][name] / of
        table.add_row(
            Text(printable(f'at best, {name} (G/s)')), f'{of / 1e9:.1f}', '', f'{ratio:.2f}'
        )
    return table


def check_table(rows: Sequence[Held], machine: Mapping[str, Any]) -> Table:
    """Format the results of `check_machine`, a row for each preset."""
    title = f'{machine["cores"]} cores of {machine["processor"]}'
    table = Table(title=Text(title), title_justify='left', box=SIMPLE)
    table.add_column('preset')
    for name in ('median (ms)', 'p99 (ms)', 'holds (Hz)'):
        table.add_column(name, justify='right', no_wrap=True)
    table.add_column('advice')
    for row in rows:
        rates = ', '.join(f'{rate:g}' for rate in row.rates) or '-'
        table.add_row(
            row.preset, f'{row.median_ms:.2f}', f'{row.p99_ms:.2f}', rates, row.advice or 'fine'
        )
    return table


def limit_table(result: Mapping[str, Any]) -> Table:
    """Format the limits of each channel count."""
    settings, machine = result['settings'], result['machine']
    title = (
        f'{settings["network"]}, {settings["output_rate"]:g} Hz out, messages of '
        f'{1e3 * settings["chunk_seconds"]:g} ms, {settings["seconds"]:g} s each; '
        f'{machine["cores"]} cores of {machine["processor"]}'
    )
    table = Table(title=Text(printable(title)), title_justify='left', box=SIMPLE)
    for name in ('channels', 'held (Hz)', 'values/s', 'broke at (Hz)'):
        table.add_column(name, justify='right', no_wrap=True)
    table.add_column('what broke first')
    for limit in result['limits']:
        broke = limit['broke_at']
        table.add_row(
            str(limit['channels']),
            f'{limit["held"]:.0f}',
            f'{limit["values"]:.0f}',
            '-' if broke is None else f'{broke:.0f}',
            Text(printable(limit['reason'] or 'nothing, up to the highest rate there is')),
        )
    return table


def _title(result: Mapping[str, Any]) -> str:
    settings, machine = result['settings'], result['machine']
    return (
        f'{settings["network"]}, {settings["channels"]} channels at '
        f'{settings["sampling_rate"]:g} Hz, chunks of {settings["chunk"]} samples; '
        f'{settings["threads"]} of {machine["cores"]} cores of {machine["processor"]}'
    )


def _us(value: float) -> str:
    return f'{value:.0f}' if value >= 100 else f'{value:.1f}'


def _percent(share: float) -> str:
    return '' if share == 0 else f'{100 * share:.0f}' if share >= 0.01 else '<1'
