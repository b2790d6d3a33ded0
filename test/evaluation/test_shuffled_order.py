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

"""Shuffled order: one stream of rearranged EMG, decoded as live, scored against its own truth."""

from dataclasses import replace

from builders import (
    changed_where,
    cut,
    emg_of,
    evenly_cut,
    JOINTS,
    make_checkpoint,
    make_recording,
    PERIOD_NS,
    START_NS,
)
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import LabelTrack
from leconvmn_ros.dataset.alignment import angles_at
from leconvmn_ros.dataset.hold_out import RepetitionHoldOut, Role
from leconvmn_ros.dataset.repetitions import held_out_repetitions
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.evaluation.comparison import decode_recording
from leconvmn_ros.evaluation.recording_scores import evaluation_report, score_recording
from leconvmn_ros.evaluation.shuffled_order import decode_shuffled
import numpy as np
import pytest

HOLD_OUT = RepetitionHoldOut(validation=(1,), test=(2, 3))
LENGTH = 110  # samples of a repetition; not a whole number of images and chunks


def labelled(movements=3):
    """Return a recording of some movements, three times each in a row, with rests."""
    samples = movements * 3 * LENGTH
    recording = make_recording(repetitions=1, repetition_length=samples)
    entries = []
    for place in range(movements * 3):
        start = START_NS + place * LENGTH * PERIOD_NS
        movement, repetition = place // 3 + 1, place % 3 + 1
        entries += [(start, movement, repetition), (start + 60 * PERIOD_NS, 0, repetition)]
    return replace(recording, labels=LabelTrack(*np.array(entries, dtype=np.int64).T))


def shuffled(recording, **options):
    options = {'orders': 2, 'seed': 0} | options
    return decode_shuffled(
        Decoder(make_checkpoint()),
        held_out_repetitions(recording, HOLD_OUT),
        recording.reference,
        **options,
    )


def scores(recording, **options):
    decoder = Decoder(make_checkpoint())
    estimates = decode_recording(decoder, recording)
    return score_recording(
        decoder, recording, estimates, HOLD_OUT, **{'orders': 3, 'seed': 0} | options
    )


def test_estimates_are_those_of_the_rearranged_emg_as_one_stream():
    recording = labelled()
    emg = emg_of(recording)
    for stream in shuffled(recording):
        places = [(r.movement - 1) * 3 + r.repetition - 1 for r in stream.repetitions]
        assert sorted(places) == [1, 2, 4, 5, 7, 8]
        joined = np.concatenate([emg[p * LENGTH : (p + 1) * LENGTH] for p in places])
        # Chunks of another size, and the other way to decode: so it would be live.
        decoder = Decoder(make_checkpoint())
        live = [e for chunk in cut(joined, [7] * 200) for e in decoder.decode(chunk)]
        live = {e.stamp_ns: e.positions for e in live}
        assert set(stream.comparison.stamps_ns.tolist()) <= set(live)
        expected = np.array([live[s] for s in stream.comparison.stamps_ns.tolist()])
        np.testing.assert_allclose(stream.comparison.estimate, expected, atol=1e-5)


def test_the_truth_is_that_of_the_samples_that_were_decoded():
    recording = labelled()
    for stream in shuffled(recording):
        sample = (stream.comparison.stamps_ns - START_NS) // PERIOD_NS
        places = np.array([(r.movement - 1) * 3 + r.repetition - 1 for r in stream.repetitions])
        source = places[sample // LENGTH] * LENGTH + sample % LENGTH
        truth, known = angles_at(recording.reference, JOINTS, START_NS + source * PERIOD_NS)
        assert known.all()
        np.testing.assert_allclose(stream.comparison.truth, truth)


def test_orders_differ_and_are_the_same_for_a_seed():
    recording = labelled()
    orders = [stream.repetitions for stream in shuffled(recording, orders=3)]
    assert len({tuple((r.movement, r.repetition) for r in order) for order in orders}) == 3
    assert orders == [stream.repetitions for stream in shuffled(recording, orders=3)]
    assert orders != [stream.repetitions for stream in shuffled(recording, orders=3, seed=1)]


def test_state_is_carried_over_the_borders_and_only_reset_between_orders():
    """The first repetition does not know what was decoded before, the second does."""
    recording = labelled()
    held_out = held_out_repetitions(recording, HOLD_OUT)
    one = shuffled(recording, orders=1)[0]
    both = decode_shuffled(Decoder(make_checkpoint()), held_out, recording.reference, orders=2)
    np.testing.assert_array_equal(one.comparison.estimate, both[0].comparison.estimate)
    second = one.repetitions[1]
    inside = one.comparison.stamps_ns >= second.start_ns
    decoder = Decoder(make_checkpoint())
    place = (second.movement - 1) * 3 + second.repetition - 1
    alone = emg_of(recording)[place * LENGTH : (place + 1) * LENGTH]
    fresh = [e for chunk in evenly_cut(alone, 10) for e in decoder.decode(chunk)]
    fresh = np.array([e.positions for e in fresh])
    carried = one.comparison.estimate[inside][: len(fresh)]
    assert np.abs(carried - fresh[: len(carried)]).max() > 1e-3


def test_nothing_but_the_held_out_repetitions_is_decoded():
    recording = labelled()
    other = changed_where(recording, Role.TRAINING, HOLD_OUT)
    for one, same in zip(shuffled(recording), shuffled(other), strict=True):
        np.testing.assert_array_equal(one.comparison.estimate, same.comparison.estimate)


def test_one_repetition_has_no_order():
    recording = labelled(movements=1)
    with pytest.raises(RecordingError, match='1 whole repetitions are held out'):
        decode_shuffled(
            Decoder(make_checkpoint()),
            held_out_repetitions(recording, HOLD_OUT)[:1],
            recording.reference,
        )


def test_the_report_leads_with_the_shuffled_order_and_keeps_the_usual_one():
    report = evaluation_report([scores(labelled())])
    assert next(iter(report)) == 'shuffled_order'
    shuffled_order = report['shuffled_order']
    assert shuffled_order['orders'] == len(shuffled_order['cc_of_orders']) == 3
    assert shuffled_order['repetitions'] == 6
    assert set(shuffled_order['joints']) == set(report['joints']) == set(JOINTS)
    # All that was held out, three times over but for what completes no image at the start.
    assert 2.9 * report['count'] < shuffled_order['count'] <= 3 * report['count']
    assert shuffled_order['mean']['cc'] != report['mean']['cc']


def test_the_overlap_in_context_is_told():
    overlap = scores(labelled()).overlap
    # Of the test repetitions 2, 3 of each movement only the second ones follow the training.
    assert overlap.follows_training == 0.5
    # The movement before them is the same one; the training part has no such sequence here.
    assert overlap.same_before == 0
    assert overlap.same_before_shuffled is not None


def test_without_labels_or_on_request_there_is_only_the_usual_order():
    recording = labelled()
    quiet = scores(recording, orders=0)
    assert (quiet.shuffled, quiet.reason) == ((), 'not asked for')
    assert evaluation_report([quiet])['shuffled_order'] is None
    decoder = Decoder(make_checkpoint())
    unlabelled = replace(recording, labels=None)
    estimates = decode_recording(decoder, unlabelled)
    found = score_recording(decoder, unlabelled, estimates, None, orders=2)
    assert found.reason == 'made up has no movement labels'
    assert found.overlap is None
