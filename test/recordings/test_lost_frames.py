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

"""Frames without a measurement by a camera or a glove."""

from leconvmn_ros.core.recording import JointTrack
from leconvmn_ros.recordings.lost_frames import find_lost_frames
import numpy as np


def moving(frames=600, rate=54.0, noise=1e-3):
    """Return ten joints that move slowly, measured with noise."""
    random = np.random.default_rng(0)
    times = np.arange(frames) / rate
    angles = 0.6 + 0.4 * np.sin(2 * np.pi * 0.5 * times[:, None] + np.arange(10))
    return angles + noise * random.standard_normal(angles.shape)


def track(positions, rate=54.0):
    stamps_ns = (np.arange(len(positions)) / rate * 1e9).astype(np.int64)
    return JointTrack(stamps_ns, tuple('abcdefghij'), positions)


def test_nothing_is_lost_where_everything_is_measured():
    zeros, frozen = find_lost_frames(track(moving()))
    assert not zeros.any()
    assert not frozen.any()


def test_frames_of_exact_zeros_are_lost():
    positions = moving()
    positions[100:130] = 0
    positions[-5:] = 0
    zeros, frozen = find_lost_frames(track(positions))
    assert np.flatnonzero(zeros).tolist() == [*range(100, 130), *range(595, 600)]
    assert not frozen.any()


def test_repeated_frames_are_lost_but_the_first():
    positions = moving()
    positions[200:260] = positions[200]
    zeros, frozen = find_lost_frames(track(positions))
    assert np.flatnonzero(frozen).tolist() == list(range(201, 260))
    assert not zeros.any()


def test_hand_that_opens_to_zero_is_measured():
    positions = np.maximum(moving(noise=0) - 0.6, 0)
    positions[:, :] = positions[:, :1]
    assert (positions == 0).all(axis=1).mean() > 0.3
    zeros, frozen = find_lost_frames(track(positions))
    assert not zeros.any()
    assert not frozen.any()


def test_coarse_glove_at_rest_is_measured():
    resolution = np.radians(1)
    positions = np.round(np.maximum(moving(noise=0), 0.7) / resolution) * resolution
    positions[:, :] = positions[:, :1]
    zeros, frozen = find_lost_frames(track(positions))
    assert not zeros.any()
    assert not frozen.any()


def test_prompts_that_stand_still_are_left_as_they_are():
    positions = np.zeros((600, 10))
    positions[100:200] = positions[300:400] = 1.0
    zeros, frozen = find_lost_frames(track(positions))
    assert not zeros.any()
    assert not frozen.any()
