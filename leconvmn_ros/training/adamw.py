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

"""AdamW as in PyTorch, without importing its compiler, which takes a second per process.

A training of small or lstm takes ten seconds, and each member of an ensemble has its own process.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adamw import adamw

_BETAS = 0.9, 0.999
_EPSILON = 1e-8


class AdamW:
    """Updates weights by their gradients (Loshchilov and Hutter 2019), fused.

    Attributes:
        learning_rate: may be set before each step.
    """

    def __init__(
        self, weights: Iterable[Tensor], learning_rate: float, weight_decay: float
    ) -> None:
        """Prepare to update weights, all of which get gradients."""
        self.learning_rate = learning_rate
        self._weight_decay = weight_decay
        self._weights = list(weights)
        self._means = [torch.zeros_like(weight) for weight in self._weights]
        self._squares = [torch.zeros_like(weight) for weight in self._weights]
        self._steps = [torch.zeros((), device=weight.device) for weight in self._weights]

    def forget_gradients(self) -> None:
        """Discard the gradients."""
        for weight in self._weights:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update the weights by the accumulated gradients."""
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        adamw(
            self._weights,
            gradients,
            self._means,
            self._squares,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=_BETAS[0],
            beta2=_BETAS[1],
            lr=self.learning_rate,
            weight_decay=self._weight_decay,
            eps=_EPSILON,
            maximize=False,
        )
