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

"""Held-out repetitions in random order, decoded as one stream of EMG.

A recording protocol repeats each movement several times in a row, so a recurrent decoder can
predict the next one: its hidden state still holds the movement that it is about to see again. A
wearer does not move like that. Here the held-out repetitions (a movement and the rest after it)
are put in random order, their EMG is joined into one stream, and a decoder runs over it as it does
live: it computes its features from the rearranged EMG and carries its state across labels.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import EmgChunk, JointTrack, NANOSECONDS
from leconvmn_ros.dataset.alignment import angles_at, check_unit
from leconvmn_ros.dataset.repetitions import Repetition, RepetitionSamples
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.decoding.lane import Estimate
from leconvmn_ros.evaluation.comparison import Comparison, reporting
import numpy as np
from numpy.typing import NDArray

DEFAULT_ORDERS = 4
# Not time zero, which would look like a missing stamp.
_START_NS = NANOSECONDS
_CHUNK_SECONDS = 1.0


class ShuffledStream(NamedTuple):
    """The estimates of a decoder for repetitions in one random order.

    Attributes:
        comparison: estimates with the true angles, at the times of the rearranged stream.
        repetitions: the repetitions in the order of that stream.
    """

    comparison: Comparison
    repetitions: tuple[Repetition, ...]


class Rearranged(NamedTuple):
    """Repetitions joined into one stream of EMG.

    Attributes:
        chunks: the EMG, with new times.
        source_ns: time in the recording of each sample (ns), shape (samples,).
        repetitions: the repetitions at their times in the stream.
    """

    chunks: list[EmgChunk]
    source_ns: NDArray[np.int64]
    repetitions: tuple[Repetition, ...]


def decode_shuffled(
    decoder: Decoder,
    repetitions: Sequence[RepetitionSamples],
    reference: JointTrack,
    *,
    orders: int = DEFAULT_ORDERS,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> list[ShuffledStream]:
    """Decode repetitions in several random orders, each as a new decoder would, all as one batch.

    Args:
        decoder: the decoder to score; its state is not changed.
        repetitions: repetitions of one recording, at least two.
        reference: the angles measured in that recording.
        orders: number of random orders, at least 1.
        seed: seed of the orders.
        progress: called regularly with the finished share, 0 to 1.

    Raises:
        RecordingError: there are fewer than two repetitions, an order gave nothing to compare, or
            the reference is in degrees.
    """
    if len(repetitions) < 2:
        raise RecordingError(
            f'{len(repetitions)} whole repetitions are held out; a random order needs at least 2'
        )
    check_unit(reference, decoder.joint_names)
    streams = []
    for number in range(orders):
        rng = np.random.default_rng([seed, number])
        order = rng.permutation(len(repetitions))
        streams.append(rearrange([repetitions[i] for i in order], decoder.sampling_rate))
    sources: list[Iterable[EmgChunk]] = [stream.chunks for stream in streams]
    if progress is not None:
        sources[0] = reporting(streams[0].chunks, progress)
    return [
        _compared(decoder, stream, estimates, reference)
        for stream, estimates in zip(streams, decoder.decode_side_by_side(sources), strict=True)
    ]


def rearrange(repetitions: Sequence[RepetitionSamples], rate: float) -> Rearranged:
    """Join repetitions, in the given order, into one stream at a rate (Hz)."""
    samples = np.concatenate([each.samples for each in repetitions])
    size = max(1, round(_CHUNK_SECONDS * rate))
    chunks = [
        EmgChunk(_stamp(first, rate), rate, first, samples[first : first + size])
        for first in range(0, len(samples), size)
    ]
    placed, begin = [], 0
    for each in repetitions:
        shift = _stamp(begin, rate) - each.label.start_ns
        begin += len(each.samples)
        end_ns = _stamp(begin, rate)
        placed.append(
            each.label._replace(
                start_ns=each.label.start_ns + shift,
                rest_ns=min(each.label.rest_ns + shift, end_ns),
                end_ns=end_ns,
            )
        )
    return Rearranged(
        chunks, np.concatenate([each.stamps_ns for each in repetitions]), tuple(placed)
    )


def _stamp(sample: int, rate: float) -> int:
    return _START_NS + round(sample * NANOSECONDS / rate)


def _compared(
    decoder: Decoder, stream: Rearranged, estimates: list[Estimate], reference: JointTrack
) -> ShuffledStream:
    if not estimates:
        raise RecordingError('the held-out repetitions in random order gave no estimate')
    stamps_ns = np.array([estimate.stamp_ns for estimate in estimates], dtype=np.int64)
    sample = np.round((stamps_ns - _START_NS) * (decoder.sampling_rate / NANOSECONDS)).astype(int)
    truth, known = angles_at(reference, decoder.joint_names, stream.source_ns[sample])
    if not known.any():
        raise RecordingError('the held-out repetitions have no reference angles')
    positions = np.array([estimate.positions for estimate in estimates])
    comparison = Comparison(stamps_ns[known], decoder.joint_names, truth[known], positions[known])
    return ShuffledStream(comparison, stream.repetitions)
