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

"""Compares a hand profile with its maker's model, and drafts a profile from a model.

The comparison covers names, limits, coupled joints, and whether each finger bends towards the
thumb. A draft must be read and corrected: it guesses the finger of a joint from its name, and the
direction of bending from the way the fingertip moves.
"""

from collections.abc import Mapping
import re
from typing import NamedTuple

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.joints import JOINTS
from leconvmn_ros.hands.human_tips import FINGER_NAMES
from leconvmn_ros.hands.model_builder import Array, ModelJoint
from leconvmn_ros.hands.modelled_hand import ModelledHand
from leconvmn_ros.hands.motion import Motion
from leconvmn_ros.hands.profile import HandProfile, RobotJoint
from leconvmn_ros.hands.robot_model import match_joints, RobotModel
import numpy as np

# Tolerance for limits (rad): tables and drawings are rounded.
ROUNDING = 0.005
# Words in the names of joints and links, by finger; short ones count only as whole words.
FINGER_WORDS = {
    'thumb': ('thumb', 'th', 'finger1', 'f1', 'dg_1'),
    'index': ('index', 'ff', 'fore', 'finger2', 'f2', 'dg_2'),
    'middle': ('middle', 'mf', 'mid', 'finger3', 'f3', 'dg_3'),
    'ring': ('ring', 'rf', 'finger4', 'f4', 'dg_4'),
    'little': ('little', 'pinky', 'lf', 'small', 'finger5', 'f5', 'dg_5'),
}
# The closed position of a drafted joint, as a share of its range.
CLOSED_SHARE = 0.85
SPEED = 2.0
# The closing at which a finger points at the thumb, but not yet at the palm.
BENT = 0.5
SMALL_STEP = 0.4  # rad
PARALLEL = 0.8  # cosine


class Finding(NamedTuple):
    """A difference between profile and model.

    Attributes:
        serious: whether it makes the profile wrong; if not, it may be intended.
        text: in one line.
    """

    serious: bool
    text: str


def compare(profile: HandProfile, model: RobotModel) -> list[Finding]:
    """Return the differences between a profile and its maker's model."""
    there = list(model.joints)
    names: dict[str, str] = {}
    found: list[Finding] = []
    for joint in profile.joints:
        try:
            names |= match_joints([joint.name], there)
        except ConfigurationError as error:
            # The model need not have a joint with a fixed number.
            found.append(Finding(joint.fixed is None, str(error)))
    for joint in profile.joints:
        if joint.name in names:
            found += _limits(joint, model.joints[names[joint.name]])
            found += _coupling(joint, model.joints[names[joint.name]], names)
    left = [
        name
        for name, joint in model.joints.items()
        if not joint.mimic and name not in names.values()
    ]
    if left:
        text = f'the profile does not drive {", ".join(left)}'
        if profile.complete:
            text += '; complete is true: the hand wants all of its joints in each command'
        found.append(Finding(profile.complete, text))
    if not any(finding.serious for finding in found):
        found += _directions(profile, model)
    return found


def _limits(joint: RobotJoint, other: ModelJoint) -> list[Finding]:
    (lower, upper), text = joint.limits, f'the URDF has {other.lower:g} to {other.upper:g} rad'
    beyond = max(other.lower - lower, upper - other.upper)
    within = max(lower - other.lower, other.upper - upper)
    found = []
    if max(beyond, within) > ROUNDING:
        found.append(
            Finding(
                beyond > ROUNDING,
                f'{joint.name}: limits are {lower:g} to {upper:g}, {text}'
                f'{"" if beyond > ROUNDING else "; the profile stays within"}',
            )
        )
    return found


def _coupling(joint: RobotJoint, other: ModelJoint, names: Mapping[str, str]) -> list[Finding]:
    if other.mimic is None:
        return []
    text = f'goes with {other.mimic.leader} by {other.mimic.ratio:g} in the URDF'
    if joint.coupled is None:
        return [Finding(True, f'{joint.name}: {text}, and is driven in the profile')]
    same = names.get(joint.coupled.joint) == other.mimic.leader and np.isclose(
        joint.coupled.ratio, other.mimic.ratio, atol=0.01
    )
    ours = f'with {joint.coupled.joint} by {joint.coupled.ratio:g} in the profile'
    return [] if same else [Finding(True, f'{joint.name}: {text}, {ours}')]


def _directions(profile: HandProfile, model: RobotModel) -> list[Finding]:
    """Return the fingers whose tips do not approach the thumb as they bend."""
    hand = ModelledHand(profile, model)
    motion = Motion(profile)
    ends = {}
    for part in (0.0, BENT):
        hand.take(motion.destination({joint.name: part for joint in JOINTS}))
        thumb = hand.thumb_middle()
        ends[part] = {f: float(np.linalg.norm(hand.tip(f) - thumb)) for f in hand.fingers}
    return [
        Finding(
            True,
            f'{finger}: as it bends, its tip goes from {1000 * ends[0.0][finger]:.0f} to '
            f'{1000 * ends[BENT][finger]:.0f} mm from the thumb: open and closed of its joints '
            'may be the wrong way round',
        )
        for finger in hand.fingers
        if ends[BENT][finger] > ends[0.0][finger]
    ]


class _Drafted(NamedTuple):
    """A joint of a finger, and how it moves the fingertip.

    Attributes:
        joint: joint of the model.
        way: how far the tip goes in the direction of bending from the lower limit to the upper,
            relative to all of its way; negative where the lower limit is the closed end.
        axis: of the joint in the straight hand, a unit vector.
    """

    joint: ModelJoint
    way: float
    axis: Array


def draft(model: RobotModel, name: str) -> str:
    """Return the text of a profile for a model, to be read and corrected.

    Raises:
        ConfigurationError: neither names nor positions reveal a thumb and fingers.
    """
    fingers = _by_name(model) or _by_place(model)
    if 'thumb' not in fingers or len(fingers) < 2:
        raise ConfigurationError(
            f'{name}: neither the names nor the places of {", ".join(model.joints)} say which '
            'of them are a thumb and fingers'
        )
    lines = [
        f"# Drafted from {name}: every line is a guess. Read the maker's driver for topic, type,",
        '# rate and the order of the joints, then run `leconvmn_ros hand FILE --check URDF`.',
        f'hand: {model.name}',
        'command:',
        '  topic: hand_controller/joint_trajectory',
        '  type: trajectory_msgs/msg/JointTrajectory',
        '  rate: 50',
        'state: {topic: joint_states}',
        'stale: {after: 0.5, then: hold}',
        f'speed: {SPEED}',
        'joints:',
    ]
    # In a hand with one motor for each finger, the motor of the thumb bends it.
    single = all(len(joints) == 1 for finger, joints in fingers.items() if finger != 'thumb')
    for finger, joints in fingers.items():
        lines.append(f'  # {finger.capitalize()}')
        moved = [_moved(model, finger, joint, fingers) for joint in joints]
        lines += _lines(finger, moved, 1 if single else 2 if finger == 'thumb' else 3)
    return '\n'.join(lines) + '\n'


def _by_name(model: RobotModel) -> dict[str, list[ModelJoint]]:
    """Return the driven joints of each finger, from the palm outwards, by their names."""
    driven = [joint for joint in model.joints.values() if not joint.mimic]
    for part in ('name', 'child'):
        fingers = {}
        for finger in FINGER_NAMES:
            joints = [joint for joint in driven if _says(getattr(joint, part), finger)]
            if joints:
                fingers[finger] = sorted(joints, key=lambda joint: model.depth_of(joint.child))
        if 'thumb' in fingers and len(fingers) > 1:
            return fingers
    return {}


def _says(name: str, finger: str) -> bool:
    text = re.sub(r'[^a-z0-9]+', '_', f'_{name}_'.lower())
    return any(
        re.search(rf'_{word}' if len(word) > 3 else rf'_{word}(_|j|\d)', text)
        for word in FINGER_WORDS[finger]
    )


def _by_place(model: RobotModel) -> dict[str, list[ModelJoint]]:
    """Return the driven joints of each chain, from the palm outwards, by where the chain begins.

    The chain farthest from the others is the thumb; the others are numbered from it.
    """
    model.move_to({})
    driven = [joint for joint in model.joints.values() if not joint.mimic]
    chains: dict[str, list[ModelJoint]] = {}
    for joint in sorted(driven, key=lambda joint: model.depth_of(joint.child)):
        above = [first for first in chains if joint.child in model.moved_by(first)]
        chains.setdefault(above[0] if above else joint.name, []).append(joint)
    if not 2 <= len(chains) <= len(FINGER_NAMES):
        return {}
    begins = {first: model.origin(joints[0].child) for first, joints in chains.items()}

    def apart(first: str) -> float:
        return min(
            float(np.linalg.norm(begins[first] - place))
            for other, place in begins.items()
            if other != first
        )

    thumb = max(chains, key=apart)
    others = sorted(
        (first for first in chains if first != thumb),
        key=lambda first: float(np.linalg.norm(begins[first] - begins[thumb])),
    )
    return dict(zip(FINGER_NAMES, (chains[first] for first in (thumb, *others)), strict=False))


def _moved(
    model: RobotModel, finger: str, joint: ModelJoint, fingers: Mapping[str, list[ModelJoint]]
) -> _Drafted:
    """Move a joint a little from the straight hand and see where the fingertip goes."""
    model.move_to({})
    link, point = _far_end(model, joint)
    straight = model.neutral()[joint.name]
    ends = []
    for step in (-SMALL_STEP, SMALL_STEP):
        position = min(max(straight + step, joint.lower), joint.upper)
        model.move_to({joint.name: position})
        ends.append(model.place(link, point))
    model.move_to({})
    way = _bending(model, ends, finger, fingers)
    return _Drafted(joint, way, model.axis(joint.name))


def _far_end(model: RobotModel, joint: ModelJoint) -> tuple[str, Array]:
    """Return the link, and the point of its shapes, farthest from a joint that moves it."""
    axis = model.origin(joint.child)
    farthest, best = -1.0, (joint.child, np.zeros(3))
    for link in model.moved_by(joint.name):
        for point in model.shape_points(link):
            away = float(np.linalg.norm(model.place(link, point) - axis))
            if away > farthest:
                farthest, best = away, (link, point)
    return best


def _bending(
    model: RobotModel, ends: list[Array], finger: str, fingers: Mapping[str, list[ModelJoint]]
) -> float:
    """Return how much nearer to its target the tip is at the upper limit, -1 to 1.

    A finger bends towards the thumb, and the thumb towards the index finger.
    """
    other = 'index' if finger == 'thumb' else 'thumb'
    others = fingers.get(other, [joint for joints in fingers.values() for joint in joints])
    target = np.mean([model.origin(joint.child) for joint in others[:2]], axis=0)
    near = [float(np.linalg.norm(end - target)) for end in ends]
    size = max(float(np.linalg.norm(ends[1] - ends[0])), 1e-6)
    return (near[0] - near[1]) / size


def _lines(finger: str, joints: list[_Drafted], most: int) -> list[str]:
    human = ('mcp', 'ip') if finger == 'thumb' else ('mcp', 'pip')
    # Joints whose axes are parallel to the last one's bend the finger; the others spread it.
    bending = [drafted for drafted in joints if abs(drafted.axis @ joints[-1].axis) > PARALLEL]
    bending = bending[-most:]
    lines = []
    for drafted in joints:
        joint = drafted.joint
        head = f'  - {{name: {_quoted(joint.name)}, limits: [{joint.lower:.4g}, {joint.upper:.4g}]'
        at = next((n for n, other in enumerate(bending) if other is drafted), None)
        if at is None:
            fixed = min(max(0.0, joint.lower), joint.upper)
            lines.append(f'{head}, fixed: {fixed:.4g}}}')
            continue
        if at == 2:
            leader = _quoted(bending[1].joint.name)
            lines.append(f'{head}, coupled: {{joint: {leader}, ratio: 0.667}}}}')
            continue
        opened = min(max(0.0, joint.lower), joint.upper)
        end = joint.upper if drafted.way > 0 else joint.lower
        closed = opened + CLOSED_SHARE * (end - opened)
        if abs(closed - opened) < ROUNDING:
            opened, closed = (joint.lower, joint.upper)[:: 1 if drafted.way > 0 else -1]
        follows = f'{finger}_{human[at]}'
        if len(bending) == 1:
            follows = f'{{{finger}_{human[0]}: 0.5, {finger}_{human[1]}: 0.5}}'
        lines.append(f'{head}, follows: {follows}, open: {opened:.4g}, closed: {closed:.4g}}}')
    return lines


def _quoted(name: str) -> str:
    return name if re.fullmatch(r'[A-Za-z_][\w]*', name) else f"'{name}'"
