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

"""A NumPy array is decoded as the same EMG live is, or refused with the reason."""

from builders import CHANNELS, cut, make_checkpoint, make_emg, RATE, START_NS
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.decoding import decode_array, Decoder
import numpy as np
import pytest


def test_an_array_gives_what_messages_give():
    emg, decoder = make_emg(700), Decoder(make_checkpoint())
    track = decode_array(decoder, emg, RATE)
    live_decoder = Decoder(make_checkpoint())
    live = [e for chunk in cut(emg, [9] * 70) for e in live_decoder.decode(chunk)]
    np.testing.assert_array_equal(track.positions, [e.positions for e in live])
    np.testing.assert_array_equal(track.stamps_ns + START_NS, [e.stamp_ns for e in live])
    assert track.names == decoder.joint_names
    # Once more, of any kind of float.
    again = decode_array(decoder, emg.astype(np.float64), RATE)
    np.testing.assert_array_equal(again.positions, track.positions)


@pytest.mark.parametrize(
    ('emg', 'rate', 'reason'),
    [
        (np.zeros(100), RATE, r'shape \(100,\) and type float64; .* shape \(samples, 3\)'),
        (np.zeros((CHANNELS, 100)), RATE, r'shape \(3, 100\) .* \(samples, 3\)'),
        (np.zeros((100, CHANNELS), dtype=complex), RATE, 'type complex128'),
        (np.full((100, CHANNELS), 'x'), RATE, 'takes numbers of shape'),
        (np.zeros((100, CHANNELS)), 2 * RATE, 'EMG at 200 Hz; the decoder takes 100 Hz'),
        (np.zeros((100, CHANNELS)), np.nan, 'EMG at nan Hz; the decoder takes 100 Hz'),
        (np.full((100, CHANNELS), np.nan), RATE, '300 values .* first at sample 0 of chan'),
        (np.zeros((5, CHANNELS)), RATE, '5 samples of EMG gave no estimate: shorter than one'),
        (np.zeros((0, CHANNELS)), RATE, '0 samples of EMG gave no estimate'),
    ],
)
def test_what_does_not_fit_is_refused(emg, rate, reason):
    with pytest.raises(RecordingError, match=reason):
        decode_array(Decoder(make_checkpoint()), emg, rate)
