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

"""Draws the band of electrodes as SVG, with the state and position of each."""

from collections.abc import Sequence
from html import escape
from math import cos, pi, sin

COLOURS = {
    'good': '#2b9a66',
    'flat': '#c92a2a',
    'saturated': '#c92a2a',
    'hum': '#d9750b',
    'weak': '#b8860b',
}
# Faults are marked by words, too, not by colour alone.
MARKS = {'good': '', 'flat': 'flat', 'saturated': 'max', 'hum': 'hum', 'weak': 'weak'}
SIZE, RADIUS, DOT = 210, 62, 13  # of the picture, a ring and an electrode
# Distance of a word from its electrode, outwards.
OUTSIDE = 28
RING_GAP = 30
# A larger number is drawn as rows of squares.
MOST_ON_RINGS = 32


def band_picture(contacts: Sequence[str], rings: Sequence[Sequence[int]] = ()) -> str:
    """Return an SVG of the electrodes, seen from the elbow towards the hand.

    Args:
        contacts: state of each electrode, as in COLOURS.
        rings: channels of each ring in order around the arm; a single ring if empty.
    """
    if not contacts:
        return ''
    if len(contacts) > MOST_ON_RINGS:
        return _grid(contacts)
    known = [[channel for channel in ring if channel < len(contacts)] for ring in rings]
    known = [ring for ring in known if ring] or [list(range(len(contacts)))]
    middle = SIZE / 2
    radii = [RADIUS - RING_GAP * place for place in range(len(known))]
    parts = []
    for ring, radius in zip(known, radii, strict=True):
        around = max(radius, 12)
        parts.append(
            f'<circle cx="{middle}" cy="{middle}" r="{around}" fill="none" '
            'stroke="currentColor" stroke-opacity=".25" stroke-width="10"/>'
        )
        for place, channel in enumerate(ring):
            angle = 2 * pi * place / len(ring) - pi / 2
            parts.append(_electrode(middle, around, angle, channel, contacts[channel]))
    return (
        f'<svg viewBox="0 0 {SIZE} {SIZE}" width="{SIZE}" height="{SIZE}" role="img" '
        f'aria-label="{_summary(contacts)}" style="display:block;margin:auto;max-width:100%">'
        f'{"".join(parts)}</svg>'
    )


def _electrode(middle: float, around: float, angle: float, channel: int, contact: str) -> str:
    colour, mark = COLOURS[contact], MARKS[contact]
    x, y = middle + around * cos(angle), middle + around * sin(angle)
    dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{DOT}" fill="{colour}"/>'
    number = _word(x, y, f'{channel + 1}', 'white')
    if not mark:
        return dot + number
    away = around + OUTSIDE
    return (
        dot + number + _word(middle + away * cos(angle), middle + away * sin(angle), mark, colour)
    )


def _word(x: float, y: float, text: str, colour: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y + 4:.1f}" font-size="11" text-anchor="middle" fill="{colour}">'
        f'{text}</text>'
    )


def _grid(contacts: Sequence[str]) -> str:
    squares = ''.join(
        f'<span title="{channel} {contact}" style="display:inline-block;width:10px;height:10px;'
        f'margin:1px;background:{COLOURS[contact]}"></span>'
        for channel, contact in enumerate(contacts, start=1)
    )
    return f'<div role="img" aria-label="{_summary(contacts)}">{squares}</div>'


def _summary(contacts: Sequence[str]) -> str:
    bad = [f'{k} {contact}' for k, contact in enumerate(contacts, 1) if contact != 'good']
    return escape(f'{len(contacts)} electrodes; {", ".join(bad) or "all good"}')
