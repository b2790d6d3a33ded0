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

"""Trains a decoder on everything, after a first training with a hold-out that measures its score.

The first training chooses the epoch and is scored on its test part. The second one trains on all
recordings for as many epochs. It has no score of its own: the checkpoint stores that of the first
training and says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
import time
from typing import Any

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.dataset.hold_out import default_hold_out, HoldOut, NoHoldOut
from leconvmn_ros.decoding.checkpoint import Checkpoint, HeldOutScore
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.emg.description import EmgDescription
from leconvmn_ros.evaluation.comparison import compare, decode_recording, join
from leconvmn_ros.evaluation.metrics import as_json, METRICS
from leconvmn_ros.models.config import MEMBER_WEIGHTS
from leconvmn_ros.training.presets import TrainingSettings
from leconvmn_ros.training.reports import EpochReport
from leconvmn_ros.training.run import train


def train_on_all(
    recordings: Sequence[Recording],
    settings: TrainingSettings,
    *,
    hold_out: HoldOut | None = None,
    device: str = 'cpu',
    start: Checkpoint | None = None,
    on_start: Callable[[float], None] | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    on_score: Callable[[HeldOutScore], None] | None = None,
    processes: int = 1,
    electrodes: EmgDescription | None = None,
) -> Checkpoint:
    """Train as `train` does, score the result, and train again on everything.

    Args:
        recordings: see `train`.
        settings: see `train`.
        hold_out: hold-out of the first training; chosen for the first recording if None.
        device: see `train`.
        start: see `train`; both trainings start from it.
        on_start: see `train`.
        on_epoch: called after each epoch of both.
        processes: see `train`.
        electrodes: see `train`.
        on_score: called with the score of the first training, before the second begins.

    Returns:
        The decoder of the second training, with the score of the first one.

    Raises:
        ConfigurationError: see `train`.
        RecordingError: see `train`; or the test part cannot be scored.
    """
    started = time.monotonic()
    if not recordings:
        raise RecordingError('no recordings to train on')
    options: dict[str, Any] = {
        'device': device,
        'start': start,
        'on_epoch': on_epoch,
        'processes': processes,
        'electrodes': electrodes,
    }
    hold_out = hold_out or default_hold_out(recordings[0])
    first = train(recordings, settings, hold_out=hold_out, on_start=on_start, **options)
    record = first.description.training
    score = HeldOutScore(
        hold_out=record.hold_out,
        test=held_out_scores(first, recordings, device),
        epochs=record.best_epoch,
    )
    if on_score is not None:
        on_score(score)
    last = train(
        recordings, settings, hold_out=NoHoldOut(), stop_after=record.best_epoch, **options
    )
    training = last.description.training.model_copy(
        update={
            'trained_on_all': score,
            'validation': record.validation,
            'seconds': round(time.monotonic() - started, 1),
        }
    )
    # The second training takes over the weights of the members, which need unseen data.
    shares = {name: tensor for name, tensor in first.weights.items() if name == MEMBER_WEIGHTS}
    return replace(
        last,
        description=last.description.model_copy(update={'training': training}),
        weights={**last.weights, **shares},
    )


def held_out_scores(
    checkpoint: Checkpoint, recordings: Sequence[Recording], device: str = 'cpu'
) -> dict[str, float | None]:
    """Score the test part of the checkpoint's hold-out; RMSE and MAE in degrees.

    Raises:
        RecordingError: there is nothing to score.
    """
    decoder = Decoder(checkpoint, device=device)
    hold_out = checkpoint.description.training.hold_out
    comparisons = []
    nothing: RecordingError | None = None
    for recording in recordings:
        track, labels, span = recording.reference, recording.labels, recording.span_ns
        if track is None:
            continue
        decoder.reset()
        estimates = decode_recording(decoder, recording)
        try:
            comparisons.append(compare(estimates, track, labels, span, hold_out))
        except RecordingError as error:  # the held-out repetitions are in another recording
            nothing = error
    if not comparisons and nothing is not None:
        raise nothing
    mean = as_json(join(comparisons).score())['mean']
    return {metric: mean[metric] for metric in METRICS}
