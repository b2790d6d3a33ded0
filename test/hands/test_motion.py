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

"""Commands obey limits, speed and acceleration from any pose, with and without anchors."""

from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.core.joints import JOINT_NAMES, JOINTS
from leconvmn_ros.hands.anchors import AT_REST, load_anchors
from leconvmn_ros.hands.motion import Motion
from leconvmn_ros.hands.profile import load_profile, profile_path, shipped_profiles
from leconvmn_ros.hands.retargeting import Retargeter
import numpy as np
import pytest

PROFILES = {name: load_profile(name) for name in shipped_profiles()}
ANCHORS = {
    name: anchors
    for name, profile in PROFILES.items()
    if (anchors := load_anchors(profile_path(name), profile))
}
OPEN = dict.fromkeys(JOINT_NAMES, 0.0)
FIST = dict.fromkeys(JOINT_NAMES, 1.0)


def random_closings(rng):
    return {
        joint.name: float(rng.uniform(joint.lower, joint.upper)) / joint.upper for joint in JOINTS
    }


def run(motion, pose, closings, steps):
    """Return the poses commanded for a constant human hand."""
    poses = [pose]
    for _ in range(steps):
        poses.append(motion.advance(poses[-1], closings, motion.profile.command.period).pose)
    return poses[1:]


def velocities(motion, poses):
    period = motion.profile.command.period
    return {
        joint.name: np.diff([pose[joint.name] for pose in poses]) / period
        for joint in motion.profile.joints
    }


@given(
    st.sampled_from(sorted(ANCHORS)),
    st.lists(
        st.tuples(st.integers(0, 99), st.integers(1, 15), st.booleans()), min_size=1, max_size=6
    ),
    st.sampled_from([None, 8.0]),
)
@settings(max_examples=40, deadline=None)
def test_a_fitted_hand_keeps_limits_speed_and_acceleration(name, ways, acceleration):
    profile = PROFILES[name].model_copy(update={'acceleration': acceleration})
    motion = Motion(profile, ANCHORS[name])
    rng = np.random.default_rng(ways[0][0])
    # From anywhere the hand may be.
    poses = [{joint.name: float(rng.uniform(*joint.limits)) for joint in profile.joints}]
    for seed, steps, rests in ways:
        closings = None if rests else random_closings(np.random.default_rng(seed))
        poses += run(motion, poses[-1], closings, steps)
    for joint in profile.joints:
        way = np.array([pose[joint.name] for pose in poses])
        assert (way >= joint.limits[0]).all()
        assert (way <= joint.limits[1]).all()
    for joint in profile.joints:
        speed = velocities(motion, poses)[joint.name]
        assert np.abs(speed).max() <= profile.speed_of(joint) + 1e-6
        if acceleration:
            change = np.diff(np.concatenate([[0.0], speed])) / profile.command.period
            assert np.abs(change).max() <= acceleration + 1e-3


# One motor for each finger, many joints, a palm that folds, 200 commands a second.
DIFFERENT = ('inspire_rh56', 'shadow_right', 'schunk_svh_right', 'ability_hand_right')


@pytest.mark.parametrize('name', DIFFERENT)
def test_a_fitted_hand_arrives_and_every_pose_on_the_way_is_one_that_was_fitted(name):
    profile, anchors = PROFILES[name], ANCHORS[name]
    motion = Motion(profile, anchors)
    rng = np.random.default_rng(3)
    pose = dict(motion.rest_pose)
    anchored = motion._anchored
    seconds = 12 / min(profile.speed_of(joint) for joint in profile.joints)
    for closings in (FIST, random_closings(rng), OPEN):
        for _ in range(round(seconds * profile.command.rate)):
            pose = motion.advance(pose, closings, profile.command.period).pose
            shape = motion._shape
            if shape is not None:
                assert shape.closing <= anchored.clearance(shape.bends, shape.turn) + 1e-9
                assert pose == pytest.approx(motion._of_shape(anchored, shape).pose, abs=1e-5)
        assert pose == pytest.approx(motion.destination(closings), abs=1e-3)


@pytest.mark.parametrize('name', ANCHORS)
def test_a_fist_closes_every_finger_steadily(name):
    profile, motion = PROFILES[name], Motion(PROFILES[name], ANCHORS[name])
    ways = [
        motion.destination(dict.fromkeys(JOINT_NAMES, float(part)))
        for part in np.linspace(0, 1, 60)
    ]
    for joint in profile.joints:
        if joint.name in ANCHORS[name].thumb_joints or joint.fixed is not None:
            continue
        steps = np.diff([way[joint.name] for way in ways])
        towards = np.sign(ways[-1][joint.name] - ways[0][joint.name])
        assert (towards * steps >= -1e-9).all(), joint.name


@pytest.mark.parametrize('name', ANCHORS)
def test_thumb_closes_in_a_fist_and_does_not_turn_back(name):
    motion = Motion(PROFILES[name], ANCHORS[name])
    closings = [
        motion._anchored.shape(dict.fromkeys(JOINT_NAMES, float(part))).closing
        for part in np.linspace(0, 1, 60)
    ]
    # Within the rounding of the tables.
    assert np.diff(closings).min() > -0.03
    assert closings[-1] >= max(closings) - 0.03


@pytest.mark.parametrize('name', ANCHORS)
def test_a_small_motion_of_the_human_hand_is_no_jump(name):
    motion = Motion(PROFILES[name], ANCHORS[name])
    rng = np.random.default_rng(5)
    for _ in range(50):
        closings = random_closings(rng)
        joint = JOINTS[int(rng.integers(len(JOINTS)))]
        before = motion.destination(closings)
        closings[joint.name] += np.radians(0.05) / joint.upper
        after = motion.destination(closings)
        assert max(abs(after[name] - before[name]) for name in before) < 0.05


def test_from_an_unknown_pose_the_thumb_goes_out_of_the_way_first():
    profile, anchors = PROFILES['leap'], ANCHORS['leap']
    motion = Motion(profile, anchors)
    start = dict(motion.destination(FIST)) | {'14': 0.5}
    poses = run(motion, start, OPEN, 200)
    out = dict(zip(anchors.thumb_joints, anchors.thumb_out, strict=True))
    arrived = next(
        number
        for number, pose in enumerate(poses)
        if all(abs(pose[name] - angle) < 1e-3 for name, angle in out.items())
    )
    assert arrived > 0
    for pose in poses[:arrived]:
        assert pose['1'] == start['1']
    assert poses[-1] == pytest.approx(motion.destination(OPEN), abs=1e-3)


def test_a_fitted_hand_rests_open_with_the_thumb_out_of_the_way():
    motion = Motion(PROFILES['leap'], ANCHORS['leap'])
    assert motion.rest_pose == motion._of_shape(motion._anchored, AT_REST).pose
    retargeter = Retargeter(PROFILES['leap'], anchors=ANCHORS['leap'])
    retargeter.listen({joint.name: joint.upper for joint in JOINTS}, 0.0)
    first = retargeter.step(0.0)
    names = [joint.name for joint in PROFILES['leap'].joints]
    assert dict(zip(names, first.positions, strict=True)) == pytest.approx(motion.rest_pose)


@pytest.mark.parametrize('then', ['hold', 'rest', 'stop'])
def test_acceleration_holds_when_the_human_hand_falls_silent(then):
    profile = PROFILES['generic']
    stale = profile.stale.model_copy(update={'then': then, 'after': 0.1})
    profile = profile.model_copy(update={'acceleration': 6.0, 'stale': stale, 'state': None})
    retargeter = Retargeter(profile)
    positions = []
    for step in range(60):
        now = step * profile.command.period
        if step < 12:
            retargeter.listen({joint.name: joint.upper for joint in JOINTS}, now)
        command = retargeter.step(now)
        if command:
            positions.append(command.positions)
    speeds = np.diff(np.array(positions), axis=0) / profile.command.period
    change = np.abs(np.diff(speeds, axis=0)) / profile.command.period
    assert np.abs(speeds).max() > 0.5
    assert change.max() <= 6.0 + 1e-3


def test_without_a_limit_a_hand_that_holds_stops_at_once():
    motion = Motion(PROFILES['generic'])
    poses = run(motion, dict(motion.rest_pose), FIST, 5)
    assert motion.hold(poses[-1], 0.02) == poses[-1]


def test_a_hand_that_is_paused_starts_again_from_its_last_pose():
    profile = PROFILES['generic'].model_copy(update={'state': None})
    retargeter = Retargeter(profile)
    fist = {joint.name: joint.upper for joint in JOINTS}
    for step in range(20):
        retargeter.listen(fist, step * 0.02)
        last = retargeter.step(step * 0.02)
    assert retargeter.started.goal['index_mcp'] == pytest.approx(1.571)
    retargeter.pause()
    assert retargeter.started is None
    retargeter.listen(fist, 0.6)
    assert retargeter.step(0.6).positions == last.positions
    assert retargeter.started is not None
