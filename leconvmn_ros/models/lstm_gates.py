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

"""What the gates of an LSTM do, and the derivative of that written out, in one place.

For layers that learn without autograd recording each of these operations, which takes some times
as long.
"""

import torch
from torch import Tensor

# What the derivative needs: the gates input, forget and output side by side, the cell gate, c
# before the step, and tanh of c after it.
Taken = tuple[Tensor, Tensor, Tensor, Tensor]


def open_gates(gates: Tensor, c: Tensor, dim: int) -> tuple[Tensor, Tensor, Taken]:
    """Take a step.

    Args:
        gates: sums at the gates input, forget, output and cell, side by side along `dim`.
        c: before the step, a quarter of that.
        dim: where the planes are.

    Returns:
        h and c after the step, and what `gates_derivative` needs.
    """
    planes = c.shape[dim]
    ifo = torch.sigmoid(gates.narrow(dim, 0, 3 * planes))
    g = torch.tanh(gates.narrow(dim, 3 * planes, planes))
    i, f, o = ifo.chunk(3, dim=dim)
    after = torch.addcmul(f * c, i, g)
    squashed = torch.tanh(after)
    return o * squashed, after, (ifo, g, c, squashed)


def gates_derivative(
    by_h: Tensor, by_after: Tensor, taken: Taken, dim: int
) -> tuple[Tensor, Tensor]:
    """Return the derivatives by the gates and by c before, given those by h and c after."""
    ifo, g, c, squashed = taken
    i, f, o = ifo.chunk(3, dim=dim)
    by_c = torch.addcmul(by_after, by_h * o, 1 - squashed.square())
    by_ifo = torch.cat((by_c * g, by_c * c, by_h * squashed), dim=dim) * ifo * (1 - ifo)
    return torch.cat((by_ifo, by_c * i * (1 - g.square())), dim=dim), by_c * f
