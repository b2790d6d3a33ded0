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

"""Draws a hand in the scene of the live view; the browser does the kinematics."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from leconvmn_ros.view.urdf_frames import Frame, Shape, wxyz
import numpy as np
from numpy.typing import NDArray

# Smaller turns of a joint are invisible and not drawn (rad).
LEAST_TURN = 2e-3
FLOOR = 0.035  # height of the wrist above the floor (m)
BELOW, ABOVE = -0.035, 0.215


class DrawnHand:
    """A hand in the scene; the browser does the kinematics, since its frames are nested."""

    def __init__(
        self,
        scene: Any,
        name: str,
        frames: list[Frame],
        pose: NDArray[np.float64],
        colour: tuple[int, int, int],
        *,
        label_above: bool = False,
    ) -> None:
        root = f'/{name.replace(" ", "_")}'
        self.root = scene.add_frame(root, show_axes=False, wxyz=pose)
        self._links: list[Any] = []
        self._moving: list[tuple[Frame, Any]] = []
        self._shown: dict[str, float] = {}
        self._placed: tuple[float, float | None] | None = None
        for frame in frames:
            path = f'{root}/{frame.path}'
            handle = scene.add_frame(
                path, show_axes=False, position=frame.position, wxyz=wxyz(frame.rotation)
            )
            if frame.shapes:
                mesh = _mesh(frame.shapes)
                self._links.append(
                    scene.add_mesh_simple(f'{path}/mesh', mesh.vertices, mesh.faces, color=colour)
                )
            if frame.joint:
                self._moving.append((frame, handle))
        # Position along the hand, from the wrist to the fingertips (m).
        along = ABOVE if label_above else BELOW
        self.label = scene.add_label(
            f'{root}/label',
            name,
            position=(along, 0.0, 0.0),
            anchor='bottom-center' if label_above else 'top-center',
        )

    @property
    def visible(self) -> bool:
        """Whether it is shown."""
        return bool(self.root.visible)

    @visible.setter
    def visible(self, shown: bool) -> None:
        if self.root.visible != shown:
            self.root.visible = shown

    def place(self, aside: float, opacity: float | None = None) -> None:
        """Move the hand (m to the right), and set its opacity if given."""
        if (aside, opacity) == self._placed:
            return
        self._placed = aside, opacity
        self.root.position = (0.0, aside, FLOOR)
        for link in self._links:
            link.opacity = opacity

    def show(self, angles: Mapping[str, float]) -> None:
        """Turn the given joints (rad)."""
        moved = {
            name: angle
            for name, angle in angles.items()
            if abs(angle - self._shown.get(name, 0.0)) > LEAST_TURN
        }
        for frame, handle in self._moving:
            if frame.joint in moved:
                handle.wxyz = frame.turned(moved)
        self._shown |= moved


def _mesh(shapes: Sequence[Shape]) -> Any:
    """Join the shapes of a link, since a browser draws one mesh faster than many."""
    trimesh = import_module('trimesh')  # comes with viser
    make = {
        'box': trimesh.creation.box,
        'cylinder': lambda size: trimesh.creation.cylinder(*size, sections=24),
        'sphere': lambda size: trimesh.creation.icosphere(2, *size),
    }
    parts = []
    for shape in shapes:
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = shape.rotation.as_matrix(), shape.position
        parts.append(make[shape.kind](shape.size).apply_transform(pose))
    return trimesh.util.concatenate(parts)
