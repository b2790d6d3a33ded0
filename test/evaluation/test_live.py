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

"""What the live evaluator makes of what it hears."""

import json
from statistics import median

from builders import HOLD_OUT, JOINTS, make_checkpoint, make_recording, PERIOD_NS, START_NS
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import JointTrack
from leconvmn_ros.dataset.hold_out import BlockHoldOut
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.emg.latency import EMG_MEMORY, ESTIMATE_MEMORY
from leconvmn_ros.evaluation.comparison import compare, decode_recording
from leconvmn_ros.evaluation.live import Session
from leconvmn_ros.evaluation.metrics import as_json
import numpy as np
import pytest

MS = 1_000_000


@pytest.fixture(scope='module')
def recording():
    return make_recording()


@pytest.fixture(scope='module')
def estimates(recording):
    return decode_recording(Decoder(make_checkpoint(), output_rate=50), recording)


def angles(names, positions):
    return dict(zip(names, map(float, positions), strict=True))


def hear_emg(session, recording, published=lambda chunk: chunk.stamp_ns):
    for chunk in recording.chunks:
        session.add_emg(chunk, published(chunk))


def hear_reference(session, track, order=None):
    rows = range(len(track.stamps_ns)) if order is None else order
    for row in rows:
        session.add_reference(int(track.stamps_ns[row]), angles(track.names, track.positions[row]))


def hear_labels(session, labels):
    for stamp, movement, repetition in zip(
        labels.stamps_ns.tolist(), labels.movement, labels.repetition, strict=True
    ):
        session.add_label(stamp, int(movement), int(repetition))


def hear_estimates(session, track, rows=None, delay_ns=3 * MS):
    for row in range(len(track.stamps_ns)) if rows is None else rows:
        stamp_ns = int(track.stamps_ns[row])
        session.add_estimate(
            stamp_ns, angles(track.names, track.positions[row]), stamp_ns + delay_ns
        )


def heard(recording, estimates, hold_out=HOLD_OUT):
    session = Session(hold_out)
    hear_emg(session, recording)
    hear_labels(session, recording.labels)
    hear_reference(session, recording.reference)
    hear_estimates(session, estimates)
    return session


def offline(recording, estimates, hold_out=HOLD_OUT):
    return compare(estimates, recording.reference, recording.labels, recording.span_ns, hold_out)


def assert_same_comparison(one, other):
    assert one.names == other.names
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('hold_out', [None, HOLD_OUT, BlockHoldOut()])
def test_same_figures_as_offline(recording, estimates, hold_out):
    session = heard(recording, estimates, hold_out)
    expected = offline(recording, estimates, hold_out)
    assert_same_comparison(session.compare(), expected)
    report = session.report()
    assert report == report | as_json(expected.score())
    assert report['estimates'] == len(estimates.stamps_ns)
    assert report['emg_messages'] == len(recording.chunks)
    assert report['missing_estimates'] == report['lost_emg_samples'] == 0
    assert report['refused_messages'] == 0
    json.dumps(report, allow_nan=False)


def test_order_of_arrival_does_not_matter(recording, estimates):
    random = np.random.default_rng(0)
    session = Session(HOLD_OUT)
    hear_estimates(session, estimates, random.permutation(len(estimates.stamps_ns)))
    hear_reference(
        session, recording.reference, random.permutation(len(recording.reference.stamps_ns))
    )
    hear_labels(session, recording.labels)
    hear_emg(session, recording)
    assert_same_comparison(session.compare(), offline(recording, estimates))


def test_other_joint_order_and_more_joints_are_matched_by_name(recording, estimates):
    session = Session(HOLD_OUT)
    hear_emg(session, recording)
    hear_labels(session, recording.labels)
    track = recording.reference
    for row, stamp_ns in enumerate(track.stamps_ns.tolist()):
        order = [2, 0, 1] if row % 2 else [1, 2, 0]
        session.add_reference(
            stamp_ns,
            angles((JOINTS[j] for j in order), track.positions[row, order])
            | ({'wrist': 9.0} if row % 3 else {}),
        )
    for row, stamp_ns in enumerate(estimates.stamps_ns.tolist()):
        order = [0, 1, 2] if row == 0 else [2, 1, 0]
        session.add_estimate(
            stamp_ns, angles((JOINTS[j] for j in order), estimates.positions[row, order]), 0
        )
    assert_same_comparison(session.compare(), offline(recording, estimates))
    assert session.refused == 0


def test_states_that_are_not_finite_are_refused_and_those_of_others_are_no_input():
    session = Session(None)
    session.add_estimate(1, {}, 2)
    session.add_estimate(1, {'wheel': 1.0}, 2)
    session.add_reference(1, {'wheel': np.nan})
    assert session.refused == 0
    session.add_estimate(1, {JOINTS[0]: np.nan, JOINTS[1]: 0.1}, 2)
    session.add_reference(1, {JOINTS[0]: np.inf})
    assert session.refused == 2
    assert len(session.estimates.stamps_ns) == 0
    session.add_estimate(1, {JOINTS[0]: 0.2, JOINTS[1]: 0.1, 'wheel': np.nan}, 2)
    assert session.estimates.names == JOINTS[:2]


@pytest.mark.parametrize('who', ['estimates', 'reference'])
def test_joints_that_come_one_by_one_are_put_together(recording, estimates, who):
    """Sent finger by finger, each in a message of its own, some with the same stamp."""
    session = Session(HOLD_OUT)
    hear_emg(session, recording)
    hear_labels(session, recording.labels)
    tracks = {'estimates': estimates, 'reference': recording.reference}
    for name, track in tracks.items():
        for row, stamp_ns in enumerate(track.stamps_ns.tolist()):
            state = angles(track.names, track.positions[row])
            parts = [{joint: value} for joint, value in state.items()] if name == who else [state]
            for part in parts:
                if name == 'estimates':
                    session.add_estimate(stamp_ns, part, 0)
                else:
                    session.add_reference(stamp_ns, part)
    assert_same_comparison(session.compare(), offline(recording, estimates))


def test_joints_that_come_in_turns_are_scored_where_both_are_known(recording, estimates):
    session = Session(None)
    hear_reference(session, recording.reference)
    for row, stamp_ns in enumerate(estimates.stamps_ns.tolist()):
        state = angles(estimates.names, estimates.positions[row])
        kept = JOINTS[:1] if row % 2 else JOINTS[1:]
        session.add_estimate(stamp_ns, {name: state[name] for name in kept}, 0)
    comparison = session.compare()
    assert len(comparison.stamps_ns) >= len(estimates.stamps_ns) - 2
    inside = np.isin(estimates.stamps_ns, comparison.stamps_ns)
    assert np.abs(comparison.estimate - estimates.positions[inside]).max() < 0.2


def test_estimates_without_a_reference_are_counted_and_lost_messages_too(recording, estimates):
    session = Session(HOLD_OUT)
    hear_emg(session, recording)
    hear_labels(session, recording.labels)
    whole = heard(recording, estimates).report()
    assert whole['unscored_estimates'] == 0
    assert whole['lost_messages'] == {'estimates': 0, 'reference': 0}
    track = recording.reference
    lost = range(len(track.stamps_ns) // 2, len(track.stamps_ns) - 40)
    for row in sorted(set(range(len(track.stamps_ns))) - set(lost)):
        session.add_reference(
            int(track.stamps_ns[row]), angles(track.names, track.positions[row]), sequence=row + 1
        )
    for row, stamp_ns in enumerate(estimates.stamps_ns.tolist()):
        session.add_estimate(
            stamp_ns, angles(estimates.names, estimates.positions[row]), 0, sequence=1000 + row
        )
    report = session.report()
    assert report['lost_messages'] == {'estimates': 0, 'reference': len(lost)}
    assert report['count'] + report['unscored_estimates'] == whole['count']
    assert report['unscored_estimates'] > 0


def test_messages_of_a_publisher_that_starts_again_are_not_lost():
    session = Session(None)
    for stamp_ns, number in enumerate([5, 6, 8, 1, 2, None, 3]):
        session.add_reference(stamp_ns, {JOINTS[0]: 0.1}, sequence=number)
    assert session.report()['lost_messages'] == {'estimates': 0, 'reference': 1}


def test_is_settled_once_reference_and_estimates_reach_the_end(recording, estimates):
    session = Session(None)
    assert session.settled  # nothing came, so nothing is under way
    hear_emg(session, recording)
    hear_estimates(session, estimates, range(10))
    hear_reference(session, recording.reference)
    assert not session.settled
    hear_estimates(session, estimates)
    assert session.settled


def test_nothing_to_score_is_told_with_the_counts(recording, estimates):
    session = Session(HOLD_OUT)
    assert session.report()['reason'].startswith('nothing to score: 0 estimates and 0 reference')
    assert session.report()['latency_ms'] is None
    with pytest.raises(RecordingError):
        session.compare()
    hear_estimates(session, estimates)
    assert '0 reference states' in session.report()['reason']
    hear_reference(session, recording.reference)
    assert 'no movement labels' in session.report()['reason']
    json.dumps(session.report(), allow_nan=False)


@pytest.mark.parametrize('delay_ns', [0, 3 * MS, 70 * MS])
@pytest.mark.parametrize('emg_comes', ['first', 'last', 'between'])
def test_latency_is_from_the_message_that_completed_the_estimate(
    recording, estimates, delay_ns, emg_comes
):
    session = Session(None)
    # Published when the last sample was there, received some time after: 9 samples are in between.
    published = {c.stamp_ns: c.stamp_ns + 9 * PERIOD_NS for c in recording.chunks}
    arrivals = {}
    for row, stamp_ns in enumerate(estimates.stamps_ns.tolist()):
        chunk = max(start for start in published if start <= stamp_ns)
        arrivals[row] = published[chunk] + delay_ns + (row % 7) * MS
    events = [(chunk.stamp_ns, 0, chunk) for chunk in recording.chunks]
    shift = {'first': 10**12, 'last': -200 * MS, 'between': 0}[emg_comes]
    events += [(int(estimates.stamps_ns[row]) + shift, 1, row) for row in arrivals]
    for _, _, event in sorted(events, key=lambda e: e[:2]):
        if isinstance(event, int):
            session.add_estimate(
                int(estimates.stamps_ns[event]),
                angles(JOINTS, estimates.positions[event]),
                arrivals[event],
            )
        else:
            session.add_emg(event, published[event.stamp_ns])
    latency = session.report()['latency_ms']
    expected = [delay_ns / MS + row % 7 for row in arrivals]
    assert latency['count'] == len(arrivals)
    assert latency['median'] == pytest.approx(median(expected))
    assert latency['p99'] == pytest.approx(np.percentile(expected, 99))


def test_an_estimate_with_a_stamp_of_nowhere_spoils_no_latency(recording, estimates):
    session = Session(None)
    session.add_estimate(2**62, angles(JOINTS, estimates.positions[0]), 2**62)
    session.add_estimate(1, angles(JOINTS, estimates.positions[0]), 2**62)
    hear_emg(session, recording)
    hear_estimates(session, estimates)
    latency = session.report()['latency_ms']
    assert latency['count'] == len(estimates.stamps_ns)


def test_estimates_whose_emg_never_came_have_no_latency(recording, estimates):
    session = Session(None)
    for chunk in recording.chunks[:10] + recording.chunks[20:]:
        session.add_emg(chunk, chunk.stamp_ns)
    hear_estimates(session, estimates)
    in_hole = (estimates.stamps_ns >= recording.chunks[10].stamp_ns) & (
        estimates.stamps_ns < recording.chunks[20].stamp_ns
    )
    report = session.report()
    assert report['latency_ms']['count'] == len(estimates.stamps_ns) - in_hole.sum()
    assert report['lost_emg_samples'] == 100
    assert 0 <= report['latency_ms']['median'] <= 103


def test_emg_of_the_next_lap_did_not_complete_an_estimate_of_this_one(recording, estimates):
    session = Session(None)
    stamp_ns = int(estimates.stamps_ns[0])
    session.add_estimate(stamp_ns, angles(JOINTS, estimates.positions[0]), stamp_ns)
    hear_emg(session, recording, lambda chunk: chunk.stamp_ns + 10**12)
    assert session.report()['latency_ms'] is None


def test_memory_for_latencies_is_bounded(recording, estimates):
    session = Session(None)
    for number in range(2 * EMG_MEMORY):
        later = recording.chunks[0]._replace(stamp_ns=START_NS + number * PERIOD_NS)
        session.add_emg(later, later.stamp_ns)
    for number in range(3 * ESTIMATE_MEMORY):
        session.add_estimate(2**60 + number, angles(JOINTS, estimates.positions[0]), 2**61)
    assert len(session._latency._emg) == EMG_MEMORY
    assert len(session._latency._waiting) == ESTIMATE_MEMORY


@pytest.mark.parametrize(
    ('missing', 'expected'), [([], 0), ([20], 1), ([20, 21, 22], 3), ([5, 50, 51, 90], 4)]
)
def test_missing_estimates_are_counted(recording, estimates, missing, expected):
    session = Session(None)
    rows = [row for row in range(len(estimates.stamps_ns)) if row not in missing]
    hear_estimates(session, estimates, rows)
    assert session.report()['missing_estimates'] == expected
    hear_reference(session, recording.reference)
    assert session.report()['estimates'] == len(rows)


def test_uneven_polyphase_rhythm_has_nothing_missing(recording):
    # 3 streams over 10 samples: steps of 3, 3 and 4.
    uneven = decode_recording(Decoder(make_checkpoint(), output_rate=30), recording)
    assert len(set(np.diff(uneven.stamps_ns).tolist())) == 2
    session = Session(None)
    hear_estimates(session, uneven)
    assert session.report()['missing_estimates'] == 0


def test_late_messages_are_not_lost(recording):
    session = Session(None)
    order = list(range(len(recording.chunks)))
    order[10], order[11] = 11, 10
    order.remove(30)
    for number in order:
        session.add_emg(recording.chunks[number], 0)
    assert session.lost_samples == 10


def test_a_loop_counts_once_and_its_last_lap_counts(recording, estimates):
    session = Session(HOLD_OUT)
    for lap in range(3):
        hear_labels(session, recording.labels)
        hear_reference(session, recording.reference)
        moved = estimates.positions + (0.0 if lap == 2 else 1.0)
        for chunk in recording.chunks:
            session.add_emg(chunk, lap * 10**12 + chunk.stamp_ns + 9 * PERIOD_NS)
            inside = (estimates.stamps_ns >= chunk.stamp_ns) & (
                estimates.stamps_ns < chunk.stamp_ns + 10 * PERIOD_NS
            )
            for row in np.flatnonzero(inside):
                received_ns = lap * 10**12 + chunk.stamp_ns + 9 * PERIOD_NS + 4 * MS
                session.add_estimate(
                    int(estimates.stamps_ns[row]), angles(JOINTS, moved[row]), received_ns
                )
    assert_same_comparison(session.compare(), offline(recording, estimates))
    report = session.report()
    assert report['estimates'] == len(estimates.stamps_ns)
    assert report['lost_emg_samples'] == report['missing_estimates'] == 0
    assert report['latency_ms'] == {
        'median': pytest.approx(4),
        'p99': pytest.approx(4),
        'most': pytest.approx(4),
        'count': 3 * len(estimates.stamps_ns),
    }


def test_span_without_emg_is_that_of_the_estimates(recording, estimates):
    session = Session(None)
    hear_estimates(session, estimates)
    hear_reference(session, recording.reference)
    assert session.compare().stamps_ns[0] == START_NS + 9 * PERIOD_NS


@pytest.mark.parametrize('lag', [0.2, -0.1])
def test_a_late_reference_is_scored_where_it_was_true(recording, estimates, lag):
    track = recording.reference
    late = JointTrack(track.stamps_ns + round(lag * 1000) * MS, track.names, track.positions)
    session = Session(HOLD_OUT, reference_lag=lag)
    hear_emg(session, recording)
    hear_labels(session, recording.labels)
    hear_reference(session, late)
    hear_estimates(session, estimates)
    np.testing.assert_array_equal(
        session.compare().truth, heard(recording, estimates).compare().truth
    )
