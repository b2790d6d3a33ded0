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

"""Cuts recordings into stretches with one role: training, validation or test.

A segment is cut out of the samples before any feature is computed, and the features start afresh:
nothing of a held-out repetition reaches the training data, not even the tail of an RMS window or
the far end of an interpolated angle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import EmgChunk, JointTrack, NANOSECONDS, Recording
from leconvmn_ros.dataset.alignment import AlignedAngles, angles_at, check_unit, LONGEST_GAP_NS
from leconvmn_ros.dataset.hold_out import HoldOut, Role
from leconvmn_ros.emg.intake import Intake
from leconvmn_ros.emg.source_clock import chunk_columns, follow_plainly
import numpy as np
from numpy.typing import NDArray

# With more pieces than this, and than half of the messages, counter and clock are unusable.
MOST_PIECES = 20
# A stand-in for a Role where samples are unusable.
_NONE = -1


@dataclass(frozen=True, slots=True)
class Segment:
    """An uninterrupted stretch with one role.

    Attributes:
        role: its role.
        samples: EMG (V), shape (samples, channels).
        angles: reference at each sample (rad), shape (samples, joints).
        lead_in: for a validation segment, the training EMG just before it (V), shape (samples,
            channels); empty if test data or a gap come before it.
        stamps_ns: times of the samples, without the lead-in (ns), shape (samples,).
    """

    role: Role
    samples: NDArray[np.float32]
    angles: NDArray[np.float64]
    lead_in: NDArray[np.float32]
    stamps_ns: NDArray[np.int64]


class Run(NamedTuple):
    """A gapless run of samples.

    Attributes:
        samples: EMG (V), shape (samples, channels).
        stamps_ns: times of the samples (ns), shape (samples,).
        bridged: ranges of synthetic samples that bridge short gaps.
    """

    samples: NDArray[np.float32]
    stamps_ns: NDArray[np.int64]
    bridged: list[range]


class _RunParts(NamedTuple):
    """A run under construction; `bridged` are indices into the lists."""

    samples: list[NDArray[np.float32]]
    stamps_ns: list[NDArray[np.int64]]
    bridged: list[int]

    def joined(self) -> Run:
        ends = np.cumsum([len(part) for part in self.samples]).tolist()
        return Run(
            joined_rows(self.samples),
            np.concatenate(self.stamps_ns),
            [range(ends[i] - len(self.samples[i]), ends[i]) for i in self.bridged],
        )


def cut_segments(
    recording: Recording,
    names: Sequence[str],
    hold_out: HoldOut,
    *,
    learn_validation: bool = False,
) -> list[Segment]:
    """Cut a recording into segments, in order of time; EMG without reference is left out.

    Args:
        recording: EMG and reference.
        names: joints to take from the reference.
        hold_out: the hold-out.
        learn_validation: use the validation part for training, too.

    Raises:
        RecordingError: no EMG, no reference, no common time, or angles in degrees.
    """
    if not recording.chunks:
        raise RecordingError(f'{recording.name} has no EMG')
    reference = recording.reference
    if reference is None:
        raise RecordingError(f'{recording.name} has no reference angles to learn from')
    check_same_time(recording)
    segments = []
    labels, span_ns = recording.labels, recording.span_ns

    def roles_at(stamps_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        roles = hold_out.roles(stamps_ns, labels, span_ns)
        if learn_validation:
            roles[roles == Role.VALIDATION] = Role.TRAINING
        return roles

    reference_roles = roles_at(reference.stamps_ns)
    own = reference_roles == Role.TRAINING
    check_unit(
        JointTrack(reference.stamps_ns[own], reference.names, reference.positions[own]), names
    )
    for samples, stamps_ns, bridged in gapless_runs(recording):
        roles = roles_at(stamps_ns)
        _drop_mixed(roles, bridged)
        angles, known = _angles(reference, reference_roles, names, stamps_ns, roles)
        usable = np.where(known, roles, _NONE)
        edges = np.flatnonzero(np.diff(usable)) + 1
        for first, last in pairwise([0, *edges.tolist(), len(usable)]):
            if usable[first] != _NONE:
                lead_in = samples[_lead_in(roles, first) : first]
                part = slice(first, last)
                segments.append(
                    Segment(
                        Role(usable[first]), samples[part], angles[part], lead_in, stamps_ns[part]
                    )
                )
    if not segments:
        raise RecordingError(
            f'{recording.name}: no EMG has reference angles, which must be of the same time and '
            f'no more than {LONGEST_GAP_NS / NANOSECONDS:g} s apart'
        )
    return segments


def check_same_time(recording: Recording, margin: float = 0.0) -> None:
    """Refuse a reference that was not measured at the same time as the EMG.

    Raises:
        RecordingError: their stamps differ by more than the margin (s).
    """
    if recording.reference is None or not len(recording.reference.stamps_ns):
        return
    start_ns, end_ns = recording.span_ns
    first, last = (int(recording.reference.stamps_ns[place]) / NANOSECONDS for place in (0, -1))
    start, end = start_ns / NANOSECONDS, end_ns / NANOSECONDS
    if first > end + margin or last < start - margin:
        raise RecordingError(
            f'{recording.name}: the EMG is from {start:.1f} to {end:.1f} s, the reference from '
            f'{first:.1f} to {last:.1f} s: they are not on one clock, or not recorded together'
        )


def gapless_runs(recording: Recording) -> list[Run]:
    """Return gapless runs of samples, as the decoder's intake would produce them.

    Raises:
        RecordingError: the intake accepts no EMG, or nearly every message causes a reset.
    """
    whole = _one_run(recording.chunks)
    return _runs(recording) if whole is None else [whole]


def _one_run(chunks: Sequence[EmgChunk]) -> Run | None:
    """Return the run of chunks that all follow one another plainly, else None."""
    channels, rate = chunks[0].samples.shape[1], chunks[0].sampling_rate
    if any(c.sampling_rate != rate or c.samples.shape[1] != channels for c in chunks):
        return None
    samples = joined_rows([chunk.samples for chunk in chunks])
    columns = chunk_columns(chunks)
    if not follow_plainly(columns, rate) or not len(samples):
        return None
    # If a value is not finite, one of these two is not.
    if not np.isfinite((samples.min(), samples.max())).all():
        return None
    _, lengths, stamps_ns = columns
    within = np.arange(len(samples)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Run(samples, np.repeat(stamps_ns, lengths) + _offsets_ns(within, rate), [])


def _offsets_ns(places: NDArray[np.int64], rate: float) -> NDArray[np.int64]:
    """Return the times of samples relative to the first of their chunk (ns)."""
    return np.round(places * NANOSECONDS / rate).astype(np.int64)


def _runs(recording: Recording) -> list[Run]:
    """Return the runs of any chunks; see `gapless_runs`."""
    first = recording.chunks[0]
    intake = Intake(first.samples.shape[1], first.sampling_rate)
    runs: list[_RunParts] = []
    for chunk in recording.chunks:
        bridged = intake.counts.bridged_samples
        for piece in intake.accept(chunk):
            if piece.restart:
                runs.append(_RunParts([], [], []))
            run, length = runs[-1], len(piece.samples)
            if intake.counts.bridged_samples > bridged:
                bridged = intake.counts.bridged_samples
                run.bridged.append(len(run.samples))
            run.samples.append(piece.samples)
            run.stamps_ns.append(
                piece.stamp_ns + _offsets_ns(np.arange(length), first.sampling_rate)
            )
    if not runs:
        raise RecordingError(f'{recording.name} has no usable EMG: {intake.counts.faults()}')
    if len(runs) > max(MOST_PIECES, len(recording.chunks) // 2):
        raise RecordingError(
            f'the EMG of {recording.name} falls into {len(runs)} pieces, with '
            f'{len(recording.chunks)} messages: first_sample must count the samples before each '
            'message, and the stamps must fit it'
        )
    return [run.joined() for run in runs]


def joined_rows(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Concatenate arrays, without a copy if they are contiguous in memory already.

    The chunks of a recording read from a bag are contiguous, and a copy of an hour would double
    the memory. The result must not be modified.
    """
    owner = parts[0].base
    places = [part.__array_interface__['data'][0] for part in parts]
    sizes = [part.nbytes for part in parts]
    ends = [place + size for place, size in zip(places, sizes, strict=True)]
    if (
        isinstance(owner, np.ndarray)
        and owner.dtype == parts[0].dtype
        and owner.ndim == 1
        and all(part.base is owner and part.flags.c_contiguous for part in parts)
        and ends[:-1] == places[1:]
    ):
        start = (places[0] - owner.__array_interface__['data'][0]) // owner.itemsize
        values = owner[start : start + sum(sizes) // owner.itemsize]
        return values.reshape(-1, parts[0].shape[1])
    return np.concatenate(parts)


def _drop_mixed(roles: NDArray[np.int64], bridged: Sequence[range]) -> None:
    """Leave out bridges between roles, because a bridge repeats the samples before it."""
    measured = np.ones(len(roles), dtype=np.bool_)
    for bridge in bridged:
        measured[bridge.start : bridge.stop] = False
    places = np.flatnonzero(measured)
    for bridge in bridged:
        source = places[np.searchsorted(places, bridge.start) - len(bridge)]
        if len(set(roles[source : bridge.stop].tolist())) > 1:
            roles[bridge.start : bridge.stop] = _NONE


def _lead_in(roles: NDArray[np.int64], first: int) -> int:
    """Return the index at which the lead-in of a segment from `first` on begins.

    The lead-in needs no angles: there are none near a border, unless the reference is as fast as
    EMG.
    """
    if roles[first] != Role.VALIDATION:
        return first
    return _start_of(roles, Role.TRAINING, _start_of(roles, Role.VALIDATION, first))


def _start_of(roles: NDArray[np.int64], role: Role, end: int) -> int:
    """Return the start of the samples of a role that last until `end`; `end` if none do."""
    others = np.flatnonzero(roles[:end] != role)
    return int(others[-1]) + 1 if len(others) else 0


def _angles(
    track: JointTrack,
    track_roles: NDArray[np.int64],
    names: Sequence[str],
    stamps_ns: NDArray[np.int64],
    roles: NDArray[np.int64],
) -> AlignedAngles:
    """Interpolate the reference at each sample, only between angles of the sample's own role."""
    angles = AlignedAngles(
        np.full((len(stamps_ns), len(names)), np.nan), np.zeros(len(stamps_ns), dtype=np.bool_)
    )
    for role in Role:
        own, here = track_roles == role, roles == role
        part = JointTrack(track.stamps_ns[own], track.names, track.positions[own])
        angles.positions[here], angles.known[here] = angles_at(part, names, stamps_ns[here])
    return angles
