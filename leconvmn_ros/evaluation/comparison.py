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

"""Compares estimates with a reference, in the same way live and offline."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import EmgChunk, JointTrack, LabelTrack, Recording
from leconvmn_ros.dataset.alignment import angles_at, check_unit
from leconvmn_ros.dataset.hold_out import HoldOut, Role
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.evaluation.metrics import score_table, ScoreTable
import numpy as np
from numpy.typing import NDArray


class Comparison(NamedTuple):
    """Estimates with the true angles at the same times.

    Attributes:
        stamps_ns: times of the estimates (ns), shape (times,).
        names: joint names.
        truth: reference angles (rad), shape (times, joints).
        estimate: estimated angles (rad), same shape.
    """

    stamps_ns: NDArray[np.int64]
    names: tuple[str, ...]
    truth: NDArray[np.float64]
    estimate: NDArray[np.float64]

    def score(self) -> ScoreTable:
        """Score all joints; RMSE and MAE are in degrees."""
        return score_table(self.names, np.degrees(self.truth), np.degrees(self.estimate))

    def part(self, chosen: NDArray[np.bool_]) -> 'Comparison':
        """Return the part chosen by a mask of shape (times,)."""
        return Comparison(
            self.stamps_ns[chosen], self.names, self.truth[chosen], self.estimate[chosen]
        )


def decode_recording(
    decoder: Decoder, recording: Recording, progress: Callable[[float], None] | None = None
) -> JointTrack:
    """Decode a whole recording; the estimates equal those of live decoding.

    Args:
        decoder: a fresh decoder.
        recording: the EMG.
        progress: called regularly with the finished share, 0 to 1.
    """
    chunks = recording.chunks if progress is None else reporting(recording.chunks, progress)
    estimates = [estimate for some in decoder.decode_together(chunks) for estimate in some]
    stamps_ns = np.array([estimate.stamp_ns for estimate in estimates], dtype=np.int64)
    positions = np.array([estimate.positions for estimate in estimates]).reshape(
        -1, len(decoder.joint_names)
    )
    return JointTrack(stamps_ns, decoder.joint_names, positions)


def reporting(chunks: Sequence[EmgChunk], progress: Callable[[float], None]) -> Iterator[EmgChunk]:
    """Yield chunks and report progress regularly."""
    for number, chunk in enumerate(chunks, start=1):
        yield chunk
        if number % 50 == 0:
            progress(number / len(chunks))


def compare(
    estimates: JointTrack,
    reference: JointTrack,
    labels: LabelTrack | None,
    span_ns: tuple[int, int],
    hold_out: HoldOut | None,
) -> Comparison:
    """Match estimates with the reference.

    Args:
        estimates: estimates of a decoder.
        reference: measured angles.
        labels: movement labels of the recording, if it has any.
        span_ns: start of the recording's first chunk and end of its last one (ns).
        hold_out: keep only its test part; None keeps everything.

    Raises:
        RecordingError: nothing is left to compare, or the reference is in degrees.
    """
    truth, known = angles_at(reference, estimates.names, estimates.stamps_ns)
    check_unit(reference, estimates.names)
    kept = known
    if hold_out is not None:
        kept = known & (hold_out.roles(estimates.stamps_ns, labels, span_ns) == Role.TEST)
    if not kept.any():
        raise RecordingError(
            f'nothing to score: {len(estimates.stamps_ns)} estimates, '
            f'{int(known.sum())} of them with a reference angle'
            + ('' if hold_out is None else ', none of these in the held-out part')
        )
    return Comparison(
        estimates.stamps_ns[kept], estimates.names, truth[kept], estimates.positions[kept]
    )


def join(comparisons: Sequence[Comparison]) -> Comparison:
    """Concatenate comparisons of the same joints."""
    return Comparison(
        np.concatenate([c.stamps_ns for c in comparisons]),
        comparisons[0].names,
        np.concatenate([c.truth for c in comparisons]),
        np.concatenate([c.estimate for c in comparisons]),
    )
