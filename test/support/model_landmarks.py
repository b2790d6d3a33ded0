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

"""The landmarks of our own hand model: its URDF, moved by another library."""

from functools import cache
from io import StringIO

from leconvmn_ros.hands.human_model import FINGERS
from leconvmn_ros.hands.urdf import hand_urdf
import numpy as np
from yourdfpy import URDF

_JOINTS = {'thumb': ('cmc', 'mcp', 'ip', 'tip')}


@cache
def _model(side):
    return URDF.load(StringIO(hand_urdf(side)), load_meshes=False, build_scene_graph=True)


def landmarks_of(pose, side):
    """Return the 21 landmarks (m), shape (21, 3), of a pose by joint names (rad)."""
    model = _model(side)
    model.update_cfg(dict(pose))
    frames = ['palm']
    for finger in FINGERS:
        joints = _JOINTS.get(finger.name, ('mcp', 'pip', 'dip', 'tip'))
        frames += [f'{finger.name}_{joint}_link' for joint in joints]
    return np.array([model.get_transform(frame)[:3, 3] for frame in frames])


def bases_of(side):
    """Return where the metacarpal of each finger begins (m), by the finger's name."""
    model = _model(side)
    return {
        finger.name: model.get_transform(f'{finger.name}_cmc_link')[:3, 3] for finger in FINGERS
    }
