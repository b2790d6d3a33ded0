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

"""Re-times cues: finds in the EMG when the wearer followed each cue.

A wearer follows a cue not with a fixed lag but with a reaction time of 0.8 to 0.9 s (median over
Ninapro DB1 and DB5) that varies by 0.2 to 0.3 s between repetitions, and returns at will. `align`
searches one lag for a whole recording and so does not fit. This module searches the start and the
end of each repetition in the activity of all electrodes.

Method: the activity is the RMS over electrodes of the change of log-RMS since the rest before the
cue, in standard deviations of rest. Least squares fit a step up in the first three quarters of the
repetition, and a step down from its middle on (one change point in the mean: Hinkley, Biometrika
57 (1970) 1). The cue is moved so that it is half way to its pose at the first step, and half way
back at the second. If no step explains enough of the activity, the start is REACTION_TIME after
the cue, and the end has the median delay of the other repetitions.

The result is a reference for training: the *intended* pose, at the time of the movement. It is not
what the hand did.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import JointTrack, LabelTrack, NANOSECONDS, nanoseconds, Recording
from leconvmn_ros.dataset.repetitions import Repetition
from leconvmn_ros.dataset.segments import gapless_runs, Run
from leconvmn_ros.emg.signal_path import SlidingRms
import numpy as np
from numpy.typing import NDArray

REACTION_TIME = 0.85  # s
# Process a recording in blocks, so that hours of it fit into memory.
SAMPLES_AT_ONCE = 2**16
STEP = 0.02  # s, between values of the activity
RMS_WINDOW = 0.1  # s
BASELINE = 1.0  # s of rest before a cue
# Plausible delays of a wearer (s); a step outside has another cause.
EARLIEST, LATEST = 0.1, 2.5
# A wearer may return long before the cue does (s).
EARLIEST_END = -3.0
# The start is searched in this share of a repetition, the end after its middle.
START_WITHIN = 0.75
# Shortest time on either side of a step (s).
SHORTEST_SIDE = 0.2
# Share of the variance of the activity that a step must explain, and its minimal height in
# standard deviations of rest.
LEAST_EXPLAINED = 0.4
LEAST_HEIGHT = 1.0
# Smallest motion of a cue that shows a movement (rad).
LEAST_WAY = 0.05
# Shortest duration of a movement between half way there and half way back (s).
SHORTEST = 0.3


class Activity(NamedTuple):
    """Log-RMS of a recording on a grid of times.

    Attributes:
        stamps_ns: times (ns), shape (times,), increasing.
        log_rms: log of RMS plus a floor, shape (times, channels).
    """

    stamps_ns: NDArray[np.int64]
    log_rms: NDArray[np.float64]

    def between(self, first_ns: int, last_ns: int) -> NDArray[np.float64]:
        """Return the log-RMS in a half-open interval of time (ns)."""
        first, last = np.searchsorted(self.stamps_ns, (first_ns, last_ns))
        return self.log_rms[first:last]


class Attempt(NamedTuple):
    """One repetition of a cue.

    Attributes:
        movement: number of the movement, from 1.
        repetition: number of the repetition, from 1.
        start_ns: time of the cue (ns).
        end_ns: time at which the cue is back at rest (ns).
        next_ns: time of the next cue, or end of the labels (ns).
        withdrawn: whether it was marked as invalid.
    """

    movement: int
    repetition: int
    start_ns: int
    end_ns: int
    next_ns: int
    withdrawn: bool = False


class Cue(NamedTuple):
    """Times at which a cue is half way to its pose, and half way back (ns)."""

    up_ns: int
    down_ns: int


class Timing(NamedTuple):
    """The timing of an attempt.

    Attributes:
        attempt: the attempt.
        cue: times at which the cue was half way.
        start_delay: delay of the movement after the cue on the way to the pose (s).
        end_delay: delay on the way back (s); negative if the wearer returned before the cue.
        start_found: whether the EMG shows the start; if not, REACTION_TIME is used.
        end_found: whether the EMG shows the end; if not, the median of the others is used.
    """

    attempt: Attempt
    cue: Cue
    start_delay: float
    end_delay: float
    start_found: bool
    end_found: bool


def attempts(labels: LabelTrack, end_ns: int) -> list[Attempt]:
    """Return the attempts in order of time.

    A rest with repetition 0 withdraws the movement before it: it was interrupted or is repeated.

    Args:
        labels: movement and repetition.
        end_ns: end of the recording (ns).
    """
    movement, repetition = labels.movement.tolist(), labels.repetition.tolist()
    stamps = [*labels.stamps_ns.tolist(), end_ns]
    starts = [k for k, number in enumerate(movement) if number > 0 and _begins(labels, k)]
    found = []
    for place, following in pairwise([*starts, len(movement)]):
        rests = [k for k in range(place, following) if movement[k] == 0]
        found.append(
            Attempt(
                movement[place],
                repetition[place],
                stamps[place],
                max(stamps[rests[0]] if rests else stamps[following], stamps[place]),
                max(stamps[following], stamps[place]),
                any(repetition[k] == 0 for k in rests),
            )
        )
    return found


def _begins(labels: LabelTrack, place: int) -> bool:
    """Whether a label differs from the one before; sources may repeat labels."""
    return place == 0 or (labels.movement[place], labels.repetition[place]) != (
        labels.movement[place - 1],
        labels.repetition[place - 1],
    )


def activity(recording: Recording) -> Activity:
    """Compute the log-RMS of a recording; see `activity_of`.

    Raises:
        RecordingError: it has no usable EMG.
    """
    emg = activity_of(gapless_runs(recording), recording.chunks[0].sampling_rate)
    if emg is None:
        raise RecordingError(f'{recording.name} has no {RMS_WINDOW} s of EMG without a gap')
    return emg


def activity_of(runs: Iterable[Run], rate: float) -> Activity | None:
    """Compute the log-RMS in windows centred on each time; None if no run holds a window.

    Args:
        runs: stretches of EMG in order of time.
        rate: samples per second.
    """
    rms, stamps = [], []
    for run in runs:
        step, length = max(1, round(STEP * rate)), max(1, round(RMS_WINDOW * rate))
        if len(run.samples) < length:
            continue
        sliding = SlidingRms(length, run.samples.shape[1])
        # Windows end at their sample; drop the first ones, which are not full.
        rms.append(_every(step, length - 1, run.samples, sliding))
        stamps.append(run.stamps_ns[length // 2 :: step][: len(rms[-1])])
    if not rms:
        return None
    values = np.concatenate(rms)
    # The log of silence is undefined; the floor makes all that is very quiet equal.
    floor = values.mean(axis=0)
    return Activity(np.concatenate(stamps), np.log(values + np.where(floor > 0, floor, 1.0)))


def _every(
    step: int, first: int, samples: NDArray[np.float32], sliding: SlidingRms
) -> NDArray[np.float64]:
    """Return the RMS at every `step`-th sample from `first` on, shape (times, channels)."""
    parts, begin = [], first
    for start in range(0, len(samples), SAMPLES_AT_ONCE):
        rms = sliding.push(samples[start : start + SAMPLES_AT_ONCE])
        parts.append(rms[begin - start :: step].copy())
        begin += step * len(parts[-1])
    return np.concatenate(parts)


def rest_spread(emg: Activity, asked: Sequence[Attempt | Repetition]) -> NDArray[np.float64]:
    """Return the spread of each channel in the rests before the cues, shape (channels,)."""
    parts = []
    for attempt in asked:
        rest = emg.between(attempt.start_ns - nanoseconds(BASELINE), attempt.start_ns)
        parts.append(rest - rest.mean(axis=0) if len(rest) else rest)
    spread = np.std(np.concatenate(parts), axis=0) if parts else np.ones(emg.log_rms.shape[1])
    typical = float(np.median(spread)) or 1.0
    return np.maximum(spread, 0.2 * typical)


def half_way(track: JointTrack | None, attempt: Attempt) -> Cue:
    """Return when the cue of an attempt is half way; without a track the cue is a step.

    Args:
        track: the cue as shown, None if only labels are known.
        attempt: the attempt.
    """
    step = Cue(attempt.start_ns, attempt.end_ns)
    if track is None:
        return step
    first, last = np.searchsorted(track.stamps_ns, (attempt.start_ns, attempt.next_ns))
    poses = track.positions[first:last]
    if not len(poses) or not np.isfinite(poses).all():
        return step
    way = np.linalg.norm(poses - poses[0], axis=1)
    if way.max() < LEAST_WAY:
        # A step ends before the next pose is shown.
        way = np.linalg.norm(poses - track.positions[max(0, first - 1)], axis=1)
    beyond = np.flatnonzero(way >= way.max() / 2)
    if way.max() < LEAST_WAY:
        return step
    stamps = track.stamps_ns[first:last]
    return Cue(int(stamps[beyond[0]]), int(stamps[beyond[-1]]))


def find_timing(
    emg: Activity, attempt: Attempt, spread: NDArray[np.float64], cue: Cue | None = None
) -> Timing:
    """Search the timing of an attempt.

    Args:
        emg: activity of the recording, at least to the end of the search.
        attempt: the attempt.
        spread: standard deviation of each channel at rest, see `rest_spread`.
        cue: times at which it was half way; by default it is a step.
    """
    cue = cue or Cue(attempt.start_ns, attempt.end_ns)
    before = emg.between(
        attempt.start_ns - nanoseconds(BASELINE), attempt.start_ns + nanoseconds(EARLIEST)
    )
    if not len(before):
        return Timing(attempt, cue, REACTION_TIME, REACTION_TIME, False, False)
    changes = (emg.log_rms - before.mean(axis=0)) / spread
    signal = Signal(emg.stamps_ns, changes)
    length = attempt.end_ns - attempt.start_ns
    up_ns = signal.step(
        attempt.start_ns - nanoseconds(BASELINE),
        min(cue.up_ns + nanoseconds(LATEST), attempt.start_ns + round(START_WITHIN * length)),
        sign=1,
    )
    down_ns = signal.step(
        attempt.start_ns + length // 2,
        min(cue.down_ns + nanoseconds(LATEST), attempt.next_ns),
        sign=-1,
    )
    start = None if up_ns is None else (up_ns - cue.up_ns) / NANOSECONDS
    end = None if down_ns is None else (down_ns - cue.down_ns) / NANOSECONDS
    early = (attempt.start_ns - cue.up_ns) / NANOSECONDS + EARLIEST
    if start is not None and not early <= start <= LATEST:
        start = None
    delay = REACTION_TIME if start is None else start
    earliest_end = max(EARLIEST_END, delay + SHORTEST - (cue.down_ns - cue.up_ns) / NANOSECONDS)
    if end is not None and not earliest_end <= end <= LATEST:
        end = None
    return Timing(
        attempt,
        cue,
        delay,
        max(delay, earliest_end) if end is None else end,
        start is not None,
        end is not None,
    )


class Signal(NamedTuple):
    """The change of each electrode since the rest before a cue.

    Attributes:
        stamps_ns: times (ns), shape (times,).
        changes: changes in standard deviations of rest, shape (times, channels).
    """

    stamps_ns: NDArray[np.int64]
    changes: NDArray[np.float64]

    def step(self, first_ns: int, last_ns: int, *, sign: int) -> int | None:
        """Return when the activity steps up (sign 1) or down (-1) (ns), None if it does not."""
        first, last = np.searchsorted(self.stamps_ns, (first_ns, last_ns))
        level = np.sqrt(np.mean(self.changes[first:last] ** 2, axis=1))
        step = best_step(sign * level, round(SHORTEST_SIDE / STEP))
        if step is None or step.explained < LEAST_EXPLAINED or step.height < LEAST_HEIGHT:
            return None
        return int(self.stamps_ns[first + step.place])


class StepFit(NamedTuple):
    """A step from one level to a higher one.

    place: index of the first value on the higher level.
        place: first value on the higher level.
        height: difference of the levels.
        explained: share of the variance that the step explains.
    """

    place: int
    height: float
    explained: float


def best_step(values: NDArray[np.float64], shortest: int) -> StepFit | None:
    """Fit the step up that explains most of the variance; None if there is none.

    Args:
        values: activity, shape (times,).
        shortest: least number of values on either side.
    """
    count = len(values)
    if count < 2 * shortest or shortest < 1:
        return None
    centred = values - values.mean()
    total = float(centred @ centred)
    if total <= 0:
        return None
    places = np.arange(shortest, count - shortest + 1)
    sums = np.cumsum(centred)[places - 1]
    # With the mean removed, the levels are -s/k before and s/(n-k) after, s < 0 for a step up.
    heights = -sums / places - sums / (count - places)
    gains = sums**2 / places + sums**2 / (count - places)
    gains[heights <= 0] = -1.0
    best = int(np.argmax(gains))
    if gains[best] <= 0:
        return None
    return StepFit(int(places[best]), float(heights[best]), float(gains[best]) / total)


def find_timings(recording: Recording) -> list[Timing]:
    """Search the timing of each attempt in a recording.

    Args:
        recording: EMG and labels; its reference, if it has one, is the cue as shown.

    Raises:
        RecordingError: it has no usable EMG, or no labels.
    """
    if recording.labels is None or not recording.chunks:
        missing = 'EMG' if not recording.chunks else 'movement labels'
        raise RecordingError(f'{recording.name} has no {missing}, so no cue can be timed')
    asked = attempts(recording.labels, recording.span_ns[1])
    if not asked:
        raise RecordingError(f'{recording.name}: its labels ask for no movement')
    emg = activity(recording)
    spread = rest_spread(emg, asked)
    timings = [
        find_timing(emg, attempt, spread, half_way(recording.reference, attempt))
        for attempt in asked
    ]
    ends = [timing.end_delay for timing in timings if timing.end_found]
    usual = float(np.median(ends)) if ends else REACTION_TIME
    return [timing if timing.end_found else timing._replace(end_delay=usual) for timing in timings]


def retimed(recording: Recording, timings: list[Timing]) -> Recording:
    """Return the recording with its cue moved to the time at which it was followed.

    The start delay moves the time half way to the pose, the end delay the time half way back; time
    is stretched evenly between them. Withdrawn attempts lose their reference. The information of
    the recording gets `reference: cue`.

    Args:
        recording: a recording whose reference is the cue as shown.
        timings: timings of all its attempts, see `find_timings`.

    Raises:
        RecordingError: it has no reference.
    """
    track = recording.reference
    if track is None or not len(track.stamps_ns):
        raise RecordingError(f'{recording.name} has no cue to train on')
    origin = int(track.stamps_ns[0])
    knots = [
        ((time - origin) / NANOSECONDS, delay)
        for timing in timings
        for time, delay in zip(timing.cue, (timing.start_delay, timing.end_delay), strict=True)
    ]
    times = (track.stamps_ns - origin) / NANOSECONDS
    delays = np.interp(times, *np.array(knots).T) if knots else np.zeros_like(times)
    moved = np.maximum.accumulate(track.stamps_ns + np.round(delays * NANOSECONDS).astype(int))
    kept = ~_withdrawn(track.stamps_ns, timings)
    found = sum(timing.start_found for timing in timings)
    return replace(
        recording,
        reference=JointTrack(moved[kept], track.names, track.positions[kept]),
        information={
            **recording.information,
            'reference': 'cue',
            'cue_onsets_found': f'{found} of {len(timings)}',
        },
    )


def _withdrawn(stamps_ns: NDArray[np.int64], timings: list[Timing]) -> NDArray[np.bool_]:
    gone = np.zeros(len(stamps_ns), dtype=np.bool_)
    for attempt in (timing.attempt for timing in timings if timing.attempt.withdrawn):
        gone |= (stamps_ns >= attempt.start_ns) & (stamps_ns < attempt.next_ns)
    return gone
