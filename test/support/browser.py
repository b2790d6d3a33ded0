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

"""A real browser without a window, driven over the Chrome DevTools protocol."""

from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
import json
from pathlib import Path
import shutil
import subprocess
import time
from typing import Any

# Software WebGL: the machine that tests need not have a graphics card.
OPTIONS = (
    '--headless=new',
    '--no-sandbox',
    '--use-angle=swiftshader',
    '--enable-unsafe-swiftshader',
    '--remote-debugging-port=0',
    '--no-first-run',
    '--no-default-browser-check',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--hide-scrollbars',
)
PATIENCE = 120.0  # s; the picture is computed without a graphics card


def find_browser() -> str | None:
    """Return the path of a Chromium, None if there is none."""
    names = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
    return next(filter(None, map(shutil.which, names)), None)


class Page:
    """A page in the browser.

    Attributes:
        errors: what it wrote to the console as an error, and exceptions.
        requests: addresses that it asked for.
    """

    def __init__(self, address: str) -> None:
        from websockets.sync.client import connect

        self._socket = connect(address, max_size=None)
        self._number = 0
        self.errors: list[str] = []
        self.requests: list[str] = []
        for domain in ('Page', 'Runtime', 'Network', 'Log'):
            self.call(f'{domain}.enable')

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol and return its result."""
        self._number += 1
        self._socket.send(json.dumps({'id': self._number, 'method': method, 'params': parameters}))
        while True:
            message = json.loads(self._socket.recv(PATIENCE))
            if message.get('id') == self._number:
                assert 'error' not in message, message
                return message['result']
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        method, parameters = event.get('method'), event.get('params', {})
        if method == 'Network.requestWillBeSent':
            self.requests.append(parameters['request']['url'])
        elif method == 'Network.webSocketCreated':
            self.requests.append(parameters['url'])
        elif method == 'Runtime.exceptionThrown':
            self.errors.append(json.dumps(parameters['exceptionDetails']))
        elif method == 'Runtime.consoleAPICalled' and parameters['type'] == 'error':
            self.errors.append(json.dumps(parameters['args']))
        elif method == 'Log.entryAdded' and parameters['entry']['level'] == 'error':
            self.errors.append(parameters['entry']['text'])

    def open(self, url: str, width: int = 1200, height: int = 800) -> None:
        """Load a page in a window of this size."""
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call('Page.navigate', url=url)

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.call('Runtime.evaluate', expression=script, returnByValue=True)
        return answer['result'].get('value')

    def wait_for(self, script: str) -> None:
        """Wait until a JavaScript expression is true."""
        deadline = time.monotonic() + PATIENCE
        while not self.evaluate(script):
            assert time.monotonic() < deadline, f'never true: {script}'
            time.sleep(0.1)

    def screenshot(self) -> bytes:
        """Return a screenshot as PNG."""
        return b64decode(self.call('Page.captureScreenshot', format='png')['data'])

    def close(self) -> None:
        """Close the page, but not the browser."""
        self.call('Page.close')
        self._socket.close()


class Browser:
    """Opens pages; use `running_browser`."""

    def __init__(self, port: int) -> None:
        self._port = port

    def new_page(self) -> Page:
        """Open an empty page."""
        connection = HTTPConnection('127.0.0.1', self._port, timeout=PATIENCE)
        connection.request('PUT', '/json/new?about:blank')
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return Page(answer['webSocketDebuggerUrl'])


@contextmanager
def running_browser(program: str, folder: Path) -> Iterator[Browser]:
    """Run a browser with a profile in this folder within this context."""
    process = subprocess.Popen(
        [program, *OPTIONS, f'--user-data-dir={folder}', 'about:blank'],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(folder.parent / 'browser.log').open('wb'),
    )
    try:
        place = folder / 'DevToolsActivePort'
        deadline = time.monotonic() + PATIENCE
        while not (place.is_file() and place.read_text().strip()):
            assert process.poll() is None, 'the browser has ended'
            assert time.monotonic() < deadline, 'the browser does not start'
            time.sleep(0.05)
        yield Browser(int(place.read_text().split()[0]))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
