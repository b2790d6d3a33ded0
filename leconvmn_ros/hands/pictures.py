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

"""Pictures and a video of a robot hand following a human hand.

MuJoCo renders them without a window, and with EGL where there is no display.
"""

from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

from leconvmn_ros.core.errors import ConfigurationError, OutputError
from leconvmn_ros.core.files import write_bytes
from leconvmn_ros.core.joints import JOINTS
from leconvmn_ros.hands.anchors import Anchors
from leconvmn_ros.hands.model_builder import Array, DRAWN, TOUCHABLE
from leconvmn_ros.hands.modelled_hand import ModelledHand
from leconvmn_ros.hands.motion import Motion
from leconvmn_ros.hands.robot_model import RobotModel
from leconvmn_ros.hands.simulation import commanded, human_sequence, Pose
import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 320, 360
# Height of the picture relative to the length of the fingers.
PALM_AND_FINGERS = 2.5
FRAMES_PER_SECOND = 12.5
MOVING = ('.gif', '.webp')
INK = (60, 60, 66)


class Studio:
    """Renders one hand, upright, seen from the side of the palm."""

    def __init__(self, urdf: Path, hand: ModelledHand) -> None:
        """Load the hand with its visual shapes, and turn it to the camera.

        Raises:
            ConfigurationError: rendering is not possible here.
        """
        self._hand = hand
        model = RobotModel(urdf, drawn=True)
        looks = (model.model.geom_group == DRAWN).any() and not model.missing
        self._group = DRAWN if looks else TOUCHABLE
        self._drawn = ModelledHand(hand.profile, model)
        self._turn()
        try:
            self._renderer = mujoco.Renderer(model.model, HEIGHT, WIDTH)
        except Exception as error:
            raise ConfigurationError(
                f'nothing can be drawn here: {error}; set MUJOCO_GL to egl or osmesa'
            ) from error
        self._camera = self._make_camera()
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = [group == self._group for group in range(6)]

    def close(self) -> None:
        """Release the renderer."""
        self._renderer.close()

    def _turn(self) -> None:
        """Point the fingers upwards and the palm at the camera, which looks along -x."""
        motion = Motion(self._drawn.profile)
        self._drawn.take(motion.destination({joint.name: 0.0 for joint in JOINTS}))
        tips = np.mean([self._drawn.tip(finger) for finger in self._drawn.fingers], axis=0)
        up = tips - self._knuckles()
        self._drawn.take(motion.destination({joint.name: 0.6 for joint in JOINTS}))
        bent = np.mean([self._drawn.tip(finger) for finger in self._drawn.fingers], axis=0)
        z = up / np.linalg.norm(up)
        x = (bent - tips) - z * np.dot(bent - tips, z)
        x /= np.linalg.norm(x)
        model, data = self._drawn.model.model, self._drawn.model.data
        turned = np.array([x, np.cross(z, x), z]) @ data.xmat[1].reshape(3, 3)
        mujoco.mju_mat2Quat(model.body_quat[1], turned.flatten())
        self._drawn.take(motion.destination({joint.name: 0.0 for joint in JOINTS}))

    def _knuckles(self) -> Array:
        """Return the mean position of the bases of the fingers (m)."""
        model, data = self._drawn.model.model, self._drawn.model.data
        ways = [self._way(finger) for finger in self._drawn.fingers]
        shared = set(ways[0]).intersection(*ways[1:])
        places = []
        for way in ways:
            first = [body for body in way if body not in shared and model.body_jntnum[body]][-1]
            places.append(data.xpos[first].copy())
        middle: Array = np.mean(places, axis=0)
        return middle

    def _way(self, finger: str) -> list[int]:
        """Return the bodies from a fingertip to the world."""
        model = self._drawn.model.model
        way = [int(model.body(self._drawn.tips[finger].link).id)]
        while way[-1]:
            way.append(int(model.body_parentid[way[-1]]))
        return way

    def _make_camera(self) -> mujoco.MjvCamera:
        tips = np.array([self._drawn.tip(finger) for finger in self._drawn.tips])
        knuckles = self._knuckles()
        # As much below the knuckles as above: a forearm is cut off.
        height = PALM_AND_FINGERS * (tips[:, 2].max() - knuckles[2])
        camera = mujoco.MjvCamera()
        camera.lookat = [*((tips.min(0) + tips.max(0)) / 2)[:2], knuckles[2] + 0.02 * height]
        camera.distance = 1.35 * max(height, 1.2 * np.ptp(tips[:, 1]))
        camera.azimuth, camera.elevation = 180.0 - 35.0, -12.0
        return camera

    def picture(self, pose: Pose) -> Image.Image:
        """Return the hand in a pose (rad)."""
        self._drawn.take(pose)
        mujoco.mj_forward(self._drawn.model.model, self._drawn.model.data)
        self._renderer.update_scene(self._drawn.model.data, self._camera, self._option)
        return Image.fromarray(self._renderer.render())


def strip(urdf: Path, hand: ModelledHand, anchors: Anchors | None) -> Image.Image:
    """Return one picture of each pose of the sequence, side by side, with its name."""
    motion = Motion(hand.profile, anchors)
    poses = human_sequence(hand.fingers)
    whole = Image.new('RGB', (WIDTH * len(poses), HEIGHT), 'white')
    with closing(Studio(urdf, hand)) as studio:
        for number, (name, human) in enumerate(poses.items()):
            closings = {joint.name: human[joint.name] / joint.upper for joint in JOINTS}
            picture = studio.picture(motion.destination(closings))
            _label(picture, name)
            whole.paste(picture, (number * WIDTH, 0))
    return whole


def video(urdf: Path, hand: ModelledHand, anchors: Anchors | None) -> Iterator[Image.Image]:
    """Yield the pictures of the sequence, FRAMES_PER_SECOND of them per second."""
    step = max(round(hand.profile.command.rate / FRAMES_PER_SECOND), 1)
    with closing(Studio(urdf, hand)) as studio:
        for number, (name, pose) in enumerate(commanded(hand, anchors)):
            if number % step == 0:
                picture = studio.picture(pose)
                _label(picture, name)
                yield picture


def _label(picture: Image.Image, text: str) -> None:
    font = ImageFont.load_default(18)
    ImageDraw.Draw(picture).text((10, 8), text, fill=INK, font=font)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture as PNG.

    Raises:
        OutputError: it cannot be written.
    """
    buffer = BytesIO()
    picture.quantize(128).save(buffer, 'PNG', optimize=True)
    write_bytes(path, buffer.getvalue())


def save_video(pictures: Iterator[Image.Image], path: Path) -> None:
    """Write a video.

    Raises:
        OutputError: it cannot be written, or the file format is unknown.
    """
    kind = path.suffix.lower()
    if kind not in MOVING:
        raise OutputError(f'{path}: the name of a video must end in {" or ".join(MOVING)}')
    frames, buffer = list(pictures), BytesIO()
    frames[0].save(
        buffer,
        kind.removeprefix('.').upper(),
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 / FRAMES_PER_SECOND),
        loop=0,
    )
    write_bytes(path, buffer.getvalue())
