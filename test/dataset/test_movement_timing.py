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

"""The true timing of movements is found in the EMG, whether labels are early or late."""

from dataclasses import replace

from leconvmn_ros.core.recording import EmgChunk, LabelTrack, NANOSECONDS, Recording
from leconvmn_ros.dataset.movement_timing import made_movements
from leconvmn_ros.dataset.repetitions import repetitions_of
from leconvmn_ros.dataset.segments import gapless_runs
import numpy as np
import pytest

RATE = 500.0
STARTS, LENGTH, PERIOD = (3.0, 9.0, 15.0), 2.5, 6.0


def recording(label_shift, *, loud=10.0):
    """Make three movements with labels that are late by `label_shift` (s)."""
    random = np.random.default_rng(0)
    times = np.arange(round(21 * RATE)) / RATE
    moving = sum((times >= s) & (times < s + LENGTH) for s in STARTS)
    loudness = 1e-5 * np.where(moving, loud, 1.0)
    emg = (loudness[:, None] * random.standard_normal((len(times), 4))).astype(np.float32)
    edges = [(s + label_shift + late, n, s) for s in STARTS for late, n in ((0, 1), (LENGTH, 0))]
    labels = LabelTrack(
        np.array([round(at * NANOSECONDS) for at, _, _ in edges]),
        np.array([number for _, number, _ in edges]),
        np.array([STARTS.index(start) + 1 for _, _, start in edges]),
    )
    return Recording('made', [EmgChunk(0, RATE, 0, emg)], labels=labels)


def found(made):
    return made_movements(gapless_runs(made), RATE, repetitions_of(made.labels, made.span_ns[1]))


@pytest.mark.parametrize('label_shift', [-0.8, -0.3, 0.0, 0.4])
def test_start_and_end_are_found_whether_labels_are_early_or_late(label_shift):
    for start, made in zip(STARTS, found(recording(label_shift)), strict=True):
        assert made.start_found
        assert made.end_found
        assert made.start_ns / NANOSECONDS == pytest.approx(start, abs=0.1)
        assert made.end_ns / NANOSECONDS == pytest.approx(start + LENGTH, abs=0.1)
        assert made.duration == pytest.approx(LENGTH, abs=0.15)


def test_where_the_emg_tells_nothing_the_labels_hold():
    for start, made in zip(STARTS, found(recording(0.0, loud=1.0)), strict=True):
        assert not made.start_found
        assert made.start_ns == round(start * NANOSECONDS)
        assert made.end_ns == round((start + LENGTH) * NANOSECONDS)


def test_no_repetitions_need_no_emg():
    assert made_movements([], RATE, []) == []


def test_a_dead_channel_tells_nothing():
    made = recording(0.3)
    emg = made.chunks[0].samples.copy()
    emg[:, 1] = 0
    dead = replace(made, chunks=[made.chunks[0]._replace(samples=emg)])
    assert found(dead)[0].start_ns / NANOSECONDS == pytest.approx(STARTS[0], abs=0.1)
    emg[:] = 0
    assert not any(each.start_found or each.end_found for each in found(dead))
