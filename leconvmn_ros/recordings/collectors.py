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

"""Collects the messages of a bag's topics into the arrays of a Recording."""

from typing import Any, Protocol

from leconvmn_ros.emg.message import chunk_from_message, stamp_to_ns
from leconvmn_ros.errors import MalformedMessageError
from leconvmn_ros.recording import EmgChunk, JointTrack, LabelTrack
import numpy as np
from numpy.typing import NDArray


class Collector(Protocol):
    """Takes the messages of one topic, one by one.

    Attributes:
        stamps_ns: header stamps of the messages so far (ns).
    """

    @property
    def stamps_ns(self) -> list[int]:
        """Return the header stamps of the messages so far (ns)."""

    def add(self, message: Any) -> None:
        """Take the next message.

        Raises:
            MalformedMessageError: it does not hold what its type promises.
        """


class EmgCollector:
    """Collects EmgArray messages, in the order in which they were recorded."""

    def __init__(self) -> None:
        """Start without messages."""
        self.chunks: list[EmgChunk] = []

    @property
    def stamps_ns(self) -> list[int]:
        """Return the stamps of the chunks so far (ns)."""
        return [chunk.stamp_ns for chunk in self.chunks]

    def add(self, message: Any) -> None:
        """Take the next EmgArray.

        Raises:
            MalformedMessageError: its fields contradict each other.
        """
        self.chunks.append(chunk_from_message(message))


class ReferenceCollector:
    """Collects JointState messages; joints and their order are those of the first message."""

    def __init__(self) -> None:
        """Start without messages."""
        self.stamps_ns: list[int] = []
        self._names: list[str] = []
        self._positions: list[NDArray[np.float64]] = []

    def add(self, message: Any) -> None:
        """Take the next JointState; joints that the first one did not name are left out.

        Raises:
            MalformedMessageError: names and positions do not match, or a joint is missing or named
                twice.
        """
        names, positions = message.name, message.position
        if len(names) != len(positions):
            raise MalformedMessageError(
                f'JointState with {len(positions)} positions for {len(names)} joint names; '
                'one position (an angle) per name is needed'
            )
        if not self._names:
            self._names = _without_repetition(names)
        elif names != self._names:
            positions = self._reordered(names, positions)
        self.stamps_ns.append(stamp_to_ns(message.header.stamp))
        self._positions.append(positions)

    def track(self) -> JointTrack | None:
        """Return the angles in the order of their stamps, None without a message."""
        if not self.stamps_ns:
            return None
        stamps = np.asarray(self.stamps_ns, np.int64)
        order = np.argsort(stamps, kind='stable')
        return JointTrack(stamps[order], tuple(self._names), np.stack(self._positions)[order])

    def _reordered(self, names: list[str], positions: NDArray[np.float64]) -> NDArray[np.float64]:
        place = {name: column for column, name in enumerate(_without_repetition(names))}
        missing = [name for name in self._names if name not in place]
        if missing:
            raise MalformedMessageError(
                f'JointState without {", ".join(missing)}, which the first one on this topic names'
            )
        return positions[[place[name] for name in self._names]]


class LabelCollector:
    """Collects MovementLabel messages into a track."""

    def __init__(self) -> None:
        """Start without messages."""
        self.stamps_ns: list[int] = []
        self._movement: list[int] = []
        self._repetition: list[int] = []

    def add(self, message: Any) -> None:
        """Take the next MovementLabel."""
        self.stamps_ns.append(stamp_to_ns(message.header.stamp))
        self._movement.append(int(message.movement))
        self._repetition.append(int(message.repetition))

    def track(self) -> LabelTrack | None:
        """Return the labels in the order of their stamps, None without a message."""
        if not self.stamps_ns:
            return None
        stamps = np.asarray(self.stamps_ns, np.int64)
        order = np.argsort(stamps, kind='stable')
        return LabelTrack(
            stamps[order],
            np.asarray(self._movement, np.int64)[order],
            np.asarray(self._repetition, np.int64)[order],
        )


def _without_repetition(names: list[str]) -> list[str]:
    if not names:
        raise MalformedMessageError('JointState without a joint name')
    twice = (
        sorted({name for name in names if names.count(name) > 1})
        if len(set(names)) < len(names)
        else []
    )
    if twice:
        raise MalformedMessageError(f'JointState that names {", ".join(twice)} more than once')
    return names
