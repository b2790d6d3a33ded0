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

"""Every fault of a source: how it is handled, and that the counters are exact."""

from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.emg.intake import Intake, IntakeCounts
import numpy as np
import pytest

RATE = 1000.0
MILLISECOND = 1_000_000
START_NS = 1_700_000_000 * 1_000_000_000


def chunk_of(first, count, *, rate=RATE, channels=2, start_ns=START_NS):
    """Take `count` samples of a source whose sample i is (i, -i)."""
    index = np.arange(first, first + count, dtype=np.float32)
    samples = index[:, None] * np.resize([1, -1], channels).astype(np.float32)
    return EmgChunk(start_ns + round(first * 1e9 / rate), rate, first, samples)


def feed(intake, *chunks):
    return [piece for chunk in chunks for piece in intake.accept(chunk)]


def values(piece):
    np.testing.assert_array_equal(piece.samples[:, 1], -piece.samples[:, 0])
    return piece.samples[:, 0].tolist()


def stamp_at(sample):
    return START_NS + sample * MILLISECOND


def make_intake(**options):
    return Intake(2, RATE, **options)


# ---- no fault


def test_whole_source_passes_unchanged():
    intake = make_intake()
    chunks = [chunk_of(first, 20) for first in range(0, 200, 20)]
    pieces = feed(intake, *chunks)
    assert [piece.restart for piece in pieces] == [True] + 9 * [False]
    assert [piece.stamp_ns for piece in pieces] == [chunk.stamp_ns for chunk in chunks]
    assert [v for piece in pieces for v in values(piece)] == list(range(200))
    assert intake.counts == IntakeCounts(messages=10, samples=200)
    assert intake.counts.faults() == {}


def test_source_may_have_been_on_for_a_while():
    intake = make_intake()
    (piece,) = feed(intake, chunk_of(123456, 20))
    assert piece.restart
    assert intake.counts.faults() == {}


def test_counter_uses_all_64_bits():
    intake = make_intake()
    first = 2**64 - 60
    chunks = [chunk_of(0, 20)._replace(first_sample=first + k) for k in (0, 20, 45)]
    chunks = [c._replace(stamp_ns=stamp_at(c.first_sample - first)) for c in chunks]
    pieces = feed(intake, *chunks)
    assert [len(piece.samples) for piece in pieces] == [20, 20, 5, 20]
    assert intake.counts.faults() == {'lost_samples': 5, 'bridged_samples': 5}


# ---- refused chunks


@pytest.mark.parametrize('channels', [1, 3])
def test_other_channel_count_is_refused(channels):
    intake = make_intake()
    assert feed(intake, chunk_of(0, 20, channels=channels)) == []
    assert intake.counts == IntakeCounts(messages=1, wrong_channels=1)


@pytest.mark.parametrize('rate', [2000.0, 980.0, 1020.0, 0.0, float('nan'), float('inf')])
def test_other_rate_is_refused(rate):
    intake = make_intake()
    assert feed(intake, chunk_of(0, 20)._replace(sampling_rate=rate)) == []
    assert intake.counts == IntakeCounts(messages=1, wrong_rate=1)


@pytest.mark.parametrize('rate', [991.0, 999.7, 1009.0])
def test_measured_rate_is_accepted(rate):
    assert len(feed(make_intake(), chunk_of(0, 20)._replace(sampling_rate=rate))) == 1


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_chunk_with_a_sample_that_is_not_finite_is_refused(value):
    intake = make_intake()
    bad = chunk_of(20, 20)
    bad.samples[7, 1] = value
    pieces = feed(intake, chunk_of(0, 20), bad)
    assert len(pieces) == 1
    assert intake.counts == IntakeCounts(messages=2, samples=20, not_finite=1)
    assert intake.not_finite_values.tolist() == [0, 1]


def test_samples_of_a_refused_chunk_are_missing_when_the_next_one_comes():
    intake = make_intake()
    bad = chunk_of(20, 10)
    bad.samples[0, 0] = np.nan
    pieces = feed(intake, chunk_of(0, 20), bad, chunk_of(30, 20))
    assert [values(piece) for piece in pieces[1:]] == [
        list(range(19, 9, -1)),
        list(range(30, 50)),
    ]
    assert intake.counts.faults() == {'not_finite': 1, 'lost_samples': 10, 'bridged_samples': 10}


def test_refused_chunk_at_the_start_is_no_loss():
    intake = make_intake()
    (piece,) = feed(intake, chunk_of(0, 20, channels=3), chunk_of(20, 20))
    assert piece.restart
    assert intake.counts.faults() == {'wrong_channels': 1}


# ---- missing samples


def test_short_gap_is_bridged_by_the_newest_samples_backwards():
    intake = make_intake()
    _, bridge, piece = feed(intake, chunk_of(0, 20), chunk_of(25, 20))
    assert values(bridge) == [19, 18, 17, 16, 15]
    assert (bridge.restart, piece.restart) == (False, False)
    assert (bridge.stamp_ns, piece.stamp_ns) == (stamp_at(20), stamp_at(25))
    assert values(piece) == list(range(25, 45))
    assert intake.counts == IntakeCounts(messages=2, samples=40, lost_samples=5, bridged_samples=5)


def test_bridge_keeps_the_rms():
    """A mirrored bridge has the same power as the samples before it, so the RMS stays."""
    random = np.random.default_rng(0)
    noise = random.normal(0, 1e-4, (300, 2)).astype(np.float32)
    intake = make_intake()
    chunks = [
        chunk_of(first, 100)._replace(samples=noise[k * 100 : k * 100 + 100])
        for k, first in enumerate((0, 200, 300))
    ]
    _, bridge, *_ = feed(intake, *chunks)
    np.testing.assert_allclose(
        np.mean(bridge.samples**2, axis=0), np.mean(noise[:100] ** 2, axis=0), rtol=1e-5
    )


def test_bridge_reaches_back_over_several_chunks():
    intake = make_intake()
    pieces = feed(intake, *(chunk_of(first, 7) for first in range(0, 210, 7)), chunk_of(310, 7))
    assert values(pieces[-2]) == list(range(209, 109, -1))
    assert pieces[-2].stamp_ns == stamp_at(210)


def test_bridge_after_a_bridge_repeats_only_what_was_measured():
    intake = make_intake()
    pieces = feed(intake, chunk_of(0, 5), chunk_of(8, 2), chunk_of(14, 5))
    assert [values(p) for p in pieces[1::2]] == [[4, 3, 2], [9, 8, 4, 3]]


def test_longest_gap_that_is_bridged():
    for missing, bridged in ((100, True), (101, False)):
        intake = make_intake()
        pieces = feed(intake, chunk_of(0, 300), chunk_of(300 + missing, 20))
        assert (not pieces[-1].restart, len(pieces) == 3) == (bridged, bridged)
        assert intake.counts.lost_samples == missing


def test_long_gap_starts_afresh():
    intake = make_intake()
    pieces = feed(intake, chunk_of(0, 200), chunk_of(500, 20), chunk_of(520, 20))
    assert [piece.restart for piece in pieces] == [True, True, False]
    assert pieces[1].stamp_ns == stamp_at(500)
    assert values(pieces[1]) == list(range(500, 520))
    assert intake.counts.faults() == {'lost_samples': 300, 'restarts': 1}


def test_gap_longer_than_what_is_known_starts_afresh():
    intake = make_intake()
    pieces = feed(intake, chunk_of(0, 200), chunk_of(500, 20), chunk_of(541, 20))
    assert [piece.restart for piece in pieces] == [True, True, True]
    assert intake.counts.faults() == {'lost_samples': 321, 'restarts': 2}


def test_bridging_can_be_switched_off():
    intake = make_intake(longest_bridge=0)
    pieces = feed(intake, chunk_of(0, 20), chunk_of(20, 20), chunk_of(41, 20))
    assert [piece.restart for piece in pieces] == [True, False, True]
    assert intake.counts.faults() == {'lost_samples': 1, 'restarts': 1}


def test_bridge_length_is_in_seconds():
    intake = Intake(2, 200.0)
    chunks = [chunk_of(first, 50, rate=200.0) for first in (0, 70, 141)]
    assert [p.restart for p in feed(intake, *chunks)] == [True, False, False, True]


def test_intake_keeps_no_more_than_a_bridge_needs():
    intake = make_intake()
    feed(intake, *(chunk_of(first, 1) for first in range(3000)))
    assert sum(len(samples) for samples in intake._recent) == 100


# ---- repeated and late samples


def test_repeated_chunk_is_dropped():
    intake = make_intake()
    pieces = feed(intake, chunk_of(0, 20), chunk_of(0, 20), chunk_of(20, 20), chunk_of(0, 20))
    assert [piece.stamp_ns for piece in pieces] == [stamp_at(0), stamp_at(20)]
    assert intake.counts == IntakeCounts(messages=4, samples=40, late_samples=40)


def test_repeated_single_sample_is_dropped():
    intake = make_intake()
    assert len(feed(intake, chunk_of(0, 1), chunk_of(0, 1), chunk_of(1, 1))) == 2
    assert intake.counts.faults() == {'late_samples': 1}


def test_late_chunk_is_dropped_as_its_place_was_bridged():
    intake = make_intake()
    pieces = feed(intake, chunk_of(0, 20), chunk_of(30, 20), chunk_of(20, 10), chunk_of(50, 20))
    assert [len(piece.samples) for piece in pieces] == [20, 10, 20, 20]
    assert not any(piece.restart for piece in pieces[1:])
    assert intake.counts.faults() == {
        'lost_samples': 10,
        'bridged_samples': 10,
        'late_samples': 10,
    }


def test_overlapping_chunk_is_trimmed_and_its_stamp_moved():
    intake = make_intake()
    _, piece = feed(intake, chunk_of(0, 20), chunk_of(13, 20))
    assert piece.stamp_ns == stamp_at(20)
    assert values(piece) == list(range(20, 33))
    assert intake.counts == IntakeCounts(messages=2, samples=33, late_samples=7)


def test_trimmed_samples_count_for_the_chunk_after():
    intake = make_intake()
    pieces = feed(intake, chunk_of(0, 20), chunk_of(13, 20), chunk_of(33, 20))
    assert values(pieces[-1]) == list(range(33, 53))
    assert intake.counts.faults() == {'late_samples': 7}


def test_repeated_chunk_of_many_seconds_is_dropped_and_no_new_start():
    intake = make_intake()
    pieces = feed(intake, chunk_of(0, 5000), chunk_of(0, 5000), chunk_of(4000, 5000))
    assert [len(piece.samples) for piece in pieces] == [5000, 4000]
    assert intake.counts.faults() == {'late_samples': 6000}


@pytest.mark.parametrize('rate', [1111.1, 2000 / 3, 30.3])
def test_rounded_stamps_of_an_overlap_are_no_new_start(rate):
    intake = Intake(2, rate)
    feed(intake, *(chunk_of(first, 20, rate=rate) for first in range(0, 1900, 19)))
    assert intake.counts.faults() == {'late_samples': 99}


# ---- new starts


def test_restarted_source_starts_afresh():
    intake = make_intake()
    again = [chunk_of(first, 20, start_ns=START_NS + 50 * MILLISECOND) for first in (0, 20)]
    pieces = feed(intake, chunk_of(0, 20), chunk_of(20, 20), *again)
    assert [piece.restart for piece in pieces] == [True, False, True, False]
    assert [values(piece)[0] for piece in pieces] == [0, 20, 0, 20]
    assert pieces[2].stamp_ns == again[0].stamp_ns
    assert intake.counts == IntakeCounts(messages=4, samples=80, restarts=1)


def test_source_that_restarts_at_once_starts_afresh():
    intake = make_intake()
    pieces = feed(intake, chunk_of(0, 20), chunk_of(0, 20, start_ns=stamp_at(20)))
    assert [piece.restart for piece in pieces] == [True, True]


def test_looping_bag_starts_afresh():
    intake = make_intake()
    bag = [chunk_of(first, 20) for first in range(0, 2000, 20)]
    pieces = feed(intake, *bag, *bag)
    assert [k for k, piece in enumerate(pieces) if piece.restart] == [0, 100]
    assert intake.counts == IntakeCounts(messages=200, samples=4000, restarts=1)


def test_clock_that_falls_back_starts_afresh():
    intake = make_intake()
    later = chunk_of(20, 20)
    pieces = feed(intake, chunk_of(0, 20), later._replace(stamp_ns=later.stamp_ns - 2 * 10**9))
    assert pieces[1].restart
    assert intake.counts.faults() == {'restarts': 1, 'clock_jumps': 1}


@pytest.mark.parametrize('gap', [0, 5])
def test_clock_that_jumps_ahead_of_the_counter_starts_afresh(gap):
    intake = make_intake()
    later = chunk_of(20 + gap, 20, start_ns=START_NS + 10**9 + MILLISECOND)
    pieces = feed(
        intake, chunk_of(0, 20), later, chunk_of(40 + gap, 20, start_ns=START_NS + 10**9)
    )
    assert [piece.restart for piece in pieces] == [True, True, False]
    lost = {'lost_samples': gap} if gap else {}
    assert intake.counts.faults() == {'restarts': 1, 'clock_jumps': 1, **lost}


def test_clock_that_is_set_by_less_than_a_second_changes_nothing():
    intake = make_intake()
    chunks = [chunk_of(20 * k, 20, start_ns=START_NS + k * 9 * 10**8) for k in range(4)]
    assert [piece.restart for piece in feed(intake, *chunks)] == [True, False, False, False]
    assert intake.counts.faults() == {}


# ---- age


def test_chunk_that_is_too_old_is_refused_and_its_samples_are_missing():
    intake = make_intake(greatest_age=0.05)
    ages = [0.0, 0.05, 0.051, -3.0]
    pieces = []
    for k, age in enumerate(ages):
        chunk = chunk_of(20 * k, 20)
        pieces += intake.accept(chunk, chunk.end_ns + round(age * 1e9))
    assert [values(piece)[0] for piece in pieces] == [0, 20, 39, 60]
    assert intake.counts.faults() == {
        'stale_messages': 1,
        'lost_samples': 20,
        'bridged_samples': 20,
    }


def test_age_is_not_judged_without_a_limit_or_without_a_clock():
    old = chunk_of(0, 20)
    assert list(make_intake().accept(old, old.end_ns + 10**12))
    assert list(make_intake(greatest_age=0.05).accept(old))


def test_counter_that_falls_far_back_starts_afresh_whatever_the_clock_says():
    """Otherwise a source that restarts while its clock is set back would be silent for hours."""
    intake = make_intake()
    feed(intake, chunk_of(3_600_000, 20))
    restarted = chunk_of(0, 20)._replace(stamp_ns=stamp_at(3_599_800))
    (piece,) = feed(intake, restarted)
    assert piece.restart
    assert intake.counts.faults() == {'restarts': 1}


def test_late_message_just_within_a_second_is_dropped():
    intake = make_intake()
    source = [chunk_of(first, 20) for first in range(0, 1000, 20)]
    assert feed(intake, *source, source[0])[-1].stamp_ns == source[-1].stamp_ns
    assert intake.counts.faults() == {'late_samples': 20}


def test_nothing_from_before_a_new_start_gets_into_a_bridge():
    intake = make_intake()
    again = [chunk_of(first, 5, start_ns=START_NS + 10**9) for first in (0, 11)]
    pieces = feed(intake, chunk_of(100, 200), *again)
    assert [piece.restart for piece in pieces] == [True, True, True]


def test_absurd_counter_is_survived():
    intake = make_intake()
    absurd = chunk_of(20, 20)._replace(first_sample=2**63)
    pieces = feed(intake, chunk_of(0, 20), absurd, chunk_of(40, 20), chunk_of(60, 20))
    assert [piece.restart for piece in pieces] == [True, True, True, False]


def test_reset_expects_a_new_source_and_keeps_the_counts():
    intake = make_intake()
    feed(intake, chunk_of(0, 200), chunk_of(205, 20))
    intake.reset()
    pieces = feed(intake, chunk_of(0, 20), chunk_of(50, 20))
    assert [piece.restart for piece in pieces] == [True, True]
    assert intake.counts == IntakeCounts(
        messages=4, samples=260, lost_samples=35, bridged_samples=5, restarts=1
    )


# ---- whatever comes


@st.composite
def disturbed_sources(draw):
    """Yield a rate and the messages of a source of less than a second, in any disorder."""
    rate = draw(st.sampled_from([RATE, 1111.1, 2000 / 3]))
    end = int(0.95 * rate)
    steps = st.one_of(st.just(0), st.just(0), st.integers(-60, 60), st.integers(-900, 900))
    messages, position = [], draw(st.integers(0, end // 2))
    for _ in range(draw(st.integers(1, 30))):
        position = min(max(0, position + draw(steps)), end - 1)
        count = min(draw(st.integers(1, 40)), end - position)
        chunk = chunk_of(position, count, rate=rate)
        fault = draw(st.sampled_from(['none'] * 6 + ['nan', 'channels', 'rate']))
        if fault == 'nan':
            chunk.samples[draw(st.integers(0, count - 1)), 0] = np.nan
        elif fault == 'channels':
            chunk = chunk._replace(samples=np.zeros((count, 3), dtype=np.float32))
        elif fault == 'rate':
            chunk = chunk._replace(sampling_rate=2 * rate)
        messages.append((fault, chunk))
        position += count
    return rate, messages


@settings(deadline=None, max_examples=200)
@given(disturbed_sources())
def test_counters_and_pieces_tell_the_same_story(source):
    rate, messages = source
    intake = Intake(2, rate)
    pieces = feed(intake, *(chunk for _, chunk in messages))
    measured, bridged, restarts, history, end = [], 0, 0, 0, None
    for piece in pieces:
        count = len(piece.samples)
        assert piece.samples.shape == (count, 2)
        assert count > 0
        assert np.isfinite(piece.samples).all()
        place = round((piece.stamp_ns - START_NS) * rate / 1e9)
        assert abs(piece.stamp_ns - START_NS - place * 1e9 / rate) <= 2
        if piece.restart:
            missing = 0 if end is None else place - end
            restarts += end is not None
            assert end is None or missing > min(history, round(0.1 * rate))
            history = 0
        else:
            assert place == end
        end = place + count
        real = np.array(values(piece)) == np.arange(place, end)
        assert real.all() or not real.any()
        if real.all():
            measured += range(place, end)
            history += count
        else:
            bridged += count
            assert count <= min(history, round(0.1 * rate))
    assert measured == sorted(set(measured))
    good = [chunk for fault, chunk in messages if fault == 'none']
    lost = measured[-1] + 1 - measured[0] - len(measured) if measured else 0
    assert intake.counts == IntakeCounts(
        messages=len(messages),
        samples=len(measured),
        wrong_channels=sum(fault == 'channels' for fault, _ in messages),
        wrong_rate=sum(fault == 'rate' for fault, _ in messages),
        not_finite=sum(fault == 'nan' for fault, _ in messages),
        lost_samples=lost,
        bridged_samples=bridged,
        late_samples=sum(len(chunk.samples) for chunk in good) - len(measured),
        restarts=restarts,
    )
