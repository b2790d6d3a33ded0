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

"""EMG from a Myo armband over the Bluetooth of this machine, without its dongle.

A packet has two samples of eight signed 8-bit counts, at 200 samples a second. The armband has no
sample counter, and the size of a count in volts was never published.
"""

import asyncio
from collections import deque
from threading import Event, Thread
import time
from typing import Any, ClassVar, NamedTuple

from leconvmn_ros.core.errors import SourceError
from leconvmn_ros.recordings.ninapro_layouts import VOLTS_PER_MYO_COUNT
from leconvmn_ros.sources.contract import EmgSource, Reading, SourceDescription, SourceOptions
from leconvmn_ros.sources.registry import import_library
import numpy as np
from pydantic import Field

SAMPLING_RATE = 200.0
CHANNELS = 8
SAMPLES_IN_A_PACKET = 2
# The service that every Myo advertises.
SERVICE = 'd5060001-a904-deb9-4748-2c7f4a124842'
SEARCH_TIME = 8.0  # s
CONNECT_TIME = 15.0  # s
# Five seconds of packets, kept if nobody reads.
MOST_PACKETS = 500


class MyoOptions(SourceOptions):
    """The armband to use."""

    address: str = Field(default='', description='Bluetooth address; empty = the first one found')
    filtered: bool = Field(
        default=False, description="the armband's own filter instead of raw EMG"
    )


class _Packet(NamedTuple):
    time: float
    samples: tuple[tuple[int, ...], ...]


class MyoSource(EmgSource):
    """A Myo armband over Bluetooth."""

    Options = MyoOptions
    EXTRA: ClassVar[str] = 'myo'
    LIBRARY: ClassVar[str] = 'pymyo'
    options: MyoOptions

    def open(self) -> SourceDescription:
        """Find the armband and connect; see `EmgSource.open`."""
        import_library(type(self))
        self._packets: deque[_Packet] = deque(maxlen=MOST_PACKETS)
        self._failure = ''
        self._connected, self._ending = Event(), Event()
        self._thread = Thread(target=self._run, name='myo', daemon=True)
        self._thread.start()
        self._connected.wait(SEARCH_TIME + CONNECT_TIME)
        if self._failure or not self._connected.is_set():
            failure = self._failure or 'it does not answer'
            self.close()
            raise SourceError(f'no Myo armband: {failure}')
        return SourceDescription(
            device='Myo armband',
            channels=tuple(map(str, range(CHANNELS))),
            sampling_rate=SAMPLING_RATE,
            unit='counts',
            volts=VOLTS_PER_MYO_COUNT,
            packet=SAMPLES_IN_A_PACKET,
            rings=(tuple(range(CHANNELS)),),
        )

    def read(self) -> Reading | None:
        """Return the new samples; see `EmgSource.read`."""
        packets = [self._packets.popleft() for _ in range(len(self._packets))]
        if packets:
            samples = np.array([sample for packet in packets for sample in packet.samples], float)
            times = np.repeat([packet.time for packet in packets], SAMPLES_IN_A_PACKET)
            return Reading(samples, times)
        if self._failure:
            raise SourceError(f'Myo armband: {self._failure}')
        return None

    def close(self) -> None:
        """Disconnect."""
        thread = self.__dict__.pop('_thread', None)
        if thread is not None:
            self._ending.set()
            thread.join(CONNECT_TIME)

    @classmethod
    def find(cls) -> list[str]:
        """Return the armbands within range."""
        bleak = import_library(cls, 'bleak')

        async def look() -> list[str]:
            found = await bleak.BleakScanner.discover(timeout=4.0, service_uuids=[SERVICE])
            return [f'address={device.address}: {device.name}' for device in found]

        try:
            return asyncio.run(look())
        except (bleak.BleakError, OSError) as error:
            raise SourceError(_without_bluetooth(error)) from error

    def _run(self) -> None:
        """Maintain the connection, in a thread with its own event loop."""
        try:
            asyncio.run(self._stay_connected())
        except Exception as error:  # noqa: BLE001 - bleak, D-Bus or system: reported, then retried
            self._failure = _without_bluetooth(error)
        finally:
            self._failure = self._failure or 'the connection is closed'
            self._connected.set()

    async def _stay_connected(self) -> None:
        bleak, pymyo = import_library(type(self), 'bleak'), import_library(type(self))
        types = import_library(type(self), 'pymyo.types')
        target: Any = self.options.address
        if not target:
            target = await bleak.BleakScanner.find_device_by_filter(
                lambda _, advertised: SERVICE in advertised.service_uuids, timeout=SEARCH_TIME
            )
        if target is None:
            self._failure = 'none is in range: move it to wake it, and free it from its dongle'
            return
        async with pymyo.Myo(target, timeout=CONNECT_TIME) as myo:
            myo.on_emg(self._on_emg)
            await myo.set_sleep_mode(types.SleepMode.NEVER_SLEEP)
            mode = types.EmgMode.EMG if self.options.filtered else types.EmgMode.EMG_RAW
            await myo.set_mode(emg_mode=mode)
            self._connected.set()
            while myo.is_connected and not self._ending.is_set():  # noqa: ASYNC110
                # Another thread sets the flag, so no asyncio event can be awaited.
                await asyncio.sleep(0.05)
            if not self._ending.is_set():
                self._failure = 'the connection is lost'

    def _on_emg(self, samples: tuple[tuple[int, ...], ...]) -> None:
        self._packets.append(_Packet(time.time(), samples))


def _without_bluetooth(error: Exception) -> str:
    text = ' '.join(str(error).split()) or type(error).__name__
    if isinstance(error, FileNotFoundError) or 'dbus' in type(error).__module__:
        return f'this machine has no Bluetooth service (bluetoothd, D-Bus): {text}'
    return text
