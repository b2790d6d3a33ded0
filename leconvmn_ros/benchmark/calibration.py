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

"""A session cut in two: one part adapts a decoder, the other scores it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import JointTrack, LabelTrack, Recording
from leconvmn_ros.dataset.hold_out import HoldOut
from leconvmn_ros.dataset.repetitions import held_out_repetitions, RepetitionSamples
from leconvmn_ros.evaluation.shuffled_order import rearrange
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SplitSession:
    """A session with one repetition of each movement set aside for calibration.

    Attributes:
        name: of the session.
        sampling_rate: of the EMG (Hz).
        calibration: one repetition of each movement, in time order.
        scored: all others, in time order.
        reference: the angles measured in the session.
    """

    name: str
    sampling_rate: float
    calibration: tuple[RepetitionSamples, ...]
    scored: tuple[RepetitionSamples, ...]
    reference: JointTrack

    def changed(
        self, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    ) -> 'SplitSession':
        """Return the session with other EMG."""
        calibration, scored = (
            tuple(each._replace(samples=change(each.samples)) for each in part)
            for part in (self.calibration, self.scored)
        )
        return SplitSession(self.name, self.sampling_rate, calibration, scored, self.reference)

    def calibration_recording(
        self, seconds: float, random: np.random.Generator, *, labelled: bool
    ) -> Recording:
        """Return a new recording of some of the calibration's movements in random order.

        Its movements are whole: as many as come nearest to the duration.

        Args:
            seconds: how long it should be.
            random: generator that draws the order.
            labelled: whether it has the labels of the movements; it never has angles.
        """
        order = random.permutation(len(self.calibration)).tolist()
        chosen = nearest([self.calibration[i] for i in order], self.sampling_rate, seconds)
        stream = rearrange(chosen, self.sampling_rate)
        labels = None
        if labelled:
            entries = [
                entry
                for each in stream.repetitions
                for entry in ((each.start_ns, each.movement, 1), (each.rest_ns, 0, 1))
                if entry[0] < each.end_ns
            ]
            columns = np.array(entries, dtype=np.int64).T
            labels = LabelTrack(columns[0], columns[1], columns[2])
        return Recording(f'{self.name} (calibration)', stream.chunks, None, labels)


def split(recording: Recording, hold_out: HoldOut | None) -> SplitSession:
    """Split the held-out part of a recording; its first repetition is for calibration.

    Args:
        recording: with labels and reference angles.
        hold_out: the part that the decoder was not trained on; None = all of it.

    Raises:
        RecordingError: there are no two repetitions, or no angles.
    """
    if recording.reference is None:
        raise RecordingError(f'{recording.name} has no reference angles to score against')
    pieces = held_out_repetitions(recording, hold_out)
    numbers = sorted({piece.label.repetition for piece in pieces})
    if len(numbers) < 2:
        raise RecordingError(
            f'{recording.name}: whole repetitions {numbers} can be used; two are needed, one to '
            'calibrate and one to score'
        )
    return SplitSession(
        recording.name,
        recording.chunks[0].sampling_rate,
        tuple(piece for piece in pieces if piece.label.repetition == numbers[0]),
        tuple(piece for piece in pieces if piece.label.repetition != numbers[0]),
        recording.reference,
    )


def nearest(
    pieces: Sequence[RepetitionSamples], rate: float, seconds: float
) -> list[RepetitionSamples]:
    """Return the first pieces, at least one, that together last about this long (s)."""
    ends = np.cumsum([len(piece.samples) for piece in pieces]) / rate
    return list(pieces[: int(np.argmin(np.abs(ends - seconds))) + 1])
