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

"""Finds frames without a measurement by a camera or glove: exact zeros and frozen values.

A tracker that loses the hand sends zeros, or repeats its last values, until it finds the hand
again. Trained on, these would be postures that the hand never took. The values alone do not reveal
them: a hand at rest may be at 0, and a coarse glove repeats itself while nothing moves. The end of
such a stretch decides:

* zeros of all joints are lost frames if the angles jump to or from them;
* repeated values of all joints are lost frames if they last for FROZEN_AFTER and the angles jump
  at the end, or if the source never repeats values otherwise.

A reference in which most frames repeat the one before is a prompt, not a measurement, and is left
unchanged.
"""

from typing import NamedTuple

from leconvmn_ros.core.recording import JointTrack, NANOSECONDS
import numpy as np
from numpy.typing import NDArray

FROZEN_AFTER = 0.3  # s
LEAST_JUMP = np.radians(5.0)
JUMP = 5.0  # times the median change from frame to frame
SELDOM = 0.01  # share of frames that repeat the one before
_FEWEST_FRAMES = 20


class LostFrames(NamedTuple):
    """Frames without a measurement.

    Attributes:
        zeros: frames of exact zeros, shape (frames,).
        frozen: frames that repeat an older one, shape (frames,).
    """

    zeros: NDArray[np.bool_]
    frozen: NDArray[np.bool_]


def find_lost_frames(track: JointTrack) -> LostFrames:
    """Find the frames of a reference that hold no measurement."""
    positions = track.positions
    zeros = np.zeros(len(positions), dtype=np.bool_)
    frozen = zeros.copy()
    found = LostFrames(zeros, frozen)
    if len(positions) < _FEWEST_FRAMES:
        return found
    before, after = positions[:-1], positions[1:]
    repeats = ((before == after) | (np.isnan(before) & np.isnan(after))).all(axis=1)
    if repeats.mean() > 0.5:
        return found
    steps = _size(after - before)
    jump = max(LEAST_JUMP, JUMP * float(np.median(steps[~repeats])))
    # A single joint may really be at 0.
    whole = np.isfinite(positions).sum(axis=1) * 2 > positions.shape[1]
    of_zeros = (_size(positions) == 0) & whole
    for first, last in _runs(of_zeros):
        near = positions[[i for i in (first - 1, last + 1) if 0 <= i < len(positions)]]
        zeros[first : last + 1] = bool((_size(near) > jump).any())
    _find_frozen(found, track, repeats, steps > jump)
    return found


def _find_frozen(
    found: LostFrames,
    track: JointTrack,
    repeats: NDArray[np.bool_],
    jumps: NDArray[np.bool_],
) -> None:
    stretches = [
        (first, last)
        for first, last in _runs(repeats)
        if track.stamps_ns[last + 1] - track.stamps_ns[first] >= FROZEN_AFTER * NANOSECONDS
    ]
    long = sum(last + 1 - first for first, last in stretches)
    seldom = repeats.sum() - long <= SELDOM * (len(repeats) - long)
    for first, last in stretches:
        ends_in_jump = last + 1 < len(jumps) and bool(jumps[last + 1])
        if ends_in_jump or seldom:
            found.frozen[first + 1 : last + 2] = True
    found.frozen[found.zeros] = False


def _size(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest absolute value in each row; NaN counts as 0."""
    sizes: NDArray[np.float64] = np.nan_to_num(np.abs(values), nan=0.0).max(axis=1, initial=0.0)
    return sizes


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first and last index of each run of true values."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]
