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

"""Pictures of sensor_msgs/Image, of any encoding and padding, and what is none."""

from array import array

from leconvmn_ros.core.errors import MalformedMessageError
from leconvmn_ros.nodes.pictures import read_picture
import numpy as np
import pytest
from sensor_msgs.msg import Image


def message(pixels, encoding, padding=0):
    height, width, depth = pixels.shape
    rows = np.pad(pixels.reshape(height, width * depth), ((0, 0), (0, padding)))
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        step=width * depth + padding,
        data=array('B', rows.astype(np.uint8).tobytes()),
    )


PICTURE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(
    ('encoding', 'pixels'),
    [
        ('rgb8', PICTURE),
        ('bgr8', PICTURE[..., ::-1]),
        ('8UC3', PICTURE[..., ::-1]),
        ('rgba8', np.concatenate([PICTURE, PICTURE[..., :1]], axis=2)),
        ('bgra8', np.concatenate([PICTURE[..., ::-1], PICTURE[..., :1]], axis=2)),
    ],
)
def test_colours_are_found_in_every_encoding(encoding, pixels, padding):
    np.testing.assert_array_equal(read_picture(message(pixels, encoding, padding)), PICTURE)


def test_grey_is_all_colours():
    picture = read_picture(message(PICTURE[..., :1], 'mono8'))
    assert picture.shape == (2, 3, 3)
    assert (picture == PICTURE[..., :1]).all()


@pytest.mark.parametrize(
    ('field', 'value', 'complaint'),
    [
        ('encoding', 'bayer_rggb8', "encoded as 'bayer_rggb8'; allowed are rgb8"),
        ('height', 0, '3 x 0 pixels'),
        ('width', 2**31, 'pixels'),
        ('height', 3, 'in 18 bytes'),
        ('step', 8, '8 a row'),
        ('data', array('B'), 'in 0 bytes'),
    ],
)
def test_what_is_no_picture_is_refused(field, value, complaint):
    wrong = message(PICTURE, 'rgb8')
    setattr(wrong, field, value)
    with pytest.raises(MalformedMessageError, match=complaint):
        read_picture(wrong)
