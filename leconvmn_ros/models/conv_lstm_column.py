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

"""The recurrence of a ConvLSTM layer whose images are one column: products of matrices.

A convolution of so little takes longer to set up than to compute, and autograd longer still to
record it step by step, so the steps are taken, and their derivative is, in one piece.
"""

from typing import Any

from leconvmn_ros.models.lstm_gates import gates_derivative, open_gates, Taken
import torch
from torch import Tensor
from torch.nn import functional


def advance_rows(
    by_image: Tensor,
    weight: Tensor,
    state: tuple[Tensor, Tensor],
    keep: Tensor | None,
    *,
    ring: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Take all steps.

    Args:
        by_image: what the images add to the gates input, forget, output and cell, (steps, batch,
            rows, 4 * planes).
        weight: of the kernels over the state, (4 * planes, tall * planes), the planes of a row
            beside those of the next.
        state: h and c before, (batch, rows, planes) each.
        keep: 0 where to forget the state before a step, else 1, (steps, batch, 1, 1); None = keep
            it everywhere.
        ring: the last row is the neighbour of the first; otherwise there are zeros beyond.

    Returns:
        h after each step, (steps, batch, rows, planes), and the last h and c.
    """
    if torch.is_grad_enabled() and (by_image.requires_grad or weight.requires_grad):
        learnt: tuple[Tensor, Tensor, Tensor] = _Rows.apply(  # type: ignore[no-untyped-call]
            by_image, weight, *state, keep, ring
        )
        return learnt
    hidden, c, _ = _run(by_image, weight, state, keep, ring=ring)
    return hidden, hidden[-1], c


def _run(
    by_image: Tensor,
    weight: Tensor,
    state: tuple[Tensor, Tensor],
    keep: Tensor | None,
    *,
    ring: bool,
) -> tuple[Tensor, Tensor, list[tuple[Tensor, Taken]]]:
    """Return h of all steps, the last c, and of each step what its derivative needs."""
    h, c = state
    planes = c.shape[2]
    hidden = []
    taken: list[tuple[Tensor, Taken]] = []
    for step, from_image in enumerate(by_image.unbind(0)):
        if keep is not None:
            h, c = h * keep[step], c * keep[step]
        seen = _with_neighbours(h, weight.shape[1] // planes, ring=ring)
        h, c, of_gates = open_gates(from_image + functional.linear(seen, weight), c, dim=2)
        taken.append((seen, of_gates))
        hidden.append(h)
    return torch.stack(hidden), c, taken


def _with_neighbours(h: Tensor, tall: int, *, ring: bool) -> Tensor:
    """Return what the kernels see of (batch, rows, planes): (batch, rows, tall * planes)."""
    if tall == 1:
        return h
    reach, rows = tall // 2, h.shape[1]
    if ring:
        padded = torch.cat((h[:, -reach:], h, h[:, :reach]), dim=1)
    else:
        padded = functional.pad(h, (0, 0, reach, reach))
    return torch.cat([padded[:, first : first + rows] for first in range(tall)], dim=2)


def _back_to_rows(by_seen: Tensor, tall: int, *, ring: bool) -> Tensor:
    """Return the derivative by h, given that by what the kernels saw of it."""
    if tall == 1:
        return by_seen
    reach, rows = tall // 2, by_seen.shape[1]
    parts = by_seen.chunk(tall, dim=2)
    by_padded = torch.zeros_like(functional.pad(parts[0], (0, 0, reach, reach)))
    for first, part in enumerate(parts):
        by_padded[:, first : first + rows] += part
    by_h = by_padded[:, reach : reach + rows]
    if ring:
        by_h[:, -reach:] += by_padded[:, :reach]
        by_h[:, :reach] += by_padded[:, reach + rows :]
    return by_h


class _Rows(torch.autograd.Function):
    """All steps as one function with its derivative: back-propagation through time by hand."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes no keywords
        ctx: Any,
        by_image: Tensor,
        weight: Tensor,
        h: Tensor,
        c: Tensor,
        keep: Tensor | None,
        ring: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        hidden, after, taken = _run(by_image, weight, (h, c), keep, ring=ring)
        ctx.taken, ctx.keep, ctx.ring = taken, keep, ring
        ctx.save_for_backward(weight)
        return hidden, hidden[-1].clone(), after

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_hidden, by_h, by_c = gradients
        (weight,) = ctx.saved_tensors
        tall = weight.shape[1] // by_h.shape[2]
        by_gates = []
        for step in range(len(by_hidden) - 1, -1, -1):
            of_step, by_c = gates_derivative(
                by_h + by_hidden[step], by_c, ctx.taken[step][1], dim=2
            )
            by_gates.append(of_step)
            by_h = _back_to_rows(of_step @ weight, tall, ring=ctx.ring)
            if ctx.keep is not None:
                by_h, by_c = by_h * ctx.keep[step], by_c * ctx.keep[step]
        by_image = torch.stack(by_gates[::-1])
        seen = torch.stack([seen for seen, _ in ctx.taken])
        by_weight = by_image.flatten(0, 2).T @ seen.flatten(0, 2)
        return by_image, by_weight, by_h, by_c, None, None
