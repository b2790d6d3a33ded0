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

"""Measures, in its maker's model, how well a robot hand follows a human hand.

The human hand takes one pose after another; the commands come from the code that also runs in the
node. The model takes the pose of every command: without masses, fingers that would collide show
as overlaps.
"""

from collections.abc import Iterator, Sequence
import time
from typing import NamedTuple

from leconvmn_ros.core.joints import JOINTS
from leconvmn_ros.hands.anchors import Anchors, finger_joints, UPPER
from leconvmn_ros.hands.calibration import UNCALIBRATED
from leconvmn_ros.hands.human_tips import thumb_distances
from leconvmn_ros.hands.modelled_hand import ModelledHand
from leconvmn_ros.hands.motion import Motion
from leconvmn_ros.hands.pose_search import human_pinch
from leconvmn_ros.hands.retargeting import Retargeter
import numpy as np

Pose = dict[str, float]

OPEN: Pose = dict.fromkeys(UPPER, 0.0)
FIST: Pose = dict(UPPER)
# Distance of the fingertips in a relaxed pinch (m).
RELAXED = 0.020
# Time to reach a pose, and to stay there (s).
GOING, STAYING = 1.5, 0.5
CLOSING_STEPS = 200
SMALL_ANGLE = np.radians(1.0)


class Pinched(NamedTuple):
    """A pinch of the human hand and the robot's answer to it (m).

    Attributes:
        finger: the finger that pinches with the thumb.
        human: distance of the human fingertips.
        tips: distance of the robot's marked fingertips.
        gap: gap between the robot's thumb and finger.
        wanted: distance of the human fingertips, scaled to the size of the robot.
    """

    finger: str
    human: float
    tips: float
    gap: float
    wanted: float


class Report(NamedTuple):
    """The results of a measurement.

    Attributes:
        fist: deepest overlap in the fist (m).
        point: deepest overlap in a fist with a straight index finger (m).
        sequence: deepest overlap in all commands of the sequence of poses, including the way (m).
        anywhere: deepest overlap in random human poses (m), their number, and the links involved.
        pinches: for each finger, touching and relaxed.
        turns_back: how far a finger, and the thumb, open while the human hand closes (rad).
        jump: largest change of a joint per degree of a human joint (rad).
        milliseconds: time per command on one core, median and 99th percentile.
    """

    fist: float
    point: float
    sequence: float
    anywhere: float
    poses: int
    pair: tuple[str, str]
    pinches: tuple[Pinched, ...]
    turns_back: tuple[float, float]
    jump: float
    milliseconds: tuple[float, float]


def pinch_pose(finger: str, distance: float) -> Pose:
    """Return a human pinch (rad) whose fingertips are as near to that distance as possible."""
    pinch = human_pinch(finger)
    touching = dict(zip(('thumb_mcp', 'thumb_ip'), pinch.thumb, strict=True)) | dict(
        zip(finger_joints(finger), pinch.closings, strict=True)
    )

    def opened(part: float) -> Pose:
        return OPEN | {name: (1 - part) * UPPER[name] * x for name, x in touching.items()}

    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if thumb_distances(opened(middle))[finger] < distance:
            low = middle
        else:
            high = middle
    return opened(low)


def human_sequence(fingers: Sequence[str]) -> dict[str, Pose]:
    """Return the poses of the sequence, by name: open, fist, point, a pinch with each finger."""
    point = FIST | dict.fromkeys(finger_joints('index'), 0.0)
    pinches = {f'{finger} pinch': pinch_pose(finger, 0.0) for finger in fingers}
    return {'open': OPEN, 'fist': FIST, 'point': point, **pinches}


def commanded(hand: ModelledHand, anchors: Anchors | None) -> Iterator[tuple[str, Pose]]:
    """Yield the name of each human pose with every command on the way to it and during it."""
    retargeter = Retargeter(hand.profile, anchors=anchors, blind=True)
    period, now = hand.profile.command.period, 0.0
    poses = human_sequence(hand.fingers)
    ways = [('open', OPEN, OPEN)]
    for name, pose in poses.items():
        ways += [(name, OPEN, pose), ('open', pose, OPEN)]
    for name, start, end in ways:
        for part in np.linspace(0, 1, round(GOING / period)).tolist() + [1.0] * round(
            STAYING / period
        ):
            now += period
            human = {joint: start[joint] + part * (end[joint] - start[joint]) for joint in end}
            retargeter.listen(human, now)
            command = retargeter.step(now)
            if command is not None:
                names = (joint.name for joint in hand.profile.joints)
                yield name, dict(zip(names, command.positions, strict=True))


def measure(hand: ModelledHand, anchors: Anchors | None, poses: int = 1000) -> Report:
    """Measure a hand.

    Args:
        hand: profile and model.
        anchors: anchors of the hand, None for the joint map alone.
        poses: number of random human poses to try.
    """
    motion = Motion(hand.profile, anchors)

    def take(human: Pose) -> Pose:
        pose = motion.destination(_closings(human))
        hand.take(pose)
        return pose

    scale = anchors.scale if anchors else _scale(hand, motion)
    pinches = []
    for finger in hand.fingers:
        for distance in (0.0, RELAXED):
            human = pinch_pose(finger, distance)
            take(human)
            between = thumb_distances(human)[finger]
            pinches.append(
                Pinched(
                    finger, between, hand.pinch_distance(finger), hand.gap(finger), scale * between
                )
            )
    take(FIST)
    fist = hand.deepest()
    take(FIST | dict.fromkeys(finger_joints('index'), 0.0))
    point = hand.deepest()
    anywhere, pair, spent = _anywhere(hand, motion, poses)
    sequence = 0.0
    for _, pose in commanded(hand, anchors):
        hand.take(pose)
        sequence = max(sequence, hand.deepest())
    return Report(
        fist,
        point,
        sequence,
        anywhere,
        poses,
        pair,
        tuple(pinches),
        _turns_back(hand, motion),
        _largest_jump(motion),
        spent,
    )


def _closings(human: Pose) -> dict[str, float]:
    return {name: UNCALIBRATED.joints[name].closing(angle) for name, angle in human.items()}


def random_pose(rng: np.random.Generator) -> Pose:
    """Return a human pose with each joint anywhere in its range (rad)."""
    return {joint.name: float(rng.uniform(joint.lower, joint.upper)) for joint in JOINTS}


def _scale(hand: ModelledHand, motion: Motion) -> float:
    """Return the size of the robot's fingers relative to the human hand."""
    hand.take(motion.destination(_closings(OPEN)))
    opened = {finger: hand.tip(finger) for finger in hand.fingers}
    hand.take(motion.destination(_closings(FIST)))
    ways = [float(np.linalg.norm(hand.tip(finger) - opened[finger])) for finger in hand.fingers]
    return float(np.mean(ways)) / 0.125


def _anywhere(
    hand: ModelledHand, motion: Motion, poses: int
) -> tuple[float, tuple[str, str], tuple[float, float]]:
    """Return the deepest overlap, its links, and the time of each command (ms)."""
    rng = np.random.default_rng(1)
    deepest, pair, spent = 0.0, ('', ''), []
    for _ in range(poses):
        closings = _closings(random_pose(rng))
        began = time.thread_time()
        pose = motion.destination(closings)
        spent.append(1e3 * (time.thread_time() - began))
        hand.take(pose)
        found = hand.model.deepest()
        if found.depth > deepest:
            deepest, pair = found.depth, found.links
    median, most = np.percentile(spent, (50, 99))
    return deepest, pair, (float(median), float(most))


def _turns_back(hand: ModelledHand, motion: Motion) -> tuple[float, float]:
    """Return how far a finger joint, and a thumb joint, goes back while a fist is made."""
    ways = [
        motion.destination(dict.fromkeys(UPPER, float(part)))
        for part in np.linspace(0, 1, CLOSING_STEPS)
    ]
    back = {}
    for name in ways[0]:
        steps = np.diff([way[name] for way in ways])
        towards = 1 if ways[-1][name] >= ways[0][name] else -1
        back[name] = float(np.clip(-towards * steps, 0, None).sum())
    thumb = max((back[name] for name in hand.thumb_joints), default=0.0)
    fingers = [angle for name, angle in back.items() if name not in hand.thumb_joints]
    return max(fingers, default=0.0), thumb


def _largest_jump(motion: Motion, poses: int = 300) -> float:
    rng = np.random.default_rng(2)
    largest = 0.0
    for _ in range(poses):
        human = random_pose(rng)
        joint = JOINTS[int(rng.integers(len(JOINTS)))].name
        ends = [
            motion.destination(_closings(human | {joint: human[joint] + step}))
            for step in (0.0, SMALL_ANGLE)
        ]
        largest = max(largest, *(abs(ends[1][name] - at) for name, at in ends[0].items()))
    return largest
