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

"""A recording of a person through a real LSL outlet: source, decoder and bag, live."""

from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.emg.message import chunk_from_message, stamp_to_ns
from leconvmn_ros.msg import EmgArray
from leconvmn_ros.recordings.bags import read_bag
from leconvmn_ros.recordings.description import read_description
from leconvmn_ros.recordings.ninapro import read_ninapro
from lsl_outlet import outlet, stay_on_this_machine
import numpy as np
from sensor_msgs.msg import JointState
from small_recordings import untrained_checkpoint


def test_emg_of_a_person_through_lsl_moves_the_hand_as_it_does_offline(
    ros, start, ninapro, tmp_path
):
    stay_on_this_machine(tmp_path)
    subject = read_ninapro(next(ninapro.glob('DB5/S1_E*_A1.mat')))
    microvolts = subject.emg[4000:8000] * 1e6
    np.save(tmp_path / 'emg.npy', microvolts)
    checkpoint = untrained_checkpoint(tmp_path, rate=200.0, channels=16)
    decoder = start('decoder', parameters={'checkpoint': checkpoint, 'longest_wait': 0.0})
    recorder = start('recorder', parameters={'bag': tmp_path / 'bag'})
    decoder.wait_for_text('Hz out')
    recorder.wait_for_text('recording to')
    emg, states = ros.collect('/emg', EmgArray), ros.collect('/joint_states', JointState)
    source = start(
        'emg_source', parameters={'source': 'lsl', 'ring': '0-7; 8-15', 'ring_offset': '0.5'}
    )
    source.wait_for_text('there is no LSL stream')
    # All have found one another before the first sample is there.
    assert ros.spin_until(lambda: ros.node.count_subscribers('/emg') == 3)
    with outlet(file=str(tmp_path / 'emg.npy'), rate=200.0, true_rate=200.0):
        assert ros.spin_until(lambda: len(states) > 60)
    source.end()
    recorder.end()
    chunks = [chunk_from_message(arrival.message) for arrival in emg]
    sent = np.concatenate([chunk.samples for chunk in chunks])
    # What was published is the recording, from wherever the node came in, in volts.
    begin = int(np.argmin(np.abs(microvolts * 1e-6 - sent[0]).sum(axis=1)))
    expected = np.roll(microvolts, -begin, axis=0)[: len(sent)] * 1e-6
    np.testing.assert_allclose(sent, expected, rtol=1e-5)
    # The bag holds all of it, and where the electrodes sat.
    recorded = np.concatenate([chunk.samples for chunk in read_bag(tmp_path / 'bag').chunks])
    length = min(len(recorded), len(sent))
    assert length > 200
    assert np.array_equal(recorded[:length], sent[:length])
    assert read_description(tmp_path / 'bag').rings == (tuple(range(8)), tuple(range(8, 16)))
    # The decoder gives live what the same decoder gives of the same chunks offline.
    offline = Decoder(load_checkpoint(checkpoint))
    estimates = {e.stamp_ns: e.positions for chunk in chunks for e in offline.decode(chunk)}
    live = {stamp_to_ns(a.message.header.stamp): a.message.position for a in states}
    common = sorted(set(estimates) & set(live))
    assert len(common) > 40
    difference = [np.subtract(live[stamp], estimates[stamp]) for stamp in common]
    assert np.abs(difference).max() < 1e-4
