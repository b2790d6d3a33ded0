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

"""The contents of a recording from any source: EMG, reference angles, movement labels."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NANOSECONDS = 1_000_000_000


def nanoseconds(seconds: float) -> int:
    """Convert a duration (s) to whole nanoseconds."""
    return round(seconds * NANOSECONDS)


class EmgChunk(NamedTuple):
    """A run of consecutive samples, as one EmgArray message carries it.

    Attributes:
        stamp_ns: acquisition time of the first sample (ns).
        sampling_rate: samples per second of each channel (Hz).
        first_sample: number of samples the source took before this chunk.
        samples: amplitudes (V), shape (samples, channels).
    """

    stamp_ns: int
    sampling_rate: float
    first_sample: int
    samples: NDArray[np.float32]

    @property
    def end_ns(self) -> int:
        """Time at which the sample after the last one is due (ns)."""
        return self.stamp_ns + round(len(self.samples) * NANOSECONDS / self.sampling_rate)


@dataclass(frozen=True, slots=True)
class JointTrack:
    """Joint angles over time.

    Attributes:
        stamps_ns: times of measurement (ns), shape (times,), not decreasing.
        names: joint names, in the order of the columns of `positions`.
        positions: angles (rad), shape (times, joints).
    """

    stamps_ns: NDArray[np.int64]
    names: tuple[str, ...]
    positions: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelTrack:
    """Movement and repetition over time; each entry holds until the next one.

    Attributes:
        stamps_ns: times from which an entry holds (ns), shape (entries,), not decreasing.
        movement: movement number, 0 = rest, shape (entries,).
        repetition: repetition number; rest counts to the movement before it; 0 = none yet,
            shape (entries,).
    """

    stamps_ns: NDArray[np.int64]
    movement: NDArray[np.int64]
    repetition: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recording:
    """All that a bag holds for training, replay and evaluation.

    Attributes:
        name: a short name for tables and plots.
        chunks: the EMG messages in the order in which they were recorded.
        reference: measured joint angles, None if the bag has none.
        labels: movement labels, None if the bag has none.
        information: free text about the recording (units, database, subject), empty if the bag has
            none.
        remarks: sentences on what was left out of the bag or corrected on reading it.
    """

    name: str
    chunks: list[EmgChunk]
    reference: JointTrack | None = None
    labels: LabelTrack | None = None
    information: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def span_ns(self) -> tuple[int, int]:
        """Start of the first chunk and end of the last one (ns)."""
        return self.chunks[0].stamp_ns, self.chunks[-1].end_ns

    @property
    def usual_chunks(self) -> list[EmgChunk]:
        """The chunks that have the most common number of channels.

        A recording that was read from a bag has no others.
        """
        ((channels, _),) = Counter(c.samples.shape[1] for c in self.chunks).most_common(1)
        return [chunk for chunk in self.chunks if chunk.samples.shape[1] == channels]


@dataclass(frozen=True, slots=True)
class SampledSubject:
    """A subject's signals on one common time base, before they become a bag.

    Attributes:
        name: a short name, used as the bag's name.
        sampling_rate: samples per second of every array (Hz).
        emg: amplitudes (V), shape (samples, channels).
        positions: angles of the ten joints in the order of JOINT_NAMES (rad), shape (samples, 10).
        movement: movement number, 0 = rest, shape (samples,).
        repetition: repetition number; rest counts to the movement before it; 0 = none yet,
            shape (samples,).
        information: free text to keep with the bag (units, database, subject).
    """

    name: str
    sampling_rate: float
    emg: NDArray[np.float32]
    positions: NDArray[np.float64]
    movement: NDArray[np.int64]
    repetition: NDArray[np.int64]
    information: Mapping[str, str] = field(default_factory=dict)
