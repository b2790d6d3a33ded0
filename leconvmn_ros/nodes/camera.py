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

"""A webcam that is reopened after it was unplugged."""

from collections.abc import Callable
from importlib import import_module
from threading import Event
import time
from typing import Any

from leconvmn_ros.core.errors import ConfigurationError
import numpy as np
from numpy.typing import NDArray

RETRY_PERIOD = 2.0  # s

Look = Callable[[NDArray[np.uint8], float], None]


class Camera:
    """Reads pictures through OpenCV, which comes with MediaPipe."""

    def __init__(self, name: str, look: Look, trouble: Callable[[str], None]) -> None:
        """Prepare to read a camera.

        Args:
            name: number or device, such as 0 or /dev/video0.
            look: called with each picture, shape (height, width, 3), red first, and its time
                (s since 1970).
            trouble: called with the reason if there are no pictures.

        Raises:
            ConfigurationError: OpenCV is not installed.
        """
        try:
            self._cv2: Any = import_module('cv2')
        except ImportError as error:
            raise ConfigurationError(
                f'OpenCV is not installed: pip install leconvmn_ros[camera] ({error})'
            ) from error
        self._name: int | str = int(name) if name.isdecimal() else name
        self._look = look
        self._trouble = trouble

    def run(self, stopping: Event) -> None:
        """Read until `stopping` is set."""
        while not stopping.is_set():
            capture = self._cv2.VideoCapture(self._name)
            try:
                # Buffer only the newest picture: an old one is not a reference for the present.
                capture.set(self._cv2.CAP_PROP_BUFFERSIZE, 1)
                self._read(capture, stopping)
            finally:
                capture.release()
            if not stopping.is_set():
                self._trouble(
                    f'camera {self._name} gives no pictures: is it plugged in, may it be opened '
                    f'(group video), is it used elsewhere? It is tried again every '
                    f'{RETRY_PERIOD:g} s'
                )
                stopping.wait(RETRY_PERIOD)

    def _read(self, capture: Any, stopping: Event) -> None:
        while not stopping.is_set():
            there, picture = capture.read()
            if not there:
                return
            self._look(np.ascontiguousarray(picture[..., ::-1]), time.time())
