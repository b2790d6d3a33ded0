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

"""EMG from the boards of BrainFlow, and from MindRove armbands, whose library is a fork of it.

Neither library reports a pulled cable or an empty battery: samples simply stop.
"""

from contextlib import suppress
from glob import glob
import os
from typing import Any, ClassVar

from leconvmn_ros.core.errors import ConfigurationError, SourceError
from leconvmn_ros.sources.contract import (
    DeviceCounter,
    EmgSource,
    Reading,
    SourceDescription,
    SourceOptions,
)
from leconvmn_ros.sources.registry import import_library
import numpy as np
from pydantic import Field

# Samples that the library buffers until they are read.
BUFFER = 45_000
# Package counters as set by the drivers in BrainFlow's sources. Other boards have none that is
# known, or one number for several samples (Ganglion, Explore): there, only time reveals losses.
_COUNTERS = {
    'SYNTHETIC': DeviceCounter(1, 256),
    'CYTON': DeviceCounter(1, 256),
    'CYTON_WIFI': DeviceCounter(1, 256),
    'CYTON_DAISY': DeviceCounter(2, 256),
    'CYTON_DAISY_WIFI': DeviceCounter(1, 256),
    'FREEEEG32': DeviceCounter(1, 256),
    'BIOLISTENER': DeviceCounter(1, 2**32),
    # Made by the device; as far as known, it never wraps.
    'MINDROVE_WIFI': DeviceCounter(1, None),
}
_SERIAL_BOARDS = {'CYTON', 'CYTON_DAISY', 'GANGLION', 'FREEEEG32', 'FREEEEG128'}
_SERIAL_PORTS = ('/dev/ttyUSB*', '/dev/ttyACM*')
_ADVICE = {
    'UNABLE_TO_OPEN_PORT_ERROR': 'the port cannot be opened: is it plugged in, or used elsewhere?',
    'BOARD_NOT_READY_ERROR': 'it does not answer: is it switched on, and is board= right?',
    'INITIAL_MSG_ERROR': 'it does not answer: is it switched on, and is board= right?',
    'INVALID_ARGUMENTS_ERROR': 'an option is missing: most boards need serial_port=, '
    'mac_address= or ip_address=',
    'GENERAL_ERROR': 'it does not answer: is it switched on, paired, and is board= right?',
    'SYNC_TIMEOUT_ERROR': 'it is connected, but sends nothing',
    'ANOTHER_BOARD_IS_CREATED_ERROR': 'another program on this machine uses it',
}


class BoardOptions(SourceOptions):
    """The board and its connection, under the names of BrainFlow's parameters."""

    board: str = Field(default='', description='name of the board, such as CYTON')
    serial_port: str = Field(default='', description='serial port, such as /dev/ttyUSB0')
    mac_address: str = Field(default='', description='Bluetooth address')
    ip_address: str = Field(default='', description='network address of the board')
    ip_port: int = Field(default=0, ge=0, le=65535, description='network port of the board')
    serial_number: str = Field(default='', description='serial number of the board')
    other_info: str = Field(default='', description='further parameter of the board')
    timeout: int = Field(default=0, ge=0, le=120, description='time to look for it (s)')
    file: str = Field(default='', description='recording to play, for the board PLAYBACK_FILE')
    master_board: str = Field(default='', description='board that made the recording')


class MindRoveOptions(SourceOptions):
    """The kind of MindRove device."""

    board: str = Field(default='MINDROVE_WIFI', description='MINDROVE_WIFI or MINDROVE_SYNCBOX')


class BrainFlowSource(EmgSource):
    """A board supported by BrainFlow, such as OpenBCI Cyton."""

    Options: ClassVar[type[SourceOptions]] = BoardOptions
    EXTRA: ClassVar[str] = 'brainflow'
    LIBRARY: ClassVar[str] = 'brainflow'
    PARAMETERS: ClassVar[str] = 'BrainFlowInputParams'
    ERROR: ClassVar[str] = 'BrainFlowError'
    RINGS: ClassVar[tuple[tuple[int, ...], ...]] = ()
    options: Any

    def open(self) -> SourceDescription:
        """Prepare the session and start the stream; see `EmgSource.open`."""
        shim = import_library(type(self), f'{self.LIBRARY}.board_shim')
        self._error = getattr(import_library(type(self), f'{self.LIBRARY}.exit_codes'), self.ERROR)
        shim.BoardShim.disable_board_logger()
        board = _board_id(shim, self.options.board, 'board')
        self._shim = shim.BoardShim(board.value, self._parameters(shim))
        try:
            described = shim.BoardShim.get_board_descr(self._shim.get_board_id())
            if 'emg_channels' not in described:
                raise ConfigurationError(f'{self.options.board} has no channels of EMG')
            self._shim.prepare_session()
            self._shim.start_stream(BUFFER)
        except self._error as error:
            self.close()
            raise SourceError(f'{_short(board.name)}: {_explained(error)}') from error
        self._rows = described['emg_channels']
        self._number_row = described['package_num_channel']
        self._time_row = described['timestamp_channel']
        return SourceDescription(
            device=described['name'],
            channels=tuple(map(str, range(len(self._rows)))),
            sampling_rate=float(described['sampling_rate']),
            unit='uV',  # MindRove too, since version 5
            rings=self.RINGS,
            counter=_COUNTERS.get(_short(shim.BoardIds(self._shim.get_board_id()).name)),
        )

    def read(self) -> Reading | None:
        """Return the new samples; see `EmgSource.read`."""
        try:
            data = self._shim.get_board_data()
        except self._error as error:
            raise SourceError(f'{self.options.board}: {_explained(error)}') from error
        if data.shape[1] == 0:
            return None
        return Reading(
            data[self._rows].T,
            data[self._time_row],
            data[self._number_row].astype(np.int64),
        )

    def close(self) -> None:
        """Stop the stream and release the board."""
        shim = self.__dict__.pop('_shim', None)
        if shim is None:
            return
        # Both fail if the board is gone.
        with suppress(self._error):
            shim.stop_stream()
        with suppress(self._error):
            shim.release_session()

    @classmethod
    def find(cls) -> list[str]:
        """Return the serial ports, since the library cannot search for boards."""
        return [f'serial_port={port}' for port in serial_ports()]

    @classmethod
    def known(cls) -> list[str]:
        """Return the boards with EMG that the library supports."""
        shim = import_library(cls, f'{cls.LIBRARY}.board_shim')
        known = []
        for board in shim.BoardIds:
            with suppress(Exception):  # a board without a description
                described = shim.BoardShim.get_board_descr(board.value)
                if rows := described.get('emg_channels'):
                    known.append(
                        f'{_short(board.name)} ({len(rows)} channels, '
                        f'{described["sampling_rate"]} Hz)'
                    )
        return known

    def _parameters(self, shim: Any) -> Any:
        parameters = getattr(shim, self.PARAMETERS)()
        values = self.options.model_dump()
        master, board = values.pop('master_board', ''), _short(values.pop('board').upper())
        for name, value in values.items():
            setattr(parameters, name, value)
        if master:
            parameters.master_board = _board_id(shim, master, 'master_board').value
        if board in _SERIAL_BOARDS:
            parameters.serial_port = _serial_port(parameters.serial_port)
        return parameters


class MindRoveSource(BrainFlowSource):
    """A MindRove armband over its own WiFi; this machine must be in that network."""

    Options: ClassVar[type[SourceOptions]] = MindRoveOptions
    EXTRA: ClassVar[str] = 'mindrove'
    LIBRARY: ClassVar[str] = 'mindrove'
    PARAMETERS: ClassVar[str] = 'MindRoveInputParams'
    ERROR: ClassVar[str] = 'MindRoveError'
    # One band of eight electrodes, in order around the arm.
    RINGS: ClassVar[tuple[tuple[int, ...], ...]] = (tuple(range(8)),)

    @classmethod
    def find(cls) -> list[str]:
        """Return nothing: only samples show that an armband is present."""
        return []


def serial_ports() -> list[str]:
    """Return the serial ports of this machine; those without permission are marked."""
    ports = [port for pattern in _SERIAL_PORTS for port in sorted(glob(pattern))]  # noqa: PTH207
    return [port if _allowed(port) else f'{port} (no permission)' for port in ports]


def _serial_port(named: str) -> str:
    """Return the serial port to use: the named one, or the only one.

    Raises:
        SourceError: there is none, there are several, or permission is missing.
    """
    ports = [port for pattern in _SERIAL_PORTS for port in sorted(glob(pattern))]  # noqa: PTH207
    if not named and len(ports) != 1:
        there = f'there are {", ".join(ports)}' if ports else 'there is none: plug in the dongle'
        raise SourceError(f'no serial_port is given, and {there}')
    port = named or ports[0]
    if not os.path.exists(port):  # noqa: PTH110 - a name of any form
        raise SourceError(f'{port} is not there: plug in the dongle, or give another serial_port')
    if not _allowed(port):
        raise SourceError(
            f'no permission to open {port}: sudo usermod -aG dialout $USER, then log in again'
        )
    return port


def _allowed(port: str) -> bool:
    return os.access(port, os.R_OK | os.W_OK)


def _board_id(shim: Any, name: str, option: str) -> Any:
    full = f'{_short(name.upper())}_BOARD'
    if full not in shim.BoardIds.__members__:
        known = ', '.join(_short(board.name) for board in shim.BoardIds)
        raise ConfigurationError(f'{option}={name!r} is not a board; there are {known}')
    return shim.BoardIds[full]


def _short(name: str) -> str:
    return name.removesuffix('_BOARD')


def _explained(error: Any) -> str:
    """Return the meaning of an exit code of the library for the user."""
    text = str(error)
    code = next((name for name in _ADVICE if text.startswith(name)), '')
    return f'{_ADVICE[code]} ({text})' if code else text
