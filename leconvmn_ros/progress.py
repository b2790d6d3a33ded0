# Copyright 2026 The leconvmn_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Progress bars of the command line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

# Progress goes to stderr, results to stdout: a pipe gets the results alone.
CONSOLE = Console(stderr=True)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float, str], None]]:
    """Show a bar while something runs.

    Yields:
        A function that takes the share done, 0 to 1, and a remark.
    """
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        TextColumn('{task.percentage:>3.0f} %'),
        TimeElapsedColumn(),
        TextColumn('left'),
        TimeRemainingColumn(),
        TextColumn('{task.fields[remark]}'),
    )
    with Progress(*columns, console=CONSOLE) as bar:
        task = bar.add_task(title, total=1.0, remark='')
        yield lambda share, remark='': bar.update(task, completed=share, remark=remark)
        bar.update(task, completed=1.0)
