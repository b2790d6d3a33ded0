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

"""Fits the ridge regression; the penalty is chosen by the validation error."""

from collections.abc import Callable, Sequence
from math import nan
from typing import NamedTuple

from leconvmn_ros.models.base import Model
from leconvmn_ros.models.ridge.network import Ridge
from leconvmn_ros.models.stateless import Examples
from leconvmn_ros.training.data import TrainingData
from leconvmn_ros.training.fit_settings import PENALTIES, RidgeFitSettings
from leconvmn_ros.training.reports import EpochReport, FitResult
import torch
from torch import Tensor


def run(
    settings: RidgeFitSettings,  # noqa: ARG001 - has no settings
    model: Model,
    data: TrainingData,
    *,
    seed: int,  # noqa: ARG001 - nothing is random
    stop_after: int | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,  # noqa: ARG001 - a single step
) -> FitResult:
    """Fit a model; see `FitSettings.run`. An epoch is the number of a penalty, from 1."""
    assert isinstance(model, Ridge)  # noqa: S101 - TrainingSettings checks it
    penalties = PENALTIES if stop_after is None else PENALTIES[stop_after - 1 : stop_after]
    penalty, loss = fit_ridge(model, *data.examples(), penalties)
    return FitResult(model, PENALTIES.index(penalty) + 1, loss)


class RidgeFitResult(NamedTuple):
    """The result of a fit.

    Attributes:
        penalty: the chosen one of PENALTIES.
        validation_loss: its mean squared error on the validation examples, NaN without any.
    """

    penalty: float
    validation_loss: float


@torch.no_grad()
def fit_ridge(
    model: Ridge,
    training: Examples,
    validation: Examples | None,
    penalties: Sequence[float] = PENALTIES,
) -> RidgeFitResult:
    """Fit in closed form with the penalty that has the lowest validation error.

    Without validation examples, the first penalty is used.
    """
    x, y = model.matrices(training)
    x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
    x = x - x_mean  # centre the data, to exclude the intercept from the penalty
    # (X'X + a I)^-1 X'Y for every a from one decomposition of X'X.
    eigenvalues, vectors = torch.linalg.eigh(x.T @ x)
    rotated = vectors.T @ (x.T @ (y - y_mean))

    def weights(penalty: float) -> Tensor:
        found: Tensor = vectors @ (rotated / (eigenvalues + penalty * len(x))[:, None])
        return found

    def loss(penalty: float) -> float:
        if validation is None:
            return nan
        x_validation, y_validation = model.matrices(validation)
        outputs = (x_validation - x_mean) @ weights(penalty) + y_mean
        return float((outputs - y_validation).square().mean())

    best = min(penalties, key=loss)
    model.linear.weight.copy_(weights(best).T)
    model.linear.bias.copy_(y_mean - x_mean @ weights(best))
    return RidgeFitResult(best, loss(best))
