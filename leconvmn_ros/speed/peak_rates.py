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

"""Measures the peak rates of the machine, which bound every stage."""

from collections.abc import Callable
from functools import partial

from leconvmn_ros.engines.timing import interleaved
import numpy as np
import torch
from torch.nn import functional

# Short enough to be finished, now and then, without interruption on a busy machine.
_SIDE = 512  # of the matrices that are multiplied
_PLANES = 128  # of the convolution
_COPIED = 64 * 2**20  # bytes read and written, more than the caches can hold
_REPETITIONS = 30


@torch.inference_mode()
def measure_peak_rates() -> dict[str, float]:
    """Measure the peak rates with torch's present number of threads.

    Returns:
        `float32`: multiplications (with addition) per second in a product of large matrices, or in
        a large convolution if that is faster; `copy`: bytes per second read and as many written,
        beyond the caches.
    """
    a = torch.rand(_SIDE, _SIDE)
    image = torch.rand(1, _PLANES, 32, 32).to(memory_format=torch.channels_last)
    weight = torch.rand(_PLANES, _PLANES, 3, 3).to(memory_format=torch.channels_last)
    to, source = np.empty((2, _COPIED // 16))
    source[:] = 1.0
    convolution = 30 * 30 * weight.numel()
    calls: list[tuple[str, int, Callable[[], object]]] = [
        ('float32', _SIDE**3, partial(torch.mm, a, a)),
        ('float32', convolution, partial(functional.conv2d, image, weight)),
        ('copy', source.nbytes, partial(np.copyto, to, source)),
    ]
    times = interleaved([call for *_, call in calls], _REPETITIONS).min(axis=1)
    best: dict[str, float] = {}
    for (name, amount, _), time in zip(calls, times, strict=True):
        best[name] = max(best.get(name, 0.0), amount / float(time))
    return best
