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

"""What all fits share, whatever the model: settings, progress and result."""

from math import isnan
from typing import NamedTuple

from leconvmn_ros.models.base import Model


class EpochReport(NamedTuple):
    """How an epoch went; losses are mean squared errors of standardised angles.

    Attributes:
        epoch: from 1; of an SPGP a step, where 0 is the start.
        epochs: how many there will be.
        training_loss: mean over the epoch, while it was learning; of an SPGP the negative log
            marginal likelihood per target.
        validation_loss: after the epoch; NaN where there are no validation data, as in the second
            pass.
        best_epoch: the one with the lowest validation loss so far.
        second_pass: whether the validation data are being learnt, too.
    """

    epoch: int
    epochs: int
    training_loss: float
    validation_loss: float
    best_epoch: int
    second_pass: bool = False

    def text(self) -> str:
        """Say it in a line."""
        if self.second_pass:
            return f'second pass, epoch {self.epoch}: loss {self.training_loss:.3f}'
        if isnan(self.validation_loss):
            return f'epoch {self.epoch}: loss {self.training_loss:.3f}'
        return (
            f'epoch {self.epoch}: loss {self.training_loss:.3f}, '
            f'validation {self.validation_loss:.3f} (best at {self.best_epoch})'
        )

    def share(self, second_pass: bool) -> float:
        """Return the share of the training that is done, 0 to 1.

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
        model: with the weights of the best epoch.
        epoch: what the validation data chose: the best epoch, from 1 (for an SPGP the best step,
            for a ridge the place of the best penalty).
        loss: validation loss of the model; NaN without validation data.
    """

    model: Model
    epoch: int
    loss: float
