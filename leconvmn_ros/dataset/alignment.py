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

"""Interpolates reference angles, matched by stamp and joint name, never by position."""

from collections.abc import Sequence
import re
from typing import NamedTuple

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.joints import JOINT_NAMES, LARGEST_ANGLE
from leconvmn_ros.core.recording import JointTrack, NANOSECONDS
import numpy as np
from numpy.typing import NDArray

# Reference angles are not interpolated over longer gaps.
LONGEST_GAP_NS = NANOSECONDS // 5


class AlignedAngles(NamedTuple):
    """Reference angles at given times.

    Attributes:
        positions: angles (rad), shape (times, joints); meaningless where not `known`.
        known: whether the reference covers the time, shape (times,).
    """

    positions: NDArray[np.float64]
    known: NDArray[np.bool_]


def reference_joints(track: JointTrack) -> tuple[str, ...]:
    """Return the joints of the hand that the reference measures, in the order of JOINT_NAMES.

    Raises:
        RecordingError: there are none, or one has a name such as `right_hand/index_mcp`.
    """
    names = tuple(name for name in JOINT_NAMES if name in track.names)
    if not names:
        raise RecordingError(
            f'the reference has joints {list(track.names)}, none of {list(JOINT_NAMES)}'
        )
    # If silently left out, such a joint would be missing in the decoder.
    alike = [
        f'{other} (wanted: {name})'
        for name in JOINT_NAMES
        for other in track.names
        if name not in names and _looks_like(other, name)
    ]
    if alike:
        raise RecordingError(
            f'the reference has other names for joints: {", ".join(alike)}; '
            f'all its joints: {list(track.names)}'
        )
    return names


def _looks_like(other: str, name: str) -> bool:
    """Whether a name is one of the ten, spelt differently or with a usual prefix or suffix."""
    letters = re.sub('[^a-z]', '', other.lower())
    wanted = name.replace('_', '')
    return re.fullmatch(f'.*{wanted}(joint|angle|flex|flexion)?', letters) is not None


def check_unit(track: JointTrack, names: Sequence[str]) -> None:
    """Refuse a track whose angles of these joints are in degrees.

    The check uses the range without the outermost 1 % on either side, so that single wrong angles
    do not matter.

    Raises:
        RecordingError: the angles of a joint span more than a full turn in radians.
    """
    for name in sorted({*names} & {*track.names}, key=track.names.index):
        angles = track.positions[:, track.names.index(name)]
        angles = angles[np.isfinite(angles)]
        low, high = np.quantile(angles, (0.01, 0.99)) if len(angles) else (0.0, 0.0)
        if high - low > LARGEST_ANGLE:
            raise RecordingError(
                f'the angles of {name} go from {low:.4g} to {high:.4g}, more than a full turn: '
                'they must be in radians, these look like degrees'
            )


def angles_at(
    track: JointTrack, names: Sequence[str], stamps_ns: NDArray[np.int64]
) -> AlignedAngles:
    """Interpolate the reference linearly at the given times.

    An angle beyond LARGEST_ANGLE, which gloves give now and then, counts as not measured: it would
    widen the decoder's output range, and spoil mean and scale. A joint is known between its own
    measurements if they are at most LONGEST_GAP_NS apart, whatever other joints have.

    Args:
        track: the reference.
        names: joints wanted, in the order wanted.
        stamps_ns: times (ns), shape (times,).

    Raises:
        RecordingError: the reference lacks a joint.
    """
    missing = [name for name in names if name not in track.names]
    if missing:
        raise RecordingError(
            f'the reference has no joint {", ".join(missing)}; it has {", ".join(track.names)}'
        )
    positions = np.full((len(stamps_ns), len(names)), np.nan)
    known = np.full(len(stamps_ns), bool(len(track.stamps_ns)))
    everywhere: NDArray[np.bool_] | None = None
    for column, name in enumerate(names):
        angles = track.positions[:, track.names.index(name)]
        # Joints may be measured at different times, such as one finger after another.
        measured = np.abs(angles) <= LARGEST_ANGLE
        if measured.all():
            if everywhere is None:
                everywhere = _covered(track.stamps_ns, stamps_ns)
            known &= everywhere
        else:
            known &= _covered(track.stamps_ns[measured], stamps_ns)
        if measured.any():
            positions[:, column] = _interpolated(
                track.stamps_ns[measured], angles[measured], stamps_ns
            )
    return AlignedAngles(positions, known)


def _interpolated(
    times_ns: NDArray[np.int64], values: NDArray[np.float64], wanted_ns: NDArray[np.int64]
) -> NDArray[np.float64]:
    # Seconds since the start: nanoseconds since 1970 do not fit a float64 exactly.
    start = times_ns[0]
    wanted, times = (wanted_ns - start) / NANOSECONDS, (times_ns - start) / NANOSECONDS
    interpolated: NDArray[np.float64] = np.interp(wanted, times, values)
    return interpolated


def _covered(reference_ns: NDArray[np.int64], stamps_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    after = np.searchsorted(reference_ns, stamps_ns, side='left')
    inside = after < len(reference_ns)
    exact = np.zeros_like(inside)
    exact[inside] = reference_ns[after[inside]] == stamps_ns[inside]
    between = inside & (after > 0)
    gap = reference_ns[after[between]] - reference_ns[after[between] - 1]
    between[between] = gap <= LONGEST_GAP_NS
    return exact | between
