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

"""Runs MediaPipe's HandLandmarker in a process of its own that has no network access.

Since 0.10.30, MediaPipe sends usage reports to its maker, and no setting stops it. Therefore it
runs in a child that cannot open a socket (`no_network.py`), while the node keeps its sockets.

The child, `python -m leconvmn_ros.hands.landmark_worker MODEL`, answers in lines of JSON: one when
the model is loaded, then one for each picture that comes on its standard input: a header (height,
width, milliseconds) and the bytes of red, green and blue.
"""

from contextlib import suppress
from importlib import import_module
import json
import os
from pathlib import Path
import select
import struct
import subprocess
import sys
from typing import Any, NamedTuple

from leconvmn_ros.core.child_program import answers_to_parent, child_command
from leconvmn_ros.core.errors import ConfigurationError, SourceError
from leconvmn_ros.hands.landmarks import LANDMARKS
from leconvmn_ros.hands.no_network import forbid_network
import numpy as np
from numpy.typing import NDArray

_HEADER = struct.Struct('<IIq')
# Time limits for import and loading, and for one picture (s).
_LONGEST_START, _LONGEST_LOOK = 60.0, 10.0
# An answer with two hands takes some kilobytes.
_LONGEST_ANSWER = 2**16  # bytes
# Earlier versions called a right hand left unless the picture was mirrored.
_FIRST_VERSION = 1


class SeenHand(NamedTuple):
    """A hand in a picture.

    Attributes:
        side: 'right' or 'left', as the library says.
        score: how certain it is of that, from 0 to 1.
        points: landmarks relative to the picture's width (x, z) and height (y), shape (21, 3).
    """

    side: str
    score: float
    points: NDArray[np.float64]


class LandmarkWorker:
    """The child process, seen from its parent."""

    def __init__(self, model: Path) -> None:
        """Start it and wait until the model is loaded.

        Raises:
            ConfigurationError: the library is missing, the file is not a model, or the child
                cannot be kept from the network.
        """
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            child_command('leconvmn_ros.hands.landmark_worker', str(model)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # The library writes messages at every start; errors arrive as answers.
            stderr=subprocess.DEVNULL,
            # Ctrl-C must reach only the node, which then ends the child.
            start_new_session=True,
        )
        try:
            answer = self._answer(_LONGEST_START)
        except SourceError as error:
            self.close()
            raise ConfigurationError(str(error)) from error
        if 'error' in answer:
            self.close()
            raise ConfigurationError(str(answer['error']))

    def look(self, picture: NDArray[np.uint8], milliseconds: int) -> list[SeenHand]:
        """Return the hands in a picture.

        Args:
            picture: red, green and blue, shape (height, width, 3), contiguous.
            milliseconds: when it was taken; later than the one before.

        Raises:
            SourceError: the child has ended or does not answer.
        """
        height, width, _ = picture.shape
        pipe = self._process.stdin
        try:
            if pipe is None:
                raise SourceError('the detector of hands has ended')
            pipe.write(_HEADER.pack(height, width, milliseconds))
            pipe.write(picture.data)
            pipe.flush()
        except OSError as error:
            raise SourceError(f'the detector of hands has ended: {error}') from error
        answer = self._answer(_LONGEST_LOOK)
        try:
            return [
                SeenHand(
                    str(hand['side']),
                    float(hand['score']),
                    np.array(hand['points'], dtype=np.float64).reshape(LANDMARKS, 3),
                )
                for hand in answer['hands']
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise SourceError(f'the detector of hands answers {answer!s:.100}') from error

    def close(self) -> None:
        """End the child."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # unwritten bytes may remain
                    pipe.close()

    def _answer(self, timeout: float) -> Any:
        pipe = self._process.stdout
        if pipe is None or not select.select([pipe], [], [], timeout)[0]:
            raise SourceError(f'the detector of hands has not answered for {timeout:g} s')
        line = pipe.readline(_LONGEST_ANSWER)
        if not line.endswith(b'\n'):
            raise SourceError('the detector of hands has ended')
        try:
            return json.loads(line)
        except ValueError as error:
            raise SourceError(f'the detector of hands answers {line[:100]!r}') from error


def _load(model: str) -> tuple[Any, Any]:
    """Return the library and its landmarker.

    Raises:
        ConfigurationError: the library is missing or too old, or the file is not a model.
    """
    # Must be set before the import, which reads it.
    os.environ.setdefault('GLOG_minloglevel', '2')
    try:
        library = import_module('mediapipe')
        vision = import_module('mediapipe.tasks.python.vision')
    except ImportError as error:
        raise ConfigurationError(
            f'mediapipe is not installed: pip install leconvmn_ros[camera] ({error})'
        ) from error
    if int(library.__version__.partition('.')[0]) < _FIRST_VERSION:
        raise ConfigurationError(
            f'mediapipe {library.__version__} names the sides of hands the other way round: '
            'pip install leconvmn_ros[camera]'
        )
    options = vision.HandLandmarkerOptions(
        base_options=library.tasks.BaseOptions(model_asset_path=model),
        running_mode=vision.RunningMode.VIDEO,
        num_hands=2,
    )
    try:
        return library, vision.HandLandmarker.create_from_options(options)
    except (RuntimeError, ValueError) as error:
        text = ' '.join(str(error).split())[:200]
        raise ConfigurationError(f'{model} is not a model of hand landmarks: {text}') from error


def _hands(found: Any) -> list[dict[str, Any]]:
    return [
        {
            'side': sides[0].category_name.lower(),
            'score': float(sides[0].score),
            'points': [[point.x, point.y, point.z] for point in points],
        }
        for points, sides in zip(found.hand_landmarks, found.handedness, strict=True)
    ]


def _serve(model: str) -> None:
    """Be the child: load the model, then answer until the input ends."""
    say = answers_to_parent()
    try:
        forbid_network()
        library, landmarker = _load(model)
    except ConfigurationError as error:
        say({'error': str(error)})
        return
    say({})
    while len(header := sys.stdin.buffer.read(_HEADER.size)) == _HEADER.size:
        height, width, milliseconds = _HEADER.unpack(header)
        data = sys.stdin.buffer.read(3 * height * width)
        picture = np.frombuffer(data, dtype=np.uint8).reshape(height, width, 3)
        image = library.Image(image_format=library.ImageFormat.SRGB, data=picture)
        say({'hands': _hands(landmarker.detect_for_video(image, milliseconds))})


def main() -> None:
    """Serve the parent, in the child."""
    _serve(sys.argv[1])
