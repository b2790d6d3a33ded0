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

"""The sizes and joints of the human hand that shows the ten joint angles.

Sources:
    Buryanov and Kotiuk, Int. J. Morphol. 28 (2010) 755: lengths of metacarpals and phalanges from
    joint to joint, and of the flesh at the tips (radiographs of 66 adults, means of both sexes).
    Youm et al., J. Bone Joint Surg. Am. 60 (1978) 423: height of the carpus, 0.54 of the third
    metacarpal.
    FAA survey of Technical Operations personnel (medians, mean of both sexes): breadth of the hand
    across the knuckles 82.5 mm, of the index finger at its middle joint 19.5 mm.
    Rijpkema and Girard, Computer Graphics 25 (1991) 339: the last joint of a finger bends 2/3 as
    far as the one before it.

The directions of the rays, the thumb's pose and the other breadths are chosen by eye within these
sizes: nothing here but the ten joints is measured or estimated on the wearer.
"""

from typing import NamedTuple

from leconvmn_ros.core.joints import JOINTS

Vector = tuple[float, float, float]

# Bend of the distal joint (DIP) over that of the proximal one (PIP).
DIP_OVER_PIP = 2 / 3


class Bone(NamedTuple):
    """A bone with the flesh around it.

    Attributes:
        length: from joint to joint, or to the surface of the finger tip (m).
        breadth: diameter (m).
    """

    length: float
    breadth: float


class Finger(NamedTuple):
    """A ray of the hand, the thumb's too: a metacarpal that stands still, then phalanges.

    Attributes:
        name: what its joints' names begin with in joints.py.
        base: where the metacarpal begins, in the frame of the palm of a right hand (m).
        turn: direction of the metacarpal there: roll, pitch, yaw (degrees).
        metacarpal: its size, with the flesh of the palm.
        fan: yaw of the straight finger against its metacarpal (degrees).
        phalanges: from the knuckle to the tip.
    """

    name: str
    base: Vector
    turn: Vector
    metacarpal: Bone
    fan: float
    phalanges: tuple[Bone, ...]

    @property
    def tip(self) -> Bone:
        """The last phalanx."""
        return self.phalanges[-1]


class FingerJoint(NamedTuple):
    """A joint that bends.

    Attributes:
        name: as in joints.py, or one more for a joint that only follows.
        lower: extension limit (rad).
        upper: flexion limit (rad).
        follows: the joint whose angle times DIP_OVER_PIP is the angle of this one, if any.
    """

    name: str
    lower: float
    upper: float
    follows: str | None = None


class Flesh(NamedTuple):
    """A rounded piece of the palm, in the frame of the palm of a right hand (m)."""

    start: Vector
    end: Vector
    breadth: float


# The palm's frame, as in REP 103: x from the wrist along the middle finger, z out of the back of
# the hand, so that y points to the thumb of a right hand. A left hand is its mirror image.
# Bending turns about +y of the finger's own frame, on both hands.
FINGERS = (
    Finger(
        'thumb',
        base=(0.016, 0.020, -0.010),
        turn=(-70.0, 28.0, 34.0),
        metacarpal=Bone(0.0462, 0.026),
        fan=-4.0,
        phalanges=(Bone(0.0316, 0.021), Bone(0.0217 + 0.0057, 0.020)),
    ),
    Finger(
        'index',
        base=(0.030, 0.012, 0.0),
        turn=(0.0, 1.5, 7.0),
        metacarpal=Bone(0.0681, 0.022),
        fan=-1.0,
        phalanges=(
            Bone(0.0398, 0.0195),
            Bone(0.0224, 0.0175),
            Bone(0.0158 + 0.0038, 0.0155),
        ),
    ),
    Finger(
        'middle',
        base=(0.035, 0.001, 0.001),
        turn=(0.0, 0.0, -0.5),
        metacarpal=Bone(0.0646, 0.022),
        fan=0.5,
        phalanges=(
            Bone(0.0446, 0.0195),
            Bone(0.0263, 0.0180),
            Bone(0.0174 + 0.0040, 0.0160),
        ),
    ),
    Finger(
        'ring',
        base=(0.034, -0.010, 0.0),
        turn=(0.0, 2.0, -9.0),
        metacarpal=Bone(0.0580, 0.022),
        fan=2.5,
        phalanges=(
            Bone(0.0414, 0.0185),
            Bone(0.0257, 0.0170),
            Bone(0.0173 + 0.0040, 0.0150),
        ),
    ),
    Finger(
        'little',
        base=(0.031, -0.019, -0.001),
        turn=(0.0, 5.0, -19.0),
        metacarpal=Bone(0.0537, 0.022),
        fan=6.0,
        phalanges=(
            Bone(0.0327, 0.0165),
            Bone(0.0181, 0.0150),
            Bone(0.0160 + 0.0037, 0.0135),
        ),
    ),
)

PALM = (
    # The wrist.
    Flesh((-0.004, 0.014, -0.003), (0.030, 0.011, -0.003), 0.028),
    Flesh((-0.006, 0.000, -0.002), (0.036, 0.000, -0.003), 0.030),
    Flesh((-0.004, -0.014, -0.003), (0.030, -0.015, -0.003), 0.028),
    # Between the metacarpals, and the webs of the fingers.
    Flesh((0.034, 0.007, -0.004), (0.094, 0.010, -0.005), 0.023),
    Flesh((0.036, -0.004, -0.004), (0.092, -0.009, -0.005), 0.023),
    Flesh((0.034, -0.014, -0.004), (0.082, -0.027, -0.008), 0.023),
    Flesh((0.094, 0.010, -0.005), (0.103, 0.0115, -0.005), 0.013),
    Flesh((0.092, -0.009, -0.005), (0.101, -0.0105, -0.005), 0.013),
    Flesh((0.082, -0.027, -0.007), (0.090, -0.029, -0.008), 0.012),
    # The balls of the little finger and of the thumb.
    Flesh((0.016, -0.017, -0.008), (0.064, -0.031, -0.010), 0.025),
    Flesh((0.018, 0.012, -0.010), (0.046, 0.034, -0.021), 0.029),
    # The web of the thumb.
    Flesh((0.042, 0.034, -0.018), (0.066, 0.017, -0.004), 0.020),
    Flesh((0.050, 0.040, -0.022), (0.080, 0.019, -0.004), 0.014),
)


def finger_joints(finger: Finger) -> list[FingerJoint]:
    """Return the joints of a finger from the knuckle on: those of joints.py and what follows."""
    joints = [FingerJoint(*joint) for joint in JOINTS if joint.name.startswith(finger.name)]
    if len(joints) < len(finger.phalanges):
        pip = joints[-1]
        limits = (DIP_OVER_PIP * pip.lower, DIP_OVER_PIP * pip.upper)
        joints.append(FingerJoint(f'{finger.name}_dip', *limits, follows=pip.name))
    return joints
