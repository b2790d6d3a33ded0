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

"""Joins JointState messages into one track of joint angles, from any number of senders.

On a robot one topic may carry many things: joints of an arm and of a hand by turns, one message
per finger, an occasional message without positions. The angles of the hand's ten joints are used;
all else is left out and counted.
"""

from collections.abc import Sequence
from typing import NamedTuple

from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import JointTrack, NANOSECONDS
from leconvmn_ros.recordings.left_out import LeftOut
from leconvmn_ros.recordings.lost_frames import find_lost_frames
import numpy as np
from numpy.typing import NDArray

LEAST_COVERED = 0.5
_LONGEST_GAP_NS = NANOSECONDS // 5
_MOST_NAMED = 6


class _Part(NamedTuple):
    """States with the same joint names; see `ReferenceRows.add`."""

    turns: NDArray[np.int64]
    stamps_ns: NDArray[np.int64]
    positions: NDArray[np.float64]


class ReferenceRows:
    """Collects the states of one topic and joins them into a track."""

    def __init__(self, left_out: LeftOut) -> None:
        """Start without states; unusable ones are counted in `left_out`."""
        self._left_out = left_out
        # By joint names.
        self._parts: dict[tuple[str, ...], list[_Part]] = {}

    def add(
        self,
        turns: NDArray[np.int64],
        stamps_ns: NDArray[np.int64],
        names: tuple[str, ...],
        positions: NDArray[np.float64],
    ) -> None:
        """Add states that have the same joint names.

        Args:
            turns: their positions among the messages of the topic, shape (states,).
            stamps_ns: times of measurement (ns), shape (states,).
            names: joint names.
            positions: angles (rad), shape (states, positions).
        """
        if fault := _fault(names, positions.shape[1]):
            self._left_out.add(fault, len(stamps_ns))
            return
        self._parts.setdefault(names, []).append(_Part(turns, stamps_ns, positions))

    def track(self) -> JointTrack | None:
        """Return the angles in order of their stamps, None if there are none.

        A joint that a state does not name is NaN at that time.
        """
        self._drop_other_devices()
        if not self._parts:
            return None
        track = self._only() if len(self._parts) == 1 else self._joined()
        return self._without_lost_frames(self._without_rare_joints(track))

    def _drop_other_devices(self) -> None:
        """Leave out states without any of the ten joints, if other states have some."""
        others = [names for names in self._parts if not set(names) & set(JOINT_NAMES)]
        if len(others) == len(self._parts):
            return
        for names in others:
            count = sum(len(part.turns) for part in self._parts.pop(names))
            shown = ', '.join(names[:_MOST_NAMED]) + (', ...' if len(names) > _MOST_NAMED else '')
            self._left_out.add(f'none of the ten joints of the hand, but {shown}', count)

    def _only(self) -> JointTrack:
        ((names, parts),) = self._parts.items()
        turns, stamps, positions = _concatenated(parts)
        order = np.lexsort((turns, stamps))
        return JointTrack(stamps[order], names, positions[order])

    def _joined(self) -> JointTrack:
        """Join states with different names into one table; equal stamps share a row."""
        names = tuple(dict.fromkeys(name for part in self._parts for name in part))
        joined = {part_names: _concatenated(parts) for part_names, parts in self._parts.items()}
        stamps = np.unique(np.concatenate([part.stamps_ns for part in joined.values()]))
        positions = np.full((len(stamps), len(names)), np.nan)
        newest = np.full(positions.shape, -1, dtype=np.int64)
        for part_names, part in joined.items():
            rows = np.searchsorted(stamps, part.stamps_ns)
            for column, joint in enumerate(names.index(name) for name in part_names):
                np.maximum.at(newest[:, joint], rows, part.turns)
                last = newest[rows, joint] == part.turns
                positions[rows[last], joint] = part.positions[last, column]
        return JointTrack(stamps, names, positions)

    def _without_rare_joints(self, track: JointTrack) -> JointTrack:
        """Leave out joints of the hand that are measured for only a small part of the time."""
        wanted = np.isin(track.names, JOINT_NAMES)
        covered = np.array([_covered_ns(track, column) for column in range(len(track.names))])
        most = covered[wanted].max(initial=0)
        rare = wanted & (covered < LEAST_COVERED * most)
        for column in np.flatnonzero(rare).tolist():
            self._left_out.note(
                f'{track.names[column]} left out: it is measured for '
                f'{covered[column] / NANOSECONDS:.0f} s only, other joints for '
                f'{most / NANOSECONDS:.0f} s'
            )
        if not rare.any():
            return track
        kept = np.flatnonzero(~rare)
        return JointTrack(
            track.stamps_ns,
            tuple(track.names[column] for column in kept.tolist()),
            track.positions[:, kept],
        )

    def _without_lost_frames(self, track: JointTrack) -> JointTrack:
        """Replace angles by NaN in frames without a measurement."""
        zeros, frozen = find_lost_frames(track)
        lost = zeros | frozen
        if not lost.any():
            return track
        if zeros.any():
            self._left_out.add('all angles are exactly 0, and they jump to it', int(zeros.sum()))
        if frozen.any():
            self._left_out.add('the angles are frozen', int(frozen.sum()))
        kept = ~lost
        return JointTrack(track.stamps_ns[kept], track.names, track.positions[kept])


def _concatenated(parts: Sequence[_Part]) -> _Part:
    turns, stamps, positions = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Part(turns, stamps, positions)


def _fault(names: tuple[str, ...], positions: int) -> str:
    """Return why states are unusable, empty if they are fine."""
    if not names:
        return 'without a joint name'
    if not positions:
        return 'without positions'
    if len(names) != positions:
        return f'{positions} positions for {len(names)} joint names'
    twice = sorted({name for name in names if names.count(name) > 1})
    return f'{", ".join(twice)} named more than once' if twice else ''


def _covered_ns(track: JointTrack, column: int) -> int:
    """Return how long a joint is measured (ns), without gaps."""
    stamps = track.stamps_ns[np.isfinite(track.positions[:, column])]
    gaps = np.diff(stamps)
    return int(gaps[gaps <= _LONGEST_GAP_NS].sum()) + len(stamps)
