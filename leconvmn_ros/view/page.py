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

"""The live page in the browser: the moving hand, EMG, joint angles, state of the decoder.

It uses viser: an installation of 50 MB (rerun: 650 MB), a page of 0.8 MB that loads nothing from
elsewhere, frames that turn in the browser, plots, and no state that grows without viewers.
The page has no password: anybody who can reach its address sees the signals. Foreign pages in the
same browser are kept out, see `same_origin`.

If a guide runs, the page guides the wearer: it shows the hand to follow, instructions and buttons.
"""

from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from html import escape
from importlib import import_module
import io
from math import pi
from pathlib import Path
import socket
from types import ModuleType
from typing import Any

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.hands.urdf import hand_urdf, Side
from leconvmn_ros.view.colour_scheme import prefers_dark, with_script
from leconvmn_ros.view.guide_panel import GuidePanel, short_text
from leconvmn_ros.view.hand_drawing import DrawnHand
from leconvmn_ros.view.plots import AnglePlots, EmgPlot, PANEL_WIDTH, TEXT
from leconvmn_ros.view.robot_hand import RobotHand
from leconvmn_ros.view.same_origin import guarded_server, SameOrigin
from leconvmn_ros.view.signals import LATE, LiveSignals, LiveStatus
from leconvmn_ros.view.urdf_frames import read_frames, wxyz
from leconvmn_ros.wearing.status import Action, GuideStatus
from scipy.spatial.transform import Rotation

# Plots change more slowly than the hand, so only one of this many frames draws them.
FRAMES_PER_PLOT = 3
BESIDE, OVER, HIDDEN = 'beside the estimate', 'over the estimate', 'hidden'
ESTIMATE_SKIN, REFERENCE_SKIN, CUE_SKIN = (214, 88, 66), (128, 132, 138), (66, 140, 214)
OVER_OPACITY = 0.4

# A hand stands with its fingers up and its palm to the viewer, turned far enough to show bending
# from the side (rad).
ASIDE = {'right': 0.75, 'left': -0.75}
# Distance between the centres of two hands side by side (m).
APART = 0.15
ROBOT_HEIGHT = 0.035  # of the root of a robot hand above the floor (m)
GRID = (160, 160, 160)  # visible on light and dark backgrounds
CAMERA, CAMERA_TARGET = (0.36, 0.0, 0.17), (0.0, 0.01, 0.09)
# On a phone the panels cover the lower half, so the hands are moved to the upper one.
NARROW = 0.8  # width over height
NARROW_CAMERA, NARROW_TARGET = (0.5, 0.0, 0.09), (0.0, 0.01, -0.01)


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
        on_action: Callable[[Action], None] = lambda _: None,
        robot_urdf: Path | None = None,
        robot_prefix: str = '',
    ) -> None:
        """Start serving.

        Args:
            host: address to listen on; 127.0.0.1 is this machine only.
            port: port to listen on; the next free one if it is taken.
            side: the hand to show.
            allowed_origins: foreign pages that may connect, such as `http://lab-pc:8080`.
            on_refused: called from another thread with the reason of a refused request.
            on_action: called from another thread when a button of the guide is pressed.
            robot_urdf: URDF of a robot hand to show beside the human one, None for none.
            robot_prefix: prefix of the profile's names in that URDF.

        Raises:
            ConfigurationError: viser is not installed, the address does not exist, or an origin
                is invalid.
        """
        viser = import_viser()
        self._server = _serve(viser, host, port, SameOrigin(host, allowed_origins, on_refused))
        self.url = f'http://{host}:{self._server.get_port()}'
        self._frame = self._plotted = 0
        self._server.on_client_connect(self._welcome)
        self._lay_out(side, on_action)
        self._robot: RobotHand | None = None
        if robot_urdf is not None:
            try:
                upright = wxyz(Rotation.from_euler('z', ASIDE[side]))
                self._robot = RobotHand(
                    self._server, robot_urdf, robot_prefix, upright, ROBOT_HEIGHT
                )
            except ConfigurationError:
                self.close()
                raise

    def close(self) -> None:
        """Stop serving."""
        self._server.stop()

    def draw(self, signals: LiveSignals) -> None:
        """Draw the present signals; costs nothing while no page is open."""
        if not self._server.get_clients():
            return
        guide = signals.guide
        with self._server.atomic():
            self._place_hands(signals, guide)
            self._estimate.show(signals.estimate.latest)
            self._reference.show(signals.reference.latest)
            self._cue.show(signals.cue.latest)
            if self._robot is not None:
                self._robot.show(signals.robot)
        if self._frame % FRAMES_PER_PLOT == 0:
            self._show_texts(signals, guide)
            if signals.messages != self._plotted:  # do not redraw an unchanged page
                self._plotted = signals.messages
                if _leads(guide) is None:
                    self._angles.show(signals)
                self._emg.show(signals)
        self._frame += 1

    def _show_texts(self, signals: LiveSignals, guide: GuideStatus | None) -> None:
        self._guide.show(guide, signals.rings)
        leads = _leads(guide) is not None
        if guide is not None and self._cue.label.text != (text := short_text(guide)):
            self._cue.label.text = text
        self._angles.visible = not leads and bool(signals.estimate.latest)
        waiting = '' if leads else signals.waiting_for()
        if self._waiting.visible != bool(waiting):
            self._waiting.visible = bool(waiting)
        if waiting and self._waiting.content != (text := _banner(waiting)):
            self._waiting.content = text
        self._status.content = _status_table(signals.status(), signals.movement)
        if self._choice.visible != bool(signals.reference.latest):
            self._choice.visible = bool(signals.reference.latest)

    def _welcome(self, client: Any) -> None:
        """Give a newly opened page the theme of its browser, and a suitable view."""
        connections = self._server._websock_server._live_connections  # noqa: SLF001 - no other way
        client.gui.configure_theme(
            dark_mode=prefers_dark(connections.get(client.client_id)),
            show_logo=False,
            show_share_button=False,
        )
        if client.camera.aspect < NARROW:
            client.camera.position, client.camera.look_at = NARROW_CAMERA, NARROW_TARGET

    def _lay_out(self, side: Side, on_action: Callable[[Action], None]) -> None:
        gui, scene = self._server.gui, self._server.scene
        gui.set_panel_label('leconvmn_ros')
        # No shadows or environment map: they would cost more than everything else.
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
        self._estimate = DrawnHand(scene, 'estimated', frames, pose, ESTIMATE_SKIN)
        self._reference = DrawnHand(scene, 'measured', frames, pose, REFERENCE_SKIN)
        self._cue = DrawnHand(scene, 'follow this hand', frames, pose, CUE_SKIN, label_above=True)
        self._angles = AnglePlots(gui)
        self._waiting = gui.add_html('', visible=False)
        self._guide = GuidePanel(gui, on_action)
        self._status = gui.add_html('')
        self._choice = gui.add_dropdown('Measured hand', (BESIDE, OVER, HIDDEN), visible=False)
        self._emg = EmgPlot(gui)
        gui.main_panel.dock_right()
        gui.main_panel.set_width(PANEL_WIDTH)

    def _place_hands(self, signals: LiveSignals, guide: GuideStatus | None) -> None:
        """Put the hands side by side; hands without a source are hidden."""
        leads = _leads(guide) is not None
        choice = self._choice.value if signals.reference.latest and not leads else HIDDEN
        beside: list[DrawnHand | RobotHand] = []
        if leads and signals.cue.latest:
            beside.append(self._cue)
        if not beside or signals.estimating:
            beside.append(self._estimate)
        if choice == BESIDE:
            beside.append(self._reference)
        if self._robot is not None:
            shown = bool(signals.robot) and not leads
            if shown:
                beside.append(self._robot)
            if self._robot.root.visible != shown:
                self._robot.root.visible = shown
        for place, hand in enumerate(beside):
            hand.place((place - (len(beside) - 1) / 2) * APART)
        if choice == OVER:
            self._reference.place(0.0, opacity=OVER_OPACITY)
        for hand in (self._cue, self._estimate, self._reference):
            hand.visible = hand in beside or (hand is self._reference and choice == OVER)
        # Show only one name if the hands are on top of each other.
        self._reference.label.visible = choice == BESIDE


def _leads(guide: GuideStatus | None) -> GuideStatus | None:
    """Return the status if a guide leads; with a running decoder the signals come first."""
    return None if guide is None or guide.state == 'live' else guide


def _banner(text: str) -> str:
    return f'<div style="{TEXT};font-weight:600" role="status">{escape(text)}</div>'


def _status_table(status: LiveStatus, movement: tuple[int, int] | None) -> str:
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
        'messages rejected': f'{status.refused}',
    }
    if movement is not None:
        number, repetition = movement
        rows['movement'] = f'{number}, repetition {repetition}' if number else 'rest'
    cells = ''.join(
        f'<tr><td style="opacity:.65;padding-right:1.2em">{name}</td><td>{value}</td></tr>'
        for name, value in rows.items()
    )
    return f'<table style="{TEXT}">{cells}</table>'


def import_viser() -> ModuleType:
    """Import the library, which belongs to an extra.

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
        # viser would search for a free port forever.
        socket.create_server((host, 0)).close()
    except OSError as error:
        raise ConfigurationError(f'cannot serve at host {host!r}: {error.strerror}') from error
    infrastructure = import_module('viser.infra._infra')
    # viser prints a box; a node has its own log.
    with redirect_stdout(io.StringIO()), guarded_server(infrastructure, policy, with_script):
        server = viser.ViserServer(host=host, port=port, verbose=False)
    # A page can request a public address on the internet; EMG must not leave that way.
    server.request_share_url = lambda: None
    return server
