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

"""Plots of results."""

from io import BytesIO
from pathlib import Path

from leconvmn_ros.core.files import write_bytes
from leconvmn_ros.core.palette import ESTIMATE_COLOUR, TRUTH_COLOUR
from leconvmn_ros.core.recording import NANOSECONDS
from leconvmn_ros.dataset.reference_lag import PLAUSIBLE_DELAY, ReferenceLag
from leconvmn_ros.evaluation.comparison import Comparison
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
import numpy as np
from numpy.typing import NDArray

# More than this is unreadable on one page.
LONGEST_PLOT = 90.0  # s
# Where times are further apart than this, the axis is cut.
LONGEST_LINE = 0.5  # s


def plot_comparison(comparison: Comparison, path: Path, title: str) -> None:
    """Write the plot of `draw_comparison`.

    Raises:
        OutputError: the place cannot be written.
    """
    write_bytes(path, draw_comparison(comparison, title))


def draw_comparison(comparison: Comparison, title: str) -> bytes:
    """Draw estimate over truth as a PNG, one panel per joint, in degrees.

    Parts that were not scored are cut out of the time axis and marked by thin lines.
    """
    table = comparison.score()
    time, cuts = _scored_time(comparison.stamps_ns)
    shown = time <= LONGEST_PLOT
    joints = len(comparison.names)
    figure = Figure(figsize=(11, 1.2 + 1.5 * -(-joints // 2)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(-(-joints // 2), 2, sharex=True, squeeze=False).ravel()
    for j, name in enumerate(comparison.names):
        for angles, colour, label in (
            (comparison.truth, TRUTH_COLOUR, 'measured'),
            (comparison.estimate, ESTIMATE_COLOUR, 'estimated'),
        ):
            degrees = np.degrees(angles[shown, j])
            axes[j].plot(time[shown], degrees, color=colour, linewidth=1.1, label=label)
        for cut in cuts[cuts < LONGEST_PLOT]:
            axes[j].axvline(cut, color='#cccccc', linewidth=0.6, zorder=0)
        axes[j].set_title(
            f'{name}   CC {table.joints[name].cc:.2f}',
            fontsize=9,
            loc='left',
            parse_math=False,  # names may contain $
        )
        axes[j].tick_params(labelsize=8)
        axes[j].spines[['top', 'right']].set_visible(False)
    for axis in axes[joints:]:
        axis.set_visible(False)
    axes[0].legend(fontsize=8, frameon=False, ncols=2, loc='upper right')
    shown_of = f', the first {LONGEST_PLOT:g} of {time[-1]:.0f}' if time[-1] > LONGEST_PLOT else ''
    figure.supxlabel(f'scored time (s){shown_of}', fontsize=9)
    figure.supylabel('angle (deg)', fontsize=9)
    mean = table.mean
    figure.suptitle(
        f'{title}: CC {mean.cc:.2f}, RMSE {mean.rmse:.1f} deg, NRMSE {mean.nrmse:.3f}',
        fontsize=11,
        parse_math=False,
    )
    return _png(figure)


def plot_lag(lag: ReferenceLag, path: Path, title: str) -> None:
    """Plot the correlation at each lag and the usual delays, as a PNG.

    Raises:
        OutputError: the place cannot be written.
    """
    figure = Figure(figsize=(7, 3.5), layout='constrained')
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.axvspan(*PLAUSIBLE_DELAY, color='#eeeeee', label='usual with one clock')
    axis.plot(lag.lags, lag.cc, color=TRUTH_COLOUR, linewidth=1.1)
    axis.axvline(lag.delay, color=ESTIMATE_COLOUR, linewidth=2, label=f'{lag.delay:.3f} s')
    axis.set_xlabel('lag of the reference behind the EMG (s)', fontsize=9)
    axis.set_ylabel('CC, cross-validated', fontsize=9)
    axis.tick_params(labelsize=8)
    axis.spines[['top', 'right']].set_visible(False)
    axis.legend(fontsize=8, frameon=False)
    doubt = ' - not reliable' if lag.doubt else ''
    axis.set_title(f'{title}{doubt}', fontsize=10, parse_math=False)
    write_bytes(path, _png(figure))


def _png(figure: Figure) -> bytes:
    image = BytesIO()
    figure.savefig(image, format='png', dpi=110)
    return image.getvalue()


def _scored_time(stamps_ns: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a time axis (s) without the gaps between scored stretches, and their places."""
    steps = np.diff(stamps_ns, prepend=stamps_ns[0]) / NANOSECONDS
    # Time may go back at the start of the next recording.
    holes = (steps > LONGEST_LINE) | (steps < 0)
    time = np.cumsum(np.where(holes, 0.0, steps))
    return time, time[holes]
