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

"""The page that leads a wearer, in a real browser: what it says, and that its keys do it."""

from importlib.util import find_spec
import re
import time

from browser import find_browser, running_browser
from leconvmn_ros.wearing.status import parse_status
from node_harness import LATCHED
import pytest
from std_msgs.msg import String

needs_viser = pytest.mark.skipif(
    find_spec('viser') is None, reason='GUIDE PAGE UNTRIED: viser is not installed'
)
needs_browser = pytest.mark.skipif(
    find_browser() is None, reason='GUIDE PAGE NOT LOOKED AT: there is no Chromium here'
)


def press(page, key):
    """Press a key, as a wearer does with the free hand."""
    for kind in ('keyDown', 'keyUp'):
        page.call(
            'Input.dispatchKeyEvent',
            type=kind,
            key=key.lower(),
            code=f'Key{key}',
            windowsVirtualKeyCode=ord(key),
        )


@needs_viser
@needs_browser
@pytest.mark.browser
@pytest.mark.timeout(600)  # the picture is computed without a graphics card
def test_a_session_is_led_by_the_page_and_its_keys(ros, start, tmp_path):
    start('simulated_wearer')
    start('guide', parameters={'session': 'quick', 'output': str(tmp_path / 'me')})
    viewer = start('viewer', parameters={'port': 8340, 'frame_rate': 2.0})
    viewer.wait_for_text('live view: ')
    url = re.search(r'live view: (\S+)', viewer.text)[1]
    statuses = ros.collect('/guide_status', String, LATCHED)

    def state():
        return parse_status(statuses[-1].message.data).state if statuses else ''

    with running_browser(find_browser(), tmp_path / 'profile') as browser:
        page = browser.new_page()
        page.open(url, 960, 700)
        page.wait_for("document.querySelectorAll('canvas').length > 0")
        says = "document.body.innerText.includes('{}')"
        page.wait_for(says.format('The signal is good'))
        page.wait_for(says.format('the wrist is not included'))
        page.wait_for(says.format('Start (S)'))
        assert page.evaluate("document.querySelectorAll('svg[role=img] circle').length") >= 8
        press(page, 'P')  # not offered: nothing happens
        press(page, 'S')
        assert ros.spin_until(lambda: state() in {'countdown', 'move'}, 60)
        page.wait_for(says.format('0 of 15 repetitions'))
        page.wait_for(says.format('follow the hand'))
        page.wait_for(says.format('Pause (P)'))
        assert not page.evaluate(says.format('Start (S)'))
        press(page, 'P')
        assert ros.spin_until(lambda: state() == 'paused', 60)
        page.wait_for(says.format('Paused'))
        # A button that is clicked does the same.
        page.evaluate(
            "[...document.querySelectorAll('button')].find("
            "button => button.innerText.includes('Start (S)')).click()"
        )
        assert ros.spin_until(lambda: state() in {'countdown', 'move'}, 60)
        assert page.errors == []
        page.close()


@needs_viser
@needs_browser
@pytest.mark.browser
@pytest.mark.timeout(300)
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_the_page_is_as_dark_as_the_browser(start, tmp_path, scheme):
    viewer = start('viewer', parameters={'port': 8350, 'frame_rate': 1.0})
    viewer.wait_for_text('live view: ')
    url = re.search(r'live view: (\S+)', viewer.text)[1]
    with running_browser(find_browser(), tmp_path / 'profile') as browser:
        page = browser.new_page()
        page.call(
            'Emulation.setEmulatedMedia',
            features=[{'name': 'prefers-color-scheme', 'value': scheme}],
        )
        page.open(url, 390, 844)
        page.wait_for("document.body.innerText.includes('Waiting for EMG')")
        shown = "document.documentElement.getAttribute('data-mantine-color-scheme')"
        deadline = time.monotonic() + 60
        while page.evaluate(shown) != scheme:
            assert time.monotonic() < deadline, page.evaluate(shown)
            time.sleep(0.2)
        page.close()
