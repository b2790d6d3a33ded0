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

"""Measures by how much the stamps of the reference angles lag behind those of the EMG.

EMG and hand are often recorded by different devices (glove, camera) and so with two clocks, and a
camera pipeline stamps a picture tens to hundreds of milliseconds after it was taken. A lag is
positive if the reference is late: an angle stamped t + lag was true at t.

Method: a ridge regression from the change of the log-RMS of each channel over CHANGE seconds to
the change of each angle over the same time, a candidate lag later. Both are centred, so that
neither filter shifts anything in time. Its correlation with the measured change, in blocks outside
its fit, is computed for each candidate; the best one is the *delay* from muscle to reference. Only
training data are used, and only if they are training data on both sides of every candidate lag.

The delay is never 0, even with perfect clocks: force follows EMG after the electromechanical delay
(some 30 to 100 ms: Cavanagh and Komi, Eur. J. Appl. Physiol. 42 (1979) 159), and a finger is
fastest only in the middle of its movement. USUAL_DELAY is the mean of this search over twelve
recordings of Ninapro DB1 and DB5, which are taken as synchronised: 0.14 to 0.25 s. A delay within
PLAUSIBLE_DELAY is therefore no evidence against the clocks and is not corrected. One outside is
taken as a clock offset of `delay - USUAL_DELAY`, accurate to about 0.03 s (at worst 0.06 s on
those recordings). Offsets below about 0.1 s cannot be distinguished from physiology. A true lag
beyond LONGEST_LAG usually shows up as a doubt.
"""

from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Literal, NamedTuple

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import JointTrack, NANOSECONDS, Recording
from leconvmn_ros.dataset.alignment import angles_at, check_unit, reference_joints
from leconvmn_ros.dataset.hold_out import HoldOut, Role
from leconvmn_ros.dataset.segments import check_same_time, gapless_runs
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

# A clock that is off by more than this is wrong, not late (s).
MOST_LAG = 10.0
LONGEST_LAG = 1.0  # s, either way
STEP = 0.02  # s, between candidate lags; the peak is then found between them
RMS_WINDOW = 0.2  # s
CHANGE = 0.2  # s
# Blocks of time are assigned to the folds of the cross-validation in turn: each has all movements.
FOLDS = 5
BLOCK = 5.0  # s
RIDGE = 0.01  # share of the variance of a feature
SHORTEST = 30.0  # s of training data
# A moving joint changes by more than this within CHANGE seconds in at least 1 % of the time.
MOVING = np.radians(2.0)

USUAL_DELAY = 0.19  # s
PLAUSIBLE_DELAY = (0.1, 0.3)  # s
# A delay is trusted if its standard error is below the first limit (s), it is far enough from the
# ends of the search (s), and the correlation is high enough. The correlation is 0.12 to 0.35 in
# those twelve recordings; with the reference moved by 1.5 s or more it is below 0.1, at the edge
# or uncertain.
LARGEST_ERROR = 0.05
EDGE = 0.1
LEAST_CC = 0.1


@dataclass(frozen=True, slots=True)
class ReferenceLag:
    """The result of the search.

    Attributes:
        lags: candidates (s), shape (candidates,).
        cc: correlation at each, mean over joints, shape (candidates,); NaN where the reference is
            unknown throughout a fold.
        joints: the moving joints, on which it is based.
        delay: time from a change in the EMG to the same change in the reference (s).
        error: standard error of `delay` (s).
        doubt: why it cannot be trusted, empty if it can.
    """

    lags: NDArray[np.float64]
    cc: NDArray[np.float64]
    joints: tuple[str, ...]
    delay: float
    error: float
    doubt: str

    @property
    def correction(self) -> float:
        """The lag to correct (s); 0 unless it is certain."""
        plausible = PLAUSIBLE_DELAY[0] <= self.delay <= PLAUSIBLE_DELAY[1]
        return 0.0 if self.doubt or plausible else self.delay - USUAL_DELAY

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values; an unknown correlation is null."""
        return {
            'delay_s': self.delay,
            'error_s': self.error,
            'correction_s': self.correction,
            'doubt': self.doubt,
            'joints': list(self.joints),
            'lags_s': self.lags.tolist(),
            'cc': [value if isfinite(value) else None for value in self.cc.tolist()],
        }


class _Grid(NamedTuple):
    """A gapless run on a regular grid that extends `margin` steps beyond it on either side.

    Attributes:
        rms: RMS of the EMG (V), NaN where there is none, shape (times, channels).
        angles: reference (rad), NaN where unknown, shape (times, joints).
        usable: whether everything within the longest lag is training data, shape (times,).
    """

    rms: NDArray[np.float64]
    angles: NDArray[np.float64]
    usable: NDArray[np.bool_]


class _Changes(NamedTuple):
    """Changes of EMG and angles, with all runs concatenated.

    Attributes:
        emg: standardised change of the log-RMS, where usable, shape (times, channels).
        place: row of `angles` at lag 0, shape (times,).
        angles: change of the angles (rad), NaN where unknown, shape (grid, joints).
        fold: fold of each usable time, shape (times,).
    """

    emg: NDArray[np.float64]
    place: NDArray[np.int64]
    angles: NDArray[np.float64]
    fold: NDArray[np.int64]


def find_reference_lag(recording: Recording, hold_out: HoldOut) -> ReferenceLag:
    """Search the lag of the reference within LONGEST_LAG either way.

    Args:
        recording: EMG and reference.
        hold_out: parts that must not be inspected.

    Raises:
        RecordingError: no EMG or reference, angles in degrees, too little training data, or
            nothing moves.
    """
    if not recording.chunks or recording.reference is None:
        missing = 'EMG' if not recording.chunks else 'reference angles'
        raise RecordingError(f'{recording.name} has no {missing}, so there is no lag to find')
    check_same_time(recording, LONGEST_LAG)
    names = reference_joints(recording.reference)
    step = max(1, round(STEP * recording.chunks[0].sampling_rate))
    period = step / recording.chunks[0].sampling_rate
    changes = _changes(_grids(recording, recording.reference, names, hold_out, step), period)
    reach = round(LONGEST_LAG / period)
    _check(recording.name, changes, period)
    moves = _moving(changes)
    if not moves.any():
        raise RecordingError(
            f'{recording.name}: no joint of the reference changes by more than '
            f'{np.degrees(MOVING):.0f} degrees within {CHANGE} s, so its lag cannot be found'
        )
    offsets = np.arange(-reach, reach + 1)
    lags: NDArray[np.float64] = offsets * np.float64(period)
    cc = _correlations(changes._replace(angles=changes.angles[:, moves]), offsets)
    delay, error = _peak_with_error(lags, cc)
    curve = cc.mean(axis=0)
    joints = tuple(name for name, moved in zip(names, moves, strict=True) if moved)
    doubt = _doubt(delay, error, float(np.nanmax(curve)))
    return ReferenceLag(lags, curve, joints, delay, error, doubt)


def shifted(recording: Recording, lag: float) -> Recording:
    """Return the recording with its reference moved earlier by `lag` (s).

    Its information records this under `reference_lag_s`, and so does every decoder trained on it.
    """
    track = recording.reference
    if track is None or lag == 0:
        return recording
    stamps_ns = track.stamps_ns - round(lag * NANOSECONDS)
    return replace(
        recording,
        reference=JointTrack(stamps_ns, track.names, track.positions),
        information={**recording.information, 'reference_lag_s': f'{lag:.6g}'},
    )


def align_reference(
    recording: Recording, lag: float | Literal['auto'], hold_out: HoldOut
) -> tuple[Recording, float]:
    """Return the recording with its reference corrected, and the lag that was corrected (s).

    Args:
        recording: EMG and reference.
        lag: lag of the reference's stamps (s), or 'auto' to search it. A lag found is corrected
            only if it is certain and more than physiology, see `ReferenceLag.correction`.
        hold_out: parts that the search must not inspect.

    Raises:
        RecordingError: no lag can be searched in this recording.
    """
    taken = find_reference_lag(recording, hold_out).correction if lag == 'auto' else lag
    return shifted(recording, taken), taken


def _grids(
    recording: Recording,
    track: JointTrack,
    names: tuple[str, ...],
    hold_out: HoldOut,
    step: int,
) -> list[_Grid]:
    """Put EMG and reference on common times; `step` is in samples of EMG."""
    period = step / recording.chunks[0].sampling_rate
    margin = round(LONGEST_LAG / period) + _half_change(period)
    labels, span_ns = recording.labels, recording.span_ns
    own = hold_out.roles(track.stamps_ns, labels, span_ns) == Role.TRAINING
    track = JointTrack(track.stamps_ns[own], track.names, track.positions[own])
    check_unit(track, names)
    grids = []
    for run in gapless_runs(recording):
        rms = np.pad(
            _rms(run.samples, step, max(1, round(RMS_WINDOW / period / 2))),
            ((margin, margin), (0, 0)),
            constant_values=np.nan,
        )
        # A grid time is in the middle of its samples, by their stamps: the error of a nominal rate
        # would add up to a lag.
        middles = (np.arange(len(rms), dtype=np.float64) - margin) * step + (step - 1) / 2
        stamps_ns = _stamps_at(run.stamps_ns, middles, period / step)
        angles, known = angles_at(track, names, stamps_ns)
        angles[~known] = np.nan
        barred = np.cumsum(hold_out.roles(stamps_ns, labels, span_ns) != Role.TRAINING)
        usable = np.zeros(len(rms), dtype=np.bool_)
        usable[margin:-margin] = barred[2 * margin :] == barred[: -2 * margin]
        grids.append(_Grid(rms, angles, usable))
    return grids


def _stamps_at(
    stamps_ns: NDArray[np.int64], places: NDArray[np.floating], period: float
) -> NDArray[np.int64]:
    """Return the times (ns) at fractional indices of a run, also before and after it."""
    inside = places.clip(0, len(stamps_ns) - 1)
    since_ns = np.interp(inside, np.arange(len(stamps_ns)), stamps_ns - stamps_ns[0])
    since_ns += (places - inside) * period * NANOSECONDS
    times_ns: NDArray[np.int64] = stamps_ns[0] + np.round(since_ns).astype(np.int64)
    return times_ns


def _rms(samples: NDArray[np.float32], step: int, reach: int) -> NDArray[np.float64]:
    """Return the RMS of each block of `step` samples with `reach` such blocks on either side."""
    count, width = len(samples) // step, 2 * reach + 1
    rms = np.full((count, samples.shape[1]), np.nan)
    if count >= width:
        squares = np.square(samples[: count * step].reshape(count, step, samples.shape[1]))
        # No running sum: its rounding errors would spread loud samples of a test everywhere.
        windows = sliding_window_view(squares.mean(axis=1, dtype=np.float64), width, axis=0)
        rms[reach : count - reach] = np.sqrt(windows.mean(axis=-1))
    return rms


def _changes(grids: list[_Grid], period: float) -> _Changes:
    usable = np.concatenate([grid.usable for grid in grids])
    rms = np.concatenate([grid.rms for grid in grids])
    # The log of silence is undefined; the floor makes all that is very quiet equal.
    floor = np.nan_to_num(rms[usable]).mean(axis=0) if usable.any() else np.ones(rms.shape[1])
    half = _half_change(period)
    log_rms = np.log(rms + np.where(floor > 0, floor, 1.0))
    # The margins keep one run's changes apart from the next one's.
    emg = _change(log_rms, half)
    usable &= np.isfinite(emg).all(axis=1)
    angles = _change(np.concatenate([grid.angles for grid in grids]), half)
    emg = emg[usable]
    spread = emg.std(axis=0) if len(emg) else np.ones(emg.shape[1])
    # Count only time with a known reference, so that every fold has some.
    known = np.cumsum(np.isfinite(angles[usable]).all(axis=1))
    fold = (known * period // BLOCK).astype(np.int64) % FOLDS
    return _Changes(emg / np.where(spread > 0, spread, 1.0), np.flatnonzero(usable), angles, fold)


def _half_change(period: float) -> int:
    return max(1, round(CHANGE / 2 / period))


def _change(values: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    change = np.full_like(values, np.nan)
    change[half:-half] = values[2 * half :] - values[: -2 * half]
    return change


def _check(name: str, changes: _Changes, period: float) -> None:
    known = np.isfinite(changes.angles[changes.place]).all(axis=1)
    seconds = float(known.sum() * period)
    if seconds < SHORTEST:
        raise RecordingError(
            f'{name} has {seconds:.0f} s of training data with EMG and reference, '
            f'{LONGEST_LAG:g} s from anything held out; at least {SHORTEST:.0f} s are needed to '
            'find a lag'
        )


def _moving(changes: _Changes) -> NDArray[np.bool_]:
    sizes = np.nan_to_num(np.abs(changes.angles[changes.place]))
    moving: NDArray[np.bool_] = np.quantile(sizes, 0.99, axis=0) > MOVING
    return moving


def _correlations(changes: _Changes, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean CC of the joints in each fold at each lag, shape (folds, lags)."""
    emg, fold = changes.emg, changes.fold
    grams = np.stack([emg[fold == k].T @ emg[fold == k] for k in range(FOLDS)])
    cc = np.full((FOLDS, len(offsets)), np.nan)
    for column, offset in enumerate(offsets):
        angles = changes.angles[changes.place + offset]
        known = np.isfinite(angles).all(axis=1)
        parts = [(emg[own], angles[own]) for own in (known & (fold == k) for k in range(FOLDS))]
        if min(len(x) for x, _ in parts) < 2:
            continue
        left_out = [emg[~known & (fold == k)] for k in range(FOLDS)]
        squares = grams - np.stack([part.T @ part for part in left_out])
        products = np.stack([x.T @ y for x, y in parts])
        for k, (x, y) in enumerate(parts):
            square = squares.sum(axis=0) - squares[k]
            ridge = RIDGE * (known.sum() - len(x)) * np.eye(len(square))
            weights = np.linalg.solve(square + ridge, products.sum(axis=0) - products[k])
            cc[k, column] = _mean_cc(x @ weights, y)
    return cc


def _mean_cc(estimate: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Return the mean Pearson correlation of the columns; a constant one counts as 0."""
    e, y = estimate - estimate.mean(axis=0), truth - truth.mean(axis=0)
    sizes = np.linalg.norm(e, axis=0) * np.linalg.norm(y, axis=0)
    return float(np.mean((e * y).sum(axis=0) / np.where(sizes > 0, sizes, 1.0)))


def _peak_with_error(lags: NDArray[np.float64], cc: NDArray[np.float64]) -> tuple[float, float]:
    """Return the peak of the mean of the folds, and its jackknife error (Efron 1982)."""
    without = [_peak(lags, np.delete(cc, k, axis=0).mean(axis=0)) for k in range(FOLDS)]
    error = np.sqrt((FOLDS - 1) * np.var(without))
    return _peak(lags, cc.mean(axis=0)), float(error)


def _peak(lags: NDArray[np.float64], curve: NDArray[np.float64]) -> float:
    """Return the peak of a curve, by a parabola through its three highest neighbours."""
    top = int(np.nanargmax(curve))
    if not 0 < top < len(curve) - 1:
        return float(lags[top])
    before, at, after = curve[top - 1 : top + 2]
    bend = before - 2 * at + after
    if not bend < 0:  # or NaN beside it
        return float(lags[top])
    return float(lags[top] + (before - after) / (2 * bend) * (lags[1] - lags[0]))


def _doubt(delay: float, error: float, cc: float) -> str:
    if abs(delay) > LONGEST_LAG - EDGE:
        return f'the best lag lies at the edge of the search ({delay:.2f} s)'
    if cc < LEAST_CC:
        return f'the EMG hardly predicts the reference (CC {cc:.2f}; {LEAST_CC} is needed)'
    if error > LARGEST_ERROR:
        return (
            f'the curve is too flat: the lag is known to {error:.2f} s only '
            f'({LARGEST_ERROR} s is needed)'
        )
    return ''
