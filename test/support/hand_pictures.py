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

"""Pictures of our hand model drawn as spheres: fast, and a hand for MediaPipe."""

from functools import cache
from pathlib import Path
import subprocess
import sys
import zipfile

from leconvmn_ros.hands.human_model import FINGERS, PALM
from model_landmarks import bases_of, landmarks_of
import numpy as np

# The last version with the networks in its wheel; a model for later ones is a zip of them.
WHEEL = 'mediapipe==0.10.21'
NETWORKS = {
    'hand_detector.tflite': 'palm_detection/palm_detection_full.tflite',
    'hand_landmarks_detector.tflite': 'hand_landmark/hand_landmark_full.tflite',
}
SKIN = np.array([224.0, 172.0, 140.0])
LIGHT = np.array([-0.4, -0.6, -0.7]) / np.linalg.norm([-0.4, -0.6, -0.7])


def make_model(folder: Path) -> Path | None:
    """Return hand_landmarker.task, made once in `folder`; None if the wheel cannot be had."""
    model = folder / 'hand_landmarker.task'
    if model.is_file():
        return model
    command = [
        *(sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', WHEEL),
        *('--only-binary', ':all:', '--python-version', '3.11'),
        *('--platform', 'manylinux_2_28_x86_64', '--dest', str(folder)),
    ]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return None
    (wheel,) = folder.glob('mediapipe-*.whl')
    partial = model.with_suffix('.partial')
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(partial, 'w') as target:
        for name, place in NETWORKS.items():
            target.writestr(name, source.read(f'mediapipe/modules/{place}'))
    wheel.unlink()
    partial.replace(model)
    return model


def picture_of(pose, side, *, turn=0.0, palm=True, size=(480, 640), distance=0.55):
    """Draw a hand with its fingers up.

    Args:
        pose: angles by joint names (rad).
        side: 'right' or 'left'.
        turn: how far it is turned about the forearm (degrees); a left hand the other way.
        palm: whether the palm is seen, or the back.
        size: height and width (pixels).
        distance: to the camera (m).

    Returns:
        Red, green and blue, shape (height, width, 3).
    """
    height, width = size
    focal = 1.1 * width
    balls = _balls(tuple(sorted(pose.items())), side)
    angle = np.radians(turn if side == 'right' else -turn)
    view = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    forward = view @ [0, 0, 1.0 if palm else -1.0]
    down = np.array([-1.0, 0, 0])
    frame = np.stack([np.cross(down, forward), down, forward])
    centres = (balls[:, :3] - [0.08, 0, 0]) @ frame.T + [0, 0, distance]
    picture = np.broadcast_to([190.0, 195.0, 200.0], (height, width, 3)).copy()
    depth = np.full((height, width), np.inf)
    for (x, y, z), radius in zip(centres, balls[:, 3], strict=True):
        middle = width / 2 + focal * x / z, height / 2 + focal * y / z
        _draw((picture, depth), middle, focal * radius / z, z, radius)
    return picture.clip(0, 255).astype(np.uint8)


def _draw(canvas, middle, pixels, z, radius):
    """Draw a ball where no other is nearer."""
    picture, depth = canvas
    left, top = (max(int(place - pixels), 0) for place in middle)
    columns = np.arange(left, min(int(middle[0] + pixels + 2), picture.shape[1]))
    rows = np.arange(top, min(int(middle[1] + pixels + 2), picture.shape[0]))
    x = (columns[None] - middle[0]) / pixels
    y = (rows[:, None] - middle[1]) / pixels
    height = np.sqrt(np.maximum(1 - x**2 - y**2, 0))
    here = z - radius * height
    part = (slice(top, top + len(rows)), slice(left, left + len(columns)))
    nearer = (height > 0) & (here < depth[part])
    shade = 0.45 + 0.55 * np.maximum(x * LIGHT[0] + y * LIGHT[1] - height * LIGHT[2], 0)
    depth[part][nearer] = here[nearer]
    picture[part][nearer] = (SKIN * shade[..., None])[nearer]


@cache
def _balls(pose, side):
    """Return centres and radii (m) of the balls that a hand is drawn with, shape (balls, 4)."""
    points, bases = landmarks_of(dict(pose), side), bases_of(side)
    mirror = [1, 1 if side == 'right' else -1, 1]
    bones = [((-0.15, 0, -0.003), (0, 0, -0.003), 0.028, 0.026)]
    bones += [
        (
            np.multiply(flesh.start, mirror),
            np.multiply(flesh.end, mirror),
            *[flesh.breadth / 2] * 2,
        )
        for flesh in PALM
    ]
    for place, finger in enumerate(FINGERS):
        chain = points[1 + 4 * place : 5 + 4 * place]
        radii = [bone.breadth / 2 for bone in finger.phalanges]
        if finger.name == 'thumb':
            radii = [finger.metacarpal.breadth / 2, *radii]
        else:
            bones.append((bases[finger.name], chain[0], 0.011, 0.011))
        for bone in range(3):
            begin, end = chain[bone], chain[bone + 1]
            if bone == 2:  # the last point is the surface of the tip
                end = end - (end - begin) / np.linalg.norm(end - begin) * radii[2]
            bones.append((begin, end, radii[bone], radii[min(bone + 1, 2)]))
    part = np.linspace(0, 1, 24)[:, None]
    return np.vstack(
        [
            np.hstack([begin + np.subtract(end, begin) * part, first + (last - first) * part])
            for begin, end, first, last in bones
        ]
    )
