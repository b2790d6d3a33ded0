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

"""Moves a robot hand in MuJoCo by its profile, to see whether it closes when a human hand does.

`python test/hardware/simulated_hand.py shadow_right shadow_hand_right.urdf` takes the URDF of any
maker; the joints are found by their names. The human hand closes and opens twice; ends with how
each finger tip came to the palm, and with exit code 1 if one did not or a joint left its limits.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
import sys
from typing import NamedTuple
import xml.etree.ElementTree as ET

from leconvmn_ros.hands.profile import HandProfile, load_profile
from leconvmn_ros.hands.retargeting import Retargeter
from leconvmn_ros.joints import JOINTS
import mujoco
import numpy as np
from numpy.typing import NDArray

CLOSING = 3.0  # from the open hand to the fist, and back (s)
TIMES = 2
# A servo that follows a rad of error with so much acceleration (1/s^2), damped critically.
STIFFNESS = 2500.0
# What its rotor adds to the inertia of the joint (kg m^2).
ARMATURE = 1e-3
# What a servo may overshoot (rad).
TOLERANCE = 0.02


class Motion(NamedTuple):
    """What happened, command by command.

    Attributes:
        closing: of the human hand, 0 open to 1 fist, (steps,).
        tips: distance of each link that ends a finger from the root of the hand (m), (steps,).
        excess: how far each driven joint was outside the limits of the profile at most (rad).
    """

    closing: NDArray[np.float64]
    tips: dict[str, NDArray[np.float64]]
    excess: dict[str, float]

    def follows(self) -> dict[str, float]:
        """Return how the distance of each tip goes with closing: -1 is a hand that closes."""
        return {
            name: float(np.corrcoef(self.closing, distances)[0, 1])
            for name, distances in self.tips.items()
        }

    def nearer(self) -> dict[str, float]:
        """Return the share of its largest distance by which each tip comes nearer."""
        return {name: 1 - float(d.min() / d.max()) for name, d in self.tips.items()}


def hand_model(urdf: str, profile: HandProfile) -> mujoco.MjModel:
    """Return a model with a servo at each joint of the profile.

    Shapes are left out: meshes need not be there, and nothing collides. A link has the inertia
    of its URDF, or of a ball of 20 g.

    Raises:
        ValueError: the URDF has no joint of a name that the profile has.
    """
    robot = ET.fromstring(urdf)  # noqa: S314 - of a hand that somebody chose to trust
    for link in robot.iter('link'):
        for part in (*link.findall('visual'), *link.findall('collision')):
            link.remove(part)
        if link.find('inertial') is None:
            inertial = ET.SubElement(link, 'inertial')
            ET.SubElement(inertial, 'mass', value='0.02')
            moments = {'ixx': '1e-6', 'iyy': '1e-6', 'izz': '1e-6'}
            ET.SubElement(inertial, 'inertia', moments | dict.fromkeys(('ixy', 'ixz', 'iyz'), '0'))
    extension = ET.SubElement(robot, 'mujoco')
    ET.SubElement(extension, 'compiler', fusestatic='false', balanceinertia='true')
    spec = mujoco.MjSpec.from_string(ET.tostring(robot, encoding='unicode'))
    spec.option.timestep = 0.001
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # Servos of real hands carry their fingers; these shall not have to be tuned for it.
    spec.option.gravity = [0, 0, 0]
    known = {joint.name: joint for joint in spec.joints}
    for joint in profile.joints:
        if joint.name not in known:
            raise ValueError(f'{joint.name} is not in the URDF; it has {", ".join(known)}')
        known[joint.name].armature = ARMATURE
        servo = spec.add_actuator(name=joint.name, target=joint.name)
        servo.trntype = mujoco.mjtTrn.mjTRN_JOINT
        servo.set_to_position(kp=STIFFNESS * ARMATURE, dampratio=1.0)
    _couple(spec, robot, {joint.name for joint in profile.joints})
    return spec.compile()


def _couple(spec: mujoco.MjSpec, robot: ET.Element, driven: set[str]) -> None:
    """Let the joints that mimic others, and are not driven, do so."""
    for joint in robot.iter('joint'):
        mimic, name = joint.find('mimic'), joint.get('name')
        if mimic is None or name in driven:
            continue
        coupling = spec.add_equality(name1=name, name2=mimic.get('joint'))
        coupling.type = mujoco.mjtEq.mjEQ_JOINT
        coupling.objtype = mujoco.mjtObj.mjOBJ_JOINT
        coupling.data[:2] = [float(mimic.get('offset', '0')), float(mimic.get('multiplier', '1'))]


def move(model: mujoco.MjModel, profile: HandProfile) -> Motion:
    """Close and open the human hand, and see what the robot hand does."""
    data = mujoco.MjData(model)
    retargeter = Retargeter(profile, blind=True)
    joints = {joint.name: model.joint(joint.name) for joint in profile.joints}
    for joint in profile.joints:
        data.qpos[joints[joint.name].qposadr[0]] = profile.rest_pose[joint.name]
    root, tips = _root(model), {model.body(body).name: body for body in _ends(model)}
    # At each command: substeps of the physics, then a look.
    substeps = round(profile.command.period / model.opt.timestep)
    distances: dict[str, list[float]] = {name: [] for name in tips}
    excess = dict.fromkeys(joints, 0.0)
    closings = list(_closings(profile.command.period))
    for number, closing in enumerate(closings):
        now = number * profile.command.period
        retargeter.listen({j.name: closing * j.upper for j in JOINTS}, now)
        command = retargeter.step(now)
        if command is not None:
            for joint, position in zip(profile.joints, command.positions, strict=True):
                data.actuator(joint.name).ctrl[0] = position
        mujoco.mj_step(model, data, substeps)
        for name, body in tips.items():
            distances[name].append(float(np.linalg.norm(data.xpos[body] - data.xpos[root])))
        for joint in profile.joints:
            position = data.qpos[joints[joint.name].qposadr[0]]
            outside = max(joint.limits[0] - position, position - joint.limits[1])
            excess[joint.name] = max(excess[joint.name], float(outside))
    return Motion(np.array(closings), {name: np.array(d) for name, d in distances.items()}, excess)


def _closings(period: float) -> Iterator[float]:
    for number in range(round(2 * TIMES * CLOSING / period)):
        yield 0.5 - 0.5 * float(np.cos(np.pi * number * period / CLOSING))


def _ends(model: mujoco.MjModel) -> list[int]:
    """Return the bodies that no body hangs on and that a servo moves."""
    driven = set(model.actuator_trnid[:, 0])
    return [
        body
        for body in range(1, model.nbody)
        if body not in model.body_parentid
        and any(model.jnt_bodyid[joint] in _way(model, body) for joint in driven)
    ]


def _way(model: mujoco.MjModel, body: int) -> list[int]:
    """Return the bodies from one to the world."""
    way = [body]
    while way[-1]:
        way.append(int(model.body_parentid[way[-1]]))
    return way


def _root(model: mujoco.MjModel) -> int:
    """Return the last body that all fingers hang on: the palm."""
    ways = [_way(model, body)[::-1] for body in _ends(model)]
    shared = 0
    for bodies in zip(*ways, strict=False):
        if len(set(bodies)) > 1:
            break
        shared = bodies[0]
    return shared


def main() -> int:
    """Move the hand that the command line names and print what it did."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('profile', help='name of a shipped one, or a .yaml file')
    parser.add_argument('urdf', type=Path)
    arguments = parser.parse_args()
    profile = load_profile(arguments.profile)
    motion = move(hand_model(arguments.urdf.read_text(encoding='utf-8'), profile), profile)
    print('tip                          nearer by   correlation with the human hand')
    nearer = motion.nearer()
    for name, correlation in motion.follows().items():
        print(f'{name:28} {100 * nearer[name]:6.0f} %   {correlation:+.2f}')
    outside = {name: excess for name, excess in motion.excess.items() if excess > TOLERANCE}
    print(f'outside the limits by more than {TOLERANCE} rad: {outside or "no joint"}')
    return 1 if outside or max(motion.follows().values()) > 0 else 0


if __name__ == '__main__':
    sys.exit(main())
