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

"""Trains a checkpoint from recordings.

The validation part chooses the epoch (or whatever else there is to choose) and the weight of each
part of the model. Then, if the settings say so, the model is trained again from scratch for as
many epochs with the validation part included. If the settings keep the last epoch, there is
nothing to choose, and the validation part is trained on from the start. The test part is never
touched.
"""

from collections.abc import Callable, Sequence
import time

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.dataset.filter_choice import choose_filters, FilterChoice
from leconvmn_ros.dataset.hold_out import default_hold_out, HoldOut, RepetitionHoldOut
from leconvmn_ros.decoding.checkpoint import (
    Checkpoint,
    Description,
    package_version,
    TrainingRecord,
)
from leconvmn_ros.decoding.history import learnt_recordings, LearntRecording, merged, overlap_of
from leconvmn_ros.emg.description import EmgDescription
from leconvmn_ros.emg.signal_path import SignalPathConfig
from leconvmn_ros.emg.source_clock import RATE_TOLERANCE
from leconvmn_ros.engines.devices import find_device
from leconvmn_ros.evaluation.metrics import as_json, METRICS, score_table
from leconvmn_ros.models.base import Model
from leconvmn_ros.training.data import gather, TrainingData
from leconvmn_ros.training.fit_settings import RecurrentFitSettings
from leconvmn_ros.training.member_fit import fit_members, trains_apart, WORTH_PROCESSES
from leconvmn_ros.training.presets import check_goes_on, TrainingSettings
from leconvmn_ros.training.recurrent_fit import (
    run_sequences,
    validation_sequences,
)
from leconvmn_ros.training.reports import EpochReport, FitResult
import numpy as np
import torch


def train(
    recordings: Sequence[Recording],
    settings: TrainingSettings,
    *,
    hold_out: HoldOut | None = None,
    device: str = 'cpu',
    start: Checkpoint | None = None,
    on_start: Callable[[float], None] | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    stop_after: int | None = None,
    processes: int = 1,
    electrodes: EmgDescription | None = None,
) -> Checkpoint:
    """Train a model on recordings with the same electrodes.

    Args:
        recordings: recordings with reference angles; channel counts and rates must agree.
        settings: model and fit.
        hold_out: parts for the choice of the epoch and for the test; by default chosen for
            the first recording.
        device: 'auto', 'cpu' or 'cuda', see `find_device`.
        start: start from this decoder instead of random weights (fine-tuning); `settings`
            must have its model and exposure.
        on_start: called before a long training with its expected duration (s).
        on_epoch: called after each epoch.
        stop_after: choice of another training (usually an epoch): nothing is chosen here, and
            the validation part is trained on.
        processes: members of an ensemble to train at a time on a CPU; same result.
        electrodes: electrode positions if known, stored for adaptation.

    Returns:
        The trained decoder, with its scores on the validation part before training on that;
        without these scores if it was trained on from the start.

    Raises:
        ConfigurationError: the settings do not fit the recordings, the device does not exist, or
            the model of `start` cannot be trained further.
        RecordingError: the recordings cannot be trained on.
    """
    started = time.monotonic()
    if not recordings:
        raise RecordingError('no recordings to train on')
    if start is not None:
        check_goes_on(settings)
    torch_device = find_device(device)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    hold_out = hold_out or default_hold_out(recordings[0])
    if not settings.choose_epoch and isinstance(hold_out, RepetitionHoldOut):
        # A part that chooses nothing is trained on and not reported as held out.
        hold_out = hold_out.model_copy(update={'validation': ()})
    hold_out = hold_out.of(recordings)

    known_joints = () if start is None else start.description.joints

    def fit(data: TrainingData, stop_after: int | None = None) -> FitResult:
        model = _new_model(data, settings, start).to(torch_device)
        apart = isinstance(settings.fit, RecurrentFitSettings) and trains_apart(model, data)
        at_once = processes if apart else 1
        if at_once > 1 or (on_start is not None and stop_after is None):
            seconds = settings.fit.expected_seconds(model, data) or 0.0
            # Starting a process takes seconds as well.
            at_once = at_once if seconds > WORTH_PROCESSES else 1
            if on_start is not None and stop_after is None and seconds:
                members = min(at_once, len(model.member_weights))
                on_start(seconds * (1 + settings.second_pass) / members)
        if isinstance(settings.fit, RecurrentFitSettings) and apart:
            return fit_members(
                model,
                data,
                settings.fit,
                seed=settings.seed,
                processes=at_once,
                stop_after=stop_after,
                on_epoch=on_epoch,
            )
        return settings.fit.run(
            model, data, seed=settings.seed, stop_after=stop_after, on_epoch=on_epoch
        )

    if start is None:
        filters = choose_filters(recordings, settings.high_pass, settings.mains, hold_out)
    else:
        known = start.description.signal_path
        filters = FilterChoice(known.high_pass, known.mains)

    def gathered(*, learn_validation: bool) -> TrainingData:
        return gather(
            recordings,
            settings.exposure,
            hold_out,
            filters=filters,
            learn_validation=learn_validation,
            known_joints=known_joints,
        )

    chooses = settings.choose_epoch and stop_after is None
    data = gathered(learn_validation=not chooses)
    learnt = _learnt(recordings, hold_out, start)
    fitted = fit(data, stop_after)
    best_epoch = fitted.epoch
    validation: dict[str, float | None] = {}
    if chooses:
        scores = _validation_scores(fitted.model, data, settings)
        validation = {'loss': fitted.loss, **scores}
    if settings.second_pass and stop_after is None:
        data = gathered(learn_validation=True)
        shares = fitted.model.member_weights
        fitted = fit(data, best_epoch)
        fitted.model.member_weights.copy_(shares)
    if electrodes is not None and len(electrodes.channels) != data.signal_path.channels:
        electrodes = None  # it describes other electrodes
    description = Description(
        package_version=package_version(),
        model=settings.model,
        signal_path=data.signal_path,
        statistics=data.statistics,
        joints=data.joints,
        mixture=data.mixture,
        templates=data.templates,
        electrodes=electrodes,
        training=TrainingRecord(
            recordings=tuple(recording.name for recording in recordings),
            information=tuple(dict(recording.information) for recording in recordings),
            learnt=learnt,
            history_known=start is None or start.description.training.history_known,
            hold_out=hold_out,
            settings=settings.model_dump(mode='json'),
            epochs=settings.fit.epochs,
            best_epoch=best_epoch,
            validation=validation,
            seconds=round(time.monotonic() - started, 1),
        ),
    )
    return Checkpoint(description, fitted.model.trained_weights())


def _learnt(
    recordings: Sequence[Recording], hold_out: HoldOut, start: Checkpoint | None
) -> tuple[LearntRecording, ...]:
    """Return everything that the decoder will have learnt; refuse a test that is part of it."""
    before = () if start is None else start.description.training.learnt
    learnt = learnt_recordings(recordings, hold_out)
    for recording in recordings:
        if overlap := overlap_of(recording, hold_out, before):
            raise RecordingError(
                f'{recording.name}: the decoder to start from has learnt part of what is held out '
                f'for the test: {overlap.text()}; a score on it would be meaningless. Hold out '
                'what it has not learnt (--test), or train on another recording'
            )
        if overlap := overlap_of(recording, hold_out, learnt):
            raise RecordingError(
                f'{recording.name}: part of what is held out for the test is also in the training '
                f'data: {overlap.text()}; leave one of the recordings out'
            )
    return merged(before, learnt)


def _new_model(data: TrainingData, settings: TrainingSettings, start: Checkpoint | None) -> Model:
    torch.manual_seed(settings.seed)
    try:
        model = settings.model.build(data.signal_path.image_size, len(data.joints))
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    if start is not None:
        _check_start(start.description, data.signal_path, settings)
        model.load_weights(start.weights)
    return model


def _check_start(known: Description, path: SignalPathConfig, settings: TrainingSettings) -> None:
    """Refuse to start from a decoder of other electrodes or another model."""
    if known.electrode_map is not None:
        raise ConfigurationError(
            'the decoder to start from was adapted to electrodes that moved, and training does '
            'not apply that map: start from the decoder that `adapt` was given'
        )
    if settings.model != known.model:
        raise ConfigurationError(
            f'the decoder to start from is {known.model}; the settings ask for {settings.model}'
        )
    rate = known.signal_path.sampling_rate
    expected = known.signal_path.model_copy(update={'sampling_rate': path.sampling_rate})
    if expected != path or abs(rate - path.sampling_rate) > RATE_TOLERANCE * rate:
        raise ConfigurationError(
            f'the decoder to start from is for {known.signal_path}; the recordings and settings '
            f'give {path}'
        )


def _validation_scores(
    model: Model, data: TrainingData, settings: TrainingSettings
) -> dict[str, float | None]:
    """Score the validation part, RMSE and MAE in degrees; one estimate per image."""
    lanes = validation_sequences(data, settings.order)
    outputs = run_sequences(model, lanes).cpu().numpy()[lanes.used]
    names = [joint.name for joint in data.joints]
    mean, scale = (np.degrees([getattr(j, key) for j in data.joints]) for key in ('mean', 'scale'))
    table = score_table(names, mean + scale * lanes.targets[lanes.used], mean + scale * outputs)
    mean_scores = as_json(table)['mean']
    return {metric: mean_scores[metric] for metric in METRICS}
