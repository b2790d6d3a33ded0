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

"""The live page in the browser: the moving hand, EMG, joint angles, and how the decoder does.

By viser: an installation of 50 MB (rerun: 650 MB), a page of 0.8 MB that loads nothing from
elsewhere, frames that turn in the browser, plots, and no state that grows while nobody looks.
"""

from collections.abc import Mapping
from contextlib import redirect_stdout
from importlib import import_module
import io
from types import ModuleType
from typing import Any, Literal

from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.hand_urdf import hand_urdf, Side
from leconvmn_ros.joints import JOINT_NAMES, JOINTS
from leconvmn_ros.live_signals import ANGLE_PERIOD_NS, BINS, LATE, LiveSignals, LiveStatus, WINDOW
from leconvmn_ros.plots import ESTIMATE_COLOUR, TRUTH_COLOUR
from leconvmn_ros.recording import NANOSECONDS
from leconvmn_ros.urdf_frames import Frame, read_frames, Shape, wxyz
import numpy as np

# Plots change more slowly than the hand: one of so many frames draws them.
FRAMES_PER_PLOT = 3
# A joint that turned by less is not drawn again (rad): nobody would see it.
LEAST_TURN = 2e-3
REFERENCE = {'translucent, in the same place': 'over', 'beside it': 'beside', 'hidden': 'hidden'}
ESTIMATE_SKIN, REFERENCE_SKIN = (222, 110, 84), (150, 156, 164)
REFERENCE_OPACITY = 0.35
APART = 0.13  # between the two hands (m)
PANEL_WIDTH = 300  # pixels
EMG_COLOUR = '#3d6b99'
ANGLE_POINTS = round(WINDOW * NANOSECONDS / ANGLE_PERIOD_NS)
CAMERA, CAMERA_TARGET = (0.35, 0.0, 0.16), (0.0, 0.0, 0.1)
HEIGHT = 0.0
UPRIGHT = (0.7071, 0.0, -0.7071, 0.0)


class LiveView:
    """Serves the page and draws on it."""

    def __init__(self, host: str, port: int, side: Side) -> None:
        """Start to serve.

        Args:
            host: address to listen at; 127.0.0.1 is this machine alone.
            port: port to listen at; the next free one if it is taken.
            side: which hand to show.

        Raises:
            ConfigurationError: viser is not installed, or there is no such address.
        """
        viser = _import_viser()
        self._server = _serve(viser, host, port)
        self.url = f'http://{host}:{self._server.get_port()}'
        self._frame = 0
        self._lay_out(side)

    def close(self) -> None:
        """Stop serving."""
        self._server.stop()

    def draw(self, signals: LiveSignals) -> None:
        """Show what there is; costs nothing while no page is open."""
        if not self._server.get_clients():
            return
        with self._server.atomic():
            self._estimate.show(signals.estimate.latest)
            self._reference.show(signals.reference.latest)
        if self._frame % FRAMES_PER_PLOT == 0:
            self._angles.show(signals)
            self._emg.show(signals)
            self._status.content = _status_table(signals.status())
        self._frame += 1

    def _lay_out(self, side: Side) -> None:
        server = self._server
        server.gui.configure_theme(show_logo=False, show_share_button=False)
        scene = server.scene
        scene.configure_environment_map('studio', environment_intensity=0.6)
        scene.add_grid(
            '/floor', width=0.8, height=0.8, cell_size=0.05, section_size=0.2, position=(0, 0, 0)
        )
        server.initial_camera.position = CAMERA
        server.initial_camera.look_at = CAMERA_TARGET
        frames = read_frames(hand_urdf(side))
        self._estimate = _Hand(scene, 'estimate', frames, ESTIMATE_SKIN)
        self._reference = _Hand(scene, 'reference', frames, REFERENCE_SKIN, REFERENCE_OPACITY)
        self._angles = _AnglePlots(server.gui)
        self._status = server.gui.add_html('')
        choice = server.gui.add_dropdown('Reference', tuple(REFERENCE))
        choice.on_update(lambda _: self._place(REFERENCE[choice.value]))
        self._emg = _EmgPlot(server.gui)
        self._place(REFERENCE[choice.value])

    def _place(self, reference: str) -> None:
        """Put the two hands over each other or beside each other, or hide the reference."""
        self._reference.root.visible = reference != 'hidden'
        aside = APART / 2 if reference == 'beside' else 0.0
        for hand, y in ((self._estimate, -aside), (self._reference, aside)):
            hand.root.position = (0.0, y, HEIGHT)


class _Hand:
    """A hand in the scene; the browser does the kinematics, since its frames are nested."""

    def __init__(
        self,
        scene: Any,
        name: str,
        frames: list[Frame],
        colour: tuple[int, int, int],
        opacity: float | None = None,
    ) -> None:
        self.root = scene.add_frame(f'/{name}', show_axes=False, wxyz=UPRIGHT)
        self._moving: list[tuple[Frame, Any]] = []
        self._shown: dict[str, float] = {}
        look = {'color': colour, 'opacity': opacity, 'cast_shadow': opacity is None}
        for frame in frames:
            path = f'/{name}/{frame.path}'
            handle = scene.add_frame(
                path, show_axes=False, position=frame.position, wxyz=wxyz(frame.rotation)
            )
            for number, shape in enumerate(frame.shapes):
                _add_shape(scene, f'{path}/shape_{number}', shape, look)
            if frame.joint:
                self._moving.append((frame, handle))

    def show(self, angles: Mapping[str, float]) -> None:
        """Turn the joints that are given (rad)."""
        moved = {
            name: angle
            for name, angle in angles.items()
            if abs(angle - self._shown.get(name, 0.0)) > LEAST_TURN
        }
        for frame, handle in self._moving:
            if frame.joint in moved:
                handle.wxyz = frame.turned(moved)
        self._shown |= moved


def _add_shape(scene: Any, path: str, shape: Shape, look: Mapping[str, Any]) -> None:
    pose = {'position': shape.position, 'wxyz': wxyz(shape.rotation)}
    if shape.kind == 'box':
        scene.add_box(path, dimensions=shape.size, **pose, **look)
    elif shape.kind == 'cylinder':
        radius, height = shape.size
        scene.add_cylinder(path, radius=radius, height=height, **pose, **look)
    else:
        scene.add_icosphere(path, radius=shape.size[0], **pose, **look)


class _AnglePlots:
    """One small plot for each joint, estimate over reference, in degrees."""

    def __init__(self, gui: Any) -> None:
        panel = gui.add_panel()
        self._seconds = np.arange(-ANGLE_POINTS + 1, 1) * ANGLE_PERIOD_NS / NANOSECONDS
        nothing = np.full(ANGLE_POINTS, np.nan)
        self._plots = []
        with panel.add_tab('Joint angles (degrees)'):
            for joint in JOINTS:
                self._plots.append(
                    gui.add_uplot(
                        (self._seconds, nothing, nothing),
                        (
                            {'label': 's'},
                            _line('measured', TRUTH_COLOUR, 1.5),
                            _line('estimated', ESTIMATE_COLOUR, 1.5),
                        ),
                        title=joint.name,
                        height=82,
                        legend={'show': False},
                        scales={
                            'x': {'time': False, 'range': (-WINDOW, 0.0)},
                            'y': {'range': (-15.0, 105.0)},
                        },
                        axes=({'show': False}, {'size': 30, 'space': 20}),
                        padding=(4, 6, 4, 0),
                    )
                )
        panel.dock_left()
        panel.set_width(PANEL_WIDTH)

    def show(self, signals: LiveSignals) -> None:
        """Draw the last seconds."""
        times = signals.angle_times()
        estimate = np.degrees(signals.estimate.trace(times))
        reference = np.degrees(signals.reference.trace(times))
        for number, plot in enumerate(self._plots):
            plot.data = (self._seconds, reference[:, number], estimate[:, number])


class _EmgPlot:
    """All channels under each other in one plot."""

    def __init__(self, gui: Any) -> None:
        self._gui = gui
        self._panel = gui.add_panel()
        self._tab = self._panel.add_tab('EMG')
        self._seconds = (np.arange(2 * BINS) / 2 - BINS) * (WINDOW / BINS)
        self._plot: Any = None
        self._channels = 0
        self._panel.dock_right()
        gui.main_panel.dock_above(self._panel)
        gui.main_panel.set_width(PANEL_WIDTH)

    def show(self, signals: LiveSignals) -> None:
        """Draw the last seconds."""
        trace = signals.emg.trace()
        channels = trace.shape[1]
        if not channels:
            return
        data = (self._seconds, *_lanes(trace))
        if channels == self._channels:
            self._plot.data = data
            return
        if self._plot is not None:
            self._plot.remove()
        self._channels = channels
        with self._tab:
            self._plot = self._gui.add_uplot(
                data,
                ({'label': 's'}, *(_line(str(c + 1), EMG_COLOUR, 1) for c in range(channels))),
                height=420,
                legend={'show': False},
                scales={
                    'x': {'time': False, 'range': (-WINDOW, 0.0)},
                    'y': {'range': (0.3, channels + 0.7), 'dir': -1},
                },
                axes=({'size': 28}, {'size': 30, 'space': 20}),
                padding=(4, 6, 0, 0),
            )


def _lanes(trace: Any) -> list[Any]:
    peak = np.nanmax(np.abs(trace)) if np.isfinite(trace).any() else 1.0
    lanes = np.arange(1, trace.shape[1] + 1) - 0.7 * trace / (peak or 1.0)
    return list(lanes.T.astype(np.float64))


def _line(label: str, colour: str, width: float) -> dict[str, Any]:
    return {'label': label, 'stroke': colour, 'width': width, 'points': {'show': False}}


def _status_table(status: LiveStatus) -> str:
    latency = '-' if status.latency is None else f'{1e3 * status.latency:.1f} ms'
    rows = {
        'estimates': f'{status.estimate_rate:.0f} per second',
        'latency': latency,
        f'later than {1e3 * LATE:.0f} ms': f'{status.late}',
        'EMG': f'{status.channels} channels, {status.emg_rate:.0f} Hz',
        'samples lost': f'{status.lost}',
    }
    cells = ''.join(
        f'<tr><td style="opacity:.65;padding-right:1em">{name}</td><td>{value}</td></tr>'
        for name, value in rows.items()
    )
    return f'<table style="font-size:.875em;line-height:1.5;margin:.4em 1em">{cells}</table>'


def _import_viser() -> ModuleType:
    try:
        return import_module('viser')
    except ImportError as error:
        raise ConfigurationError(
            f'the live view cannot be shown ({error}); pip install "leconvmn_ros[view]"'
        ) from error


def _serve(viser: ModuleType, host: str, port: int) -> Any:
    # viser prints a box; a node has a log of its own.
    with redirect_stdout(io.StringIO()):
        return viser.ViserServer(host=host, port=port, verbose=False)
