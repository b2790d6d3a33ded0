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

"""Another map of the electrodes is adopted while the decoder runs."""

from dataclasses import replace

from builders import evenly_cut
from leconvmn_ros.adaptation.unlabelled import adapt
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.emg.electrode_map import ElectrodeMap
import numpy as np
import pytest
from worn_band import RING, turned, worn_band

# What channel i measures was at channel i + 1 in the training.
BACK = ElectrodeMap(
    matrix=tuple(map(tuple, np.roll(np.eye(8), 1, axis=0).tolist())),
    offset=(0.0,) * 8,
    usual=(0.5,) * 8,
)


def angles(decoder, chunks):
    return np.array([e.positions for chunk in chunks for e in decoder.decode(chunk)])


def test_a_map_is_blended_in_within_a_second_and_nothing_jumps():
    band = worn_band()
    # The image stays the same, so what moves is the map.
    still = np.tile(band.emg[400:420], (300, 1))
    chunks = evenly_cut(still, 20, band.rate)
    decoder = Decoder(band.checkpoint, output_rate=0)
    before = angles(decoder, chunks[:100])
    decoder.adopt(BACK)
    during = angles(decoder, chunks[100:])
    mapped = replace(
        band.checkpoint,
        description=band.checkpoint.description.model_copy(update={'electrode_map': BACK}),
    )
    after = angles(Decoder(mapped, output_rate=0), chunks)
    way = np.abs(after[-1] - before[-1]).max()
    assert way > 0.2
    path = np.concatenate((before[-1:], during))
    # Ten images in the second; ridge regression makes of a straight way a straight way.
    assert np.abs(np.diff(path, axis=0)).max() < 0.15 * way + 0.02
    assert np.abs(path[5] - before[-1]).max() > 0.2 * way
    np.testing.assert_allclose(during[11:], after[111:], rtol=0, atol=1e-6)


def test_what_adapt_finds_in_the_remembered_emg_helps_at_once():
    band = worn_band()
    emg = turned(band.emg, -1)
    chunks = evenly_cut(emg, 200, band.rate)
    decoder = Decoder(band.checkpoint, output_rate=0, remember=60.0)
    lost = angles(decoder, chunks)
    assert decoder.input_map.fit.fits is False
    recording = Recording('session', decoder.recent_emg())
    adaptation = adapt(band.checkpoint, recording, RING)
    assert adaptation.found.turn.electrodes == (1.0,)
    decoder.adopt(adaptation.checkpoint.description.electrode_map)
    later = [
        chunk._replace(first_sample=c.first_sample + len(emg))
        for c, chunk in zip(chunks, chunks, strict=True)
    ]
    found = angles(decoder, later)[50:]
    unmoved = angles(Decoder(band.checkpoint, output_rate=0), evenly_cut(band.emg, 200, band.rate))
    assert np.abs(found - unmoved[50:]).mean() < 0.2 * np.abs(lost - unmoved)[50:].mean()
    assert decoder.input_map.fit.fits is True


def test_the_map_of_the_training_comes_back_bit_for_bit():
    band = worn_band()
    chunks = evenly_cut(band.emg[:4000], 20, band.rate)
    decoder, untouched = (Decoder(band.checkpoint, output_rate=0) for _ in range(2))
    decoder.adopt(BACK)
    changed = angles(decoder, chunks[:100])
    decoder.adopt(None)
    back = angles(decoder, chunks[100:])
    expected = angles(untouched, chunks)
    assert np.abs(changed - expected[:100]).max() > 0.1
    np.testing.assert_array_equal(back[11:], expected[111:])


def test_an_adopted_map_survives_a_reset():
    decoder = Decoder(worn_band().checkpoint)
    decoder.adopt(BACK)
    decoder.reset()
    assert decoder.input_map.electrode_map is BACK
    np.testing.assert_array_equal(decoder.input_map.usual, BACK.usual)


def test_drift_cannot_be_followed_without_knowing_what_is_usual():
    checkpoint = worn_band().checkpoint
    for mixture in (None, checkpoint.description.mixture.model_copy(update={'usual': None})):
        description = checkpoint.description.model_copy(update={'mixture': mixture})
        with pytest.raises(ConfigurationError, match='train it again'):
            Decoder(replace(checkpoint, description=description), follow_drift=True)
