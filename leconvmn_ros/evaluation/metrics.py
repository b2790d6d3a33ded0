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

"""The accuracy of estimates: CC, RMSE, NRMSE, R2 and MAE, per joint and as their mean.

With y the true angle, e the estimate, n their number and bars for means over time:

=====  ==================================================================  ===================
CC     sum (y - ybar)(e - ebar) / sqrt(sum (y - ybar)^2 sum (e - ebar)^2)  Pearson 1895
RMSE   sqrt(sum (y - e)^2 / n)
NRMSE  RMSE / (max y - min y)                                              Guo et al. 2021
R2     1 - sum (y - e)^2 / sum (y - ybar)^2                                Kvalseth 1985, eq. 1
MAE    sum abs(y - e) / n
=====  ==================================================================  ===================

A figure that is undefined is NaN and has a reason; it is never set to 0 or silently omitted.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite, isnan, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

METRICS = ('cc', 'rmse', 'nrmse', 'r2', 'mae')


@dataclass(frozen=True, slots=True)
class Score:
    """The five figures of one joint, or their means over joints.

    Attributes:
        cc: Pearson correlation.
        rmse: root mean square error, in the unit of the angles.
        nrmse: RMSE as a share of the range of the true angle.
        r2: coefficient of determination.
        mae: mean absolute error, in the unit of the angles.
        reason: why a figure is NaN or which joints a mean leaves out, empty otherwise.
    """

    cc: float
    rmse: float
    nrmse: float
    r2: float
    mae: float
    reason: str = ''


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Scores of several joints.

    Attributes:
        joints: score of each joint, by name.
        mean: mean over the joints, each figure over those joints for which it is defined.
        count: number of estimates scored.
    """

    joints: dict[str, Score]
    mean: Score
    count: int


def score_joint(truth: NDArray[np.floating], estimate: NDArray[np.floating]) -> Score:
    """Score one joint.

    Args:
        truth: true angles, shape (times,).
        estimate: estimated angles at the same times, same unit and shape.

    Raises:
        ValueError: the two differ in shape.
    """
    y, e = np.asarray(truth, dtype=np.float64), np.asarray(estimate, dtype=np.float64)
    if y.shape != e.shape or y.ndim != 1:
        raise ValueError(
            f'truth of shape {y.shape} against estimate of shape {e.shape}; both must be (times,)'
        )
    if y.size < 2:
        return Score(nan, nan, nan, nan, nan, f'{y.size} estimates; at least 2 are needed')
    if not (np.isfinite(y).all() and np.isfinite(e).all()):
        return Score(nan, nan, nan, nan, nan, 'an angle is not finite')
    error = y - e
    rmse = float(np.sqrt(np.mean(error**2)))
    mae = float(np.mean(np.abs(error)))
    y_spread, e_spread = y - y.mean(), e - e.mean()
    if _constant(y, y_spread):
        return Score(
            nan,
            rmse,
            nan,
            nan,
            mae,
            'the true angle is constant: CC, NRMSE and R2 are not defined',
        )
    nrmse = rmse / float(np.ptp(y))
    r2 = float(1 - np.sum(error**2) / np.sum(y_spread**2))
    if _constant(e, e_spread):
        return Score(nan, rmse, nrmse, r2, mae, 'the estimate is constant: CC is not defined')
    # Normalised before the product: the product of two tiny sums of squares would underflow.
    cc = float(np.dot(y_spread / np.linalg.norm(y_spread), e_spread / np.linalg.norm(e_spread)))
    return Score(min(1.0, max(-1.0, cc)), rmse, nrmse, r2, mae)


def score_table(
    names: Sequence[str], truth: NDArray[np.floating], estimate: NDArray[np.floating]
) -> ScoreTable:
    """Score several joints.

    Args:
        names: joint names, one per column.
        truth: true angles, shape (times, joints).
        estimate: estimated angles, same shape and unit.

    Raises:
        ValueError: the three do not fit each other.
    """
    if truth.shape != estimate.shape or truth.shape[1:] != (len(names),):
        raise ValueError(
            f'truth of shape {truth.shape} and estimate of shape {estimate.shape}; '
            f'both must be (times, {len(names)}), one column for each of {list(names)}'
        )
    joints = {name: score_joint(truth[:, j], estimate[:, j]) for j, name in enumerate(names)}
    return ScoreTable(joints, _mean(joints), len(truth))


def _constant(values: NDArray[np.float64], spread: NDArray[np.float64]) -> bool:
    # The mean of equal values has a rounding error, so their spread is not exactly 0. Spreads
    # whose squares underflow count as constant, too.
    return bool(np.max(np.abs(spread)) <= max(1e-150, 1e-12 * float(np.max(np.abs(values)))))


def _mean(joints: dict[str, Score]) -> Score:
    figures, notes = [], []
    for metric in METRICS:
        values = {name: getattr(score, metric) for name, score in joints.items()}
        defined = [value for value in values.values() if not isnan(value)]
        figures.append(float(np.mean(defined)) if defined else nan)
        missing = [name for name, value in values.items() if isnan(value)]
        if missing:
            notes.append(f'{metric} without {", ".join(missing)}')
    cc, rmse, nrmse, r2, mae = figures
    return Score(cc, rmse, nrmse, r2, mae, '; '.join(notes))


def as_json(table: ScoreTable) -> dict[str, Any]:
    """Return a score table as JSON values; undefined figures are null, with a reason."""
    return {
        'count': table.count,
        'units': {'rmse': 'deg', 'mae': 'deg'},
        'mean': _row(asdict(table.mean)),
        'joints': {name: _row(asdict(score)) for name, score in table.joints.items()},
    }


def _row(score: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {m: score[m] if isfinite(score[m]) else None for m in METRICS}
    if score['reason']:
        row['reason'] = score['reason']
    return row
