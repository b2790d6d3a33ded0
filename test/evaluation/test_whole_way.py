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

"""Replay, decoder and evaluator together, over real DDS: live gives what offline gives."""

import json
from typing import Any, NamedTuple

from leconvmn_ros.core.recording import JointTrack
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.evaluation.comparison import compare, decode_recording
from leconvmn_ros.evaluation.metrics import as_json
from leconvmn_ros.evaluation.tables import read_estimates
from leconvmn_ros.recordings.bags import read_bag
from node_harness import started_nodes
import numpy as np
import pytest
from small_recordings import small_bag, untrained_checkpoint

HELD_BACK = {'lossless': True}


class Outcome(NamedTuple):
    report: dict[str, Any]
    estimates: JointTrack


def go_live(folder, bag, checkpoint, *, output_rate, rate, profiles):
    """Run the three nodes and return what the evaluator wrote."""
    with started_nodes(folder) as start:
        decoder = start(
            'decoder',
            parameters={
                'device': 'cpu',
                'checkpoint': checkpoint,
                'output_rate': output_rate,
                # A machine that stalls is no source that fell silent.
                'input_timeout': 0.0,
                'longest_wait': 0.0,
                **profiles,
            },
        )
        evaluator = start(
            'evaluator', parameters={'checkpoint': checkpoint, 'output': folder, **profiles}
        )
        replay = start(
            'replay',
            parameters={
                **profiles,
                'bag': bag,
                'rate': rate,
                'subscribers': 2,
                'subscriber_timeout': 60.0,
            },
        )
        assert replay.wait() == 0, replay.text
        assert evaluator.wait() == 0, evaluator.text
        decoder.end()
        for node in (decoder, evaluator, replay):
            assert warnings(node.text) == [], node.text
    report = json.loads((folder / 'scores.json').read_text())
    return Outcome(report, read_estimates(folder / 'estimates.csv'))


def warnings(text):
    """Return the warnings of a node, but for that of a decoder that waits for slow starters."""
    return [
        line for line in text.splitlines() if 'WARN' in line and 'no EMG to decode' not in line
    ]


def go_offline(bag, checkpoint, output_rate):
    loaded, recording = load_checkpoint(checkpoint), read_bag(bag)
    estimates = decode_recording(Decoder(loaded, output_rate=output_rate), recording)
    hold_out = loaded.description.training.hold_out
    comparison = compare(
        estimates, recording.reference, recording.labels, recording.span_ns, hold_out
    )
    return Outcome(as_json(comparison.score()), estimates)


def assert_equal(live, offline):
    assert live.estimates.names == offline.estimates.names
    np.testing.assert_array_equal(live.estimates.stamps_ns, offline.estimates.stamps_ns)
    # The same bits: the engine is chosen by a rule, and a batch gives what single images give.
    np.testing.assert_array_equal(live.estimates.positions, offline.estimates.positions)
    assert live.report['count'] == offline.report['count'] > 0
    scores = {'mean': offline.report['mean'], **offline.report['joints']}
    for name, expected in scores.items():
        found = live.report['mean'] if name == 'mean' else live.report['joints'][name]
        # Relative: the scores of an untrained network are large (an R2 of -20).
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert np.ptp(offline.estimates.positions, axis=0).max() > 0.01


def assert_nothing_lost(report):
    assert report['lost_emg_samples'] == report['missing_estimates'] == 0
    assert report['refused_messages'] == 0
    assert report['latency_ms']['count'] > 0.9 * report['estimates']


@pytest.mark.parametrize(
    ('rate', 'profiles'), [(0.0, HELD_BACK), (1.0, {})], ids=['unlimited', 'real time']
)
def test_live_equals_offline(tmp_path, rate, profiles):
    bag = small_bag(tmp_path, 5.5)
    checkpoint = untrained_checkpoint(tmp_path)
    live = go_live(tmp_path, bag, checkpoint, output_rate=50.0, rate=rate, profiles=profiles)
    offline = go_offline(bag, checkpoint, 50.0)
    assert len(offline.estimates.stamps_ns) == 271  # the first image takes 100 ms
    assert_equal(live, offline)
    assert_nothing_lost(live.report)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('planes', 'output_rate'), [((16, 16), 50.0), ((64, 32), 10.0)], ids=['small', 'paper']
)
def test_db2_geometry(tmp_path, planes, output_rate):
    # Held back where the machine is too busy: whether it keeps up is for `leconvmn_ros speed`.
    bag = small_bag(tmp_path, 5.5, rate=2000.0, channels=12)
    checkpoint = untrained_checkpoint(tmp_path, rate=2000.0, channels=12, planes=planes)
    live = go_live(
        tmp_path, bag, checkpoint, output_rate=output_rate, rate=1.0, profiles=HELD_BACK
    )
    assert_nothing_lost(live.report)
    assert_equal(live, go_offline(bag, checkpoint, output_rate))
