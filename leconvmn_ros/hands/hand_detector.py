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

"""Finds the hand of one side in pictures, with MediaPipe's HandLandmarker.

The library is an extra (`camera`) and brings no model: `hand_landmarker.task`, 8 MB, is one
download from MediaPipe's page on hand landmarks.
"""

from pathlib import Path
from typing import NamedTuple

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.hands.landmark_worker import LandmarkWorker, SeenHand
from leconvmn_ros.hands.landmarks import flexions, plausible, Side
import numpy as np
from numpy.typing import NDArray

# The file has 8 MB.
_LARGEST_MODEL = 2**26  # bytes
# Hands whose side is less certain are left out.
LEAST_SCORE = 0.7


class Sight(NamedTuple):
    """The hand found in a picture.

    Attributes:
        angles: raw flexions (rad) in the order of JOINT_NAMES, shape (10,); None if no hand is
            certain.
        reason: why there are none.
    """

    angles: NDArray[np.float64] | None
    reason: str = ''


class HandDetector:
    """Turns pictures, one after the other, into raw flexions; see `LandmarkCalibration`."""

    def __init__(
        self, model: Path, side: Side, *, mirrored: bool = False, least_score: float = LEAST_SCORE
    ) -> None:
        """Load the model.

        Args:
            model: path of `hand_landmarker.task`.
            side: the hand to look for. The user must tell: seen alone, a hand of the other side
                with its back to the camera looks the same.
            mirrored: whether the pictures are mirrored, as by cameras for video calls.
            least_score: how certain the library must be of the side, from 0.5 to 1.

        Raises:
            ConfigurationError: MediaPipe is not installed, or the file is no such model.
        """
        self._side = side
        self._mirrored = mirrored
        self._least_score = least_score
        _check_model(model)
        self._worker = LandmarkWorker(model)
        self._last_ms = -1

    def look(self, picture: NDArray[np.uint8], time: float) -> Sight:
        """Look at the next picture.

        Args:
            picture: red, green and blue, shape (height, width, 3).
            time: when it was taken (s, any epoch); a time that goes back is moved forward.

        Returns:
            Angles only if exactly one hand of the side is seen with certainty.

        Raises:
            SourceError: the library has failed.
        """
        if self._mirrored:
            picture = picture[:, ::-1]
        self._last_ms = max(round(time * 1e3), self._last_ms + 1)
        found = self._worker.look(np.ascontiguousarray(picture), self._last_ms)
        return self._judge(found, picture.shape[0], picture.shape[1])

    def close(self) -> None:
        """Free the model."""
        self._worker.close()

    def _judge(self, found: list[SeenHand], height: int, width: int) -> Sight:
        if not found:
            return Sight(None, 'no hand is seen')
        certain = [
            hand for hand in found if hand.side == self._side and hand.score >= self._least_score
        ]
        if not certain:
            return Sight(None, f'no hand is a {self._side} one for certain')
        if len(certain) > 1:
            return Sight(None, f'{len(certain)} {self._side} hands are seen')
        # Landmarks of the picture: the "world" landmarks are those of a mean hand and less exact.
        angles = flexions(certain[0].points * [width, height, width], self._side)
        if not plausible(angles):
            return Sight(None, f'its fingers bend backwards: is it a {self._side} hand?')
        return Sight(angles)


def _check_model(model: Path) -> None:
    if not model.is_file():
        raise ConfigurationError(
            f'there is no model {str(model)!r}: download hand_landmarker.task from the page of '
            "MediaPipe's hand landmarker, and give its path"
        )
    size = model.stat().st_size
    if size > _LARGEST_MODEL:
        raise ConfigurationError(
            f'{model} has {size} bytes; a model of at most {_LARGEST_MODEL} is loaded'
        )
