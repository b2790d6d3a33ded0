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

"""The guide on the page, the picture of the band, and dark mode."""

import gzip
from types import SimpleNamespace
from xml.etree import ElementTree as ET

from leconvmn_ros.view.colour_scheme import COOKIE, prefers_dark, with_script
from leconvmn_ros.view.electrode_picture import band_picture, MOST_ON_RINGS
from leconvmn_ros.view.guide_panel import BUTTONS, GuidePanel, short_text, status_text
from leconvmn_ros.view.page import LiveView
from leconvmn_ros.view.signals import GUIDE_MEMORY, LiveSignals
from leconvmn_ros.wearing.status import GuideStatus
import pytest
from websockets.datastructures import Headers

MOVE = GuideStatus(
    state='move',
    title='Fist: hold',
    following='pinch',
    left=1.2,
    span=2.0,
    done=3,
    total=32,
    remaining=100.0,
    actions=('pause', 'redo'),
)


def test_the_text_says_what_to_do_what_comes_next_and_how_far_it_is():
    text = status_text(MOVE)
    for part in ('Fist: hold', '>2<', 'next: <b>pinch</b>', '3 of 32 repetitions, 1:40 to go'):
        assert part in text
    assert 'width:40.0%' in text  # of the hold
    assert short_text(MOVE) == 'Fist: hold  2'
    rest = MOVE.model_copy(update={'state': 'rest', 'title': 'Rest'})
    assert short_text(rest) == 'Rest, next: pinch  2'


def test_texts_of_the_topic_are_never_html():
    hostile = '<img src=x onerror=alert(1)>'
    status = GuideStatus(
        state='check', **dict.fromkeys(('title', 'message', 'following', 'note', 'score'), hostile)
    )
    assert '<img' not in status_text(status)
    assert status_text(status).count('&lt;img') == 5


def test_the_score_and_the_progress_of_a_training_are_shown():
    status = GuideStatus(state='training', title='Training', progress=0.625, score='CC 0.91')
    assert '62 %' in status_text(status)
    assert 'CC 0.91' in status_text(status)


def dots(svg):
    root = ET.fromstring(svg)  # noqa: S314 - our own
    return [c for c in root.iter('circle') if c.get('fill') != 'none'], [
        (t.text, t.get('fill')) for t in root.iter('text')
    ]


def test_the_band_shows_each_electrode_and_names_what_is_wrong_not_by_colour_alone():
    circles, texts = dots(band_picture(['good', 'flat', 'hum', 'weak', 'saturated']))
    assert len(circles) == 5
    words = [text for text, _ in texts]
    assert [word for word in words if word.isdigit()] == ['1', '2', '3', '4', '5']
    assert {'flat', 'hum', 'weak', 'max'} <= set(words)
    assert circles[0].get('fill') != circles[1].get('fill')


def test_two_rings_are_two_rings_and_a_ring_of_other_channels_is_no_error():
    circles, _ = dots(band_picture(['good'] * 16, [range(8), range(8, 16)]))
    radii = {
        round(((float(c.get('cx')) - 105) ** 2 + (float(c.get('cy')) - 105) ** 2) ** 0.5)
        for c in circles
    }
    assert len(radii) == 2
    assert len(dots(band_picture(['good'] * 4, [range(99)]))[0]) == 4
    assert band_picture([]) == ''
    assert band_picture(['hum'] * (MOST_ON_RINGS + 1)).count('<span') == MOST_ON_RINGS + 1


class Handle(SimpleNamespace):
    """Counts the updates sent to the browser."""

    def __setattr__(self, name, value):
        if 'sent' in self.__dict__:
            self.sent.append(name)
        self.__dict__[name] = value

    def on_click(self, press):
        self.__dict__['press'] = press

    on_trigger = on_click


class Gui:
    """The part of viser that the panel uses."""

    def __init__(self):
        self.made = {}

    def add_html(self, content, *, visible):
        return self._add(f'html {len(self.made)}', content=content, visible=visible)

    def add_button(self, label, *, visible, color):
        return self._add(label, visible=visible, color=color)

    def add_command(self, label, *, hotkey, disabled):
        return self._add(hotkey, label=label, disabled=disabled)

    def _add(self, name, **values):
        self.made[name] = handle = Handle(**values)
        handle.__dict__['sent'] = []
        return handle


def test_a_button_and_its_key_work_only_while_they_are_offered():
    gui, pressed = Gui(), []
    panel = GuidePanel(gui, pressed.append)
    panel.show(MOVE, ())
    assert gui.made['Pause (P)'].visible
    assert not gui.made['P'].disabled
    assert not gui.made['Start (S)'].visible
    for name in ('Pause (P)', 'R', 'S', 'Start (S)'):
        gui.made[name].press(None)
    assert pressed == ['pause', 'redo']
    panel.show(None, ())
    gui.made['P'].press(None)
    assert pressed == ['pause', 'redo']
    assert not any(handle.__dict__.get('visible') for handle in gui.made.values())


def test_what_does_not_change_is_not_sent_again():
    gui = Gui()
    panel = GuidePanel(gui, lambda _: None)
    panel.show(MOVE, ())
    for handle in gui.made.values():
        handle.sent.clear()
    panel.show(MOVE, ())
    assert all(not handle.sent for handle in gui.made.values())


def test_every_button_has_a_key_of_its_own_for_one_hand():
    keys = [button.key for button in BUTTONS.values()]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 1 for key in keys)


def test_a_guide_that_is_gone_is_not_shown_and_what_is_missing_is_said():
    now = [0.0]
    signals = LiveSignals(clock=lambda: now[0])
    assert signals.guide is None
    assert 'Waiting for EMG' in signals.waiting_for()
    signals.add_guide(MOVE)
    assert signals.guide == MOVE
    now[0] += GUIDE_MEMORY + 0.1
    assert signals.guide is None


def response(body, **headers):
    made = SimpleNamespace(body=body, headers=Headers(**headers))
    with_script(made)
    return made


@pytest.mark.parametrize('encoding', ['identity', 'gzip'])
def test_the_page_tells_which_theme_its_browser_prefers(encoding):
    page = b'<html><head><title>x</title></head></html>'
    body = gzip.compress(page) if encoding == 'gzip' else page
    made = response(
        body,
        **{
            'Content-Type': 'text/html; charset=utf-8',
            'Content-Encoding': encoding,
            'Content-Length': str(len(body)),
        },
    )
    assert made.body.startswith(b'<html><head><script>')
    assert made.headers['Content-Length'] == str(len(made.body))
    assert made.headers['Content-Encoding'] == 'identity'
    other = response(b'<head>', **{'Content-Type': 'application/javascript'})
    assert other.body == b'<head>'


@pytest.mark.parametrize(
    ('cookie', 'dark'),
    [
        (f'{COOKIE}=1', True),
        (f'a=b; {COOKIE}=1', True),
        (f'{COOKIE}=0', False),
        ('', False),
        ('a="', False),
    ],
)
def test_the_server_reads_it_from_the_cookie(cookie, dark):
    headers = Headers()
    headers['Cookie'] = cookie
    assert prefers_dark(SimpleNamespace(request=SimpleNamespace(headers=headers))) == dark
    assert not prefers_dark(None)


def test_the_served_page_has_the_script():
    from http.client import HTTPConnection

    pytest.importorskip('viser', reason='viser is not installed')
    view = LiveView('127.0.0.1', 8260, 'left')
    try:
        connection = HTTPConnection(view.url.removeprefix('http://'), timeout=30)
        connection.request('GET', '/', headers={'Accept-Encoding': 'gzip'})
        content = connection.getresponse().read()
        connection.close()
        assert COOKIE.encode() in content
    finally:
        view.close()
