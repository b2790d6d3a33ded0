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
The page has no password: who reaches its address sees the signals. Foreign pages in the same
browser do not, see `same_origin`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from importlib import import_module
import io
from math import pi
import socket
from types import ModuleType
from typing import Any

from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.hands.urdf import hand_urdf, Side
from leconvmn_ros.joints import JOINT_NAMES
from leconvmn_ros.palette import ESTIMATE_COLOUR
from leconvmn_ros.recording import NANOSECONDS
from leconvmn_ros.view.same_origin import guarded_server, SameOrigin
from leconvmn_ros.view.signals import ANGLE_PERIOD_NS, BINS, LATE, LiveSignals, LiveStatus, WINDOW
from leconvmn_ros.view.urdf_frames import Frame, read_frames, Shape, wxyz
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

# Plots change more slowly than the hand: one of so many frames draws them.
FRAMES_PER_PLOT = 3
# A joint that turned by less is not drawn again (rad): nobody would see it.
LEAST_TURN = 2e-3
CHANNEL_STEPS = (1, 2, 5, 10, 20, 50)  # from one number at the EMG to the next
BESIDE, OVER, HIDDEN = 'beside the estimate', 'over the estimate', 'hidden'
ESTIMATE_SKIN, REFERENCE_SKIN = (214, 88, 66), (128, 132, 138)
OVER_OPACITY = 0.4
ANGLE_POINTS = round(WINDOW * NANOSECONDS / ANGLE_PERIOD_NS)
# The first joint of a finger, and the next.
JOINT_COLOURS = (ESTIMATE_COLOUR, '#2a78b8')
EMG_COLOUR = '#4a5a6a'
MEASURED_COLOUR = '#b4b4b4'
ANGLE_RANGE = (-30.0, 130.0)  # degrees
EMG_HEIGHT = 500  # pixels
PANEL_WIDTH = 310  # pixels
TEXT = 'font-size:.8125em;line-height:1.5;margin:.3em 1em'

# A hand stands with its fingers up and its palm to the viewer, but turned so far that bending is
# seen from the side (rad).
ASIDE = {'right': 0.75, 'left': -0.75}
# Distance between the middles of two hands that are side by side (m).
APART = 0.15
FLOOR = 0.035  # the wrist stands above it (m)
GRID = (225, 225, 225)
CAMERA, CAMERA_TARGET = (0.36, 0.0, 0.17), (0.0, 0.01, 0.09)


class LiveView:
    """Serves the page and draws on it."""

    def __init__(
        self,
        host: str,
        port: int,
        side: Side,
        *,
        allowed_origins: Sequence[str] = (),
        on_refused: Callable[[str], None] | None = None,
    ) -> None:
        """Start to serve.

        Args:
            host: address to listen at; 127.0.0.1 is this machine alone.
            port: port to listen at; the next free one if it is taken.
            side: which hand to show.
            allowed_origins: pages that may connect besides our own, such as `http://lab-pc:8080`.
            on_refused: called, from another thread, with what was refused.

        Raises:
            ConfigurationError: viser is not installed, there is no such address, or an origin is
                none.
        """
        viser = import_viser()
        self._server = _serve(viser, host, port, SameOrigin(host, allowed_origins, on_refused))
        self.url = f'http://{host}:{self._server.get_port()}'
        self._frame = self._plotted = 0
        self._lay_out(side)

    def close(self) -> None:
        """Stop serving."""
        self._server.stop()

    def draw(self, signals: LiveSignals) -> None:
        """Show what there is; costs nothing while no page is open."""
        if not self._server.get_clients():
            return
        with self._server.atomic():
            self._place_hands(measured=bool(signals.reference.latest))
            self._estimate.show(signals.estimate.latest)
            self._reference.show(signals.reference.latest)
        if self._frame % FRAMES_PER_PLOT == 0:
            if signals.messages != self._plotted:  # else a silent page would be drawn again
                self._plotted = signals.messages
                self._angles.show(signals)
                self._emg.show(signals)
            self._status.content = _status_table(signals.status())
        self._frame += 1

    def _lay_out(self, side: Side) -> None:
        gui, scene = self._server.gui, self._server.scene
        gui.configure_theme(show_logo=False, show_share_button=False)
        gui.set_panel_label('leconvmn_ros')
        # Neither shadows nor a picture of the surroundings: they cost more than all the rest.
        scene.configure_environment_map(None)
        scene.configure_default_lights(cast_shadow=False)
        scene.add_light_hemisphere('/sky', intensity=2.0)
        scene.add_grid(
            '/floor', width=1.0, height=1.0, cell_size=0.05, cell_color=GRID, section_color=GRID
        )
        self._server.initial_camera.position = CAMERA
        self._server.initial_camera.look_at = CAMERA_TARGET
        frames = read_frames(hand_urdf(side))
        pose = wxyz(Rotation.from_euler('z', ASIDE[side]) * Rotation.from_euler('y', -pi / 2))
        self._estimate = _Hand(scene, 'estimated', frames, pose, ESTIMATE_SKIN)
        self._reference = _Hand(scene, 'measured', frames, pose, REFERENCE_SKIN)
        self._angles = _AnglePlots(gui)
        self._status = gui.add_html('')
        self._choice = gui.add_dropdown('Measured hand', (BESIDE, OVER, HIDDEN))
        self._emg = _EmgPlot(gui)
        gui.main_panel.dock_right()
        gui.main_panel.set_width(PANEL_WIDTH)

    def _place_hands(self, *, measured: bool) -> None:
        """Put the hands where the user wants them; the measured one only if there is one."""
        choice = self._choice.value if measured else HIDDEN
        aside = APART / 2 if choice == BESIDE else 0.0
        self._estimate.place(-aside)
        self._reference.place(aside, opacity=OVER_OPACITY if choice == OVER else None)
        self._reference.root.visible = choice != HIDDEN
        # One name says what stands there; two on top of each other say nothing.
        self._reference.label.visible = choice == BESIDE


class _Hand:
    """A hand in the scene; the browser does the kinematics, since its frames are nested."""

    def __init__(
        self,
        scene: Any,
        name: str,
        frames: list[Frame],
        pose: NDArray[np.float64],
        colour: tuple[int, int, int],
    ) -> None:
        self.root = scene.add_frame(f'/{name}', show_axes=False, wxyz=pose)
        self._links: list[Any] = []
        self._moving: list[tuple[Frame, Any]] = []
        self._shown: dict[str, float] = {}
        self._placed: tuple[float, float | None] | None = None
        for frame in frames:
            path = f'/{name}/{frame.path}'
            handle = scene.add_frame(
                path, show_axes=False, position=frame.position, wxyz=wxyz(frame.rotation)
            )
            if frame.shapes:
                mesh = _mesh(frame.shapes)
                self._links.append(
                    scene.add_mesh_simple(f'{path}/mesh', mesh.vertices, mesh.faces, color=colour)
                )
            if frame.joint:
                self._moving.append((frame, handle))
        self.label = scene.add_label(
            f'/{name}/label', name, position=(-0.035, 0.0, 0.0), anchor='top-center'
        )

    def place(self, aside: float, opacity: float | None = None) -> None:
        """Move the hand (m to the right) and make it translucent or not."""
        if (aside, opacity) == self._placed:
            return
        self._placed = aside, opacity
        self.root.position = (0.0, aside, FLOOR)
        for link in self._links:
            link.opacity = opacity

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


def _mesh(shapes: Sequence[Shape]) -> Any:
    """Join the shapes of a link: a browser draws one mesh sooner than many."""
    trimesh = import_module('trimesh')  # comes with viser
    make = {
        'box': trimesh.creation.box,
        'cylinder': lambda size: trimesh.creation.cylinder(*size, sections=24),
        'sphere': lambda size: trimesh.creation.icosphere(2, *size),
    }
    parts = []
    for shape in shapes:
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = shape.rotation.as_matrix(), shape.position
        parts.append(make[shape.kind](shape.size).apply_transform(pose))
    return trimesh.util.concatenate(parts)


class _AnglePlots:
    """A plot for each finger: its two joints, estimate over reference, in degrees."""

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

    def _add_plot(self, gui: Any, finger: str, joints: list[int]) -> Any:
        names = [JOINT_NAMES[joint] for joint in joints]
        lines = [
            *(_line(f'{name} measured', MEASURED_COLOUR, 2) for name in names),
            *map(_line, names, JOINT_COLOURS, (1.5,) * len(names)),
        ]
        nothing = np.full(ANGLE_POINTS, np.nan)
        return gui.add_uplot(
            (self._seconds, *(nothing for _ in lines)),
            ({'label': 's'}, *lines),
            title=finger,
            height=98,
            legend={'show': False},
            scales={
                'x': {'time': False},
                'y': {'range': ANGLE_RANGE},
            },
            axes=({'show': False}, {'size': 38, 'space': 22, 'ticks': {'show': False}}),
            padding=(2, 8, 6, 0),
        )

    def show(self, signals: LiveSignals) -> None:
        """Draw the last seconds."""
        times = signals.angle_times()
        estimate = np.degrees(signals.estimate.trace(times))
        reference = np.degrees(signals.reference.trace(times))
        for joints, plot in self._plots:
            plot.data = (self._seconds, *reference[:, joints].T, *estimate[:, joints].T)


class _EmgPlot:
    """All channels below each other in one plot, made anew when their number changes."""

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
            # There is no channel between two channels.
            axes=(
                {'size': 30},
                {'size': 34, 'space': 20, 'incrs': CHANNEL_STEPS, 'ticks': {'show': False}},
            ),
            padding=(2, 8, 0, 0),
        )


def _lanes(trace: NDArray[np.float32], peak: float) -> list[NDArray[np.float64]]:
    """Move each channel to its own number on the axis, which counts downwards."""
    lanes = np.arange(1, trace.shape[1] + 1) - 0.8 * trace / (peak or 1.0)
    return list(lanes.T.astype(np.float64))


def _line(label: str, colour: str, width: float) -> dict[str, Any]:
    return {'label': label, 'stroke': colour, 'width': width, 'points': {'show': False}}


def _status_table(status: LiveStatus) -> str:
    latency = '-' if status.latency is None else f'{1e3 * status.latency:.1f} ms'
    emg = (
        f'{status.channels} channels, {status.emg_rate:.0f} Hz' if status.channels else 'none yet'
    )
    rows = {
        'estimates': f'{status.estimate_rate:.0f} per second',
        'latency': latency,
        f'later than {1e3 * LATE:.0f} ms': f'{status.late}',
        'EMG': emg,
        'samples lost': f'{status.lost}',
        'messages refused': f'{status.refused}',
    }
    cells = ''.join(
        f'<tr><td style="opacity:.65;padding-right:1.2em">{name}</td><td>{value}</td></tr>'
        for name, value in rows.items()
    )
    return f'<table style="{TEXT}">{cells}</table>'


def _heading(text: str) -> str:
    return f'<div style="{TEXT};opacity:.65">{text}</div>'


def _legend() -> str:
    names = ('measured', 'first joint (MCP)', 'next (PIP, IP)')
    marks = (
        f'<span style="color:{colour};white-space:nowrap">\u25ac {name}</span> '
        for name, colour in zip(names, (MEASURED_COLOUR, *JOINT_COLOURS), strict=True)
    )
    return f'<div style="{TEXT}">{"".join(marks)}</div>'


def import_viser() -> ModuleType:
    """Import the library, which is an extra.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        return import_module('viser')
    except ImportError as error:
        raise ConfigurationError(
            f'the live view cannot be shown ({error}); pip install "viser<1.2"'
        ) from error


def _serve(viser: ModuleType, host: str, port: int, policy: SameOrigin) -> Any:
    try:
        # viser would look for a free port for ever.
        socket.create_server((host, 0)).close()
    except OSError as error:
        raise ConfigurationError(f'cannot serve at host {host!r}: {error.strerror}') from error
    infrastructure = import_module('viser.infra._infra')
    # viser prints a box; a node has a log of its own.
    with redirect_stdout(io.StringIO()), guarded_server(infrastructure, policy):
        server = viser.ViserServer(host=host, port=port, verbose=False)
    # A page may ask for a public address in the network: nobody's EMG leaves by that way.
    server.request_share_url = lambda: None
    return server
