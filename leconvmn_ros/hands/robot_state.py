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

"""The pose that a robot hand reports, accepted only if complete, recent and within limits.

A hand may report its joints in one message or in several; each joint has its own time of arrival.
"""

from collections.abc import Mapping, Sequence
from math import isfinite, radians

from leconvmn_ros.core.errors import MalformedMessageError
from leconvmn_ros.hands.profile import RobotJoint

# Zero positions and soft limits of real hands are a few degrees off (rad).
LIMIT_TOLERANCE = 0.15
DEFAULT_STATE_AGE = 0.5  # s


class RobotState:
    """Collects the reported joint positions of one hand; the caller keeps the time (s)."""

    def __init__(self, joints: Sequence[RobotJoint], max_age: float = DEFAULT_STATE_AGE) -> None:
        """Start with no position known.

        Args:
            joints: joints of the hand.
            max_age: age beyond which a position no longer counts (s).
        """
        self._joints = {joint.name: joint for joint in joints}
        self._max_age = max_age
        self._positions: dict[str, tuple[float, float]] = {}

    def observe(self, pose: Mapping[str, float], now: float) -> bool:
        """Take the positions of a message (rad, by name): all of them, or none if one is wrong.

        Returns:
            Whether any of them belongs to this hand; if not, the message does not count.

        Raises:
            MalformedMessageError: a position is not finite or beyond the limits of its joint.
        """
        own = {name: pose[name] for name in self._joints if name in pose}
        for name, position in own.items():
            lower, upper = self._joints[name].limits
            if not (
                isfinite(position)
                and lower - LIMIT_TOLERANCE <= position <= upper + LIMIT_TOLERANCE
            ):
                raise MalformedMessageError(
                    f'{name} is at {position:.4g} rad; its limits are {lower:g} to {upper:g} rad'
                    f'{self._in_degrees(own)}'
                )
        self._positions |= {name: (position, now) for name, position in own.items()}
        return bool(own)

    def unknown(self, now: float) -> tuple[str, ...]:
        """Return the joints without a recent position."""
        return tuple(
            name
            for name in self._joints
            if name not in self._positions or now - self._positions[name][1] > self._max_age
        )

    def pose(self, now: float) -> dict[str, float] | None:
        """Return the position of every joint (rad), None unless all are known."""
        if self.unknown(now):
            return None
        return {name: self._positions[name][0] for name in self._joints}

    def _in_degrees(self, pose: Mapping[str, float]) -> str:
        """Return a hint at the likely mistake where all positions make sense as degrees."""
        for name, position in pose.items():
            lower, upper = self._joints[name].limits
            if not (lower - LIMIT_TOLERANCE <= radians(position) <= upper + LIMIT_TOLERANCE):
                return ''
        return '; the state looks like degrees, but JointState is in radians'
