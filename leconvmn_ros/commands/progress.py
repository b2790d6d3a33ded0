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

"""The output of the command line: lines, tables, progress bars.

Results go to standard output, progress and remarks to standard error, so that a pipe gets results
only. Everything is shown as plain text, whatever it contains.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from leconvmn_ros.core.errors import printable
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment


class Terminal(Console):
    """A console that shows text only: it cannot be controlled by it."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does, with all invisible characters escaped."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                lines = segment.text.split('\n')
                yield segment._replace(text='\n'.join(map(printable, lines)))


CONSOLE = Terminal(stderr=True)


def say(line: str) -> None:
    """Write one line of a result."""
    print(printable(line))


def show(table: RenderableType) -> None:
    """Write a table of a result."""
    Terminal().print(table)


def remark(line: str) -> None:
    """Write one line to standard error."""
    CONSOLE.print(printable(line), markup=False, highlight=False, soft_wrap=True)


class ShowProgress(Protocol):
    """Moves a bar to the finished share, 0 to 1, with a remark beside it."""

    def __call__(self, share: float, remark: str = '', /) -> None:
        """Update the bar."""


@contextmanager
def progress_bar(title: str) -> Iterator['ShowProgress']:
    """Show a bar during an operation.

    Yields:
        A function of the finished share, 0 to 1, and a remark.
    """
    columns = (
        # No markup, because file names may contain brackets.
        TextColumn('{task.description}', markup=False),
        BarColumn(),
        TextColumn('{task.percentage:>3.0f} %'),
        TimeElapsedColumn(),
        TextColumn('left'),
        TimeRemainingColumn(),
        TextColumn('{task.fields[remark]}', markup=False),
    )
    # Estimate the time left from the pace of the last hour: steps may be minutes apart.
    with Progress(*columns, console=CONSOLE, speed_estimate_period=3600) as bar:
        task = bar.add_task(printable(title), total=1.0, remark='')

        def move(share: float, remark: str = '') -> None:
            bar.update(task, completed=share, remark=printable(remark))

        yield move
        bar.update(task, completed=1.0)


def say_duration(seconds: float) -> None:
    """Announce the approximate duration of a long operation."""
    minutes = round(seconds / 60)
    text = f'{minutes} min' if minutes >= 2 else f'{max(1, round(seconds))} s'
    remark(f'this will take about {text}')
