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

"""Tells raw EMG from an envelope, and detects an offset that hides it."""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

EmgKind = Literal['raw', 'envelope']
# Key in a recording's information.
EMG_KIND: Final = 'emg_kind'

_SHORT, _LONG = 0.05, 1.0  # s
_MOST_FAST = 1.0
_REST = 0.5  # s
COVERING = 3.0  # times the noise at rest


def guess_kind(samples: NDArray[np.floating], rate: float) -> EmgKind:
    """Guess whether samples are raw EMG or an envelope.

    An envelope is never negative and varies slowly. Raw EMG with an offset is never negative
    either, but it changes more within 50 ms than within a second.

    Args:
        samples: amplitudes (V), shape (samples, channels).
        rate: samples per second (Hz).
    """
    if (samples < 0).any():
        return 'raw'
    short, long = (max(1, round(seconds * rate)) for seconds in (_SHORT, _LONG))
    if len(samples) <= 2 * long:
        return 'envelope'
    fast = samples - _moving_mean(samples, short)
    slow = _moving_mean(samples, short) - _moving_mean(samples, long)
    inner = slice(long, -long)
    of_fast, of_slow = fast[inner].var(axis=0), slow[inner].var(axis=0)
    alive = of_slow > 0
    if not alive.any():
        return 'envelope'
    return 'envelope' if np.median(of_fast[alive] / of_slow[alive]) < _MOST_FAST else 'raw'


def has_offset(samples: NDArray[np.floating], rate: float) -> bool:
    """Whether an offset or slow drift exceeds the EMG of a hand at rest.

    AC-coupled amplifiers and armbands have none: the offset of a Myo armband's 8-bit EMG (Ninapro
    DB5) is below its resolution, one count, which is also its noise at rest. On such a signal a
    high-pass does only harm (CC of a ridge regression falls from 0.51 to 0.49).

    Args:
        samples: raw amplitudes (V), shape (samples, channels).
        rate: samples per second (Hz).
    """
    length = max(2, round(_REST * rate))
    count = len(samples) // length
    if not count:
        return False
    blocks = samples[: count * length].reshape(count, length, -1)
    slow = np.abs(blocks.mean(axis=1, dtype=np.float64))
    at_rest = np.quantile(blocks.std(axis=1, dtype=np.float64), 0.1, axis=0)
    alive = at_rest > 0
    return bool((np.quantile(slow, 0.95, axis=0)[alive] > COVERING * at_rest[alive]).any())


def _moving_mean(samples: NDArray[np.floating], length: int) -> NDArray[np.float64]:
    """Return the centred moving mean, same shape; it is wrong near both ends."""
    values = samples - samples.mean(axis=0, dtype=np.float64)
    sums = np.cumsum(np.concatenate((np.zeros((1, values.shape[1])), values)), axis=0)
    means = (sums[length:] - sums[:-length]) / length
    full = np.full(samples.shape, samples.mean(axis=0, dtype=np.float64))
    start = length // 2
    full[start : start + len(means)] += means
    return full
