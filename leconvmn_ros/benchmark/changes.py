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

"""Simulated electrode changes between two sessions, for a recording of a single session.

The rotation of the bands, the gains and the dead electrodes are drawn at random from a seed.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal

from leconvmn_ros.adaptation.turns import Rings
from leconvmn_ros.core.errors import RecordingError
import numpy as np
from numpy.typing import NDArray

Change = Literal['nothing', 'turn_and_gains', 'dead_1', 'dead_2', 'dead_4', 'second_band']
MOST_TURN: Final = 2  # electrodes
MOST_GAIN: Final = 2.0
Samples = NDArray[np.float32]


def drawn_change(
    change: Change, channels: int, rings: Rings, random: np.random.Generator
) -> Callable[[Samples], Samples]:
    """Draw a change.

    Args:
        change: its kind: `nothing`; `turn_and_gains`, all bands turn together by -2 to 2 whole
            electrodes and the gain of each channel changes by x0.5 to x2, all equally likely (the
            gains by their logarithm); `dead_N`, so many channels give 0 V. `second_band` is a
            matter of which channels are taken, see `bands`, and draws nothing.
        channels: of the recording.
        rings: channels of each band in their order around the forearm.
        random: generator of the draws.

    Returns:
        A function that applies the change to EMG (V), shape (samples, channels).

    Raises:
        RecordingError: the change would leave no working channel.
    """
    if change == 'turn_and_gains':
        turn = int(random.integers(-MOST_TURN, MOST_TURN + 1))
        gains = MOST_GAIN ** random.uniform(-1, 1, channels)
        order = turned(turn, rings, channels)
        return lambda samples: (samples[:, order] * gains).astype(np.float32)
    if change.startswith('dead_'):
        count = int(change.removeprefix('dead_'))
        if count >= channels:
            raise RecordingError(f'{channels} channels: {count} of them cannot be dead')
        alive = np.ones(channels, dtype=np.float32)
        alive[random.choice(channels, count, replace=False)] = 0
        return lambda samples: samples * alive
    return lambda samples: samples


def turned(electrodes: int, rings: Rings, channels: int) -> NDArray[np.int64]:
    """Return the channel that each one becomes when all bands turn by this many electrodes."""
    order = np.arange(channels)
    for ring in rings:
        order[list(ring)] = np.roll(np.array(ring), electrodes)
    return order


def bands(rings: Rings) -> tuple[Sequence[int], Sequence[int]]:
    """Return the channels of the first two bands, the second of which stands for the first.

    Raises:
        RecordingError: there are no two of the same size.
    """
    if len(rings) < 2 or len(rings[0]) != len(rings[1]):
        raise RecordingError(
            f'rings of {[len(ring) for ring in rings]} electrodes; second_band needs two of the '
            'same size'
        )
    return rings[0], rings[1]
