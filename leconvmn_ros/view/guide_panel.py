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

"""The part of the page that guides a wearer: instructions, time left, buttons.

Texts come over a topic, so they are escaped and never interpreted as HTML.
"""

from collections.abc import Callable, Sequence
from html import escape
from math import ceil
from typing import Any, get_args, NamedTuple

from leconvmn_ros.view.electrode_picture import band_picture
from leconvmn_ros.wearing.status import Action, GuideStatus


class Button(NamedTuple):
    """A button of the page.

    Attributes:
        label: its label.
        key: its keyboard shortcut.
        colour: a colour of viser, None = the usual one.
    """

    label: str
    key: str
    colour: str | None = None


# Single keys, because the other hand takes part in the session.
BUTTONS: dict[Action, Button] = {
    'start': Button('Start', 'S', 'green'),
    'start_anyway': Button('Start with this signal', 'A', 'orange'),
    'pause': Button('Pause', 'P'),
    'redo': Button('Repeat that one', 'R', 'gray'),
    'use': Button('Use the last decoder', 'U', 'green'),
    'adapt': Button('Adapt it to how the band sits now', 'D', 'green'),
    'train': Button('Record and train again', 'T', 'gray'),
}
BAR, BACK = '#2a78b8', 'rgba(128,128,128,.25)'
BLOCK = 'margin:.3em 1em;line-height:1.4'
# In these states the hand matters; the band is shown before them, and when it is bad.
WHILE_MOVING = ('countdown', 'move', 'rest')


class GuidePanel:
    """Text, picture and buttons in the main panel of the page."""

    def __init__(self, gui: Any, on_action: Callable[[Action], None]) -> None:
        """Create all elements, hidden until there is a status.

        Args:
            gui: GUI of the viser server.
            on_action: called from a thread of the server when a button is pressed.
        """
        self._text = gui.add_html('', visible=False)
        self._actions: dict[Action, tuple[Any, Any]] = {}
        self._possible: frozenset[Action] = frozenset()
        for action in get_args(Action):
            self._actions[action] = self._add_button(gui, action, on_action)
        self._picture = gui.add_html('', visible=False)

    def _add_button(
        self, gui: Any, action: Action, on_action: Callable[[Action], None]
    ) -> tuple[Any, Any]:
        look = BUTTONS[action]

        def press(_: Any) -> None:
            if action in self._possible:
                on_action(action)

        button = gui.add_button(f'{look.label} ({look.key})', visible=False, color=look.colour)
        button.on_click(press)
        command = gui.add_command(look.label, hotkey=look.key, disabled=True)
        command.on_trigger(press)
        return button, command

    def show(self, status: GuideStatus | None, rings: Sequence[Sequence[int]]) -> None:
        """Show a status; None hides everything."""
        self._possible = frozenset(status.actions if status is not None else ())
        for action, (button, command) in self._actions.items():
            _set(button, 'visible', action in self._possible)
            _set(command, 'disabled', action not in self._possible)
        _set(self._text, 'visible', status is not None)
        picture = '' if status is None else _electrodes(status, rings)
        _set(self._picture, 'visible', bool(picture))
        if status is not None:
            _set(self._text, 'content', status_text(status))
            _set(self._picture, 'content', picture)


def _set(handle: Any, name: str, value: object) -> None:
    """Set a property only if it changes, since each change is sent to the browser."""
    if getattr(handle, name) != value:
        setattr(handle, name, value)


def status_text(status: GuideStatus) -> str:
    """Return a status as HTML."""
    title = f'{escape(status.title or status.session)}{_countdown(status)}'
    look = f'{BLOCK};font-size:1.35em;font-weight:600'
    parts = [f'<div style="{look}" role="status">{title}</div>']
    if status.span > 0:
        parts.append(_bar(1 - status.left / max(status.span, status.left)))
    if status.following:
        parts.append(f'<div style="{BLOCK}">next: <b>{escape(status.following)}</b></div>')
    if status.message:
        parts.append(f'<div style="{BLOCK}">{escape(status.message)}</div>')
    if status.score:
        parts.append(f'<div style="{BLOCK};font-weight:600">{escape(status.score)}</div>')
    if status.state == 'training':
        parts.append(_bar(status.progress))
        parts.append(f'<div style="{BLOCK};opacity:.75">{100 * status.progress:.0f} %</div>')
    elif status.total:
        minutes, seconds = divmod(round(status.remaining), 60)
        parts.append(_bar(status.done / status.total))
        parts.append(
            f'<div style="{BLOCK};opacity:.75;font-size:.85em">{status.done} of {status.total} '
            f'repetitions{f", {minutes}:{seconds:02d} to go" if status.remaining else ""}</div>'
        )
    if status.note and status.state not in WHILE_MOVING:
        parts.append(
            f'<div style="{BLOCK};opacity:.75;font-size:.85em">{escape(status.note)}</div>'
        )
    return ''.join(parts)


def _countdown(status: GuideStatus) -> str:
    seconds = seconds_left(status)
    return f' <span style="opacity:.6">{seconds}</span>' if seconds else ''


def seconds_left(status: GuideStatus) -> int:
    """Return the countdown in whole seconds, 0 if there is none."""
    if status.state not in WHILE_MOVING or status.left <= 0:
        return 0
    return ceil(status.left)


def short_text(status: GuideStatus) -> str:
    """Return the text beside the hand to follow, where the wearer looks."""
    what = status.title
    if status.state in {'countdown', 'rest'} and status.following:
        what = f'{status.title}, next: {status.following}'
    seconds = seconds_left(status)
    return f'{what}  {seconds}' if seconds else what


def _bar(share: float) -> str:
    percent = 100 * min(max(share, 0.0), 1.0)
    return (
        f'<div style="margin:.4em 1em;height:6px;border-radius:3px;background:{BACK}">'
        f'<div style="width:{percent:.1f}%;height:6px;border-radius:3px;background:{BAR}"></div>'
        '</div>'
    )


def _electrodes(status: GuideStatus, rings: Sequence[Sequence[int]]) -> str:
    bad = any(contact != 'good' for contact in status.contacts)
    if not status.contacts or (status.state in (*WHILE_MOVING, 'training', 'live') and not bad):
        return ''
    advice = f'<div style="{BLOCK};font-size:.85em">{escape(status.advice)}</div>'
    return (
        f'<div style="{BLOCK};opacity:.75;font-size:.85em">Electrodes, seen from the elbow</div>'
        f'{band_picture(status.contacts, rings)}{advice if status.advice else ""}'
    )
