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

"""Convolution with kernels of 3 x 3 in a quarter of the multiplications.

F(4 x 4, 3 x 3) of Lavin and Gray, CVPR 2016, after Winograd: the image is cut into tiles of 6 x 6
that overlap by two, each plane of a tile is transformed to 36 values, planes are mixed value by
value, and what comes out is transformed back to 4 x 4 pixels. Mixing is 36 products of matrices:
one grouped convolution of 1 x 1 does them all, in oneDNN with its weights packed beforehand. In
float32 the result is off by some 1e-6 of its size.
"""

from leconvmn_ros.engines.onednn_convolution import PackedConvolution
import numpy as np
from numpy.polynomial.polynomial import polyfromroots, polyvander
import torch
from torch import Tensor

TILE = 4  # pixels that a tile gives, along each side
_SEEN = TILE + 2  # pixels that it sees

# Where the polynomials are evaluated, besides infinity. With the usual 0, 1, -1, 2, -2 the error
# is four times as large.
_POINTS = np.array([0, 0.625, -0.625, 1.5, -1.5])


def _transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Return those of what is seen, of the weights and of the result, along one side (float64).

    Toom and Cook: a product of polynomials is known by its values at as many points as it has
    coefficients; filtering is the transpose of that product.
    """
    others = [_POINTS[np.arange(len(_POINTS)) != number] for number in range(len(_POINTS))]
    of_input = np.zeros((_SEEN, _SEEN))
    for row, roots in zip(of_input, (*others, _POINTS), strict=True):
        row[: len(roots) + 1] = polyfromroots(roots)
    infinity = np.array([[0.0, 0, 1]])
    scale = [np.prod(point - rest) for point, rest in zip(_POINTS, others, strict=True)]
    of_weight = np.concatenate((polyvander(_POINTS, 2) / np.array(scale)[:, None], infinity))
    of_result = np.concatenate((polyvander(_POINTS, 3), [[0, 0, 0, 1]])).T
    return torch.tensor(of_input), torch.tensor(of_weight), torch.tensor(of_result)


_OF_INPUT, _OF_WEIGHT, _OF_RESULT = _transforms()


class Winograd:
    """A convolution with kernels of 3 x 3 over one image that is filled anew for each call.

    Attributes:
        image: where it is filled in, (rows, columns, planes), or with a row more on either side
            where these are not zeros.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, size: tuple[int, int], *, beyond: bool = False
    ) -> None:
        """Transform the weights.

        Args:
            weight: (out, in, 3, 3).
            bias: (out,).
            size: rows and columns of the image.
            beyond: rows above the first and below the last are filled in, too; otherwise there
                are zeros, as beside the columns.

        Raises:
            RuntimeError: this torch has no packed convolutions.
        """
        (self._rows, self._columns), (out, planes) = size, weight.shape[:2]
        self._out = out
        self._down, self._across = (-(-length // TILE) for length in size)
        self._make_room(planes, beyond=beyond)
        spread = None if bias is None else _spread(bias)
        mixed = self._values.view(1, self._down, self._across, -1).permute(0, 3, 1, 2)
        self._mix = PackedConvolution(_transformed_weight(weight), spread, mixed, groups=_SEEN**2)

    def _make_room(self, planes: int, *, beyond: bool) -> None:
        """Make the tensors in which all is done.

        Rows of the image are longer than needed, so that from tile to tile, and from the last of
        a row of pixels to the first of the next, it is equally far: one product does them all.
        """
        rows, across, down = TILE * self._down + 2, self._across + 1, self._down
        flat = torch.zeros((rows * TILE * across + 2) * planes)
        whole = flat[: rows * TILE * across * planes].view(rows, TILE * across, planes)
        first = 0 if beyond else 1
        self.image = whole[first : 2 + self._rows - first, 1 : 1 + self._columns]
        seen = (rows * across, _SEEN, planes)
        self._seen = flat.as_strided(seen, (TILE * planes, planes, 1))
        self._half = torch.empty(seen)
        by_row = self._half.view(rows, across, -1).transpose(0, 1)[: self._across]
        self._of_row = [by_row[:, TILE * tile : TILE * tile + _SEEN] for tile in range(down)]
        self._values = torch.empty(down, self._across, _SEEN, _SEEN * planes)
        self._transforms = [
            _OF_INPUT.float().expand(count, -1, -1) for count in (rows * across, self._across)
        ]
        tiles = down * self._across
        back = _OF_RESULT.float()
        self._back = [back.expand(count, -1, -1) for count in (tiles, TILE * tiles)]
        # Kept: to take and give back so much memory at each call may cost more than the work.
        self._half_back = torch.empty(tiles, TILE, _SEEN * self._out)
        self._sums = torch.empty(TILE * tiles, TILE, self._out)

    def __call__(self, to: Tensor | None = None) -> Tensor:
        """Convolve.

        Args:
            to: what the sums are added to, in place, in the order of `in_order`.

        Returns:
            Sums, (tiles * 16, out), in the order of `in_order`; they are overwritten by the next
            call.
        """
        torch.bmm(self._transforms[0], self._seen, out=self._half)
        for of_row, values in zip(self._of_row, self._values, strict=True):
            torch.bmm(self._transforms[1], of_row, out=values)
        mixed = self._mix().permute(0, 2, 3, 1).reshape(-1, _SEEN, _SEEN * self._out)
        torch.bmm(self._back[0], mixed, out=self._half_back)
        half = self._half_back.view(-1, _SEEN, self._out)
        if to is None:
            return torch.bmm(self._back[1], half, out=self._sums).view(-1, self._out)
        to.view(self._sums.shape).baddbmm_(self._back[1], half)
        return to

    def in_order(self, pixels: Tensor) -> Tensor:
        """Put pixels (rows * columns, planes) in the order in which the sums come.

        Returns:
            Tile after tile, row after row in it, (tiles * 16, planes); what is beyond the image
            is 0.
        """
        planes = pixels.shape[1]
        whole = pixels.new_zeros(TILE * self._down, TILE * self._across, planes)
        whole[: self._rows, : self._columns] = pixels.view(self._rows, self._columns, planes)
        cut = whole.view(self._down, TILE, self._across, TILE, planes).transpose(1, 2)
        return cut.reshape(-1, planes)

    def as_pixels(self, tiles: Tensor) -> Tensor:
        """Put what comes tile after tile back in the order of pixels, (rows * columns, planes)."""
        planes = tiles.shape[1]
        cut = tiles.view(self._down, self._across, TILE, TILE, planes).transpose(1, 2)
        whole = cut.reshape(TILE * self._down, TILE * self._across, planes)
        return whole[: self._rows, : self._columns].reshape(-1, planes)


def _transformed_weight(weight: Tensor) -> Tensor:
    """Return the weights of the grouped convolution, (36 * out, in, 1, 1)."""
    # float64: it is done once, and one rounding instead of many.
    values = torch.einsum('ar,oirs,bs->aboi', _OF_WEIGHT, weight.double(), _OF_WEIGHT)
    return values.flatten(0, 2)[..., None, None].to(weight.dtype)


def _spread(bias: Tensor) -> Tensor:
    """Return what, added to the values of a tile, adds the bias to each pixel, (36 * out,)."""
    side = torch.linalg.pinv(_OF_RESULT).sum(dim=1)
    return (torch.outer(side, side).flatten()[:, None] * bias.double()).flatten().to(bias.dtype)
