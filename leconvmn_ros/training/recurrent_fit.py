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

"""Gradient descent for the recurrent models: LE-ConvMN and LSTM.

Truncated back-propagation through time over parallel lanes. The validation data choose the epoch
and the weight of each part of the model.
"""

from collections.abc import Callable
import copy
from math import ceil, cos, nan, pi
import time

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.models.base import Model, State
from leconvmn_ros.training.adamw import AdamW
from leconvmn_ros.training.data import TrainingData
from leconvmn_ros.training.fit_settings import Order, RecurrentFitSettings
from leconvmn_ros.training.reports import EpochReport, FitResult
from leconvmn_ros.training.sequences import arrange_sequences, SequenceBatch
from leconvmn_ros.training.stacking import fit_member_weights
import numpy as np
import torch
from torch import nn, Tensor

# Lanes of validation data; no gradients are needed, so there may be many.
VALIDATION_SEQUENCES = 16


def run(
    settings: RecurrentFitSettings,
    model: Model,
    data: TrainingData,
    *,
    seed: int,
    stop_after: int | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> FitResult:
    """Train a model; see `FitSettings.run`."""
    return fit_recurrent(
        model, data, settings, seed=seed, stop_after=stop_after, on_epoch=on_epoch
    )


def fit_recurrent(
    model: Model,
    data: TrainingData,
    settings: RecurrentFitSettings,
    *,
    seed: int,
    stop_after: int | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> FitResult:
    """Train a model.

    Args:
        model: model to train, on the device to train on.
        data: training data; without validation data the last epoch counts.
        settings: settings of the fit.
        seed: seed of the order of the data and the noise.
        stop_after: last epoch; the schedule is still that of `settings.epochs`.
        on_epoch: called after each epoch.

    Raises:
        RecordingError: the loss was never finite.
    """
    rng = np.random.default_rng(seed)
    learner = _Learner(model, settings)
    validation = validation_sequences(data, settings.order) if data.validation else None
    best_loss, best_epoch, best_weights = float('inf'), 0, dict[str, Tensor]()
    last = settings.epochs if stop_after is None else stop_after
    for epoch in range(1, last + 1):
        lanes = arrange_sequences(
            data.training,
            data.signal_path,
            settings.lanes,
            rng,
            random_phase=settings.random_phase,
            order=settings.order,
            donnings=settings.donnings,
        )
        if settings.noise:
            noise = rng.standard_normal(lanes.images.shape, dtype=np.float32)
            lanes.images[...] += settings.noise * noise
        training_loss = learner.learn_epoch(lanes, epoch)
        loss = nan if validation is None else _validate(learner.average, validation)
        if loss < best_loss or (validation is None and epoch == last):
            best_loss, best_epoch = loss, epoch
            best_weights = copy.deepcopy(learner.average.state_dict())
        if on_epoch is not None:
            on_epoch(
                EpochReport(
                    epoch,
                    last,
                    training_loss,
                    loss,
                    best_epoch,
                    second_pass=stop_after is not None and validation is None,
                )
            )
    if not best_weights or not all(w.isfinite().all() for w in best_weights.values()):
        raise RecordingError(
            'training diverged: the loss was never finite '
            f'at learning rate {settings.learning_rate}'
        )
    model.load_state_dict(best_weights)
    if validation is not None and len(model.member_weights) > 1:
        best_loss = _share_out(model, validation)
    return FitResult(model.eval(), best_epoch, best_loss)


def expected_seconds(model: Model, data: TrainingData, settings: RecurrentFitSettings) -> float:
    """Estimate the duration of the epochs of `fit_recurrent` from a few steps on a copy (s)."""
    lanes = arrange_sequences(
        data.training,
        data.signal_path,
        settings.lanes,
        np.random.default_rng(0),
        order=settings.order,
    )
    windows = ceil(len(lanes.images) / settings.truncation)
    window = range(min(len(lanes.images), settings.truncation))
    times = []
    # Do not use up random numbers of the training: the same seed must give the same weights.
    with torch.random.fork_rng([model.device] if model.device.type == 'cuda' else []):
        learner = _Learner(_copied(model), settings)
        for _ in range(6):
            started = time.perf_counter()
            learner.learn(lanes, window, model.initial_state(lanes.images.shape[1]))
            times.append(time.perf_counter() - started)
    # The first step includes set-up, and other programs only lengthen steps: use the shortest.
    # Validation and arranging the data take another tenth.
    return 1.1 * min(times[1:]) * windows * settings.epochs


def validation_sequences(data: TrainingData, order: Order = 'recording') -> SequenceBatch:
    """Arrange the validation data: as recorded, or as repetitions in random order."""
    if order == 'recording':
        return arrange_sequences(data.validation, data.signal_path, VALIDATION_SEQUENCES)
    repetitions = sum(len(stretch.repetitions()) for stretch in data.validation)
    # Few enough lanes that most repetitions follow another one.
    lanes = max(1, min(VALIDATION_SEQUENCES, repetitions // 4))
    return arrange_sequences(
        data.validation,
        data.signal_path,
        lanes,
        np.random.default_rng(0),
        random_phase=False,
        order=order,
    )


@torch.inference_mode()
def run_sequences(model: Model, lanes: SequenceBatch) -> Tensor:
    """Return the outputs of a model for all images, shape (steps, lanes, joints)."""
    return model.weighted(_member_outputs(model, lanes))


def _member_outputs(model: Model, lanes: SequenceBatch) -> Tensor:
    """Return the outputs of each part of a model for all images, (parts, steps, lanes, joints)."""
    model.eval()
    state = model.initial_state(lanes.used.shape[1])
    return model.member_outputs(*_at(model, lanes, range(len(lanes.images)), state))[0]


class _Learner:
    """A model with its optimiser and averaged weights.

    Attributes:
        model: the model being trained.
        average: moving average of its weights (Polyak and Juditsky 1992), or the model itself.
    """

    def __init__(self, model: Model, settings: RecurrentFitSettings) -> None:
        self.model, self._settings = model, settings
        self.average = _copied(model) if settings.averaging else model
        self._optimiser = AdamW(model.parameters(), settings.learning_rate, settings.weight_decay)
        self._steps = 0

    def learn_epoch(self, lanes: SequenceBatch, epoch: int) -> float:
        """Train on all lanes once; return the mean loss during this epoch."""
        settings = self._settings
        self.model.train()
        steps = len(lanes.images)
        state = self.model.initial_state(lanes.images.shape[1])
        total = 0.0
        for first in range(0, steps, settings.truncation):
            if settings.schedule == 'one_cycle':
                progress = (epoch - 1 + first / steps) / settings.epochs
                self._optimiser.learning_rate = _one_cycle(progress, settings.learning_rate)
            window = range(first, min(steps, first + settings.truncation))
            loss, state = self.learn(lanes, window, state)
            total += loss * len(window)
        return total / steps

    def learn(self, lanes: SequenceBatch, window: range, state: State) -> tuple[float, State]:
        """Train on some steps; return their loss and the state after them."""
        outputs, state = self.model.member_outputs(*_at(self.model, lanes, window, state))
        # Each part of a model has its own loss, so that their errors differ.
        loss = torch.stack([_loss(part, lanes, window) for part in outputs]).mean()
        self._optimiser.forget_gradients()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self._settings.gradient_norm)
        self._optimiser.step()
        if self.average is not self.model:
            self._update_average()
        return float(loss.detach()), [(h.detach(), c.detach()) for h, c in state]

    @torch.no_grad()
    def _update_average(self) -> None:
        self._steps += 1
        # The first steps are less good than later ones, so they are forgotten faster.
        decay = min(self._settings.averaging, (1 + self._steps) / (10 + self._steps))
        average: list[Tensor] = list(self.average.parameters())
        new: list[Tensor] = list(self.model.parameters())
        torch._foreach_lerp_(average, new, 1 - decay)


def _copied(model: Model) -> Model:
    # Moved to its device, because a copied LSTM on a GPU has its weights scattered.
    return copy.deepcopy(model).to(model.device)


@torch.inference_mode()
def _share_out(model: Model, lanes: SequenceBatch) -> float:
    """Set the weights of the parts that minimise the loss on these lanes; return that loss."""
    outputs = _member_outputs(model, lanes)
    used = torch.from_numpy(lanes.used)
    shares = fit_member_weights(outputs.cpu()[:, used].numpy(), lanes.targets[lanes.used])
    model.member_weights.copy_(torch.from_numpy(shares))
    return float(_loss(model.weighted(outputs), lanes, range(len(lanes.images))))


def _validate(model: Model, lanes: SequenceBatch) -> float:
    outputs = run_sequences(model, lanes)
    return float(_loss(outputs, lanes, range(len(outputs))))


def _at(
    model: Model, lanes: SequenceBatch, steps: range, state: State
) -> tuple[Tensor, State, Tensor | None]:
    """Return the inputs of a model at some steps."""
    device = model.device
    images = torch.from_numpy(lanes.images[steps.start : steps.stop]).to(device)
    fresh = lanes.fresh[steps.start : steps.stop]
    # Before the first step the state is initial anyway.
    if not fresh[1 if steps.start == 0 else 0 :].any():
        return images, state, None
    return images, state, torch.from_numpy(fresh).to(device)


def _loss(outputs: Tensor, lanes: SequenceBatch, steps: range) -> Tensor:
    """Return the mean squared error of the used outputs of these steps."""
    targets = torch.from_numpy(lanes.targets[steps.start : steps.stop]).to(outputs.device)
    used = torch.from_numpy(lanes.used[steps.start : steps.stop]).to(outputs)
    squares = (outputs - targets).square().mean(dim=-1)  # (steps, lanes)
    return (squares * used).sum() / used.sum()


def _one_cycle(progress: float, peak: float) -> float:
    """Learning rate at a share of the training: up for 15 %, then down a cosine (Smith 2018)."""
    rise = 0.15
    if progress < rise:
        return peak * (0.04 + 0.96 * 0.5 * (1 - cos(pi * progress / rise)))
    return peak * max(1e-4, 0.5 * (1 + cos(pi * (progress - rise) / (1 - rise))))
