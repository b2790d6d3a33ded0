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

"""How a decoder feels to its wearer, besides its errors: delay, unrest, wrong movements.

All functions take estimates with the true angles, and their repetitions, on the clock of the same
stream: a recording, or a stream in random order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

from leconvmn_ros.core.recording import JointTrack, NANOSECONDS
from leconvmn_ros.dataset.alignment import angles_at
from leconvmn_ros.dataset.repetitions import Repetition
from leconvmn_ros.evaluation.comparison import Comparison
import numpy as np
from numpy.typing import NDArray

# Range of the search for the delay (s).
LEAST_DELAY, MOST_DELAY = -0.5, 1.0
# Time after the end of a movement in which the hand is still moving (s).
SETTLING = 1.0
# Shorter departures from rest do not move a hand (s).
SHORTEST_MOVEMENT = 0.2

# Mean measured pose (rad), shape (joints,), of each movement.
Templates = Mapping[int, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Figures of one or several streams; NaN if there are no data for them.

    Attributes:
        delay: lag of the estimates at which they correlate best with the truth (s).
        unrest: standard deviation of the estimates while the hand rests, root mean square over
            joints and rests (degrees).
        reference_unrest: unrest of the measured angles.
        false_movements: departures from rest per minute of rest.
        right_movements: share of the repetitions whose mean pose is nearest to the template of
            the movement that was made.
        reference_right_movements: the same share for the measured angles, the most that a decoder
            can be expected to reach.
        repetitions: number of repetitions behind the two shares.
        rest_seconds: duration of the rests behind the figures of rest (s).
    """

    delay: float
    unrest: float
    reference_unrest: float
    false_movements: float
    right_movements: float
    reference_right_movements: float
    repetitions: int
    rest_seconds: float


def movement_templates(
    reference: JointTrack, names: Sequence[str], repetitions: Sequence[Repetition]
) -> Templates:
    """Return the mean measured pose of each movement, over all its repetitions.

    Args:
        reference: measured angles.
        names: joints wanted, in the order wanted.
        repetitions: the repetitions to average, on the clock of the reference.
    """
    angles, known = angles_at(reference, names, reference.stamps_ns)
    stamps = reference.stamps_ns
    poses: dict[int, list[NDArray[np.float64]]] = {}
    for each in repetitions:
        inside = known & (stamps >= each.start_ns) & (stamps < each.rest_ns)
        if inside.any():
            poses.setdefault(each.movement, []).append(angles[inside].mean(axis=0))
    return {movement: np.mean(rows, axis=0) for movement, rows in poses.items()}


def behaviour(
    streams: Sequence[tuple[Comparison, Sequence[Repetition]]], templates: Templates
) -> Behaviour:
    """Return the figures of all streams together.

    Args:
        streams: estimates with the true angles and their repetitions.
        templates: see `movement_templates`; those of the training part are fair.
    """
    truth = np.concatenate([comparison.truth for comparison, _ in streams])
    scale = np.maximum(truth.std(axis=0), 1e-9)
    rests = [rest for comparison, reps in streams for rest in _rests(comparison, reps)]
    periods = [_period(comparison) for comparison, _ in streams]
    period = float(np.median(periods))
    seconds = period * sum(len(rest.stamps_ns) for rest in rests)
    judged = [
        _nearest(part, templates, scale, each.movement)
        for comparison, reps in streams
        for each in reps
        if each.movement in templates
        and len((part := _between(comparison, each.start_ns, each.rest_ns)).stamps_ns)
    ]
    if len(templates) < 2:
        judged = []
    right = np.array(judged, dtype=np.float64).reshape(-1, 2)
    mean_right = right.mean(axis=0) if len(right) else np.full(2, nan)
    events = _false_movements(rests, templates, scale, period)
    return Behaviour(
        delay=delay([comparison for comparison, _ in streams]),
        unrest=_unrest([rest.estimate for rest in rests]),
        reference_unrest=_unrest([rest.truth for rest in rests]),
        false_movements=events * 60 / seconds if seconds and templates else nan,
        right_movements=float(mean_right[0]),
        reference_right_movements=float(mean_right[1]),
        repetitions=len(right),
        rest_seconds=seconds,
    )


def delay(comparisons: Sequence[Comparison]) -> float:
    """Return the lag at which the estimates correlate best with the truth (s); NaN if unknown.

    The correlation is the mean over joints; the peak is that of a parabola through the best lag
    and its two neighbours. Positive: the estimates are late.
    """
    period = float(np.median([_period(comparison) for comparison in comparisons]))
    if not period > 0:
        return nan
    lags = range(round(LEAST_DELAY / period), round(MOST_DELAY / period) + 1)
    blocks = _centred_blocks(comparisons)
    values = np.array([_correlation_at(blocks, lag) for lag in lags])
    if not np.isfinite(values).any():
        return nan
    best = int(np.nanargmax(values))
    place = float(lags[best])
    if 0 < best < len(values) - 1:
        before, at, after = values[best - 1 : best + 2]
        bend = before - 2 * at + after
        if np.isfinite(bend) and bend < 0:
            place += 0.5 * (before - after) / bend
    return place * period


def _centred_blocks(comparisons: Sequence[Comparison]) -> list[NDArray[np.float64]]:
    """Return gapless blocks of truth and estimate without their means, (2, joints, times) each."""
    blocks = []
    for comparison in comparisons:
        both = np.array([comparison.truth.T, comparison.estimate.T])
        steps = np.diff(comparison.stamps_ns)
        gaps = np.flatnonzero(steps > 1.5 * NANOSECONDS * _period(comparison)) + 1
        blocks += np.split(both, gaps, axis=2)
    mean = sum(block.sum(axis=2) for block in blocks) / sum(block.shape[2] for block in blocks)
    return [block - mean[:, :, None] for block in blocks]


def _correlation_at(blocks: Sequence[NDArray[np.float64]], lag: int) -> float:
    """Return the mean over joints of the correlation with the truth `lag` estimates ago.

    It is computed from sums: the values are nearly centred, so there is no cancellation.
    """
    joints = blocks[0].shape[1]
    count, sums, products = 0, np.zeros((2, joints)), np.zeros((3, joints))
    for truth, estimate in blocks:
        pairs = truth.shape[1] - abs(lag)
        if pairs < 1:
            continue
        late, early = slice(abs(lag), None), slice(0, pairs)
        y, e = (
            (truth[:, early], estimate[:, late])
            if lag >= 0
            else (truth[:, late], estimate[:, early])
        )
        count += pairs
        sums += y.sum(axis=1), e.sum(axis=1)
        products += [np.einsum('jt,jt->j', one, other) for one, other in ((y, y), (e, e), (y, e))]
    if count < 2:
        return nan
    spreads = products - np.array([sums[0] ** 2, sums[1] ** 2, sums[0] * sums[1]]) / count
    defined = (spreads[:2] > 1e-12 * products[:2]).all(axis=0)
    if not defined.any():
        return nan
    norms = np.sqrt(spreads[0] * spreads[1])
    return float(np.mean(spreads[2][defined] / norms[defined]))


def _period(comparison: Comparison) -> float:
    """Return the time from one estimate to the next (s)."""
    if len(comparison.stamps_ns) < 2:
        return 0.0
    return float(np.median(np.diff(comparison.stamps_ns))) / NANOSECONDS


def _between(comparison: Comparison, start_ns: int, end_ns: int) -> Comparison:
    first, last = np.searchsorted(comparison.stamps_ns, (start_ns, end_ns))
    part = slice(int(first), int(last))
    return Comparison(
        comparison.stamps_ns[part],
        comparison.names,
        comparison.truth[part],
        comparison.estimate[part],
    )


def _rests(comparison: Comparison, repetitions: Sequence[Repetition]) -> list[Comparison]:
    """Return the rests after the movements, from the time when the hand has settled."""
    settling_ns = round(SETTLING * NANOSECONDS)
    parts = [_between(comparison, r.rest_ns + settling_ns, r.end_ns) for r in repetitions]
    return [part for part in parts if len(part.stamps_ns) > 1]


def _unrest(rests: Sequence[NDArray[np.float64]]) -> float:
    if not rests:
        return nan
    squares = sum(((rest - rest.mean(axis=0)) ** 2).sum() for rest in rests)
    return float(np.degrees(np.sqrt(squares / sum(rest.size for rest in rests))))


def _nearest(
    part: Comparison, templates: Templates, scale: NDArray[np.float64], movement: int
) -> tuple[bool, bool]:
    """Whether the estimated, and the measured, mean pose is nearest to its own template."""
    numbers = list(templates)
    poses = np.array([templates[number] for number in numbers]) / scale

    def is_right(angles: NDArray[np.float64]) -> bool:
        distances = np.linalg.norm(poses - angles.mean(axis=0) / scale, axis=1)
        return numbers[int(np.argmin(distances))] == movement

    return is_right(part.estimate), is_right(part.truth)


def _false_movements(
    rests: Sequence[Comparison], templates: Templates, scale: NDArray[np.float64], period: float
) -> int:
    """Count how often the estimate leaves the rest pose while the measured hand does not.

    It has left if it is further away than half of the median distance of the movements for at
    least SHORTEST_MOVEMENT.
    """
    if not rests or not templates:
        return 0
    pose = np.concatenate([rest.truth for rest in rests]).mean(axis=0)

    def distance(angles: NDArray[np.float64]) -> NDArray[np.float64]:
        norms: NDArray[np.float64] = np.linalg.norm((angles - pose) / scale, axis=-1)
        return norms

    limit = 0.5 * float(np.median(distance(np.array(list(templates.values())))))
    shortest = max(1, round(SHORTEST_MOVEMENT / period)) if period else 1
    count = 0
    for rest in rests:
        away = distance(rest.estimate) > limit
        moved = distance(rest.truth) > limit
        edges = np.flatnonzero(np.diff(away, prepend=False, append=False))
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            count += last - first >= shortest and not moved[first:last].any()
    return count
