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

"""Which movement is being made, as a second task while a recurrent network learns the angles.

Multi-task learning (Caruana, Machine Learning 28 (1997), 41-75): each part of the network also has
to name the movement from what its head reads. It then keeps apart what looks alike in the angles,
and recognises a movement by the EMG instead of by its place in the recording. The classifiers are
dropped when the training ends; the decoder is the same network.
"""

from collections.abc import Sequence
from typing import Any, Final

from leconvmn_ros.models.base import Model
from leconvmn_ros.training.sequences import FeatureSegment, SequenceBatch, UNKNOWN_MOVEMENT
import numpy as np
from numpy.typing import NDArray
import torch
from torch import nn, Tensor
from torch.nn import functional

_WEIGHT_DECAY: Final = 1e-2


class MovementTask:
    """Classifiers beside the heads of a model, while it is trained."""

    def __init__(
        self, model: Model, joints: int, movements: NDArray[np.int64], learning_rate: float
    ) -> None:
        """Attach a classifier to each part of the model, until `detach`.

        Args:
            model: what is trained, on its device.
            joints: how many angles it puts out.
            movements: the numbers of the movements to tell apart, with rest, in rising order.
            learning_rate: of the classifiers in the first step.
        """
        self._numbers = torch.from_numpy(movements).to(model.device)
        self._read: list[Tensor] = []
        found = (getattr(part, 'head', None) for part in model.modules())
        heads = [head for head in found if isinstance(head, nn.Linear)]
        # A head that reads the joints' planes one by one has a single output.
        self._classifiers = nn.ModuleList(
            nn.Linear(head.in_features * joints // head.out_features, len(movements))
            for head in heads
        ).to(model.device)
        self._handles = [head.register_forward_pre_hook(self._listen) for head in heads]
        self._optimiser = torch.optim.AdamW(
            self._classifiers.parameters(), lr=learning_rate, weight_decay=_WEIGHT_DECAY
        )

    def loss(self, lanes: SequenceBatch, window: range) -> Tensor:
        """Return the mean cross entropy of the parts for the steps that the model just took."""
        movement = torch.from_numpy(lanes.movement[window.start : window.stop])
        known = torch.from_numpy(lanes.used[window.start : window.stop])
        known &= movement != UNKNOWN_MOVEMENT
        device = self._numbers.device
        wanted = torch.searchsorted(self._numbers, movement[known].to(device))
        known = known.to(device)
        losses = [
            functional.cross_entropy(classifier(read.flatten(2)[known]), wanted, reduction='sum')
            for classifier, read in zip(self._classifiers, self._read, strict=True)
        ]
        self._read.clear()
        return torch.stack(losses).mean() / max(1, len(wanted))

    def step(self, learning_rate: float) -> None:
        """Let the classifiers learn from the gradients of the last `backward`."""
        for group in self._optimiser.param_groups:
            group['lr'] = learning_rate
        self._optimiser.step()
        self._optimiser.zero_grad()

    def detach(self) -> None:
        """Leave the model as it was."""
        for handle in self._handles:
            handle.remove()

    def _listen(self, head: nn.Module, inputs: tuple[Any, ...]) -> None:
        if head.training:  # not while it is validated
            self._read.append(inputs[0])


def movements_of(stretches: Sequence[FeatureSegment]) -> NDArray[np.int64]:
    """Return the numbers of the movements in some stretches, with rest, in rising order."""
    numbers: NDArray[np.int64] = np.unique(
        np.concatenate([stretch.movements() for stretch in stretches])
    )
    known: NDArray[np.int64] = numbers[numbers != UNKNOWN_MOVEMENT]
    return known
