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

"""Finds in the EMG when the movements of a recording were really made.

Labels mark when a movement was cued, or when somebody judged it to begin. A wearer follows a cue
about 0.8 s late, and returns at will. Here, start and end of a repetition are those that maximise
the likelihood of the EMG: rest, movement, rest, each with a Gaussian of log-RMS per channel.
Ninapro relabelled its movements this way (Kuzborskij, Gijsberts, Caputo, EMBC 2012), after Micera,
Sabatini, Dario, Med. Eng. Phys. 20 (1998) 211.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from leconvmn_ros.core.recording import NANOSECONDS, nanoseconds
from leconvmn_ros.dataset.cue_timing import Activity, activity_of, LATEST
from leconvmn_ros.dataset.repetitions import Repetition
from leconvmn_ros.dataset.segments import Run
import numpy as np
from numpy.typing import NDArray

# A label follows the movement by at most this time (s).
LATEST_LABEL = 1.5
# Shortest rest before or after a movement that allows a step to be found (s).
LEAST_REST = 0.5
# Shortest duration of each state (s).
SHORTEST = 0.2
# Least gain over a model without change: nats per sample and channel.
LEAST_GAIN = 0.1
# Values per repetition; longer ones are searched more coarsely.
MOST_TIMES = 500
# Least variance in a state, as a share of the channel's total variance: constant EMG would be
# infinitely likely.
LEAST_VARIANCE = 1e-3


class MadeMovement(NamedTuple):
    """A repetition with its true timing.

    Attributes:
        label: the repetition as labelled.
        start_ns: time at which the activity steps up, or that of the label.
        end_ns: time at which it steps down, or that of the label.
        start_found: whether the EMG shows the start.
        end_found: whether the EMG shows the end.
    """

    label: Repetition
    start_ns: int
    end_ns: int
    start_found: bool
    end_found: bool

    @property
    def duration(self) -> float:
        """Time from start to end (s)."""
        return (self.end_ns - self.start_ns) / NANOSECONDS


def made_movements(
    runs: Iterable[Run], rate: float, repetitions: Sequence[Repetition]
) -> list[MadeMovement]:
    """Search the true timing of repetitions.

    Args:
        runs: EMG that may be inspected, in order of time.
        rate: samples per second.
        repetitions: the repetitions, in order of time; see `repetitions_of`.
    """
    emg = activity_of(runs, rate)
    if emg is None:
        return [_as_labelled(each) for each in repetitions]
    found, before_ns = [], int(emg.stamps_ns[0])
    for each in repetitions:
        found.append(_made(emg, each, before_ns))
        before_ns = each.rest_ns
    return found


def _as_labelled(label: Repetition) -> MadeMovement:
    return MadeMovement(label, label.start_ns, label.rest_ns, False, False)


def _made(emg: Activity, label: Repetition, before_ns: int) -> MadeMovement:
    """Search the true timing of a repetition.

    Args:
        emg: activity.
        label: the repetition as labelled.
        before_ns: end of the movement before it (ns).
    """
    # From one movement directly to another there is no step from rest.
    rest_before = label.start_ns - before_ns >= nanoseconds(LEAST_REST)
    rest_after = label.end_ns - label.rest_ns >= nanoseconds(LEAST_REST)
    first_ns, last_ns = label.start_ns, label.rest_ns
    if rest_before:
        first_ns = max(
            label.start_ns - nanoseconds(LATEST_LABEL), (before_ns + label.start_ns) // 2
        )
    if rest_after:
        last_ns = min(label.rest_ns + nanoseconds(LATEST), (label.rest_ns + label.end_ns) // 2)
    first, last = np.searchsorted(emg.stamps_ns, (first_ns, last_ns)).tolist()
    step = max(1, -(-(last - first) // MOST_TIMES))
    stamps = emg.stamps_ns[first:last:step]
    middle = int(np.searchsorted(stamps, (label.start_ns + label.rest_ns) // 2))
    side = (
        1 if len(stamps) < 2 else max(1, round(nanoseconds(SHORTEST) / int(stamps[1] - stamps[0])))
    )
    starts = np.arange(side, middle) if rest_before else np.zeros(1, dtype=np.int64)
    ends = np.arange(middle, len(stamps) - side) if rest_after else np.array([len(stamps)])
    if not (rest_before or rest_after) or not len(starts) or not len(ends):
        return _as_labelled(label)
    costs = _costs(emg.log_rms[first:last:step], starts, ends, side)
    best = np.unravel_index(int(np.argmin(costs)), costs.shape)
    if costs[best] > -LEAST_GAIN:
        return _as_labelled(label)
    start, end = int(starts[best[0]]), int(ends[best[1]])
    return MadeMovement(
        label,
        int(stamps[start]) if rest_before else label.start_ns,
        int(stamps[end]) if rest_after else label.rest_ns,
        rest_before,
        rest_after,
    )


def _costs(
    log_rms: NDArray[np.float64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    shortest: int,
) -> NDArray[np.float64]:
    """Return the cost of the activity for a movement from each start to each end.

    Args:
        log_rms: activity, shape (times, channels).
        starts: first indices of a movement, shape (starts,).
        ends: first indices after it, shape (ends,).
        shortest: shortest duration of a movement in indices.

    Returns:
        Nats per sample and channel relative to no change, shape (starts, ends).
    """
    times = len(log_rms)
    deviation = log_rms.std(axis=0)
    alive = deviation > 0
    values = (log_rms - log_rms.mean(axis=0))[:, alive] / deviation[alive]
    moving = (ends[None] - starts[:, None]).astype(np.float64)
    costs = np.zeros(moving.shape)
    for channel in values.T:
        sums = np.concatenate(([0.0], np.cumsum(channel)))
        squares = np.concatenate(([0.0], np.cumsum(channel**2)))
        inside = sums[ends][None] - sums[starts][:, None]
        inside_squares = squares[ends][None] - squares[starts][:, None]
        for count, total, square in (
            (moving, inside, inside_squares),
            (times - moving, sums[-1] - inside, squares[-1] - inside_squares),
        ):
            variance = square / count - (total / count) ** 2
            costs += count * np.log(np.maximum(variance, LEAST_VARIANCE))
    costs /= 2 * times * max(1, len(alive))
    costs[moving < shortest] = 0.0
    return costs
