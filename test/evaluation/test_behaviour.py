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

"""What a wearer notices, on estimates whose faults are known because they were made."""

from dataclasses import replace
from math import isnan

from leconvmn_ros.core.recording import JointTrack, NANOSECONDS
from leconvmn_ros.dataset.repetitions import Repetition
from leconvmn_ros.evaluation.behaviour import behaviour, delay, movement_templates
from leconvmn_ros.evaluation.comparison import Comparison
import numpy as np
import pytest

RATE = 50
SECONDS = 6  # of a repetition, half of it rest
POSES = {1: np.array([1.0, 0.0]), 2: np.array([0.0, 1.0])}
ORDER = (1, 2, 2, 1)


def stamp(second):
    return round(second * NANOSECONDS)


REPETITIONS = [
    Repetition(
        movement,
        ORDER[:place].count(movement) + 1,
        stamp(place * SECONDS),
        stamp(place * SECONDS + SECONDS / 2),
        stamp((place + 1) * SECONDS),
    )
    for place, movement in enumerate(ORDER)
]
TEMPLATES = POSES


def perfect():
    """Return estimates that equal the truth: the pose, and zero at rest."""
    count = len(ORDER) * SECONDS * RATE
    truth = np.zeros((count, 2))
    for place, movement in enumerate(ORDER):
        first = place * SECONDS * RATE
        truth[first : first + SECONDS * RATE // 2] = POSES[movement]
    return Comparison(
        np.array([stamp(i / RATE) for i in range(count)]), ('a', 'b'), truth, truth.copy()
    )


def figures(comparison):
    return behaviour([(comparison, REPETITIONS)], TEMPLATES)


def test_a_perfect_decoder_has_no_fault():
    found = figures(perfect())
    assert abs(found.delay) < 0.01
    assert found.unrest == found.reference_unrest == 0
    assert found.false_movements == 0
    assert found.right_movements == found.reference_right_movements == 1
    assert found.repetitions == 4
    # Three seconds each, of which the first is left out.
    assert found.rest_seconds == pytest.approx(4 * 2)


@pytest.mark.parametrize('late', [-0.2, 0.1, 0.44])
def test_the_delay_is_found(late):
    comparison = perfect()
    shift = round(late * RATE)
    late_by = comparison._replace(estimate=np.roll(comparison.truth, shift, axis=0))
    assert delay([late_by]) == pytest.approx(late, abs=0.02)
    # Not across a gap in the scored part, where the next estimate is another time's.
    parts = np.r_[0:300, 600:1200]
    cut = Comparison(*(field[parts] if i != 1 else field for i, field in enumerate(late_by)))
    assert delay([cut]) == pytest.approx(late, abs=0.02)


def test_unrest_is_the_spread_of_the_estimates_while_the_hand_rests():
    comparison = perfect()
    noise = np.where(np.arange(len(comparison.truth)) % 2, 0.01, -0.01)[:, None]
    found = figures(comparison._replace(estimate=comparison.truth + noise))
    assert found.unrest == pytest.approx(np.degrees(0.01))
    assert found.reference_unrest == 0


def test_false_movements_are_counted_once_each_and_only_at_rest():
    estimate = perfect().truth.copy()
    rest = 5 * RATE  # in the rest of the first repetition
    estimate[rest : rest + RATE // 2] = POSES[2]
    estimate[rest + 12 * RATE : rest + 12 * RATE + 3] = POSES[2]  # too short to move a hand
    estimate[0:RATE] = POSES[2]  # in a movement: wrong, but no movement at rest
    found = figures(perfect()._replace(estimate=estimate))
    assert found.false_movements == pytest.approx(1 * 60 / 8)


def test_a_hand_that_did_move_at_rest_is_no_fault_of_the_decoder():
    moved = perfect().truth.copy()
    moved[5 * RATE : 5 * RATE + RATE // 2] = POSES[2]
    found = figures(perfect()._replace(estimate=moved, truth=moved))
    assert found.false_movements == 0


def test_the_right_movement_is_the_one_with_the_nearest_template():
    estimate = perfect().truth.copy()
    estimate[0 : SECONDS * RATE // 2] = POSES[2]
    found = figures(perfect()._replace(estimate=estimate))
    assert found.right_movements == 0.75
    assert found.reference_right_movements == 1


def test_templates_are_mean_poses_while_moving():
    comparison = perfect()
    reference = JointTrack(comparison.stamps_ns, ('b', 'a'), comparison.truth[:, ::-1])
    found = movement_templates(reference, ('a', 'b'), REPETITIONS)
    assert found.keys() == POSES.keys()
    for movement, pose in POSES.items():
        np.testing.assert_allclose(found[movement], pose)


def test_what_cannot_be_told_is_not_a_number():
    comparison = perfect()
    found = behaviour([(comparison, [])], {})
    assert isnan(found.unrest)
    assert isnan(found.false_movements)
    assert isnan(found.right_movements)
    still = comparison._replace(estimate=np.zeros_like(comparison.truth))
    assert isnan(delay([still]))
    assert replace(found, repetitions=0) == found
