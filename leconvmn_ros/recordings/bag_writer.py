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

"""Writes rosbag2 bags (MCAP) that a stock `ros2 bag info` or `ros2 bag play` opens."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, TYPE_CHECKING

from leconvmn_ros.core.atomic_folder import AtomicFolder, FolderKind
from leconvmn_ros.core.errors import OutputError
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.emg.message import FRAME_ID
from leconvmn_ros.recordings.bag_qos import offered_qos
from leconvmn_ros.recordings.bag_types import (
    EMG_TOPIC,
    EMG_TYPE,
    LABEL_TOPIC,
    LABEL_TYPE,
    REFERENCE_TOPIC,
    REFERENCE_TYPE,
    type_definition,
)
from leconvmn_ros.recordings.cdr import Packer
from leconvmn_ros.recordings.checked_writer import CheckedWriter
import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin

if TYPE_CHECKING:
    from typing_extensions import Self

BAG_FOLDER = FolderKind(
    'bag', 'metadata.yaml', ('metadata.yaml', '*.mcap', '*.db3', '*.mcap.zstd', '*.db3.zstd')
)
# Version 9 is what ROS 2 Jazzy and Kilted write.
_METADATA_VERSION: Final = 9

# Labels change only every few seconds: a late joiner must get the current one.
_TOPICS = (
    (EMG_TOPIC, EMG_TYPE, offered_qos(latched=False)),
    (REFERENCE_TOPIC, REFERENCE_TYPE, offered_qos(latched=False)),
    (LABEL_TOPIC, LABEL_TYPE, offered_qos(latched=True)),
)


class BagWriter:
    """Writes one bag message by message; the bag appears under its name only when it is complete.

    A context manager. Until it is left, everything is in a hidden folder beside the target; any
    exception removes that folder. A killed process leaves it behind, and the next write to the
    same target removes it. Values are written as given: whether they belong in a bag is up to the
    caller.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        information: Mapping[str, str] | None = None,
        overwrite: bool = False,
    ) -> None:
        """Prepare to write; the disk is not touched before the context is entered.

        Args:
            path: folder to make.
            information: text to keep in the bag's metadata (rosbag2 'custom_data').
            overwrite: replace an existing bag once the new one is complete; anything but a bag
                is never replaced.
        """
        self._folder = AtomicFolder(Path(path), BAG_FOLDER, overwrite=overwrite)
        self._information = dict(information or {})
        self._packer = Packer()
        self._connections: dict[str, Connection] = {}
        self._writer: CheckedWriter

    def __enter__(self) -> 'Self':
        """Make the hidden folder and open the bag in it.

        Raises:
            OutputError: the target exists, or cannot be written.
        """
        bag = self._folder.begin()
        try:
            self._open(bag)
        except BaseException as error:
            self._folder.discard()
            if isinstance(error, OSError):
                raise self._unwritable(error) from error
            raise
        return self

    def write_emg(self, chunk: EmgChunk) -> None:
        """Write a chunk as EmgArray on /emg.

        Its log time is that of its last sample, the earliest at which a source could send it.

        Args:
            chunk: samples (V), shape (samples, channels).

        Raises:
            OutputError: it cannot be written.
        """
        samples = len(chunk.samples)
        log_ns = chunk.stamp_ns + round((samples - 1) / chunk.sampling_rate * NANOSECONDS)
        data = self._packer.emg(
            chunk.stamp_ns,
            FRAME_ID,
            float(chunk.sampling_rate),
            int(chunk.first_sample),
            chunk.samples,
        )
        self._write(EMG_TYPE, log_ns, data)

    def write_reference(
        self, stamp_ns: int, names: Sequence[str], positions: NDArray[np.float64]
    ) -> None:
        """Write measured angles as JointState on /joint_states_reference.

        Args:
            stamp_ns: time of measurement (ns).
            names: joint names.
            positions: angles (rad), shape (joints,).

        Raises:
            OutputError: it cannot be written.
        """
        self._write(REFERENCE_TYPE, stamp_ns, self._packer.state(stamp_ns, names, positions))

    def write_label(self, stamp_ns: int, movement: int, repetition: int) -> None:
        """Write a MovementLabel on /movement_label.

        Args:
            stamp_ns: time from which it holds (ns).
            movement: movement number, 0 = rest.
            repetition: repetition number; rest counts to the movement before it; 0 = none
                yet.

        Raises:
            OutputError: it cannot be written.
        """
        data = self._packer.label(stamp_ns, int(movement), int(repetition))
        self._write(LABEL_TYPE, stamp_ns, data)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Move the complete bag to its target, or remove what was written.

        Raises:
            OutputError: the bag cannot be completed.
        """
        try:
            self._writer.__exit__(exc_type, exc, traceback)
            if exc_type is None:
                self._folder.commit()
        except (OSError, UnicodeError) as error:
            raise self._unwritable(error) from error
        finally:
            self._folder.discard()

    def _open(self, bag: Path) -> None:
        self._writer = CheckedWriter(
            bag, version=_METADATA_VERSION, storage_plugin=StoragePlugin.MCAP
        )
        for key, value in self._information.items():
            self._writer.set_custom_data(key, value)
        self._writer.open()
        for topic, name, qos in _TOPICS:
            definition = type_definition(name)
            self._connections[name] = self._writer.add_connection(
                topic,
                name,
                msgdef=definition.text,
                rihs01=definition.digest,
                offered_qos_profiles=[qos],
            )

    def _write(self, name: str, log_ns: int, data: bytes) -> None:
        try:
            self._writer.write(self._connections[name], int(log_ns), data)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError | UnicodeError) -> OutputError:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        return OutputError(f'cannot write {self._folder.target}: {reason}')
