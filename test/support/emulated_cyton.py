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

"""An OpenBCI Cyton behind a pseudo-terminal, to be read by BrainFlow's real driver."""

from contextlib import suppress
import os
import pty
from threading import Event, Thread
import time
import tty

RATE = 250.0
CHANNELS = 8
# Volts for one count at the gain of 24 that the board starts with.
VOLTS = 4.5 / (2**23 - 1) / 24


def packet(number):
    """Return the packet of a sample: channel c counts 1000 * (c + 1) + number % 100."""
    body = bytearray([0xA0, number % 256])
    for channel in range(CHANNELS):
        body += (1000 * (channel + 1) + number % 100).to_bytes(3, 'big', signed=True)
    return bytes(body + bytes(6) + b'\xc0')


class EmulatedCyton:
    """A context manager; the board streams while its driver has asked for it.

    Attributes:
        port: name of the serial port.
        dropped: numbers of samples that are lost on the radio.
        muted: the radio is out of reach while this is set.
    """

    def __init__(self, dropped=()):
        self.dropped = set(dropped)
        self.muted = Event()
        self.sent = 0
        self._streaming, self._ending = Event(), Event()

    def __enter__(self):
        self._master, self._slave = pty.openpty()
        tty.setraw(self._master)
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.pull_the_cable()

    def pull_the_cable(self):
        """Make the port vanish."""
        if not self._ending.is_set():
            self._ending.set()
            self._thread.join()
            os.close(self._slave)
            os.close(self._master)

    def _run(self):
        begun = None
        while not self._ending.is_set():
            with suppress(BlockingIOError):
                self._answer(os.read(self._master, 64))
            if not self._streaming.is_set():
                begun = None
            else:
                begun = begun or time.monotonic() - self.sent / RATE
                self._send(int((time.monotonic() - begun) * RATE))
            time.sleep(0.002)

    def _answer(self, commands):
        for command in commands.decode('latin-1'):
            if command == 'v':
                os.write(self._master, b'OpenBCI V3 emulator $$$')
            elif command in '?d':
                os.write(self._master, b'default $$$')
            elif command == 'b':
                self._streaming.set()
            elif command == 's':
                self._streaming.clear()

    def _send(self, due):
        while self.sent < due:
            if self.sent not in self.dropped and not self.muted.is_set():
                with suppress(BlockingIOError):  # nobody reads
                    os.write(self._master, packet(self.sent))
            self.sent += 1
