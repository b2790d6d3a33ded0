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

"""The plots of the live view: joint angles by finger, and EMG by channel."""

from typing import Any

from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.palette import ESTIMATE_COLOUR
from leconvmn_ros.core.recording import NANOSECONDS
from leconvmn_ros.view.signals import ANGLE_PERIOD_NS, BINS, LiveSignals, WINDOW
import numpy as np
from numpy.typing import NDArray

CHANNEL_STEPS = (1, 2, 5, 10, 20, 50)  # between the labelled channels
ANGLE_POINTS = round(WINDOW * NANOSECONDS / ANGLE_PERIOD_NS)
# The first and the second joint of a finger.
JOINT_COLOURS = (ESTIMATE_COLOUR, '#2a78b8')
EMG_COLOUR = '#7a8a9a'
# Both measured joints are grey; the second is dashed.
MEASURED_COLOUR = '#9a9a9a'
DASHES = (None, (5, 4))
ANGLE_RANGE = (-30.0, 130.0)  # degrees
ANGLE_HEIGHT, EMG_HEIGHT = 116, 420  # pixels
PANEL_WIDTH = 310  # pixels
TEXT = 'font-size:.8125em;line-height:1.5;margin:.3em 1em'


class AnglePlots:
    """A plot for each finger: its two joints in degrees, estimate and reference."""

    def __init__(self, gui: Any) -> None:
        panel = gui.add_panel()
        self._seconds = np.arange(-ANGLE_POINTS + 1, 1) * ANGLE_PERIOD_NS / NANOSECONDS
        self._plots: list[tuple[list[int], Any]] = []
        with panel.add_tab('Joint angles (degrees)'):
            gui.add_html(_legend())
            for finger in dict.fromkeys(name.partition('_')[0] for name in JOINT_NAMES):
                joints = [
                    number
                    for number, name in enumerate(JOINT_NAMES)
                    if name.partition('_')[0] == finger
                ]
                self._plots.append((joints, self._add_plot(gui, finger, joints)))
        panel.dock_left()
        panel.set_width(PANEL_WIDTH)
        self._panel = panel

    @property
    def visible(self) -> bool:
        """Whether the panel is shown."""
        return bool(self._panel.visible)

    @visible.setter
    def visible(self, shown: bool) -> None:
        if self._panel.visible != shown:
            self._panel.visible = shown

    def _add_plot(self, gui: Any, finger: str, joints: list[int]) -> Any:
        names = [JOINT_NAMES[joint] for joint in joints]
        lines = [
            *(
                _line(f'{name} measured', MEASURED_COLOUR, 2, dash)
                for name, dash in zip(names, DASHES, strict=True)
            ),
            *map(_line, names, JOINT_COLOURS, (1.5,) * len(names)),
        ]
        nothing = np.full(ANGLE_POINTS, np.nan)
        return gui.add_uplot(
            (self._seconds, *(nothing for _ in lines)),
            ({'label': 's'}, *lines),
            title=finger,
            height=ANGLE_HEIGHT,
            legend={'show': False},
            scales={
                'x': {'time': False},
                'y': {'range': ANGLE_RANGE},
            },
            # The time axis counts seconds before now.
            axes=(
                {'size': 22, 'space': 40, 'ticks': {'show': False}},
                {'size': 38, 'space': 22, 'ticks': {'show': False}},
            ),
            padding=(2, 8, 6, 0),
        )

    def show(self, signals: LiveSignals) -> None:
        """Draw the last seconds."""
        times = signals.angle_times()
        estimate = np.degrees(signals.estimate.trace(times))
        reference = np.degrees(signals.reference.trace(times))
        for joints, plot in self._plots:
            plot.data = (self._seconds, *reference[:, joints].T, *estimate[:, joints].T)


class EmgPlot:
    """All channels one below the other in a plot that is rebuilt when their number changes."""

    def __init__(self, gui: Any) -> None:
        self._gui = gui
        self._title = gui.add_html('')
        self._seconds = np.arange(-2 * BINS + 1, 1) * (WINDOW / (2 * BINS))
        self._plot: Any = None
        self._channels = 0

    def show(self, signals: LiveSignals) -> None:
        """Draw the last seconds."""
        trace = signals.emg.trace()
        if not trace.shape[1]:
            return
        peak = float(np.nanmax(np.abs(trace))) if np.isfinite(trace).any() else 0.0
        data = (self._seconds, *_lanes(trace, peak))
        self._title.content = _heading(f'EMG by channel, peak {1e6 * peak:.0f} \u00b5V')
        if trace.shape[1] == self._channels:
            self._plot.data = data
            return
        if self._plot is not None:
            self._plot.remove()
        self._channels = trace.shape[1]
        self._plot = self._add_plot(data)

    def _add_plot(self, data: tuple[Any, ...]) -> Any:
        lines = (_line(f'channel {number}', EMG_COLOUR, 1) for number in range(1, len(data)))
        return self._gui.add_uplot(
            data,
            ({'label': 's'}, *lines),
            height=EMG_HEIGHT,
            legend={'show': False},
            scales={
                'x': {'time': False},
                'y': {'range': (0.2, len(data) - 0.2), 'dir': -1},
            },
            # Label whole channels only.
            axes=(
                {'size': 30},
                {'size': 34, 'space': 20, 'incrs': CHANNEL_STEPS, 'ticks': {'show': False}},
            ),
            padding=(2, 8, 0, 0),
        )


def _lanes(trace: NDArray[np.float32], peak: float) -> list[NDArray[np.float64]]:
    """Shift each channel to its number on the axis, which counts downwards."""
    lanes = np.arange(1, trace.shape[1] + 1) - 0.8 * trace / (peak or 1.0)
    return list(lanes.T.astype(np.float64))


def _line(
    label: str, colour: str, width: float, dash: tuple[int, int] | None = None
) -> dict[str, Any]:
    line = {'label': label, 'stroke': colour, 'width': width, 'points': {'show': False}}
    return line if dash is None else {**line, 'dash': dash}


def _heading(text: str) -> str:
    return f'<div style="{TEXT};opacity:.65">{text}</div>'


def _legend() -> str:
    names = ('measured', 'measured next', 'first joint (MCP)', 'next (PIP, IP)')
    colours = (MEASURED_COLOUR, MEASURED_COLOUR, *JOINT_COLOURS)
    marks = ('\u2501', '\u254d', '\u2501', '\u2501')
    entries = (
        f'<span style="color:{colour};white-space:nowrap">{mark} {name}</span> '
        for name, colour, mark in zip(names, colours, marks, strict=True)
    )
    return f'<div style="{TEXT}">{"".join(entries)}<br>seconds before now</div>'
