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

"""What a source of EMG is, and how to add one.

A source is a class with three methods: `open` connects to a device and says what it sends, `read`
returns what has come since the last call without waiting, `close` lets go of it. All else is done
for every source alike: volts, choice of channels, stamps, counting, silence, reconnecting.

To add a device, write one module in a package of your own:

    from leconvmn_ros.sources.contract import EmgSource, Reading, SourceDescription, SourceOptions

    class Options(SourceOptions):
        port: str = '/dev/ttyUSB0'

    class MySource(EmgSource):
        '''My armband over a serial port.'''

        Options = Options

        def open(self):
            self._link = connect(self.options.port)   # raise SourceError if it is not there
            return SourceDescription('my armband', ('1', '2'), sampling_rate=500.0, unit='uV')

        def read(self):
            samples, arrived = self._link.take()      # (n, 2), and n times (s since 1970)
            return Reading(samples, arrived) if len(samples) else None

        def close(self):
            self._link.close()

and name it in your pyproject.toml:

    [project.entry-points."leconvmn_ros.sources"]
    my_armband = "my_package.my_module:MySource"

Then `-p source:=my_armband` uses it and `leconvmn_ros sources` lists it. All methods are called by
one thread; `close` may come without `open` before it and must not fail.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from leconvmn_ros.core.strict_model import StrictModel
from leconvmn_ros.emg.description import Arm
import numpy as np
from numpy.typing import NDArray


class SourceOptions(StrictModel):
    """Base of the options of a source; every option has a default."""


class DeviceCounter(NamedTuple):
    """The number that a device gives each sample.

    Attributes:
        step: by how much it grows from sample to sample.
        turn: value at which it falls back to 0; None = it never does.
    """

    step: int = 1
    turn: int | None = None


class SourceDescription(NamedTuple):
    """What a device sends.

    Attributes:
        device: name of the device.
        channels: a name for each channel, in the order of the columns of a reading.
        sampling_rate: samples per second of each channel, as the device claims (Hz).
        unit: unit of the samples, in the device's words (see units.py).
        counter: what number the samples carry; None = none.
        packet: samples that arrive together.
        volts: V for one of the unit, where the source knows it better than the table.
        rings: bands of electrodes and their channels, as in `EmgDescription`, where the device or
            the recording tells.
        offset: how the bands are turned against the first one, likewise.
        arm: arm that wears it, likewise.
    """

    device: str
    channels: tuple[str, ...]
    sampling_rate: float
    unit: str
    counter: DeviceCounter | None = None
    packet: int = 1
    volts: float | None = None
    rings: tuple[tuple[int, ...], ...] = ()
    offset: tuple[float, ...] = ()
    arm: Arm = ''


class Reading(NamedTuple):
    """What came since the last one.

    Attributes:
        samples: in the unit of the device, shape (samples, channels), the oldest first.
        times: when each sample arrived, or was taken if the device tells (s since 1970), shape
            (samples,).
        counter: number of each sample, shape (samples,), where the device counts.
    """

    samples: NDArray[np.floating]
    times: NDArray[np.float64]
    counter: NDArray[np.int64] | None = None


class EmgSource(ABC):
    """A device, or something that behaves like one.

    Attributes:
        options: the options as they were given.
        remarks: what a user should know of the device; whoever reads it tells it and clears it.
        ended: nothing will come any more, as at the end of a recording.
        EXTRA: extra of this package that installs what the source needs; '' = nothing more.
        LIBRARY: module that the extra brings.
    """

    Options: ClassVar[type[SourceOptions]] = SourceOptions
    EXTRA: ClassVar[str] = ''
    LIBRARY: ClassVar[str] = ''

    def __init__(self, options: SourceOptions) -> None:
        """Keep the options; nothing is touched before `open`."""
        self.options = options
        self.remarks: list[str] = []
        self.ended = False

    @abstractmethod
    def open(self) -> SourceDescription:
        """Connect and start. May take seconds.

        Raises:
            SourceError: the device is not there now, or does not answer; it is tried again.
            ConfigurationError: an option can never work.
        """

    @abstractmethod
    def read(self) -> Reading | None:
        """Return what has come, without waiting for more; None if nothing has.

        Raises:
            SourceError: the connection is lost; it is opened again.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the device, in whatever state it is."""

    @classmethod
    def find(cls) -> list[str]:
        """Return devices that can be connected to now, each in a line with the option to give.

        Raises:
            SourceError: this machine cannot look for them.
        """
        return []

    @classmethod
    def known(cls) -> list[str]:
        """Return kinds of devices that the source can connect to, if it has several."""
        return []
