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

"""Draws a robot hand from its maker's URDF beside the human one, with viser's own reader.

yourdfpy, which comes with viser[urdf], reads the URDF with meshes, mimic joints and limits.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from leconvmn_ros.core.errors import ConfigurationError
import numpy as np
from numpy.typing import NDArray

ROOT = '/robot'


class RobotHand:
    """A robot hand in the scene.

    Attributes:
        joints: names of the joints that it can show.
    """

    def __init__(
        self, server: Any, urdf: Path, prefix: str, pose: NDArray[np.float64], height: float
    ) -> None:
        """Read the URDF and draw the hand with all joints at zero.

        Args:
            server: the viser server.
            urdf: the maker's file; meshes are searched beside it.
            prefix: prefix of the profile's names in the URDF, such as `right_`.
            pose: orientation of its root as a quaternion, w first.
            height: height of its root above the floor (m).

        Raises:
            ConfigurationError: yourdfpy is not installed, or the file cannot be read.
        """
        if not urdf.is_file():
            raise ConfigurationError(f'the URDF of the robot hand {urdf} is not a file')
        try:
            extras = import_module('viser.extras')
            import_module('yourdfpy')
        except ImportError as error:
            raise ConfigurationError(
                f'the robot hand cannot be shown ({error}); pip install "viser[urdf]<1.2"'
            ) from error
        self.root = server.scene.add_frame(ROOT, show_axes=False, wxyz=pose)
        try:
            self._urdf = extras.ViserUrdf(server, urdf, root_node_name=f'{ROOT}/hand')
        except Exception as error:
            # yourdfpy and trimesh raise errors of any kind for files that they cannot read.
            raise ConfigurationError(f'cannot draw {urdf}: {error}') from error
        if not self._urdf.get_actuated_joint_names():
            raise ConfigurationError(f'cannot draw {urdf}: it has no movable joint')
        self._height, self._prefix = height, prefix
        self.joints = self._urdf.get_actuated_joint_names()
        limits = self._urdf.get_actuated_joint_limits()
        self._angles = {name: _nearest_to_zero(*limits[name]) for name in self.joints}
        self.label = server.scene.add_label(
            f'{ROOT}/label', 'robot hand', position=(-0.035, 0.0, 0.0), anchor='top-center'
        )
        self._urdf.update_cfg(np.array(list(self._angles.values())))
        self.root.visible = False

    def place(self, aside: float) -> None:
        """Move the hand (m to the right)."""
        position = (0.0, aside, self._height)
        if tuple(self.root.position) != position:
            self.root.position = position

    def show(self, angles: Mapping[str, float]) -> None:
        """Turn the given joints (rad, by the names of the profile)."""
        named = {f'{self._prefix}{name}': angle for name, angle in angles.items()}
        moved = {name: named[name] for name in self.joints if name in named}
        if all(self._angles[name] == angle for name, angle in moved.items()):
            return
        self._angles |= moved
        self._urdf.update_cfg(np.array(list(self._angles.values())))


def _nearest_to_zero(lower: float | None, upper: float | None) -> float:
    least = -np.pi if lower is None else lower
    most = np.pi if upper is None else upper
    return float(min(max(0.0, least), most))
