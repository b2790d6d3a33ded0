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

"""A convolution in oneDNN whose weights are put in its own order once, not at each call."""

from typing import Any

import torch
from torch import Tensor


class PackedConvolution:
    """A convolution of one tensor that is filled anew for each call; its weights are packed once.

    Attributes:
        x: what is convolved, (1, planes, rows, columns), planes side by side in memory.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        x: Tensor,
        *,
        padding: tuple[int, int] = (0, 0),
        groups: int = 1,
    ) -> None:
        """Pack the weights (out, in, rows, columns) for the precision of `x`.

        Raises:
            RuntimeError: this torch has no such convolution.
        """
        self.x = x
        self._bias = None if bias is None else bias.to(x.dtype)
        # padding, stride, dilation, groups
        self._geometry = (list(padding), [1, 1], [1, 1], groups)
        pack: Any = torch._C._nn.mkldnn_reorder_conv2d_weight  # noqa: SLF001 - no other way
        self._weight = pack(weight.to(x.dtype).to_mkldnn(), *self._geometry, list(x.shape))

    def __call__(self) -> Tensor:
        """Return the sums, (1, out, rows, columns), planes side by side in memory."""
        sums: Tensor = torch.ops.mkldnn._convolution_pointwise(  # noqa: SLF001 - no other way
            self.x, self._weight, self._bias, *self._geometry, 'none', [], ''
        )
        return sums
