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

"""Training of LE-ConvMN.

Truncated back-propagation through time over parallel lanes; the validation data pick the epoch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi
import time
from typing import Literal, NamedTuple

from leconvmn_ros.alignment import reference_joints
from leconvmn_ros.checkpoint import (
    Checkpoint,
    Description,
    JointOutput,
    package_version,
    TrainingRecord,
)
from leconvmn_ros.devices import find_device
from leconvmn_ros.errors import ConfigurationError, RecordingError
from leconvmn_ros.evaluation import as_json
from leconvmn_ros.intake import RATE_TOLERANCE
from leconvmn_ros.le_convmn import LeConvMn, LeConvMnConfig, State
from leconvmn_ros.metrics import METRICS, score_table
from leconvmn_ros.protocol import BlockHoldOut, default_hold_out, HoldOut, RepetitionHoldOut, Role
from leconvmn_ros.pydantic_errors import first_problem
from leconvmn_ros.recording import EmgChunk, Recording
from leconvmn_ros.signal_path import FeatureStatistics, SignalPathConfig
from leconvmn_ros.training_data import arrange_lanes, cut_segments, features_of, Lanes, Segment
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
import torch
from torch import nn, Tensor


class TrainingSettings(BaseModel):
    """How to train; the defaults are the paper's network size."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    planes: tuple[int, ...] = Field(
        default=(64, 32), description='hidden planes of all layers but the last'
    )
    exposure: float = Field(default=0.1, gt=0, le=2, description='length of one image (s)')
    column_period: float = Field(
        default=0, ge=0, le=1, description='time between columns (s); 0 = every sample'
    )
    rms_window: float = Field(default=0.1, ge=0, le=2, description='length of the sliding RMS (s)')
    padding: Literal['zero', 'ring'] = 'zero'
    head: Literal['shared', 'per_joint'] = 'shared'
    dropout: float = Field(default=0, ge=0, le=0.9, description='before the head')
    noise: float = Field(
        default=0, ge=0, le=10, description='standard deviation added to the standardised features'
    )
    epochs: int = Field(default=60, ge=1, le=10_000, description='passes over the training data')
    learning_rate: float = Field(
        default=3e-3, gt=0, le=1, description='peak of the one-cycle schedule'
    )
    weight_decay: float = Field(default=1e-2, ge=0, le=1, description='of AdamW')
    lanes: int = Field(default=4, ge=1, le=256, description='sequences trained in parallel')
    truncation: int = Field(
        default=10, ge=1, le=1000, description='images per back-propagation through time'
    )
    gradient_norm: float = Field(
        default=1.0, gt=0, description='gradients are clipped to this norm'
    )
    threads: int = Field(
        default=0, ge=0, le=256, description='CPU threads, 0 = as many as torch chooses'
    )
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, description='of initial weights and order of the data'
    )


PRESETS = {
    # For a CPU: few planes, a column every 20 ms, and what keeps a small network from learning
    # its training data by heart. Validation loss on DB5 S1 beside that of the plain network of
    # this size (0.62): padding 0.55, then head, dropout and noise 0.48; 60 epochs
    # instead of 30: 0.43.
    'small': TrainingSettings(
        planes=(16, 16),
        column_period=0.02,
        padding='ring',
        head='per_joint',
        dropout=0.3,
        noise=0.3,
        epochs=60,
        lanes=8,
        # Several would mostly wait for one another, and badly so on a busy machine.
        threads=1,
    ),
    # The network of the paper.
    'paper': TrainingSettings(),
}


class EpochReport(NamedTuple):
    """How an epoch went; losses are mean squared errors of standardised angles."""

    epoch: int
    epochs: int
    training_loss: float
    validation_loss: float
    best_epoch: int


@dataclass(frozen=True, slots=True)
class _Data:
    """Training and validation data, in features and standardised angles."""

    signal_path: SignalPathConfig
    statistics: FeatureStatistics
    joints: tuple[JointOutput, ...]
    training: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]
    validation: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]


def train(
    recordings: Sequence[Recording],
    settings: TrainingSettings,
    *,
    hold_out: HoldOut | None = None,
    device: str = 'cpu',
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> Checkpoint:
    """Train LE-ConvMN on recordings of one set of electrodes.

    Args:
        recordings: with reference angles; channel counts and rates must agree.
        settings: how to train.
        hold_out: which part chooses the epoch and which is not touched; chosen from the first
            recording if None.
        device: 'auto', 'cpu' or 'cuda', see `find_device`.
        on_epoch: called after each epoch.

    Returns:
        The weights of the epoch with the lowest loss on the validation part, ready to decode.

    Raises:
        ConfigurationError: the settings do not fit the recordings, or there is no such device.
        RecordingError: the recordings cannot be trained on.
    """
    started = time.monotonic()
    if not recordings:
        raise RecordingError('no recordings to train on')
    torch_device = find_device(device)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    hold_out = hold_out or default_hold_out(recordings[0])
    if isinstance(hold_out, BlockHoldOut):
        hold_out = hold_out.of(recordings)
    _check_repetitions(recordings, hold_out)
    data = _prepare(recordings, settings, hold_out)
    torch.manual_seed(settings.seed)
    config, model = _new_model(data, settings)
    fit = _fit(model.to(torch_device), data, settings, on_epoch)
    description = Description(
        package_version=package_version(),
        model=config,
        signal_path=data.signal_path,
        statistics=data.statistics,
        joints=data.joints,
        training=TrainingRecord(
            recordings=tuple(recording.name for recording in recordings),
            information=tuple(dict(recording.information) for recording in recordings),
            hold_out=hold_out,
            settings=settings.model_dump(mode='json'),
            epochs=settings.epochs,
            best_epoch=fit.epoch,
            validation={'loss': fit.loss, **_validation_scores(model, data)},
            seconds=round(time.monotonic() - started, 1),
        ),
    )
    return Checkpoint(description, fit.weights)


def _prepare(
    recordings: Sequence[Recording], settings: TrainingSettings, hold_out: HoldOut
) -> _Data:
    names = _common_joints(recordings)
    segments = [
        segment for recording in recordings for segment in cut_segments(recording, names, hold_out)
    ]
    training = [segment for segment in segments if segment.role is Role.TRAINING]
    validation = [segment for segment in segments if segment.role is Role.VALIDATION]
    if not training or not validation:
        raise RecordingError(
            f'holding out {hold_out.model_dump()} leaves {len(training)} stretches to train on '
            f'and {len(validation)} to choose the epoch; at least one of each is needed'
        )
    path = _signal_path(recordings[0].chunks[0], settings)
    statistics = FeatureStatistics.of(np.concatenate(features_of(training, path, None)))
    joints = _outputs(names, np.concatenate([segment.angles for segment in training]))

    def standardised(
        part: list[Segment],
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        mean, scale = np.array([j.mean for j in joints]), np.array([j.scale for j in joints])
        return features_of(part, path, statistics), [
            ((s.angles - mean) / scale).astype(np.float32) for s in part
        ]

    return _Data(path, statistics, joints, standardised(training), standardised(validation))


def _check_repetitions(recordings: Sequence[Recording], hold_out: HoldOut) -> None:
    """Refuse to hold out what is not there: nothing would be left to test on, without a word."""
    if not isinstance(hold_out, RepetitionHoldOut):
        return
    tracks = [recording.labels for recording in recordings if recording.labels is not None]
    there = {int(number) for track in tracks for number in track.repetition if number > 0}
    missing = sorted({*hold_out.validation, *hold_out.test} - there)
    if tracks and missing:
        raise RecordingError(
            f'repetitions {missing} cannot be held out; the recordings have {sorted(there)}'
        )


def _signal_path(first: EmgChunk, settings: TrainingSettings) -> SignalPathConfig:
    try:
        return SignalPathConfig(
            channels=first.samples.shape[1],
            sampling_rate=first.sampling_rate,
            rms_window=settings.rms_window,
            exposure=settings.exposure,
            column_period=settings.column_period,
        )
    except ValidationError as error:
        raise ConfigurationError(
            f'the settings do not fit recordings of {first.samples.shape[1]} channels at '
            f'{first.sampling_rate:g} Hz: {first_problem(error)}'
        ) from error


def _new_model(data: _Data, settings: TrainingSettings) -> tuple[LeConvMnConfig, LeConvMn]:
    path = data.signal_path
    try:
        config = LeConvMnConfig(
            planes=(*settings.planes, len(data.joints)),
            padding=settings.padding,
            head=settings.head,
            dropout=settings.dropout,
        )
        return config, LeConvMn(config, path.channels, path.image_columns)
    except ValidationError as error:
        raise ConfigurationError(f'no such network: {first_problem(error)}') from error
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _common_joints(recordings: Sequence[Recording]) -> tuple[str, ...]:
    sources = {
        (r.chunks[0].samples.shape[1], r.chunks[0].sampling_rate) for r in recordings if r.chunks
    }
    rates = [rate for _, rate in sources]
    if len({channels for channels, _ in sources}) > 1 or max(rates, default=0) > (
        1 + RATE_TOLERANCE
    ) * min(rates, default=0):
        raise RecordingError(
            f'recordings of different electrodes (channels, Hz): {sorted(sources)}; '
            'they must agree'
        )
    joints = {reference_joints(r.reference) for r in recordings if r.reference is not None}
    if len(joints) > 1:
        raise RecordingError(
            f'recordings with different reference joints: {sorted(joints)}; they must agree'
        )
    if not joints:
        raise RecordingError(
            f'no reference angles in {", ".join(recording.name for recording in recordings)}'
        )
    return joints.pop()


def _outputs(names: Sequence[str], angles: NDArray[np.float64]) -> tuple[JointOutput, ...]:
    deviation = angles.std(axis=0)
    return tuple(
        JointOutput(
            name=name,
            mean=float(angles[:, j].mean()),
            scale=float(deviation[j]) if deviation[j] > 1e-9 else 1.0,
            lower=float(angles[:, j].min()),
            upper=float(angles[:, j].max()),
        )
        for j, name in enumerate(names)
    )


class _Fit(NamedTuple):
    epoch: int
    loss: float
    weights: dict[str, Tensor]


def _fit(
    model: LeConvMn,
    data: _Data,
    settings: TrainingSettings,
    on_epoch: Callable[[EpochReport], None] | None,
) -> _Fit:
    rng = np.random.default_rng(settings.seed)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    validation = _validation_lanes(data)
    best = _Fit(0, float('inf'), {})
    for epoch in range(1, settings.epochs + 1):
        lanes = arrange_lanes(*data.training, data.signal_path, settings.lanes, rng)
        if settings.noise:
            noise = rng.standard_normal(lanes.images.shape, dtype=np.float32)
            lanes.images[...] += settings.noise * noise
        training_loss = _train_epoch(model, lanes, optimiser, settings, epoch)
        validation_loss = _validate(model, validation)
        if validation_loss < best.loss:
            best = _Fit(
                epoch,
                validation_loss,
                {k: v.detach().cpu().clone() for k, v in model.state_dict().items()},
            )
        if on_epoch is not None:
            on_epoch(
                EpochReport(epoch, settings.epochs, training_loss, validation_loss, best.epoch)
            )
    if not best.weights:
        raise RecordingError(
            'training diverged: the loss was never finite '
            f'at learning rate {settings.learning_rate}'
        )
    model.load_state_dict(best.weights)
    return best


def _train_epoch(
    model: LeConvMn,
    lanes: Lanes,
    optimiser: torch.optim.Optimizer,
    settings: TrainingSettings,
    epoch: int,
) -> float:
    model.train()
    steps = len(lanes.images)
    state = model.initial_state(lanes.images.shape[1])
    total = 0.0
    for first in range(0, steps, settings.truncation):
        for group in optimiser.param_groups:
            group['lr'] = _one_cycle(
                (epoch - 1 + first / steps) / settings.epochs, settings.learning_rate
            )
        state = [(h.detach(), c.detach()) for h, c in state]
        window = range(first, min(steps, first + settings.truncation))
        outputs, state = _run(model, lanes, window, state)
        loss = _loss(outputs, lanes, window)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_norm)
        optimiser.step()
        total += float(loss.detach()) * len(window)
    return total / steps


@torch.inference_mode()
def _validate(model: LeConvMn, lanes: Lanes) -> float:
    outputs = _run_all(model, lanes)
    return float(_loss(outputs, lanes, range(len(outputs))))


@torch.inference_mode()
def _validation_scores(model: LeConvMn, data: _Data) -> dict[str, float | None]:
    """Score the validation part, RMSE and MAE in degrees; one estimate per image."""
    lanes = _validation_lanes(data)
    outputs = _run_all(model, lanes).cpu().numpy()[lanes.used]
    names = [joint.name for joint in data.joints]
    mean, scale = (np.degrees([getattr(j, key) for j in data.joints]) for key in ('mean', 'scale'))
    table = score_table(names, mean + scale * lanes.targets[lanes.used], mean + scale * outputs)
    mean_scores = as_json(table)['mean']
    return {metric: mean_scores[metric] for metric in METRICS}


def _validation_lanes(data: _Data) -> Lanes:
    return arrange_lanes(*data.validation, data.signal_path, lanes=16)


def _run_all(model: LeConvMn, lanes: Lanes) -> Tensor:
    model.eval()
    state = model.initial_state(lanes.images.shape[1])
    return _run(model, lanes, range(len(lanes.images)), state)[0]


def _run(model: LeConvMn, lanes: Lanes, steps: range, state: State) -> tuple[Tensor, State]:
    """Run some steps; return the outputs, (steps, lanes, joints), and the last state."""
    device = model.head.weight.device
    images = torch.from_numpy(lanes.images[steps.start : steps.stop]).to(device)
    kept = torch.from_numpy(~lanes.fresh[steps.start : steps.stop]).to(device, torch.float32)
    outputs = []
    for step in range(len(steps)):
        keep = kept[step, :, None, None, None]
        output, state = model(images[step], [(h * keep, c * keep) for h, c in state])
        outputs.append(output)
    return torch.stack(outputs), state


def _loss(outputs: Tensor, lanes: Lanes, steps: range) -> Tensor:
    """Return the mean squared error of the used outputs of these steps."""
    targets = torch.from_numpy(lanes.targets[steps.start : steps.stop]).to(outputs.device)
    used = torch.from_numpy(lanes.used[steps.start : steps.stop]).to(outputs)
    squares = (outputs - targets).square().mean(dim=-1)  # (steps, lanes)
    return (squares * used).sum() / used.sum()


def _one_cycle(progress: float, peak: float) -> float:
    """Learning rate at a share of the training: up over 15 %, then down a cosine (Smith 2018)."""
    rise = 0.15
    if progress < rise:
        return peak * (0.04 + 0.96 * 0.5 * (1 - cos(pi * progress / rise)))
    return peak * max(1e-4, 0.5 * (1 + cos(pi * (progress - rise) / (1 - rise))))
