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

"""Scores of a decoder on one or several recordings, in shuffled and in recorded order."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import pairwise
from math import isfinite
from typing import Any, NamedTuple

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import JointTrack, Recording
from leconvmn_ros.dataset.hold_out import HoldOut
from leconvmn_ros.dataset.repetitions import (
    held_out_repetitions,
    Repetition,
    repetitions_of,
    RepetitionSamples,
)
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.evaluation.behaviour import Behaviour, behaviour, movement_templates, Templates
from leconvmn_ros.evaluation.comparison import compare, Comparison, join
from leconvmn_ros.evaluation.metrics import as_json, ScoreTable
from leconvmn_ros.evaluation.shuffled_order import decode_shuffled, ShuffledStream
import numpy as np

WHY_SHUFFLED = (
    'In a recording each movement is repeated several times in a row, so a recurrent decoder '
    'can predict the next one, but a wearer moves in any order. Therefore the score to expect '
    'in use is that in shuffled order: the held-out repetitions in random order as one stream '
    'of EMG, with the hidden state carried and never reset at a label. The score in the '
    "recording's own order is the usual one in papers."
)


class ContextOverlap(NamedTuple):
    """How much of the context of the held-out repetitions occurs in the training.

    Attributes:
        follows_training: share of the held-out repetitions that follow, in the recording, a
            repetition outside the test part.
        same_before: share of the held-out repetitions that follow, in the recording, a movement
            that precedes the same movement in the training part, too.
        same_before_shuffled: the same share in shuffled order; None without one.
    """

    follows_training: float
    same_before: float
    same_before_shuffled: float | None


class RecordingScores(NamedTuple):
    """The estimates of a decoder for one recording, with the true angles.

    Attributes:
        recorded: the scored part in the recording's own order.
        repetitions: the repetitions of the recording.
        shuffled: the same repetitions in random orders; empty if impossible.
        templates: mean pose of each movement, if possible from the part that is not scored.
        overlap: how much of the context occurs in the training; None without labels.
        reason: why there is no shuffled order.
    """

    recorded: Comparison
    repetitions: tuple[Repetition, ...]
    shuffled: tuple[ShuffledStream, ...]
    templates: Templates
    overlap: ContextOverlap | None
    reason: str = ''

    def shuffled_scores(self) -> ScoreTable:
        """Score all shuffled orders together."""
        return join([stream.comparison for stream in self.shuffled]).score()


def score_recording(
    decoder: Decoder,
    recording: Recording,
    estimates: JointTrack,
    hold_out: HoldOut | None,
    *,
    orders: int,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> RecordingScores:
    """Score a decoded recording, and decode it in random orders.

    Args:
        decoder: the decoder of the estimates; its state is not changed.
        recording: a recording with reference angles.
        estimates: estimates of the whole recording, see `decode_recording`.
        hold_out: score its test part; None scores everything.
        orders: number of random orders; 0 = none.
        seed: seed of the orders.
        progress: called with the finished share of the orders, 0 to 1.

    Raises:
        RecordingError: there is nothing to compare.
    """
    reference, labels = recording.reference, recording.labels
    if reference is None:
        raise RecordingError(f'{recording.name} has no reference angles to score against')
    recorded = compare(estimates, reference, labels, recording.span_ns, hold_out)
    every = () if labels is None else tuple(repetitions_of(labels, recording.span_ns[1]))
    held_out = held_out_repetitions(recording, hold_out)
    templates = _templates(reference, decoder, every, held_out)
    streams: tuple[ShuffledStream, ...] = ()
    reason = _why_not_shuffled(recording, held_out, orders)
    if not reason:
        shuffled = decode_shuffled(
            decoder, held_out, reference, orders=orders, seed=seed, progress=progress
        )
        streams = tuple(shuffled)
    overlap = _overlap(every, [each.label for each in held_out], streams)
    return RecordingScores(recorded, every, streams, templates, overlap, reason)


def _why_not_shuffled(
    recording: Recording, held_out: Sequence[RepetitionSamples], orders: int
) -> str:
    if orders == 0:
        return 'not asked for'
    if recording.labels is None:
        return f'{recording.name} has no movement labels'
    if len(held_out) < 2:
        return f'{recording.name} has {len(held_out)} whole held-out repetitions, 2 are needed'
    return ''


def _templates(
    reference: JointTrack,
    decoder: Decoder,
    every: Sequence[Repetition],
    held_out: Sequence[RepetitionSamples],
) -> Templates:
    """Compute them from the part that is not scored, or else from all repetitions."""
    scored = {each.label for each in held_out}
    names = decoder.joint_names
    others = movement_templates(reference, names, [r for r in every if r not in scored])
    return {**movement_templates(reference, names, every), **others}


def _overlap(
    every: Sequence[Repetition], held_out: Sequence[Repetition], streams: Sequence[ShuffledStream]
) -> ContextOverlap | None:
    scored = {*held_out}
    if not scored or not every:
        return None
    pairs = list(pairwise(every))
    learnt = {(a.movement, b.movement) for a, b in pairs if a not in scored and b not in scored}
    tested = [(a, b) for a, b in pairs if b in scored]
    shuffled = [
        (a.movement, b.movement) in learnt
        for stream in streams
        for a, b in pairwise(stream.repetitions)
    ]
    return ContextOverlap(
        follows_training=sum(a not in scored for a, _ in tested) / len(held_out),
        same_before=sum((a.movement, b.movement) in learnt for a, b in tested) / len(held_out),
        same_before_shuffled=float(np.mean(shuffled)) if shuffled else None,
    )


def recorded_behaviour(scores: Sequence[RecordingScores]) -> Behaviour:
    """Return the behaviour in the recording's own order."""
    templates = _common_templates(scores)
    return behaviour([(each.recorded, _within(each)) for each in scores], templates)


def shuffled_behaviour(scores: Sequence[RecordingScores]) -> Behaviour:
    """Return the behaviour in shuffled order."""
    streams = [
        (stream.comparison, stream.repetitions) for each in scores for stream in each.shuffled
    ]
    return behaviour(streams, _common_templates(scores))


def _common_templates(scores: Sequence[RecordingScores]) -> Templates:
    poses: dict[int, list[Any]] = {}
    for each in scores:
        for movement, pose in each.templates.items():
            poses.setdefault(movement, []).append(pose)
    return {movement: np.mean(rows, axis=0) for movement, rows in poses.items()}


def _within(scores: RecordingScores) -> list[Repetition]:
    """Return the repetitions with any scored estimates."""
    stamps = scores.recorded.stamps_ns
    edges = [np.searchsorted(stamps, (r.start_ns, r.end_ns)) for r in scores.repetitions]
    return [
        repetition
        for repetition, (first, last) in zip(scores.repetitions, edges, strict=True)
        if first < last
    ]


def evaluation_report(scores: Sequence[RecordingScores]) -> dict[str, Any]:
    """Return the scores of several recordings together as JSON values.

    `shuffled_order` comes first; it is None, with a reason, if no recording could be shuffled.
    The other scores are those in the recordings' own order.
    """
    own = as_json(join([each.recorded for each in scores]).score())
    return {
        'shuffled_order': _shuffled_report(scores),
        'context_overlap': _overlap_report(scores),
        **own,
        'behaviour': behaviour_json(recorded_behaviour(scores)),
    }


def _shuffled_report(scores: Sequence[RecordingScores]) -> dict[str, Any] | None:
    streams = [stream for each in scores for stream in each.shuffled]
    if not streams:
        return None
    comparisons = [stream.comparison for stream in streams]
    orders = [stream.comparison.score().mean.cc for stream in streams]
    report: dict[str, Any] = as_json(join(comparisons).score())
    return report | {
        'orders': max(len(each.shuffled) for each in scores),
        'cc_of_orders': [cc if isfinite(cc) else None for cc in orders],
        'repetitions': sum(len(each.shuffled[0].repetitions) for each in scores if each.shuffled),
        'behaviour': behaviour_json(shuffled_behaviour(scores)),
    }


def _overlap_report(scores: Sequence[RecordingScores]) -> dict[str, float | None] | None:
    overlaps = [each.overlap for each in scores if each.overlap is not None]
    if not overlaps:
        return None
    columns = zip(*overlaps, strict=True)
    return {
        name: float(np.mean(known)) if (known := [v for v in values if v is not None]) else None
        for name, values in zip(ContextOverlap._fields, columns, strict=True)
    }


def behaviour_json(figures: Behaviour) -> dict[str, float | int | None]:
    """Return the figures as JSON values; unknown ones are null."""
    return {k: v if isfinite(v) else None for k, v in asdict(figures).items()}
