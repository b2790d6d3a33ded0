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

"""The possible turns of bands of electrodes around the forearm, and the maps that undo them.

Positions are counted in electrodes: an electrode `i` of a band that turned by `t` sits where the
training had electrode `i + t`, between two of them where `t` is not a whole number.
"""

from collections.abc import Sequence
from itertools import product
from math import floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STEP = 0.25
MOST = 2.0
Rings = Sequence[Sequence[int]]


class Turn(NamedTuple):
    """The position of the bands relative to the training.

    Attributes:
        electrodes: turn of each ring (electrodes of it).
        reversed: whether the bands are worn the other way round, so that the channels follow one
            another in the other direction.
    """

    electrodes: tuple[float, ...]
    reversed: bool = False

    def __bool__(self) -> bool:
        return self.reversed or any(self.electrodes)

    def close_to(self, other: 'Turn') -> bool:
        """Whether no ring differs by more than one step."""
        pairs = zip(self.electrodes, other.electrodes, strict=True)
        return self.reversed == other.reversed and all(abs(a - b) <= STEP for a, b in pairs)


def common_turns(rings: Rings) -> list[Turn]:
    """Return all turns of the rings together; the first one is no turn.

    Rings of different numbers of electrodes turn by the same angle.
    """
    smallest = min(map(len, rings))
    # A turn by half a ring is the same in either direction.
    most = min(MOST, smallest / 2 - STEP)
    steps = np.arange(-floor(most / STEP), floor(most / STEP) + 1)
    turns = [
        Turn(tuple(float(step) * STEP * len(ring) / smallest for ring in rings), other_way)
        for other_way, step in product((False, True), steps)
    ]
    return sorted(turns, key=lambda turn: (bool(turn), turn.reversed, turn.electrodes))


def turns_of_ring(turn: Turn, ring: int, rings: Rings) -> list[Turn]:
    """Return the turns in which one ring differs; the first one is `turn`."""
    others = [
        turn._replace(
            electrodes=(*turn.electrodes[:ring], each.electrodes[0], *turn.electrodes[ring + 1 :])
        )
        for each in common_turns([rings[ring]])
        if not each.reversed
    ]
    return [turn, *(other for other in others if other != turn)]


def turning_back(turn: Turn, rings: Rings, channels: int) -> NDArray[np.float64]:
    """Return the matrix that maps each training electrode to the signal now at its position.

    Between electrodes it interpolates by the Fourier series around the ring. That keeps the energy
    of each wave, so the likelihoods of turned features can be compared. Linear interpolation
    smooths the features, and smooth features look likely.

    Returns:
        Shape (channels, channels), orthogonal; channels that are in no ring stay as they are.
    """
    matrix = np.eye(channels)
    for ring, electrodes in zip(rings, turn.electrodes, strict=True):
        size = len(ring)
        places = np.arange(size)
        origin = (-places if turn.reversed else places) % size
        matrix[np.ix_(ring, ring)] = _shift(size, electrodes)[origin]
    return matrix


def _shift(size: int, electrodes: float) -> NDArray[np.float64]:
    """Return the matrix whose row `p` gives the value at place `p - electrodes` of a ring."""
    waves = np.arange(size // 2 + 1)
    factors = np.exp(-2j * np.pi * waves * electrodes / size)
    if size % 2 == 0:
        # The shortest wave has no phase between electrodes; it keeps its size.
        factors[-1] = 1.0 if np.cos(np.pi * electrodes) >= 0 else -1.0
    spectrum = np.fft.rfft(np.eye(size), axis=0)
    shifted: NDArray[np.float64] = np.fft.irfft(spectrum * factors[:, None], size, axis=0)
    return shifted
