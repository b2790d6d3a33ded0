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

"""What a training keeps of how each movement goes: of its training part alone, timed by EMG."""

from dataclasses import replace

from leconvmn_ros.core.recording import EmgChunk, JointTrack, LabelTrack, NANOSECONDS, Recording
from leconvmn_ros.dataset.hold_out import NoHoldOut, RepetitionHoldOut
from leconvmn_ros.decoding.movement_templates import PHASES
from leconvmn_ros.emg.signal_path import ExposureConfig
from leconvmn_ros.training.data import gather
import numpy as np

RATE = 200.0
JOINTS = ('index_mcp', 'middle_mcp')
LENGTH, REST = 2.0, 3.0
HOLD_OUT = RepetitionHoldOut(test=(3,))
# By how much the movement follows its label (s).
LATE = 0.5


def recording(*, rests=True):
    """Make two movements three times; the angle is 1 (rad) of one joint while it lasts."""
    random = np.random.default_rng(0)
    period = LENGTH + REST * rests
    starts = REST + period * np.arange(6)
    times = np.arange(round((starts[-1] + period) * RATE)) / RATE
    positions = np.zeros((len(times), 2))
    for place, start in enumerate(starts):
        made = (times >= start + LATE * rests) & (times < start + LATE * rests + LENGTH)
        positions[made, place % 2] = 1.0
    loudness = 1e-5 * (1 + 20 * positions @ np.array([[1, 0.2, 0.1], [0.1, 1, 0.2]]))
    emg = (loudness * random.standard_normal((len(times), 3))).astype(np.float32)
    stamps = np.round(times * NANOSECONDS).astype(np.int64)
    edges = [
        (start + late, number, place // 2 + 1)
        for place, start in enumerate(starts)
        for late, number in ((0.0, place % 2 + 1), (LENGTH, 0))[: 2 if rests else 1]
    ]
    at, movement, repetition = (np.array(column) for column in zip(*edges, strict=True))
    labels = LabelTrack(np.round(at * NANOSECONDS).astype(np.int64), movement, repetition)
    track = JointTrack(stamps, JOINTS, positions)
    return Recording('made', [EmgChunk(0, RATE, 0, emg)], track, labels)


def gathered(made, hold_out=HOLD_OUT):
    return gather([made], ExposureConfig(), hold_out, learn_validation=True)


def test_templates_say_how_each_movement_goes_from_the_start_that_the_emg_tells():
    templates = gathered(recording()).templates
    assert templates.rest == (0.0, 0.0)
    assert [(each.movement, each.repetitions) for each in templates.movements] == [(1, 2), (2, 2)]
    for place, template in enumerate(templates.movements):
        angles = np.array(template.angles)
        assert abs(template.duration - LENGTH) < 0.2
        inside = (PHASES > 0.1) & (PHASES < 0.9)
        outside = (PHASES < -0.1) | (PHASES > 1.1)
        np.testing.assert_allclose(angles[inside, place], 1.0, atol=1e-3)
        np.testing.assert_allclose(angles[outside, place], 0.0, atol=1e-3)
        np.testing.assert_allclose(angles[:, 1 - place], 0.0, atol=1e-3)


def test_what_is_held_out_for_the_test_is_in_no_template():
    made = recording()
    numbers = made.labels.repetition
    start = made.labels.stamps_ns[np.flatnonzero(numbers == 3)[0]]
    positions = made.reference.positions.copy()
    positions[made.reference.stamps_ns >= start] = 0.7
    emg = made.chunks[0].samples.copy()
    emg[start * int(RATE) // NANOSECONDS :] = 1e-3
    other = replace(
        made,
        reference=replace(made.reference, positions=positions),
        chunks=[made.chunks[0]._replace(samples=emg)],
    )
    assert gathered(made).templates == gathered(other).templates


def test_movements_without_rests_between_them_do_not_mix():
    made = recording(rests=False)
    for place, template in enumerate(gathered(made, NoHoldOut()).templates.movements):
        inside = (PHASES > 0.05) & (PHASES < 0.95)
        np.testing.assert_allclose(np.array(template.angles)[inside, place], 1.0, atol=0.02)


def test_without_labels_there_are_none():
    assert gathered(replace(recording(), labels=None), NoHoldOut()).templates is None
