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

"""Pictures of a benchmark, as SVG."""

from collections.abc import Mapping, Sequence
from io import BytesIO

from leconvmn_ros.benchmark.results import Epoch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
import numpy as np

# Told apart by colour-blind readers: Wong, Nature Methods 8 (2011) 441, without its yellow.
COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00', '#000000')
# With at most this many values, each is drawn beside the box.
FEW = 12
PANEL_COLUMNS = 3


def colour(number: int) -> str:
    """Return the colour of the model with this number; they repeat after the seventh."""
    return COLOURS[number % len(COLOURS)]


def draw_boxes(
    places: Sequence[str], models: Mapping[str, Sequence[Sequence[float]]], axis_label: str
) -> bytes:
    """Draw a box for each model at each place, over subjects.

    Args:
        places: names along the axis, such as joints.
        models: for each model, the values of the subjects at each place, shape (places, values).
        axis_label: name of the values.
    """
    figure = Figure(figsize=(11, 4.2), layout='constrained')
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    width = 0.8 / len(models)
    for number, (name, values) in enumerate(models.items()):
        centres = np.arange(len(places)) + (number - (len(models) - 1) / 2) * width
        axes.boxplot(
            values,
            positions=centres.tolist(),
            widths=0.8 * width,
            manage_ticks=False,
            patch_artist=True,
            boxprops={'facecolor': colour(number), 'alpha': 0.35, 'edgecolor': colour(number)},
            medianprops={'color': colour(number), 'linewidth': 1.6},
            whiskerprops={'color': colour(number)},
            capprops={'color': colour(number)},
            flierprops={'marker': '.', 'markersize': 4, 'markeredgecolor': colour(number)},
        )
        if max(map(len, values)) <= FEW:
            for centre, of_place in zip(centres, values, strict=True):
                axes.plot([centre] * len(of_place), of_place, '.', color=colour(number), ms=3.5)
        axes.plot([], [], 's', color=colour(number), alpha=0.6, label=name)
    axes.set_xticks(range(len(places)), places, rotation=30, ha='right', parse_math=False)
    axes.set_xlim(-0.6, len(places) - 0.4)
    axes.set_ylabel(axis_label)
    axes.yaxis.grid(visible=True, color='#dddddd', linewidth=0.6)
    axes.tick_params(labelsize=9)
    axes.spines[['top', 'right']].set_visible(False)
    figure.legend(fontsize=9, frameon=False, ncols=8, loc='outside upper left')
    return _svg(figure)


def draw_learning_curves(models: Mapping[str, Sequence[Sequence[Epoch]]]) -> bytes:
    """Draw training and validation loss over epochs, one panel for each model.

    Args:
        models: for each model, the epochs of each of its runs.
    """
    rows = -(-len(models) // PANEL_COLUMNS)
    columns = min(len(models), PANEL_COLUMNS)
    figure = Figure(figsize=(11, 0.3 + 2.9 * rows), layout='constrained')
    FigureCanvasSVG(figure)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for number, (axes, (name, runs)) in enumerate(zip(panels, models.items(), strict=False)):
        for key, line_colour, label in (
            ('training_loss', '#888888', 'training'),
            ('validation_loss', colour(number), 'validation'),
        ):
            losses = [
                [
                    getattr(epoch, key) if getattr(epoch, key) is not None else np.nan
                    for epoch in run
                ]
                for run in runs
            ]
            _draw_losses(axes, losses, line_colour, label)
        axes.set_title(name, loc='left', fontsize=10, parse_math=False)
        axes.legend(fontsize=8, frameon=False, loc='upper right')
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(labelsize=8)
        axes.spines[['top', 'right']].set_visible(False)
    for axes in panels[len(models) :]:
        axes.set_visible(False)
    figure.supxlabel('epoch', fontsize=10)
    figure.supylabel('loss', fontsize=10)
    return _svg(figure)


def _draw_losses(axes: Axes, runs: Sequence[Sequence[float]], of: str, label: str) -> None:
    longest = max(map(len, runs))
    padded = np.full((len(runs), longest), np.nan)
    for row, losses in zip(padded, runs, strict=True):
        row[: len(losses)] = losses
        axes.plot(range(1, len(losses) + 1), losses, color=of, alpha=0.25, lw=0.7)
    finite = [column[np.isfinite(column)] for column in padded.T]
    middle = [np.median(column) if column.size else np.nan for column in finite]
    axes.plot(range(1, longest + 1), middle, color=of, lw=1.8, label=label)


def _svg(figure: Figure) -> bytes:
    image = BytesIO()
    # The same results give the same bytes.
    with rc_context({'svg.hashsalt': 'leconvmn_ros'}):
        figure.savefig(image, format='svg', metadata={'Date': None})
    return image.getvalue()
