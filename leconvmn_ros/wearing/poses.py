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

"""Poses of the ten joints for cues, defined by the bend of each finger.

A pose is given by finger: 1 is full flexion, 0 the resting hand, -1 full extension. Full flexion
is slightly less than the range of active motion (joints.py), since a cue must be reachable without
effort: otherwise the decoder would be trained on strain. The names follow exercises A and B of
Ninapro (Atzori et al., Sci. Data 1, 140053, 2014), as far as the ten joints can represent them.
"""

from collections.abc import Mapping
from typing import Final, Literal

from leconvmn_ros.core.joints import JOINT_NAMES, JOINTS
import numpy as np
from numpy.typing import NDArray

Finger = Literal['thumb', 'index', 'middle', 'ring', 'little']

# Degrees of each joint of a finger (MCP, then PIP or IP) at -1, 0 and 1.
_LONG: Final = ((-15.0, 3.0), (22.0, 28.0), (72.0, 85.0))
_THUMB: Final = ((0.0, -10.0), (12.0, 10.0), (40.0, 60.0))

# Bend of the fingers in each movement; fingers not listed rest.
MOVEMENTS: Final[Mapping[str, Mapping[Finger, float]]] = {
    'index flexion': {'index': 1},
    'middle flexion': {'middle': 1},
    'ring flexion': {'ring': 1},
    'little flexion': {'little': 1},
    'thumb flexion': {'thumb': 1},
    'index extension': {'index': -1},
    'thumb extension': {'thumb': -1},
    'fist': {'thumb': 1, 'index': 1, 'middle': 1, 'ring': 1, 'little': 1},
    'hand opening': {'thumb': -1, 'index': -1, 'middle': -1, 'ring': -1, 'little': -1},
    'index pointing': {'thumb': 1, 'index': -1, 'middle': 1, 'ring': 1, 'little': 1},
    'thumb up': {'thumb': -1, 'index': 1, 'middle': 1, 'ring': 1, 'little': 1},
    'pinch': {'thumb': 0.7, 'index': 0.65},
    'three-finger pinch': {'thumb': 0.7, 'index': 0.65, 'middle': 0.65},
    'index and middle extension': {
        'thumb': 1,
        'index': -1,
        'middle': -1,
        'ring': 1,
        'little': 1,
    },
    'index and middle flexion': {'index': 1, 'middle': 1},
    'ring and little flexion': {'ring': 1, 'little': 1},
}


def pose(fingers: Mapping[Finger, float]) -> NDArray[np.float64]:
    """Return the ten angles in the order of JOINT_NAMES (rad), shape (10,).

    Args:
        fingers: bend of each finger, -1 to 1; fingers not listed rest.
    """
    angles = []
    for name in JOINT_NAMES:
        finger, _, joint = name.partition('_')
        table = _THUMB if finger == 'thumb' else _LONG
        column = 0 if joint == 'mcp' else 1
        bend = fingers.get(finger, 0.0)  # type: ignore[call-overload]
        angles.append(np.interp(bend, (-1, 0, 1), [row[column] for row in table]))
    lower, upper = np.array([(joint.lower, joint.upper) for joint in JOINTS]).T
    return np.clip(np.radians(angles), lower, upper)


REST_POSE: Final = pose({})
