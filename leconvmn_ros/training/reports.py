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

"""Progress and results of fits, independent of the model."""

from math import isnan
from typing import NamedTuple

from leconvmn_ros.models.base import Model


class EpochReport(NamedTuple):
    """The result of an epoch; losses are mean squared errors of standardised angles.

    Attributes:
        epoch: number of the epoch, from 1; for an SPGP a step, where 0 is the start.
        epochs: number of epochs.
        training_loss: mean over the epoch during training; for an SPGP the negative log marginal
            likelihood per target.
        validation_loss: loss after the epoch; NaN without validation data, as in the second
            pass.
        best_epoch: epoch with the lowest validation loss so far.
        second_pass: whether the validation data are trained on, too.
    """

    epoch: int
    epochs: int
    training_loss: float
    validation_loss: float
    best_epoch: int
    second_pass: bool = False

    def text(self) -> str:
        """Return it as a line."""
        if self.second_pass:
            return f'second pass, epoch {self.epoch}: loss {self.training_loss:.3f}'
        if isnan(self.validation_loss):
            return f'epoch {self.epoch}: loss {self.training_loss:.3f}'
        return (
            f'epoch {self.epoch}: loss {self.training_loss:.3f}, '
            f'validation {self.validation_loss:.3f} (best at {self.best_epoch})'
        )

    def share(self, second_pass: bool) -> float:
        """Return the finished share of the training, 0 to 1.

        Args:
            second_pass: whether there is a second pass.
        """
        done = self.epoch / max(1, self.epochs)
        if not second_pass:
            return done
        # A guess: the second pass has more data and often fewer epochs.
        return 0.5 + 0.5 * done if self.second_pass else 0.5 * done


class FitResult(NamedTuple):
    """A trained model.

    Attributes:
        model: model with the weights of the best epoch.
        epoch: choice of the validation data: the best epoch, from 1 (for an SPGP the best step,
            for a ridge the number of the best penalty).
        loss: validation loss of the model; NaN without validation data.
    """

    model: Model
    epoch: int
    loss: float
