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

from leconvmn_ros.engines.onednn_convolution import PackedConvolution
from leconvmn_ros.engines.winograd import Winograd
import pytest
import torch
from torch.nn import functional

SIZES = [(12, 20), (4, 4), (1, 9), (13, 7), (10, 5)]


def of(planes, out, size):
    """Weights, bias and an image with a row more on either side, planes last."""
    torch.manual_seed(0)
    weight = torch.randn(out, planes, 3, 3) / (9 * planes) ** 0.5
    return weight, torch.randn(out), torch.randn(size[0] + 2, size[1], planes)


def as_planes(image):
    return image.permute(2, 0, 1)[None]


def as_pixels(planes):
    return planes[0].permute(1, 2, 0).flatten(0, 1)


def convolved(image, weight, bias=None, padding=(1, 1)):
    """The same with torch, in float64, pixel after pixel."""
    bias = None if bias is None else bias.double()
    return as_pixels(
        functional.conv2d(as_planes(image).double(), weight.double(), bias, padding=padding)
    ).float()


@pytest.mark.parametrize(('planes', 'out'), [(3, 4), (64, 32), (17, 24)])
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_it_is_a_convolution(size, planes, out):
    weight, bias, image = of(planes, out, size)
    found = Winograd(weight, bias, size)
    for start in (image[1:-1], image[1:-1].flip(0)):  # the second fills it in anew
        found.image.copy_(start)
        expected = convolved(start, weight, bias)
        torch.testing.assert_close(found.as_pixels(found()), expected, rtol=0, atol=2e-5)
    assert expected.std() > 0.5


@pytest.mark.parametrize('size', SIZES, ids=str)
def test_rows_beyond_the_image(size):
    weight, bias, image = of(5, 6, size)
    found = Winograd(weight, bias, size, beyond=True)
    found.image.copy_(image)
    torch.testing.assert_close(
        found.as_pixels(found()),
        convolved(image, weight, bias, padding=(0, 1)),
        rtol=0,
        atol=2e-5,
    )


@pytest.mark.parametrize('size', SIZES, ids=str)
def test_sums_are_added_to_what_is_there(size):
    weight, _, image = of(5, 6, size)
    there = torch.randn(size[0] * size[1], 6)
    found = Winograd(weight, None, size)
    found.image.copy_(image[1:-1])
    to = found.in_order(there)
    sums = found(to)
    assert sums.data_ptr() == to.data_ptr()
    expected = there + convolved(image[1:-1], weight)
    torch.testing.assert_close(found.as_pixels(sums), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize('size', SIZES, ids=str)
def test_order_and_back(size):
    found = Winograd(*of(2, 3, size)[:2], size)
    pixels = torch.arange(size[0] * size[1] * 7.0).view(-1, 7)
    torch.testing.assert_close(found.as_pixels(found.in_order(pixels)), pixels, rtol=0, atol=0)


def test_error_is_that_of_float32():
    """The paper's first layer: off by no more than ten times what plain float32 is off by."""
    weight, bias, image = of(64, 256, (12, 200))
    x, expected = image[1:-1].tanh(), None
    found = Winograd(weight, bias, (12, 200))
    found.image.copy_(x)
    expected = as_pixels(
        functional.conv2d(as_planes(x).double(), weight.double(), bias.double(), padding=1)
    )
    plain = as_pixels(functional.conv2d(as_planes(x), weight, bias, padding=1))
    error, of_plain = (
        (sums - expected).square().mean().sqrt() for sums in (found.as_pixels(found()), plain)
    )
    assert 0 < error < 10 * of_plain < 1e-5


@pytest.mark.parametrize('kernel', [(3, 3), (1, 1), (3, 1)])
def test_packed_convolution(kernel):
    torch.manual_seed(0)
    weight, bias = torch.randn(6, 5, *kernel), torch.randn(6)
    image = torch.randn(7, 8, 5)
    padding = kernel[0] // 2, kernel[1] // 2
    packed = PackedConvolution(weight, bias, as_planes(image), padding=padding)
    for _ in range(2):
        expected = convolved(image, weight, bias, padding)
        torch.testing.assert_close(as_pixels(packed()), expected, rtol=0, atol=1e-5)
        image.mul_(-0.5)
