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

"""Images in lanes and in a heap: each once, in order, with its target; context is not scored."""

from dataclasses import replace

from builders import emg_of, make_recording, RATE
from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.emg.signal_path import SignalPath, SignalPathConfig
from leconvmn_ros.training.sequences import arrange_sequences, FeatureSegment, images_of
import numpy as np
import pytest

PATH = SignalPathConfig(channels=3, sampling_rate=RATE)


def numbered(lengths, channels=2, contexts=None):
    """Return stretches whose features and targets tell which stretch and sample they are of."""
    stretches = []
    for number, length in enumerate(lengths, start=1):
        samples = 1000 * number + np.arange(length, dtype=np.float32)[:, None]
        context = 0 if contexts is None else contexts[number - 1]
        stretches.append(FeatureSegment(np.tile(samples, channels), samples, context))
    return stretches


def used_images(lanes):
    """Return the used images, lane by lane: first and last sample, target, fresh."""
    return [
        [
            (
                int(lanes.images[step, lane, 0, 0]),
                int(lanes.images[step, lane, 0, -1]),
                int(lanes.targets[step, lane, 0]),
                bool(lanes.fresh[step, lane]),
            )
            for step in range(len(lanes.images))
            if lanes.used[step, lane]
        ]
        for lane in range(lanes.images.shape[1])
    ]


def test_images_and_targets_are_aligned():
    stretches = numbered([35])
    lanes = arrange_sequences(stretches, PATH, lanes=3)
    assert used_images(lanes) == [
        [(1000, 1009, 1009, True), (1010, 1019, 1019, False), (1020, 1029, 1029, False)]
    ]
    assert lanes.images.shape == (3, 1, 2, 10)
    np.testing.assert_array_equal(lanes.images[1, 0, 1], np.arange(1010, 1020))


def test_columns_are_those_of_the_live_images():
    path = PATH.model_copy(update={'column_period': 0.02})
    recording = make_recording()
    feature = SignalPath(path, None).push(emg_of(recording))
    lanes = arrange_sequences([FeatureSegment(feature, feature)], path, lanes=1)
    assert lanes.images.shape[2:] == (3, 5)
    np.testing.assert_array_equal(lanes.images[2, 0], feature[21:30:2].T)
    np.testing.assert_array_equal(lanes.targets[2, 0], feature[29])


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(0, 90), min_size=1, max_size=9),
    lanes=st.integers(1, 6),
    seed=st.none() | st.integers(0, 99),
)
def test_lanes_hold_each_image_once_and_in_order(lengths, lanes, seed):
    stretches = numbered(lengths)
    rng = None if seed is None else np.random.default_rng(seed)
    if max(lengths) < 10:
        with pytest.raises(RecordingError, match='whole image of 10 samples'):
            arrange_sequences(stretches, PATH, lanes, rng)
        return
    arranged = arrange_sequences(stretches, PATH, lanes, rng)
    images = used_images(arranged)
    assert len(images) == min(lanes, sum(length >= 10 for length in lengths))
    found = {}
    for lane in images:
        segment = None
        for first, last, target, fresh in lane:
            assert last == target == first + 9
            assert fresh == (first // 1000 != segment)
            segment = first // 1000
            found.setdefault(segment, []).append(first % 1000)
    for segment, length in enumerate(lengths, start=1):
        firsts = found.get(segment, [])
        if length < 10:
            assert firsts == []
            continue
        phase = firsts[0]
        assert phase == 0 if seed is None else 0 <= phase < 10
        assert firsts == list(range(phase, length - 9, 10))
    # Used images come first; what is behind them is filler.
    assert (np.diff(arranged.used.astype(int), axis=0) <= 0).all()
    assert arranged.used[:, np.argmax(arranged.used.sum(axis=0))].all()
    assert not arranged.images[~arranged.used].any()
    longest, shortest = max(map(len, images)), min(map(len, images))
    assert longest - shortest <= max(lengths) // 10


def test_augmentation_reaches_every_phase():
    stretches = numbered([95])
    rng = np.random.default_rng(0)

    def firsts(**options):
        return {
            used_images(arrange_sequences(stretches, PATH, 1, rng, **options))[0][0][0]
            for _ in range(200)
        }

    assert firsts() == set(range(1000, 1010))
    assert firsts(random_phase=False) == {1000}


def test_without_a_random_phase_the_order_is_still_shuffled():
    stretches = numbered([20] * 5)
    rng = np.random.default_rng(0)
    orders = set()
    for _ in range(20):
        (lane,) = used_images(arrange_sequences(stretches, PATH, 1, rng, random_phase=False))
        assert sorted(first % 1000 for first, *_ in lane) == [0] * 5 + [10] * 5
        orders.add(tuple(first // 1000 for first, *_ in lane))
    assert len(orders) > 10


@settings(deadline=None, max_examples=60)
@given(
    stretches=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=6),
    lanes=st.integers(1, 4),
)
def test_the_context_is_run_but_not_scored(stretches, lanes):
    contexts = [context for context, _ in stretches]
    lengths = [context + scored for context, scored in stretches]
    cut = numbered(lengths, contexts=contexts)
    # On the grid of each stretch; scored if its last sample is beyond the context.
    run = [
        (1000 * number + first, first + 9 >= context)
        for number, (context, length) in enumerate(zip(contexts, lengths, strict=True), start=1)
        for first in range(0, length - 9, 10)
    ]
    scored = sorted(first for first, beyond in run if beyond)
    if not scored:
        with pytest.raises(RecordingError, match='whole image of 10 samples'):
            arrange_sequences(cut, PATH, lanes)
        return
    arranged = arrange_sequences(cut, PATH, lanes)
    assert sorted(first for lane in used_images(arranged) for first, *_ in lane) == scored
    np.testing.assert_array_equal(
        np.sort(arranged.images[arranged.used][:, 0, 0]), np.array(scored, dtype=np.float32)
    )
    # Each is run with all of its context, from a fresh start.
    there = {first // 1000 for first in scored}
    expected = sorted(first for first, _ in run if first // 1000 in there)
    filled = arranged.images[:, :, 0, 0]
    assert sorted(filled[filled > 0].tolist()) == expected
    starts = filled[arranged.fresh]
    assert sorted(starts.tolist()) == sorted(1000.0 * number for number in there)


def test_the_context_moves_with_the_phase():
    (stretch,) = numbered([60], contexts=[25])
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(100):
        lanes = arrange_sequences([stretch], PATH, 1, rng)
        phase = int(lanes.images[0, 0, 0, 0]) - 1000
        seen.add(phase)
        lasts = lanes.images[:, 0, 0, -1] - 1000
        np.testing.assert_array_equal(lanes.used[:, 0], lasts >= 25)
    assert seen == set(range(10))


@settings(deadline=None, max_examples=60)
@given(
    stretches=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), min_size=1, max_size=5),
    phases=st.integers(1, 5),
)
def test_all_images_of_a_model_without_memory(stretches, phases):
    cut = numbered(
        [context + scored for context, scored in stretches],
        contexts=[context for context, _ in stretches],
    )
    expected = []
    for number, (context, scored) in enumerate(stretches, start=1):
        for phase in range(phases):
            # The first image ends with the first sample beyond the context, if it can.
            first = max(0, context - 9) + phase * 10 // phases
            while first + 10 <= context + scored:
                expected.append((1000 * number + first, 1000 * number + first + 9))
                first += 10
    if not expected:
        with pytest.raises(RecordingError, match='whole image of 10 samples'):
            images_of(cut, PATH, phases)
        return
    images, targets = images_of(cut, PATH, phases)
    assert images.shape == (len(expected), 2, 10)
    assert targets.shape == (len(expected), 1)
    assert [(image[0, 0], image[1, -1]) for image in images] == expected
    np.testing.assert_array_equal(targets[:, 0], [last for _, last in expected])
    assert all(last % 1000 >= stretches[int(last) // 1000 - 1][0] for last in targets[:, 0])


def with_movements():
    """Return two stretches with three movements: 30 samples each, with the rest after it.

    The first stretch begins with 20 samples of rest, which belong to no movement before them.
    """
    first, second = numbered([80, 30])
    return [
        replace(first, onsets=(20, 50)),
        replace(second, onsets=(0,)),
    ]


def test_single_repetitions_come_in_random_order_and_the_state_is_carried():
    orders = set()
    rng = np.random.default_rng(0)
    for _ in range(30):
        arranged = arrange_sequences(
            with_movements(), PATH, 1, rng, random_phase=False, order='repetitions'
        )
        (lane,) = used_images(arranged)
        # Each image once, and those of a repetition in order.
        assert sorted(first for first, *_ in lane) == [
            *range(1000, 1080, 10),
            *range(2000, 2030, 10),
        ]
        starts = {1000: 2, 1020: 3, 1050: 3, 2000: 3}
        order, place = [], 0
        while place < len(lane):
            begin = lane[place][0]
            order.append(begin)
            for step in range(starts[begin]):
                assert lane[place + step][0] == begin + 10 * step
            place += starts[begin]
        orders.add(tuple(order))
        assert [fresh for *_, fresh in lane] == [True] + [False] * 10
    assert len(orders) > 10


def test_without_labels_stretches_stay_whole():
    rng = np.random.default_rng(0)
    arranged = arrange_sequences(numbered([40, 20]), PATH, 1, rng, order='repetitions')
    (lane,) = used_images(arranged)
    assert [fresh for *_, fresh in lane].count(True) == 1


def test_in_random_order_nothing_leads_in():
    stretch = replace(numbered([50], contexts=[15])[0], onsets=(15, 30))
    arranged = arrange_sequences([stretch], PATH, 1, order='repetitions')
    (lane,) = used_images(arranged)
    assert [first for first, *_ in lane] == [1015, 1030, 1040]


def donned(mean, deviation):
    features = np.random.default_rng(0).normal(mean, deviation, (400, 2)).astype(np.float32)
    own = features.mean(axis=0), features.std(axis=0)
    return FeatureSegment(features, np.zeros((400, 1), np.float32), onsets=(100,), own=own)


def test_statistics_of_its_own_are_gone_all_the_way_or_not_at_all():
    stretch = donned([1.0, -2.0], [0.5, 3.0])
    np.testing.assert_array_equal(stretch.standardised(0), stretch.features)
    moved = stretch.standardised(1)
    np.testing.assert_allclose(moved.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(moved.std(axis=0), 1, rtol=1e-5)
    half = stretch.standardised(0.5)
    assert ((half.std(axis=0) - 1) * (stretch.features.std(axis=0) - 1) > 0).all()
    assert numbered([30])[0].standardised(1) is not None


def test_donnings_are_standardised_some_of_the_way_in_each_epoch_and_never_when_scored():
    stretch = donned([1.0, -2.0], [0.5, 3.0])
    rng = np.random.default_rng(0)

    def mean(**options):
        arranged = arrange_sequences([stretch], PATH, 1, **options)
        return float(arranged.images[arranged.used][:, 0].mean())

    means = [mean(rng=rng, donnings=True, order='repetitions') for _ in range(20)]
    assert min(means) < 0.4
    assert max(means) > 0.7
    assert mean(donnings=True) == pytest.approx(1.0, abs=0.1)
    assert mean(rng=rng) == pytest.approx(1.0, abs=0.1)
