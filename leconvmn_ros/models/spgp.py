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

"""Sparse Gaussian-process regression with pseudo-inputs (SPGP), one of the paper's baselines.

Source: Snelson and Ghahramani, "Sparse Gaussian processes using pseudo-inputs", NIPS 2005; the
approximation is also known as FITC. With pseudo-inputs U, training inputs X and kernel matrices
K, the joints are independent draws of

    p(y) = N(0, Q + diag(K_XX - Q) + noise I),   Q = K_XU K_UU^-1 K_UX,

and everything (U, one length-scale per input, signal and noise variance) maximises its logarithm.
All joints share one kernel, one noise and one set of pseudo-inputs: one factorisation serves them
all. A process per joint was tried and left out: with 100 pseudo-inputs each, at a higher cost than
300 shared ones, the validation CC was 0.76 against 0.79 on DB1 S1 and 0.67 in both on DB5 S1.

GPyTorch would not be this method: its InducingPointKernel with InducingPointKernelAddedLossTerm
learns by the variational bound of Titsias (AISTATS 2009); only its SGPRPredictionStrategy predicts
with the diagonal above.
"""

from collections.abc import Callable
from math import isfinite, log, nan, pi
from typing import Literal, NamedTuple

from leconvmn_ros.errors import ConfigurationError, RecordingError
from leconvmn_ros.models.base import MOST_WEIGHTS
from leconvmn_ros.models.stateless import Examples, InputKind, Memoryless
from leconvmn_ros.training.reports import EpochReport
import numpy as np
from pydantic import BaseModel, ConfigDict, Field
import torch
from torch import nn, Tensor
from torch.utils.checkpoint import checkpoint

# Added to the diagonal of K_UU, as a share of the signal variance: pseudo-inputs may coincide.
# Both Cholesky factors then exist in float64, and likelihood and prediction use the same K_UU.
JITTER = 1e-6
# Training images at a time: memory holds a few matrices of pseudo-inputs x CHUNK numbers and what
# is as large as the data, but nothing of pseudo-inputs x training images.
CHUNK = 1024


class SpgpConfig(BaseModel):
    """Size of the process and what it sees."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    kind: Literal['spgp'] = 'spgp'
    pseudo_inputs: int = Field(
        default=300, ge=1, le=2000, description='stand-ins for the training images'
    )
    input: InputKind = Field(
        default='image',
        description='the whole image, or its newest column alone (the RMS features, as the paper)',
    )


class Spgp(Memoryless):
    """The mean of the process given the training data: one exponential per pseudo-input.

    Positions are in length-scales, and the signal variance is a factor of the weights: what is
    kept is the least that a prediction needs.
    """

    def __init__(self, config: SpgpConfig, image_size: tuple[int, int], joints: int) -> None:
        """Build the model for images of channels x columns; its estimate is 0 until it is fitted.

        Raises:
            ValueError: it would hold more than MOST_WEIGHTS numbers.
        """
        super().__init__(config.input, image_size)
        size = config.pseudo_inputs * (self.inputs + joints)
        if size > MOST_WEIGHTS:
            raise ValueError(
                f'{config.pseudo_inputs} pseudo-inputs of {self.inputs} values for {joints} '
                f'joints need {size} numbers; allowed are {MOST_WEIGHTS}'
            )

        def fitted(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(shape), requires_grad=False)

        self.pseudo_inputs = fitted(config.pseudo_inputs, self.inputs)
        self.inverse_length_scales = fitted(self.inputs)
        self.weights = fitted(config.pseudo_inputs, joints)

    def estimate(self, inputs: Tensor) -> Tensor:
        """Return outputs in standardised units, (..., joints), for inputs (..., inputs)."""
        # Differences, not the faster |a|^2 - 2ab + |b|^2: its cancellation costs float32 digits.
        distances = torch.cdist(
            # Two matrices: of more dimensions the ONNX exporter makes a wrong graph.
            (inputs * self.inverse_length_scales).flatten(0, -2),
            self.pseudo_inputs,
            compute_mode='donot_use_mm_for_euclid_dist',
        )
        outputs = torch.exp(-0.5 * distances.square()) @ self.weights
        return outputs.view(*inputs.shape[:-1], -1)


class Hyperparameters(NamedTuple):
    """What the likelihood depends on beside the data.

    Attributes:
        pseudo_inputs: in length-scales, shape (pseudo-inputs, inputs).
        log_length_scales: of each input, shape (inputs,).
        log_signal_variance: a scalar.
        log_noise_variance: a scalar.
    """

    pseudo_inputs: Tensor
    log_length_scales: Tensor
    log_signal_variance: Tensor
    log_noise_variance: Tensor


class Posterior(NamedTuple):
    """The training data in the light of some hyperparameters.

    Attributes:
        log_likelihood: log marginal likelihood of all joints together, a scalar.
        weights: of the correlations with the pseudo-inputs in the predictive mean, shape
            (pseudo-inputs, joints).
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
        torch.linalg.LinAlgError: something is not finite.
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
        # Intermediate results are computed anew for the gradient instead of being kept.
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
    # On a CPU the decompositions have raised by now; on a GPU they do not.
    if not log_likelihood.isfinite():
        raise torch.linalg.LinAlgError('the likelihood is not finite')  # type: ignore[attr-defined]
    solved = torch.linalg.solve_triangular(inner_lower.T, whitened, upper=True)
    weights = signal * torch.linalg.solve_triangular(lower.T, solved, upper=True)
    return Posterior(log_likelihood, weights)


def _terms(
    lower: Tensor, hyperparameters: Hyperparameters, scaled: Tensor, targets: Tensor
) -> list[Tensor]:
    """Return what a chunk of the training data adds to the sums over all of it.

    With D = diag(K_XX - Q) + noise and V = lower^-1 K_UX: V D^-1 V', V D^-1 y, log |D|, y' D^-1 y.
    """
    signal, noise = hyperparameters[2].exp(), hyperparameters[3].exp()
    cross = signal * _correlation(hyperparameters.pseudo_inputs, scaled)
    projection = torch.linalg.solve_triangular(lower, cross, upper=False)
    # Rounding must not make a variance negative.
    diagonal = (signal - projection.square().sum(dim=0)).clamp_min(0) + noise
    projection = projection / diagonal.sqrt()
    targets = targets / diagonal.sqrt()[:, None]
    return [
        projection @ projection.T,
        projection @ targets,
        diagonal.log().sum(),
        targets.square().sum(),
    ]


def _correlation(some: Tensor, others: Tensor) -> Tensor:
    """Squared-exponential correlation of positions in length-scales, (some, others)."""
    norms = some.square().sum(dim=1)[:, None] + others.square().sum(dim=1)
    return torch.exp(-0.5 * (norms - 2 * some @ others.T).clamp_min(0))


class SpgpFit(BaseModel):
    """How it is fitted."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    kind: Literal['spgp'] = 'spgp'
    epochs: int = Field(
        default=60, ge=1, le=10_000, description='steps; each looks at all training images'
    )
    learning_rate: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description='of Adam at the start; of logarithms, and of pseudo-inputs in length-scales',
    )


class SpgpOutcome(NamedTuple):
    """What came out of a fit.

    Attributes:
        step: the one with the lowest validation loss; the model is that of this step.
        validation_loss: its mean squared error of standardised angles, NaN without validation.
    """

    step: int
    validation_loss: float


def fit_spgp(
    model: Spgp,
    training: Examples,
    validation: Examples | None,
    settings: SpgpFit,
    *,
    seed: int = 0,
    stop_after: int | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> SpgpOutcome:
    """Maximise the log marginal likelihood (Adam, cosine schedule); validation picks the step.

    Neighbouring images are alike, so the likelihood counts them for more than they are worth and
    rises beyond the best step.

    Args:
        model: is given what was learned.
        training: what the likelihood is of.
        validation: what picks the step; without any the last counts.
        settings: how to fit.
        seed: of the training images that the pseudo-inputs start from.
        stop_after: step to end with, although the schedule is for `settings.epochs`.
        on_epoch: called after each step.

    Raises:
        ConfigurationError: more pseudo-inputs than training images.
        RecordingError: the fit diverged, or has nothing finite to be validated on.
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
    best, best_learned = SpgpOutcome(0, float('inf')), learned
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
            best = SpgpOutcome(step, loss)
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
    """Some of the training inputs, the median distance as length-scale, mostly signal."""
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
    # The weights are those of the pseudo-inputs as rounded: they largely cancel one another, so
    # rounding both apart would cost digits.
    rounded = learned._replace(
        pseudo_inputs=model.pseudo_inputs.to(inputs.dtype),
        log_length_scales=-model.inverse_length_scales.to(inputs.dtype).log(),
    )
    model.weights.copy_(condition(rounded, inputs, targets).weights)
