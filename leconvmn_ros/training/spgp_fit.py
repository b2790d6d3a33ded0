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

"""Fits SPGP: pseudo-inputs and hyperparameters by gradient ascent on the FITC likelihood."""

from collections.abc import Callable
from math import isfinite, log, nan, pi
from typing import NamedTuple

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.models.base import Model
from leconvmn_ros.models.spgp.network import Spgp
from leconvmn_ros.models.stateless import Examples
from leconvmn_ros.training.data import TrainingData
from leconvmn_ros.training.fit_settings import SpgpFitSettings
from leconvmn_ros.training.reports import EpochReport, FitResult
import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# Added to the diagonal of K_UU, as a share of the signal variance: pseudo-inputs may coincide.
# Both Cholesky factors then exist in float64, and likelihood and prediction use the same K_UU.
JITTER = 1e-6
# Number of training images at a time. Memory then holds a few matrices of pseudo-inputs x CHUNK
# and some of the size of the data, but none of pseudo-inputs x training images.
CHUNK = 1024


class Hyperparameters(NamedTuple):
    """The parameters of the likelihood.

    Attributes:
        pseudo_inputs: positions in length-scales, shape (pseudo-inputs, inputs).
        log_length_scales: one for each input, shape (inputs,).
        log_signal_variance: a scalar.
        log_noise_variance: a scalar.
    """

    pseudo_inputs: Tensor
    log_length_scales: Tensor
    log_signal_variance: Tensor
    log_noise_variance: Tensor


class Posterior(NamedTuple):
    """The process conditioned on the training data.

    Attributes:
        log_likelihood: log marginal likelihood of all joints together, a scalar.
        weights: weights of the correlations with the pseudo-inputs in the predictive mean,
            shape (pseudo-inputs, joints).
    """

    log_likelihood: Tensor
    weights: Tensor


def condition(hyperparameters: Hyperparameters, inputs: Tensor, targets: Tensor) -> Posterior:
    """Condition the process on training data.

    Args:
        hyperparameters: float64, as are the data.
        inputs: shape (images, inputs).
        targets: shape (images, joints).

    Raises:
        torch.linalg.LinAlgError: a value is not finite.
    """
    pseudo, log_lengths, log_signal, _ = hyperparameters
    images, joints = targets.shape
    signal = log_signal.exp()
    identity = torch.eye(len(pseudo), dtype=pseudo.dtype, device=pseudo.device)
    # lower lower' = K_UU
    lower = torch.linalg.cholesky(signal * (_correlation(pseudo, pseudo) + JITTER * identity))
    scaled = inputs * torch.exp(-log_lengths)
    zeros = targets.new_zeros
    sums = [identity, zeros(len(pseudo), joints), zeros(()), zeros(())]
    for part in zip(torch.split(scaled, CHUNK), torch.split(targets, CHUNK), strict=True):
        # Intermediate results are recomputed for the gradient instead of being kept.
        terms = checkpoint(
            _terms, lower, hyperparameters, *part, use_reentrant=False, preserve_rng_state=False
        )
        sums = [total + term for total, term in zip(sums, terms, strict=True)]
    inner, projected, log_diagonal, squares = sums
    inner_lower = torch.linalg.cholesky(inner)
    whitened = torch.linalg.solve_triangular(inner_lower, projected, upper=False)
    # Determinant and inverse of the covariance by the lemmas of Sylvester and Woodbury.
    log_determinant = log_diagonal + 2 * inner_lower.diagonal().log().sum()
    log_likelihood = -0.5 * (
        joints * (images * log(2 * pi) + log_determinant) + squares - whitened.square().sum()
    )
    # On a CPU the decompositions have raised an error by now; on a GPU they do not.
    if not log_likelihood.isfinite():
        raise torch.linalg.LinAlgError('the likelihood is not finite')  # type: ignore[attr-defined]
    solved = torch.linalg.solve_triangular(inner_lower.T, whitened, upper=True)
    weights = signal * torch.linalg.solve_triangular(lower.T, solved, upper=True)
    return Posterior(log_likelihood, weights)


def _terms(
    lower: Tensor, hyperparameters: Hyperparameters, scaled: Tensor, targets: Tensor
) -> list[Tensor]:
    """Return the contribution of a chunk of training data to the sums.

    With D = diag(K_XX - Q) + noise and V = lower^-1 K_UX: V D^-1 V', V D^-1 y, log |D|, y' D^-1 y.
    """
    signal, noise = hyperparameters[2].exp(), hyperparameters[3].exp()
    cross = signal * _correlation(hyperparameters.pseudo_inputs, scaled)
    projection = torch.linalg.solve_triangular(lower, cross, upper=False)
    # Prevent variances that are negative by rounding.
    diagonal = (signal - projection.square().sum(dim=0)).clamp_min(0) + noise
    projection = projection / diagonal.sqrt()
    targets = targets / diagonal.sqrt()[:, None]
    return [
        projection @ projection.T,
        projection @ targets,
        diagonal.log().sum(),
        targets.square().sum(),
    ]


def run(
    settings: SpgpFitSettings,
    model: Model,
    data: TrainingData,
    *,
    seed: int,
    stop_after: int | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> FitResult:
    """Fit a model; see `FitSettings.run`. An epoch is a step."""
    assert isinstance(model, Spgp)  # noqa: S101 - TrainingSettings checks it
    step, loss = fit_spgp(
        model,
        *data.examples(),
        settings,
        seed=seed,
        stop_after=stop_after,
        on_epoch=on_epoch,
    )
    return FitResult(model, step, loss)


class SpgpFitResult(NamedTuple):
    """The result of a fit.

    Attributes:
        step: step with the lowest validation loss, which is that of the model.
        validation_loss: its mean squared error of standardised angles, NaN without validation.
    """

    step: int
    validation_loss: float


def fit_spgp(
    model: Spgp,
    training: Examples,
    validation: Examples | None,
    settings: SpgpFitSettings,
    *,
    seed: int = 0,
    stop_after: int | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> SpgpFitResult:
    """Maximise the log marginal likelihood (Adam, cosine schedule); validation chooses the step.

    Neighbouring images are alike, so the likelihood gives them too much weight and rises beyond
    the best step.

    Args:
        model: model to fill with the result.
        training: training examples.
        validation: examples that choose the step; without any, the last step counts.
        settings: settings of the fit.
        seed: seed of the choice of training images as initial pseudo-inputs.
        stop_after: last step; the schedule is still that of `settings.epochs`.
        on_epoch: called after each step.

    Raises:
        ConfigurationError: more pseudo-inputs than training images.
        RecordingError: the fit diverged, or the validation loss is not finite.
    """
    inputs, targets = model.matrices(training)
    if len(model.pseudo_inputs) > len(inputs):
        raise ConfigurationError(
            f'{len(model.pseudo_inputs)} pseudo-inputs for {len(inputs)} training images; '
            'at most one for each is allowed'
        )
    learned = _start(inputs, len(model.pseudo_inputs), np.random.default_rng(seed))
    for values in learned:
        values.requires_grad_()
    optimiser = torch.optim.Adam(learned, lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs)
    best, best_learned = SpgpFitResult(0, float('inf')), learned
    steps = settings.epochs if stop_after is None else stop_after
    for step in range(steps + 1):
        try:
            posterior = condition(learned, inputs, targets)
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
            raise RecordingError(
                f'the fit diverged after {step} steps at learning rate {settings.learning_rate}'
            ) from error
        loss = nan
        if validation is not None:
            loss = _loss(learned, posterior.weights, *model.matrices(validation))
        if loss < best.validation_loss or (validation is None and step == steps):
            best = SpgpFitResult(step, loss)
            best_learned = Hyperparameters(*(values.detach().clone() for values in learned))
        if on_epoch is not None:
            training_loss = -posterior.log_likelihood.item() / targets.numel()
            on_epoch(
                EpochReport(
                    step, steps, training_loss, loss, best.step, second_pass=validation is None
                )
            )
        if step < steps:
            optimiser.zero_grad()
            (-posterior.log_likelihood).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    if validation is not None and not isfinite(best.validation_loss):
        raise RecordingError(
            f'the loss on {len(validation.images)} validation images is not finite'
        )
    _give(model, best_learned, inputs, targets)
    return best


def _start(inputs: Tensor, pseudo_inputs: int, rng: np.random.Generator) -> Hyperparameters:
    """Start from some training inputs, the median distance as length-scale, and mostly signal."""
    chosen = inputs[torch.from_numpy(rng.permutation(len(inputs))[:pseudo_inputs])]
    scale = inputs.std(dim=0, correction=0)
    # A constant input has no scale; the deviation of equal values is not exactly 0.
    scale[scale <= 1e-6 * inputs.mean(dim=0).abs().clamp_min(1)] = 1
    distances = torch.pdist(chosen / scale)
    distances = distances[distances > 0]
    lengths = scale * (distances.median() if len(distances) else 1)
    return Hyperparameters(
        pseudo_inputs=chosen / lengths,
        log_length_scales=lengths.log(),
        log_signal_variance=inputs.new_tensor(log(0.7)),
        log_noise_variance=inputs.new_tensor(log(0.3)),
    )


@torch.no_grad()
def _loss(learned: Hyperparameters, weights: Tensor, inputs: Tensor, targets: Tensor) -> float:
    scaled = inputs * torch.exp(-learned.log_length_scales)
    outputs = _correlation(scaled, learned.pseudo_inputs) @ weights
    return float((outputs - targets).square().mean())


@torch.no_grad()
def _give(model: Spgp, learned: Hyperparameters, inputs: Tensor, targets: Tensor) -> None:
    model.pseudo_inputs.copy_(learned.pseudo_inputs)
    model.inverse_length_scales.copy_(torch.exp(-learned.log_length_scales))
    # Compute the weights from the rounded pseudo-inputs: the weights largely cancel one another,
    # so rounding both separately would cost digits.
    rounded = learned._replace(
        pseudo_inputs=model.pseudo_inputs.to(inputs.dtype),
        log_length_scales=-model.inverse_length_scales.to(inputs.dtype).log(),
    )
    model.weights.copy_(condition(rounded, inputs, targets).weights)


def _correlation(some: Tensor, others: Tensor) -> Tensor:
    """Squared-exponential correlation of positions in length-scales, (some, others)."""
    norms = some.square().sum(dim=1)[:, None] + others.square().sum(dim=1)
    return torch.exp(-0.5 * (norms - 2 * some @ others.T).clamp_min(0))
