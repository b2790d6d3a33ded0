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

"""The Myo source: the real pymyo with an emulated Bluetooth client."""

import asyncio
import time

from leconvmn_ros.core.errors import SourceError
from leconvmn_ros.sources.registry import make_source
from leconvmn_ros.sources.stream import EmgStream
import numpy as np
import pytest

pymyo = pytest.importorskip('pymyo', reason='pymyo is not installed')
EMG = [f'd506{number:04x}-a904-deb9-4748-2c7f4a124842' for number in (0x105, 0x205, 0x305, 0x405)]


class Band:
    """Replaces bleak's BleakClient: an armband at 200 Hz with two samples per packet."""

    last = None

    def __init__(self, target, timeout):  # noqa: ARG002 - as bleak has it
        self.target = target
        self.is_connected = False
        self.commands = []
        self._listeners = {}
        Band.last = self

    async def connect(self):
        self.is_connected = True

    async def disconnect(self):
        self.is_connected = False
        await asyncio.gather(self._sending)

    async def start_notify(self, characteristic, callback):
        self._listeners[characteristic] = callback

    async def write_gatt_char(self, _, command, *, response):
        assert response
        self.commands.append(bytes(command))
        if command[0] == 1:  # set mode
            self._sending = asyncio.create_task(self._send())

    async def _send(self):
        sent = 0
        while self.is_connected:
            values = bytes([sent % 100, *range(1, 8), (sent + 1) % 100, *range(1, 7), 0xFF])
            self._listeners[EMG[sent // 2 % 4]](None, bytearray(values))
            sent += 2
            await asyncio.sleep(0.01)


@pytest.fixture
def source(monkeypatch):
    monkeypatch.setattr('pymyo.myo.BleakClient', Band)
    made = make_source('myo', 'address=00:11:22:33:44:55')
    yield made
    made.close()


def test_packets_become_samples_in_volts_at_their_time(source):
    description = source.open()
    assert description.rings == (tuple(range(8)),)
    stream = EmgStream(description, description.volts, np.arange(8))
    chunks, end = [], time.monotonic() + 10
    while stream.counts.samples < 60 and time.monotonic() < end:
        chunks += stream.take(source.read(), time.time())
        time.sleep(0.02)
    samples = np.concatenate([chunk.samples for chunk in chunks])
    assert np.allclose(np.diff(samples[:50, 0]), 1e-5)
    assert np.allclose(samples[::2, 7], 7e-5)
    assert np.allclose(samples[1::2, 7], -1e-5)
    assert abs(chunks[-1].stamp_ns / 1e9 - time.time()) < 2
    # Raw EMG, and it must not fall asleep.
    assert Band.last.commands == [b'\x09\x01\x01', b'\x01\x03\x03\x00\x00']


def test_a_connection_that_is_lost_is_told(source):
    source.open()
    Band.last.is_connected = False
    deadline = time.monotonic() + 5

    def read():
        while time.monotonic() < deadline:
            source.read()
            time.sleep(0.02)

    with pytest.raises(SourceError, match='the connection is lost'):
        read()


def test_a_machine_without_bluetooth_is_told(monkeypatch):
    monkeypatch.setenv('DBUS_SYSTEM_BUS_ADDRESS', 'unix:path=/nowhere/dbus')
    with pytest.raises(SourceError, match='no Myo armband: this machine has no Bluetooth'):
        make_source('myo').open()
