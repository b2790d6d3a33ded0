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

"""Sources side by side: each gets what a decoder of its own would give it, bit for bit."""

from builders import cut, make_checkpoint, make_emg
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.decoding import decoder as decoder_module
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.engines.registry import make_engine
from leconvmn_ros.models.lstm import LstmConfig
from leconvmn_ros.models.ridge import RidgeConfig
import numpy as np
import pytest

MODELS = [None, LstmConfig(units=6), RidgeConfig(input='image')]


def assert_equal(some, others):
    assert [e.stamp_ns for e in some] == [e.stamp_ns for e in others]
    np.testing.assert_array_equal([e.positions for e in some], [e.positions for e in others])


def live(checkpoint, chunks, **options):
    decoder = Decoder(checkpoint, **options)
    return [e for chunk in chunks for e in decoder.decode(chunk)]


def sources():
    """Return chunks with gaps, a new start, NaN, a loud part, and none at all."""
    emg = make_emg(900)
    whole = cut(emg, [7] * 60)
    loud = make_emg(900)
    loud[300:700] *= 1e6
    spoilt = cut(emg, [11] * 60)
    spoilt[20].samples[2, 1] = np.nan
    again = [chunk._replace(stamp_ns=chunk.stamp_ns + 10**12) for chunk in whole[:40]]
    return [
        whole,
        [*whole[:10], *whole[11:30], *whole[50:]],
        [*whole[:33], *again],
        cut(loud, [13] * 50),
        spoilt,
        [],
        cut(emg[:9], []),
        cut(emg[:300], []),
    ]


@pytest.mark.parametrize('model', MODELS)
@pytest.mark.parametrize('output_rate', [0, 50])
def test_each_source_is_decoded_as_by_a_decoder_of_its_own(model, output_rate):
    checkpoint = make_checkpoint(model=model)
    given = sources()
    found = Decoder(checkpoint, output_rate=output_rate).decode_side_by_side(given)
    assert len(found) == len(given)
    for chunks, estimates in zip(given, found, strict=True):
        assert_equal(estimates, live(checkpoint, chunks, output_rate=output_rate))
    lengths = [len(estimates) for estimates in found]
    assert lengths[5] == lengths[6] == 0
    assert min(lengths[0], lengths[3]) > 0
    assert lengths[3] < lengths[0]  # nothing where the source was impossibly loud


@pytest.mark.parametrize('chunks', sources())
def test_chunks_that_are_there_already_give_what_they_give_live(chunks):
    checkpoint = make_checkpoint()
    decoder = Decoder(checkpoint)
    together = [e for some in decoder.decode_together(chunks) for e in some]
    assert_equal(together, live(checkpoint, chunks))
    one_by_one = Decoder(checkpoint)
    for chunk in chunks:
        one_by_one.decode(chunk)
    assert decoder.counts == one_by_one.counts
    assert decoder.contradiction == one_by_one.contradiction
    assert (decoder.angles, decoder.angles_at_a_limit) == (
        one_by_one.angles,
        one_by_one.angles_at_a_limit,
    )
    np.testing.assert_array_equal(decoder.not_finite_values, one_by_one.not_finite_values)


def test_the_decoder_goes_on_with_its_own_source():
    checkpoint = make_checkpoint()
    chunks = cut(make_emg(900), [7] * 60)
    decoder = Decoder(checkpoint)
    estimates = [e for chunk in chunks[:30] for e in decoder.decode(chunk)]
    counts = decoder.counts.messages
    decoder.decode_side_by_side([chunks, chunks[:20]])
    assert decoder.counts.messages == counts
    estimates += [e for chunk in chunks[30:] for e in decoder.decode(chunk)]
    assert_equal(estimates, live(checkpoint, chunks))


def test_more_sources_than_fit_into_memory_go_in_turns(monkeypatch):
    checkpoint, given = make_checkpoint(), sources()
    expected = Decoder(checkpoint).decode_side_by_side(given)
    values = Decoder(checkpoint)._network.engine.initial_state().size
    with monkeypatch.context() as patched:
        patched.setattr(decoder_module, 'MOST_STATE_VALUES', 2 * 5 * values)
        decoder = Decoder(checkpoint)
        widths = []
        beside = decoder._network.beside
        patched.setattr(decoder._network, 'beside', lambda n: widths.append(n) or beside(n))
        found = decoder.decode_side_by_side(given)
    assert widths == [10, 10, 10, 10]
    for some, others in zip(found, expected, strict=True):
        assert_equal(some, others)
    monkeypatch.setattr(decoder_module, 'MOST_STATE_VALUES', 4 * values)
    with pytest.raises(ConfigurationError, match='5 streams'):
        Decoder(checkpoint)


def test_an_output_that_is_not_finite_resets_a_stream_of_its_source_alone():
    checkpoint = make_checkpoint()
    chunks = cut(make_emg(400), [10] * 40)
    expected = live(checkpoint, chunks)
    decoder = Decoder(checkpoint)
    engine = make_engine('onnx', checkpoint.network())
    plain, count = engine.step_together, 0

    def step(pixels, states):
        nonlocal count
        count += 1
        outputs, states = plain(pixels, states)
        if count == 20:
            outputs[7] = np.full_like(outputs[7], np.nan)  # the third image of the second source
        return outputs, states

    engine.step_together = step
    decoder._network._engine = engine
    one, other = decoder.decode_side_by_side([chunks, chunks])
    assert_equal(one, expected)
    missing = 19 * 5 + 2
    stamps = [e.stamp_ns for e in expected]
    assert [e.stamp_ns for e in other] == stamps[:missing] + stamps[missing + 1 :]
    same = np.array(
        [
            np.array_equal(e.positions, known.positions)
            for e, known in zip(other, expected[:missing] + expected[missing + 1 :], strict=True)
        ]
    )
    assert same[:missing].all()
    assert not same[missing:].all()  # the stream began anew
    stream = np.arange(len(expected))[missing + 1 :] % 5
    assert same[missing:][stream != 2].all()
