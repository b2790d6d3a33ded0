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

"""The interface of EMG sources, and how to add one.

A source is a class with three methods: `open` connects to a device and describes what it sends,
`read` returns new samples without waiting, `close` releases the device. Everything else is common
to all sources: volts, choice of channels, stamps, counting, silence, reconnecting.

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

Then `-p source:=my_armband` uses it and `leconvmn_ros sources` lists it. All methods are called
from one thread; `close` may be called without `open` and must not fail.
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
    """The number that a device attaches to each sample.

    Attributes:
        step: increment from sample to sample.
        turn: value at which it wraps to 0; None = never.
    """

    step: int = 1
    turn: int | None = None


class SourceDescription(NamedTuple):
    """The signal of a device.

    Attributes:
        device: name of the device.
        channels: a name for each channel, in the order of the columns of a reading.
        sampling_rate: samples per second of each channel, as the device claims (Hz).
        unit: unit of the samples, in the device's words (see units.py).
        counter: the samples' counter; None = none.
        packet: number of samples that arrive together.
        volts: volts per unit, if the source knows better than the table of units.
        rings: bands of electrodes and their channels, as in `EmgDescription`, if the device or the
            recording provides them.
        offset: turn of the bands against the first one, likewise.
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
    """The samples since the last reading.

    Attributes:
        samples: values in the unit of the device, shape (samples, channels), oldest first.
        times: acquisition times if the device provides them, or arrival times (s since 1970),
            shape (samples,).
        counter: number of each sample, shape (samples,), if the device counts.
    """

    samples: NDArray[np.floating]
    times: NDArray[np.float64]
    counter: NDArray[np.int64] | None = None


class EmgSource(ABC):
    """A device, or something that behaves like one.

    Attributes:
        options: the options as given.
        remarks: remarks for the user; the caller reports and clears them.
        ended: whether no more samples will come, as at the end of a recording.
        EXTRA: extra of this package that installs what the source needs; '' = nothing more.
        LIBRARY: module that the extra installs.
    """

    Options: ClassVar[type[SourceOptions]] = SourceOptions
    EXTRA: ClassVar[str] = ''
    LIBRARY: ClassVar[str] = ''

    def __init__(self, options: SourceOptions) -> None:
        """Keep the options; the device is not touched before `open`."""
        self.options = options
        self.remarks: list[str] = []
        self.ended = False

    @abstractmethod
    def open(self) -> SourceDescription:
        """Connect and start. May take seconds.

        Raises:
            SourceError: the device is missing or does not answer; the caller tries again.
            ConfigurationError: an option can never work.
        """

    @abstractmethod
    def read(self) -> Reading | None:
        """Return the new samples without waiting; None if there are none.

        Raises:
            SourceError: the connection is lost; the caller opens it again.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the device, whatever its state."""

    @classmethod
    def find(cls) -> list[str]:
        """Return the devices that can be connected now, each a line with the option to give.

        Raises:
            SourceError: this machine cannot search for devices.
        """
        return []

    @classmethod
    def known(cls) -> list[str]:
        """Return the kinds of devices that the source supports, if there are several."""
        return []
