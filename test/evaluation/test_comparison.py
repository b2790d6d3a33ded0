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

"""Offline scores against figures worked out by hand."""

from dataclasses import replace
import json
from math import degrees, nan, sqrt

from builders import (
    cut,
    emg_of,
    HOLD_OUT,
    JOINTS,
    make_checkpoint,
    make_emg,
    make_recording,
    PERIOD_NS,
    START_NS,
)
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import JointTrack, LabelTrack, NANOSECONDS
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.evaluation.comparison import compare, decode_recording, join
from leconvmn_ros.evaluation.metrics import as_json
import numpy as np
import pytest

SPAN_NS = (0, 100)


def track(stamps, columns, names=('a', 'b')):
    return JointTrack(
        np.array(stamps, dtype=np.int64), names, np.array(columns, dtype=np.float64).T
    )


# Repetition 3 is the test: times 30 to 59. Repetition 2, after it, is for validation.
LABELS = LabelTrack(np.array([0, 30, 60]), np.array([1, 1, 1]), np.array([1, 3, 2]))
REFERENCE = track([0, 20, 40, 60], [[0, 2, 4, 2], [1, 1, 1, 1]])
ESTIMATES = track([10, 30, 40, 50, 60], [[1, 2, 5, 3, 9], [1, 1, 2, 0, 9]])


def test_truth_is_interpolated_and_only_the_test_is_kept():
    comparison = compare(ESTIMATES, REFERENCE, LABELS, SPAN_NS, HOLD_OUT)
    assert comparison.stamps_ns.tolist() == [30, 40, 50]
    assert comparison.truth == pytest.approx(np.array([[3, 1], [4, 1], [3, 1]]))
    assert comparison.estimate.tolist() == [[2, 1], [5, 2], [3, 0]]
    everything = compare(ESTIMATES, REFERENCE, None, SPAN_NS, None)
    assert everything.stamps_ns.tolist() == [10, 30, 40, 50, 60]


def test_figures_are_those_worked_out_by_hand():
    report = as_json(compare(ESTIMATES, REFERENCE, LABELS, SPAN_NS, HOLD_OUT).score())
    # Joint a has truth 3, 4, 3 and estimate 2, 5, 3: errors of 1, -1, 0, and spreads of -1, 2, -1
    # and -4, 5, -1 thirds.
    a = report['joints']['a']
    assert a['cc'] == pytest.approx(15 / 9 / sqrt(6 / 9 * 42 / 9))
    assert a['rmse'] == pytest.approx(degrees(sqrt(2 / 3)))
    assert a['nrmse'] == pytest.approx(sqrt(2 / 3))
    assert a['r2'] == pytest.approx(1 - 2 / (6 / 9))
    assert a['mae'] == pytest.approx(degrees(2 / 3))
    assert 'reason' not in a
    # Joint b never moves: what is not defined is null, with a reason.
    b = report['joints']['b']
    assert [b[metric] for metric in ('cc', 'nrmse', 'r2')] == [None] * 3
    assert 'constant' in b['reason']
    assert b['rmse'] == pytest.approx(degrees(sqrt(2 / 3)))
    mean = report['mean']
    assert mean['cc'] == a['cc']
    assert mean['mae'] == pytest.approx((a['mae'] + b['mae']) / 2)
    assert 'cc without b' in mean['reason']
    assert report['count'] == 3
    assert report['units'] == {'rmse': 'deg', 'mae': 'deg'}
    # Strict JSON, that is without NaN.
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_joints_are_compared_by_name():
    swapped = track([0, 20, 40, 60], [[1, 1, 1, 1], [0, 2, 4, 2], [7] * 4], ('b', 'a', 'c'))
    one, other = (
        compare(ESTIMATES, reference, LABELS, SPAN_NS, HOLD_OUT)
        for reference in (REFERENCE, swapped)
    )
    np.testing.assert_array_equal(one.truth, other.truth)
    assert other.names == ('a', 'b')
    with pytest.raises(RecordingError, match='no joint a'):
        compare(ESTIMATES, track([0, 20], [[1, 2]], ('b',)), LABELS, SPAN_NS, None)


def test_reference_in_degrees_is_not_scored():
    degrees = JointTrack(REFERENCE.stamps_ns, REFERENCE.names, np.degrees(REFERENCE.positions))
    with pytest.raises(RecordingError, match=r'angles of a go from .* look like degrees'):
        compare(ESTIMATES, degrees, LABELS, SPAN_NS, HOLD_OUT)


def test_estimates_without_a_reference_are_left_out():
    reference = track([0, 20, 40], [[0, nan, nan], [1, 1, 1]])
    with pytest.raises(RecordingError, match='nothing to score'):
        compare(ESTIMATES, reference, None, SPAN_NS, None)
    reference = track([0, 20, 40], [[0, 2, 4], [1, 1, nan]])
    comparison = compare(ESTIMATES, reference, None, SPAN_NS, None)
    assert comparison.stamps_ns.tolist() == [10]


def test_nothing_to_score_says_why():
    late = track([1000], [[1], [1]])
    with pytest.raises(RecordingError) as caught:
        compare(late, REFERENCE, None, SPAN_NS, None)
    assert str(caught.value) == 'nothing to score: 1 estimates, 0 of them with a reference angle'
    early = track([10], [[1], [1]])
    with pytest.raises(RecordingError, match=r'1 of them .*, none of these in the held-out part'):
        compare(early, REFERENCE, LABELS, SPAN_NS, HOLD_OUT)


def test_joined_comparisons_are_scored_as_one():
    one = compare(ESTIMATES, REFERENCE, LABELS, SPAN_NS, HOLD_OUT)
    both = join([one, one._replace(estimate=one.estimate + 1)])
    assert both.names == one.names
    assert both.score().count == 6
    # a: errors 1, -1, 0 and 0, -2, -1 (truth less estimate)
    assert both.score().joints['a'].rmse == pytest.approx(degrees(sqrt((2 + 5) / 6)))


def test_recording_is_decoded_chunk_by_chunk_as_if_it_came_in_live():
    recording = make_recording()
    checkpoint = make_checkpoint()
    shares = []
    estimates = decode_recording(Decoder(checkpoint), recording, shares.append)
    decoder = Decoder(checkpoint)
    expected = [e for chunk in cut(emg_of(recording), []) for e in decoder.decode(chunk)]
    assert estimates.names == JOINTS
    assert estimates.stamps_ns.tolist() == [e.stamp_ns for e in expected]
    np.testing.assert_allclose(estimates.positions, [e.positions for e in expected], atol=1e-6)
    assert estimates.stamps_ns[0] == START_NS + 9 * PERIOD_NS
    assert shares == [0.5, 1.0]


@pytest.mark.parametrize('output_rate', [0.0, 30.0, 50.0])
def test_faults_of_a_recording_meet_the_same_rules_as_live(output_rate):
    emg = make_emg(900)
    emg[300:620, 1] = 0  # dead for a time
    chunks = cut(emg, [7] * 200)
    chunks[9].samples[2, 0] = nan
    del chunks[40], chunks[60:75]  # a gap to bridge, and one that is too long
    # The source starts anew.
    later = [c._replace(stamp_ns=c.stamp_ns + 60 * NANOSECONDS) for c in cut(emg, [9] * 40)]
    recording = replace(make_recording(), chunks=chunks + later)
    decoder, live = (Decoder(make_checkpoint(), output_rate=output_rate) for _ in range(2))
    estimates = decode_recording(decoder, recording)
    expected = [e for chunk in recording.chunks for e in live.decode(chunk)]
    assert estimates.stamps_ns.tolist() == [e.stamp_ns for e in expected]
    np.testing.assert_allclose(
        estimates.positions, [e.positions for e in expected], rtol=0, atol=1e-6
    )
    assert decoder.counts == live.counts
    assert {'restarts', 'bridged_samples', 'not_finite', 'flat_channels'} <= set(
        live.counts.faults()
    )


def test_recording_without_an_estimate_gives_an_empty_track():
    recording = make_recording(repetitions=1, repetition_length=9)
    estimates = decode_recording(Decoder(make_checkpoint()), recording)
    assert estimates.stamps_ns.shape == (0,)
    assert estimates.positions.shape == (0, len(JOINTS))
