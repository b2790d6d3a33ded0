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

"""Makes a recording from the signals that an importer has read."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.joints import LARGEST_ANGLE
from leconvmn_ros.core.recording import EmgChunk, JointTrack, LabelTrack, NANOSECONDS, Recording
from leconvmn_ros.emg.kind import EMG_KIND, EmgKind
from leconvmn_ros.emg.message import MOST_CHANNELS
from leconvmn_ros.importers.options import ImportOptions, MOST_RATE
from leconvmn_ros.recordings.bags import FIRST_STAMP_NS
from leconvmn_ros.recordings.subject_check import first_non_finite, LARGEST_LABEL
import numpy as np
from numpy.typing import NDArray

# A step of time that exceeds both limits (s, and samples) is a gap.
_LONGEST_STEP, _LONGEST_STEP_SAMPLES = 0.1, 5
# Allowed deviation of the stated rate from the rate by the times.
_RATE_TOLERANCE = 0.02
# References are thinned out to this rate (Hz), since a hand moves no faster.
_REFERENCE_RATE = 100.0
_REST = frozenset({'', '0', 'rest', 'relax', 'relaxed', 'idle', 'none', 'nan'})


class EmgSignal(NamedTuple):
    """EMG of one device.

    Attributes:
        values: amplitudes (V), shape (samples, channels).
        rate: samples per second (Hz).
        times: time of each sample (s), shape (samples,); None = regular from 0 on.
    """

    values: NDArray[np.float32]
    rate: float
    times: NDArray[np.float64] | None = None


class AngleSignal(NamedTuple):
    """Joint angles, on the clock of the EMG.

    Attributes:
        times: time of each measurement (s), shape (times,).
        names: names of the joints.
        values: angles (rad), NaN where unknown, shape (times, joints).
    """

    times: NDArray[np.float64]
    names: Sequence[str]
    values: NDArray[np.float64]


class LabelSignal(NamedTuple):
    """Movements, on the clock of the EMG.

    Attributes:
        times: time from which an entry holds (s), shape (entries,).
        movement: movement number, 0 = rest, shape (entries,).
        repetition: repetition number, shape (entries,).
        names: text of each movement number, empty if movements were numbers.
    """

    times: NDArray[np.float64]
    movement: NDArray[np.int64]
    repetition: NDArray[np.int64]
    names: Mapping[int, str]


def make_recording(
    name: str,
    emg: EmgSignal,
    angles: AngleSignal | None = None,
    labels: LabelSignal | None = None,
    information: Mapping[str, str] | None = None,
    *,
    chunk: float = 0.02,
    remarks: Sequence[str] = (),
) -> Recording:
    """Combine signals into a recording.

    Args:
        name: name of the recording.
        emg: its EMG; a gap in its times becomes a gap in the sample counter.
        angles: joint angles; rows with NaN are left out.
        labels: movements.
        information: text to keep with it.
        chunk: duration of the EMG in one message (s).
        remarks: further remarks on what was left out or is unusual.

    Returns:
        The recording; its first sample is at `FIRST_STAMP_NS`.

    Raises:
        RecordingError: EMG or angles are not valid signals.
        ConfigurationError: the rate contradicts the times.
    """
    values = np.asarray(emg.values)
    if values.ndim != 2 or 0 in values.shape or values.shape[1] > MOST_CHANNELS:
        raise RecordingError(
            f'{name}: EMG of shape {values.shape}; samples of 1 to {MOST_CHANNELS} channels are '
            'needed'
        )
    if not 0 < emg.rate <= MOST_RATE:
        raise ConfigurationError(
            f'{name}: {emg.rate:g} samples a second; above 0 to {MOST_RATE:g} are allowed'
        )
    if place := first_non_finite(values):
        raise RecordingError(
            f'{name}: EMG of channel {place[1] + 1} is {values[place]} at sample {place[0] + 1}; '
            'finite numbers are needed'
        )
    start = 0.0 if emg.times is None else float(emg.times[0])
    information = dict(information or {})
    if labels is not None and labels.names:
        information['movement_names'] = '; '.join(
            f'{number}: {text}' for number, text in sorted(labels.names.items())
        )
    told = list(remarks)
    return Recording(
        name,
        _chunks(name, emg, chunk, told),
        None if angles is None else _reference(name, angles, start, told),
        None if labels is None else make_labels(labels, start),
        information,
        tuple(told),
    )


def describe(
    options: ImportOptions,
    file_format: str,
    *,
    source: str,
    unit: str,
    kind: EmgKind | None = None,
) -> dict[str, str]:
    """Return the information on the origin of a recording.

    Args:
        options: options of the user.
        file_format: name of the format.
        source: name of the file.
        unit: unit of the EMG in the file.
        kind: whether the EMG of this format is raw or an envelope; None = unknown, so readers
            of the bag must find out.
    """
    known = options.kind or kind
    return {
        'database': file_format,
        'source_file': source.encode('utf-8', 'replace').decode('utf-8'),
        **({} if known is None else {EMG_KIND: known}),
        'emg_unit': 'V',
        'emg_source_unit': unit,
        'joint_unit': 'rad',
    }


def rate_of(times: NDArray[np.float64], stated: float | None, name: str) -> float:
    """Return the stated rate (Hz) if the times agree with it, or the measured rate.

    Raises:
        RecordingError: times go back, or there are too few.
        ConfigurationError: they disagree.
    """
    steps = np.diff(times)
    if len(steps) == 0 or not np.isfinite(times).all():
        raise RecordingError(f'{name}: its times are not valid: {times[:3].tolist()}')
    if (back := int(np.argmin(steps))) >= 0 and steps[back] < 0:
        raise RecordingError(
            f'{name}: the time goes back from {times[back]:.6f} to {times[back + 1]:.6f} s at '
            f'sample {back + 2}'
        )
    median = float(np.median(steps))
    # Batches of samples with one stamp have a median of 0; gaps do not count for the rate.
    usual = steps[steps <= max(20 * median, _LONGEST_STEP)]
    total = float(usual.sum())
    if total <= 0:
        raise RecordingError(f'{name}: its times do not advance')
    measured = len(usual) / total
    if stated is None:
        # Times in whole milliseconds give 199.97 Hz for 200.
        nearest = round(measured)
        return nearest if nearest and abs(measured - nearest) < 1e-3 * measured else measured
    if abs(measured - stated) > _RATE_TOLERANCE * stated:
        raise ConfigurationError(
            f'{name}: {stated:g} samples a second are stated, and its times show {measured:.4g}: '
            'correct --rate or the unit of the times'
        )
    return stated


def events_to_labels(
    starts: Sequence[float], ends: Sequence[float | None], texts: Sequence[str]
) -> LabelSignal | None:
    """Convert events to labels; each holds until its end or until the next one.

    Texts that are numbers become movement numbers; others are numbered in alphabetical order;
    'rest' and the like are 0. The n-th event of a movement is its repetition n.
    """
    if not starts:
        return None
    words = [text.strip() for text in texts]
    moving = sorted({word for word in words if word.lower() not in _REST})
    numbers = all(word.isdigit() and int(word) <= LARGEST_LABEL for word in moving)
    known = {word: int(word) if numbers else place for place, word in enumerate(moving, 1)}
    entries: list[tuple[float, int, int]] = []
    counts: dict[int, int] = {}
    repetition = 0
    order = sorted(range(len(starts)), key=starts.__getitem__)
    for here, place in enumerate(order):
        movement = known.get(words[place], 0)
        if movement:
            counts[movement] = repetition = counts.get(movement, 0) + 1
        entries.append((starts[place], movement, repetition))
        following = starts[order[here + 1]] if here + 1 < len(order) else None
        end = ends[place]
        if end is not None and (following is None or end < following):
            entries.append((end, 0, repetition))
    times, movements, repetitions = zip(*entries, strict=True)
    return LabelSignal(
        np.array(times, np.float64),
        np.array(movements, np.int64),
        np.array(repetitions, np.int64),
        {} if numbers else {number: word for word, number in known.items()},
    )


def samples_to_labels(
    times: NDArray[np.float64], movement: Sequence[str], repetition: Sequence[str] | None
) -> LabelSignal | None:
    """Convert a movement for each sample to labels; missing repetitions are counted."""
    words = [_tidy(word) for word in movement]
    edges = [0] + [n for n in range(1, len(words)) if words[n] != words[n - 1]]
    if repetition is not None:
        given = [_tidy(word) for word in repetition]
        edges = [0] + [
            n for n in range(1, len(words)) if (words[n], given[n]) != (words[n - 1], given[n - 1])
        ]
    signal = events_to_labels(
        [float(times[n]) for n in edges], [None] * len(edges), [words[n] for n in edges]
    )
    if signal is None or repetition is None:
        return signal
    numbers = np.array([int(word) if word.isdigit() else 0 for word in given])[edges]
    # Rest has the repetition of the movement before it, as everywhere in this package.
    held = np.maximum.accumulate(np.where(signal.movement > 0, np.arange(len(edges)), -1))
    return signal._replace(repetition=np.where(held < 0, 0, numbers[held]).astype(np.int64))


def _tidy(word: str) -> str:
    """Write 3.0 as 3, since tables of numbers have such labels."""
    word = word.strip()
    return (
        word.partition('.')[0]
        if word.replace('.', '', 1).strip('0123456789') == '' and (float(word or 0).is_integer())
        else word
    )


def _chunks(name: str, emg: EmgSignal, chunk: float, remarks: list[str]) -> list[EmgChunk]:
    values = np.ascontiguousarray(emg.values, np.float32)
    size = max(1, round(min(chunk * emg.rate, len(values))))
    chunks = []
    runs = _runs(name, emg)
    if len(runs) > 1:
        last_run = runs[-1]
        lost = last_run[2] + last_run[1] - last_run[0] - len(values)
        remarks.append(f'gaps in the EMG: {len(runs) - 1}, {lost / emg.rate:.2f} s in all')
    for first, last, count, stamp_ns in runs:
        for begin in range(first, last, size):
            since_ns = round((begin - first) * NANOSECONDS / emg.rate)
            chunks.append(
                EmgChunk(
                    stamp_ns + since_ns,
                    emg.rate,
                    count + begin - first,
                    values[begin : min(begin + size, last)],
                )
            )
    return chunks


def _runs(name: str, emg: EmgSignal) -> list[tuple[int, int, int, int]]:
    """Return gapless runs: first and last sample, counter of the first, its stamp (ns)."""
    length = len(emg.values)
    if emg.times is None:
        return [(0, length, 0, FIRST_STAMP_NS)]
    if len(emg.times) != length:
        raise RecordingError(f'{name}: {len(emg.times)} times for {length} samples')
    limit = max(_LONGEST_STEP, _LONGEST_STEP_SAMPLES / emg.rate)
    breaks = (np.flatnonzero(np.diff(emg.times) > limit) + 1).tolist()
    runs = []
    count = 0
    before: tuple[int, int] | None = None
    for first, last in zip([0, *breaks], [*breaks, length], strict=True):
        # The times of a run jitter: fit a regular run through their median.
        since = emg.times[first:last] - emg.times[0] - np.arange(last - first) / emg.rate
        start = 0.0 if first == 0 else float(np.median(since))
        stamp_ns = FIRST_STAMP_NS + round(start * NANOSECONDS)
        if before is not None:
            count = before[1] + max(1, round((stamp_ns - before[0]) * emg.rate / NANOSECONDS))
        runs.append((first, last, count, stamp_ns))
        end = count + last - first - 1
        before = (stamp_ns + round((last - first - 1) * NANOSECONDS / emg.rate), end)
    return runs


def _reference(
    name: str, angles: AngleSignal, start: float, remarks: list[str]
) -> JointTrack | None:
    order = np.argsort(angles.times, kind='stable')
    times, values = np.asarray(angles.times)[order], np.asarray(angles.values)[order]
    known = np.isfinite(values).all(axis=1) & np.isfinite(times) & (times >= start - 1)
    if missing := len(known) - np.count_nonzero(known):
        remarks.append(f'{missing} of {len(known)} rows of angles left out: they are incomplete')
    slots = np.floor((times - start) * _REFERENCE_RATE + 1e-6)
    known[known] &= np.diff(slots[known], prepend=-np.inf) > 0
    times, values = times[known], values[known]
    if len(times) == 0:
        raise RecordingError(f'{name}: no row has an angle of every joint')
    if (largest := float(np.abs(values).max())) > LARGEST_ANGLE:
        raise ConfigurationError(
            f'{name}: an angle is {largest:.4g} rad, but no joint turns a full circle: '
            'give --angle-unit deg if the angles are in degrees'
        )
    stamps = FIRST_STAMP_NS + np.rint((times - start) * NANOSECONDS).astype(np.int64)
    inside = stamps > 0
    return JointTrack(stamps[inside], tuple(angles.names), values[inside])


def make_labels(labels: LabelSignal, start: float = 0.0) -> LabelTrack:
    """Return labels on the clock of a recording whose first sample is at `start` (s)."""
    since = np.maximum(np.asarray(labels.times) - start, 0)
    stamps = FIRST_STAMP_NS + np.rint(since * NANOSECONDS).astype(np.int64)
    return LabelTrack(stamps, labels.movement, labels.repetition)
