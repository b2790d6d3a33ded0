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

"""Converts sensor_msgs/Image to arrays, without cv_bridge."""

from typing import Any

from leconvmn_ros.core.errors import MalformedMessageError
import numpy as np
from numpy.typing import NDArray

# Bytes per pixel, and the positions of red, green and blue among them.
_ENCODINGS = {
    'rgb8': (3, (0, 1, 2)),
    'bgr8': (3, (2, 1, 0)),
    'rgba8': (4, (0, 1, 2)),
    'bgra8': (4, (2, 1, 0)),
    'mono8': (1, (0, 0, 0)),
    '8UC1': (1, (0, 0, 0)),
    '8UC3': (3, (2, 1, 0)),  # OpenCV's order
}
# 8K; larger pictures are ignored.
LARGEST_SIDE = 8192


def read_picture(message: Any) -> NDArray[np.uint8]:
    """Return red, green and blue, shape (height, width, 3).

    Raises:
        MalformedMessageError: the encoding is not supported, or the fields contradict each
            other.
    """
    if message.encoding not in _ENCODINGS:
        raise MalformedMessageError(
            f'pictures are encoded as {message.encoding!r:.40}; '
            f'allowed are {", ".join(_ENCODINGS)}'
        )
    depth, order = _ENCODINGS[message.encoding]
    height, width, step = int(message.height), int(message.width), int(message.step)
    if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE):
        raise MalformedMessageError(
            f'a picture of {width} x {height} pixels; 1 to {LARGEST_SIDE} are allowed'
        )
    data = np.frombuffer(message.data, dtype=np.uint8)
    if step < width * depth or len(data) < step * height:
        raise MalformedMessageError(
            f'a picture of {width} x {height} pixels in {len(data)} bytes, {step} a row'
        )
    rows = data[: step * height].reshape(height, step)[:, : width * depth]
    pixels = rows.reshape(height, width, depth)
    picture: NDArray[np.uint8] = pixels[..., list(order)]
    return picture
