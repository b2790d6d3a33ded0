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

"""Movement templates: the mean of what is known of each repetition."""

from leconvmn_ros.decoding.movement_templates import (
    Course,
    MovementTemplates,
    PHASES,
    POINTS,
    templates_of,
)
import numpy as np
from pydantic import ValidationError
import pytest

REST = np.array([0.1, 0.2])


def course(movement, value, *, duration=2.0, unknown=slice(0, 0)):
    angles = np.full((POINTS, 2), float(value))
    angles[unknown] = np.nan
    return Course(movement, duration, angles)


def test_a_template_is_the_mean_of_what_is_known_of_the_repetitions():
    courses = [course(3, 1), course(3, 2, unknown=slice(0, 4), duration=4), course(1, 5)]
    one, three = templates_of(courses, REST).movements
    assert (one.movement, one.repetitions, one.angles[0]) == (1, 1, (5, 5))
    assert (three.movement, three.repetitions, three.duration) == (3, 2, 3)
    np.testing.assert_allclose(three.angles[:4], 1)
    np.testing.assert_allclose(three.angles[4:], 1.5)


def test_where_no_repetition_is_known_the_nearest_point_holds():
    ramp = np.repeat(PHASES[:, None], 2, axis=1)
    ramp[:5] = np.nan
    template = templates_of([Course(1, 1.0, ramp)], REST).movements[0]
    np.testing.assert_allclose(template.angles[:5], PHASES[5], atol=1e-4)
    np.testing.assert_allclose(template.angles[5:], ramp[5:], atol=1e-4)


def test_nothing_known_gives_no_templates():
    assert templates_of([], REST) is None
    assert templates_of([course(1, 1, unknown=slice(None))], REST) is None
    assert templates_of([course(number, 1) for number in range(1, 102)], REST) is None


def test_they_come_back_from_a_file_and_stay_small():
    random = np.random.default_rng(0)
    courses = [
        Course(number, 2.5, random.uniform(-1, 1, (POINTS, 10))) for number in range(1, 101)
    ]
    templates = templates_of(courses, random.uniform(-1, 1, 10))
    text = templates.model_dump_json()
    assert len(text) < 500_000
    assert MovementTemplates.model_validate_json(text) == templates


@pytest.mark.parametrize(
    ('changes', 'problem'),
    [
        ({'rest': (0.0,) * 3}, 'rows of .2. angles for 3 joints'),
        ({'movements': ()}, 'movements'),
        ({'rest': (float('nan'), 0.0)}, 'finite'),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, problem):
    templates = templates_of([course(1, 1)], REST)
    with pytest.raises(ValidationError, match=problem):
        MovementTemplates.model_validate(templates.model_dump() | changes)


def test_a_movement_is_there_once_and_has_all_points():
    content = templates_of([course(1, 1)], REST).model_dump()
    (movement,) = content['movements']
    with pytest.raises(ValidationError, match='each may appear once'):
        MovementTemplates.model_validate(content | {'movements': [movement, movement]})
    short = movement | {'angles': movement['angles'][1:]}
    with pytest.raises(ValidationError, match='angles'):
        MovementTemplates.model_validate(content | {'movements': [short]})
    with pytest.raises(ValidationError, match='movement'):
        MovementTemplates.model_validate(content | {'movements': [movement | {'movement': 0}]})
