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

"""Checks that the claims of a recorded EMG source agree with its messages.

A recording is put in order once, when it is read: one rate, a counter that does not wrap, stamps
that fit the counter (`source_clock.py` does the same for the live decoder). Contradictions that
cannot be resolved are refused, with both figures.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import pairwise
from typing import NamedTuple

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.emg.source_clock import (
    chunk_columns,
    CONTRADICTION,
    contradicts,
    fitted_rate,
    follow_plainly,
    RATE_TOLERANCE,
    RESTART_AFTER_NS,
    SourceClock,
    Step,
)
import numpy as np
from numpy.typing import NDArray

WORTH_TELLING = 0.0005  # of the rate
FEW = 0.1  # of the messages
SAME_STEP = 0.7  # of the messages
_MOST_SOURCES = 4
_FAR_NS = 3600 * NANOSECONDS
_SHORTEST_PART_NS = NANOSECONDS
_SHORTEST = 2.0  # s of stamps needed to measure a rate
_FEWEST = 10  # messages needed to measure a rate


class CheckedSource(NamedTuple):
    """A source in order.

    Attributes:
        chunks: its messages.
        remarks: sentences on what was left out, and on what differs from the source's claims.
    """

    chunks: list[EmgChunk]
    remarks: tuple[str, ...]


def checked_source(chunks: Sequence[EmgChunk]) -> CheckedSource:
    """Put the messages of a recorded source in order.

    Args:
        chunks: messages with the same number of channels, in recorded order.

    Raises:
        RecordingError: the messages come from several sources, the counter does not count
            samples, or the rate contradicts the stated one.
    """
    remarks: list[str] = []
    kept = _one_rate(list(chunks), remarks)
    _check_counter(kept)
    kept = _one_source(kept, remarks)
    _check_rate(kept)
    kept = _without_far_stamps(kept, remarks)
    in_time = _in_time(kept, remarks)
    as_stamped = kept
    if in_time is not kept:
        # The counter must count on first.
        as_stamped = [
            chunk._replace(stamp_ns=raw.stamp_ns) for chunk, raw in zip(in_time, kept, strict=True)
        ]
    remarks += _check_rate(as_stamped)
    return CheckedSource(in_time, tuple(remarks))


def _one_source(chunks: list[EmgChunk], remarks: list[str]) -> list[EmgChunk]:
    """Leave out a second source if it has few messages, refuse it otherwise.

    Each source has a counter of its own: messages that alternate between two counters come from
    two sources.
    """
    first, lengths, _ = chunk_columns(chunks)
    follows = first[1:] == first[:-1] + lengths[:-1]
    if len(chunks) < _FEWEST or follows.mean() > 1 - FEW / 2:
        return chunks
    sources = _by_counter(chunks)
    counts = Counter(sources.tolist())
    counts.pop(-1, None)
    # One source may still lose many messages, or repeat them.
    if len(counts) < 2 or sum(counts.values()) < (1 - FEW) * len(chunks):
        return chunks
    ordered = [source for source, _ in counts.most_common()]
    others = len(chunks) - counts[ordered[0]]
    if others > FEW * len(chunks):
        raise RecordingError(
            'two or more sources publish on one topic: their counters (first_sample) take turns, '
            f'{", ".join(str(counts[source]) for source in ordered)} messages of each; '
            'record each on its own topic'
        )
    remarks.append(f'{others} of {len(chunks)} messages left out: they are from another source')
    return [chunk for chunk, source in zip(chunks, sources.tolist(), strict=True) if not source]


def _by_counter(chunks: list[EmgChunk]) -> NDArray[np.int64]:
    """Return the source of each message by its counter: 0 is the first, -1 a rare one."""
    ends: list[int] = []
    last: list[EmgChunk] = []
    sources = np.full(len(chunks), -1)
    for place, chunk in enumerate(chunks):
        known = next((n for n, end in enumerate(ends) if end == chunk.first_sample), None)
        if known is None and len(ends) < _MOST_SOURCES:
            twin = any(
                other.first_sample == chunk.first_sample
                and np.array_equal(other.samples, chunk.samples)
                for other in last
            )
            if twin:  # a duplicate message
                continue
            known = len(ends)
            ends.append(0)
            last.append(chunk)
        if known is not None:
            sources[place] = known
            ends[known] = chunk.first_sample + len(chunk.samples)
            last[known] = chunk
    return sources


def _one_rate(chunks: list[EmgChunk], remarks: list[str]) -> list[EmgChunk]:
    """Give all messages one rate; leave out those whose rate differs from most others."""
    rates = np.array([chunk.sampling_rate for chunk in chunks])
    values, counts = np.unique(rates, return_counts=True)
    if len(values) == 1:
        return chunks
    usual = float(values[np.argmax(counts)])
    if counts.max() > len(chunks) // 2:
        kept = np.abs(rates - usual) <= RATE_TOLERANCE * usual
        if not kept.all():
            others = sorted({f'{rate:g}' for rate in rates[~kept].tolist()})
            remarks.append(
                f'{(~kept).sum()} of {len(chunks)} messages left out: their sampling_rate is '
                f'{", ".join(others[:4])} Hz, that of the others {usual:g} Hz'
            )
    else:
        # Stamps and counter are more reliable than a rate measured for each message.
        usual = _rate_of(chunks) or float(np.median(rates))
        kept = np.ones(len(chunks), dtype=np.bool_)
        if rates.max() - rates.min() > RATE_TOLERANCE * usual:
            remarks.append(
                f'sampling_rate differs from message to message, {rates.min():.4g} to '
                f'{rates.max():.4g} Hz; by stamps and counter it is {usual:.4g} Hz'
            )
    return [
        chunk._replace(sampling_rate=usual)
        for chunk, keep in zip(chunks, kept.tolist(), strict=True)
        if keep
    ]


def _without_far_stamps(chunks: list[EmgChunk], remarks: list[str]) -> list[EmgChunk]:
    """Leave out a few messages with stamps far from all others, such as 0.

    They would distort the start or end of the recording, and so which part of it is the test.
    """
    first, lengths, stamps = chunk_columns(chunks)
    period_ns = NANOSECONDS / chunks[0].sampling_rate
    since_ns = np.diff(stamps)
    leaps = np.abs(since_ns - np.diff(first) * period_ns) > RESTART_AFTER_NS
    leaps &= np.abs(since_ns - lengths[:-1] * period_ns) > RESTART_AFTER_NS  # not a restart
    edges = [0, *(np.flatnonzero(leaps) + 1).tolist(), len(chunks)]
    far = np.zeros(len(chunks), dtype=np.bool_)
    for begin, end in pairwise(edges):
        far[begin:end] = lengths[begin:end].sum() * period_ns < _SHORTEST_PART_NS
    if not far.any() or far.mean() > FEW:
        return chunks
    examples = ', '.join(_date(stamp) for stamp in stamps[far][:3].tolist())
    remarks.append(
        f'{far.sum()} of {len(chunks)} messages left out: their stamps ({examples}) do not follow '
        f'those of the others ({_date(int(np.median(stamps)))})'
    )
    return [chunk for chunk, out in zip(chunks, far.tolist(), strict=True) if not out]


def _check_counter(chunks: list[EmgChunk]) -> None:
    """Refuse a counter that does not count samples."""
    if len(chunks) < _FEWEST:
        return
    first, lengths, _ = chunk_columns(chunks)
    steps = np.diff(first)
    wrong = steps != lengths[:-1]
    if wrong.mean() <= 0.5:
        return
    values, counts = np.unique(steps[wrong], return_counts=True)
    usual = int(values[np.argmax(counts)])
    # Losing messages gives gaps of any size; here one step that is too small repeats.
    if counts.max() > SAME_STEP * len(steps) and usual < np.median(lengths):
        does = 'stands still' if usual == 0 else f'grows by {usual}'
        raise RecordingError(
            f'first_sample {does} from message to message, each of which has '
            f'{int(np.median(lengths))} samples: it must count the samples before each message'
        )


def _in_time(chunks: list[EmgChunk], remarks: list[str]) -> list[EmgChunk]:
    """Take counter and stamps as the live decoder does."""
    if follow_plainly(chunk_columns(chunks), chunks[0].sampling_rate):
        return chunks
    clock = SourceClock(chunks[0].sampling_rate)
    readings = [clock.read(chunk) for chunk in chunks]
    again = sum(reading.step in (Step.STARTED_AGAIN, Step.CLOCK_SET) for reading in readings)
    if again > max(20, len(chunks) // 2):
        raise RecordingError(
            f'counter and stamps do not fit: in {len(chunks)} messages the source seems to start '
            f'again {again} times; first_sample must count the samples before each message, and '
            'the stamps must fit it'
        )
    if clock.modulus:
        remarks.append(
            f'first_sample wraps at {clock.modulus} ({clock.wraps} times): it is counted on'
        )
    if clock.counted_on > FEW * len(chunks):
        remarks.append(
            f'{clock.counted_on} of {len(chunks)} messages have a stamp that does not fit the '
            'counter, such as one for a whole batch: their time is counted on from the others'
        )
    return [reading.chunk for reading in readings]


def _check_rate(chunks: list[EmgChunk]) -> list[str]:
    """Compare the stated rate with the measured one; return a remark if they differ."""
    said, measured = chunks[0].sampling_rate, _rate_of(chunks)
    if measured is None:
        return []
    if contradicts(said, measured):
        raise RecordingError(
            f'sampling_rate says {said:g} Hz, but by stamps and counter the source takes '
            f'{measured:.4g} samples a second; up to {CONTRADICTION:.0%} would be followed'
            f'{_likely_unit(said, measured)}'
        )
    if abs(measured - said) <= WORTH_TELLING * said:
        return []
    differs = f'sampling_rate says {said:g} Hz, stamps and counter say {measured:.2f} Hz'
    return [f'{differs}: the stamps are followed']


def _likely_unit(said: float, measured: float) -> str:
    return '; is sampling_rate in kHz?' if 0.9 < 1000 * said / measured < 1.1 else ''


def _rate_of(chunks: Sequence[EmgChunk]) -> float | None:
    """Return the rate by stamps and counter (Hz), None if it cannot be measured."""
    first, _, stamps = chunk_columns(chunks)
    # Between restarts, use the longest stretch.
    steps, durations = np.diff(first), np.diff(stamps)
    breaks = np.flatnonzero((steps < 0) | (durations < -NANOSECONDS) | (durations > _FAR_NS)) + 1
    edges = [0, *breaks.tolist(), len(chunks)]
    begin, end = max(pairwise(edges), key=lambda edge: edge[1] - edge[0])
    if end - begin < _FEWEST or stamps[end - 1] - stamps[begin] < _SHORTEST * NANOSECONDS:
        return None
    measured = fitted_rate(first[begin:end], stamps[begin:end])
    return measured if measured is not None and measured > 0 else None


def _date(stamp_ns: int) -> str:
    try:
        moment = datetime.fromtimestamp(stamp_ns // NANOSECONDS, tz=timezone.utc)
    except (OverflowError, OSError, ValueError):
        return f'{stamp_ns / NANOSECONDS:.0f} s'
    return f'{moment:%Y-%m-%d %H:%M:%S}'
