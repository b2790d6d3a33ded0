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

"""The decoder: the same estimates however the samples come, and sane ones whatever comes."""

from dataclasses import replace
import tracemalloc

from builders import (
    CHANNELS,
    cut,
    evenly_cut,
    JOINTS,
    make_checkpoint,
    make_emg,
    one_stack,
    PERIOD_NS,
    RATE,
    START_NS,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.decoding.decoder import Decoder, DEFAULT_OUTPUT_RATE
from leconvmn_ros.engines.devices import find_device
from leconvmn_ros.models.lstm import LstmConfig
import numpy as np
import pytest

IMAGE = 10  # samples, 0.1 s at RATE
LSTM, COLUMNS_LSTM = (LstmConfig(units=6, steps=steps) for steps in ('images', 'columns'))


def decode(decoder, chunks):
    return [estimate for chunk in chunks for estimate in decoder.decode(chunk)]


def assert_same(some, others):
    assert [e.stamp_ns for e in some] == [e.stamp_ns for e in others]
    np.testing.assert_allclose(
        [e.positions for e in some], [e.positions for e in others], rtol=0, atol=1e-6
    )


def stamp_of(sample):
    return START_NS + sample * PERIOD_NS


@pytest.mark.parametrize(
    ('channels', 'model'),
    [(1, None), (CHANNELS, None), (CHANNELS, LSTM), (CHANNELS, COLUMNS_LSTM)],
)
@settings(deadline=None, max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 70), max_size=40),
    output_rate=st.sampled_from([0.0, 20.0, 50.0, 70.0, 100.0]),
)
def test_any_chunking_gives_the_same_estimates(channels, model, sizes, output_rate):
    checkpoint = make_checkpoint(channels=channels, model=model)
    emg = make_emg(205, channels)
    whole = decode(Decoder(checkpoint, output_rate=output_rate), cut(emg, []))
    parts = decode(Decoder(checkpoint, output_rate=output_rate), cut(emg, sizes))
    # Image n ends n / streams of an image after the first one, rounded down.
    streams = max(1, round(output_rate / 10))
    ends = [IMAGE + n * IMAGE // streams for n in range(20 * streams)]
    assert [e.stamp_ns for e in whole] == [stamp_of(end - 1) for end in ends if end <= 205]
    assert_same(parts, whole)


@pytest.mark.parametrize('model', [None, LSTM, COLUMNS_LSTM])
@pytest.mark.parametrize('streams', [1, 2, 3, 5, 10])
def test_each_stream_is_a_decoder_of_its_own_fed_with_shifted_samples(streams, model):
    # An RMS over one sample: it has no past that a later start would lack.
    checkpoint = make_checkpoint(rms_window=0, planes=(4, 4), model=model)
    emg = make_emg(150)
    together = decode(Decoder(checkpoint, output_rate=10.0 * streams), cut(emg, []))
    for stream in range(streams):
        shift = stream * IMAGE // streams
        later = [
            chunk._replace(stamp_ns=chunk.stamp_ns + shift * PERIOD_NS)
            for chunk in cut(emg[shift:], [7, 9])
        ]
        assert_same(together[stream::streams], decode(Decoder(checkpoint, output_rate=0), later))
    steps = np.diff([estimate.stamp_ns for estimate in together]) // PERIOD_NS
    assert set(steps.tolist()) <= {IMAGE // streams, -(-IMAGE // streams)}


@pytest.mark.parametrize(
    ('asked', 'given'), [(0, 10), (1, 10), (10, 10), (14, 10), (16, 20), (50, 50), (104, 100)]
)
def test_output_rate_is_a_whole_number_of_streams(asked, given):
    decoder = Decoder(make_checkpoint(), output_rate=asked)
    assert decoder.output_rate == given
    seconds = 4
    estimates = decode(decoder, cut(make_emg(round(seconds * RATE)), []))
    # Up to the first image there is nothing, then the rate is kept.
    assert len(estimates) == (seconds - 0.1) * given + 1


@pytest.mark.parametrize(
    'rate', [-1, -0.001, 105.1, 1e9, float('nan'), float('inf'), -float('inf')]
)
def test_impossible_output_rates_are_refused(rate):
    with pytest.raises(ConfigurationError, match=rf'output rate {rate} Hz; .* 10 Hz.* 100 Hz'):
        Decoder(make_checkpoint(), output_rate=rate)


@pytest.mark.parametrize('device', ['gpu', '', 'meta', 'cuda:99', 'cpu:x', 'xla'])
def test_unusable_devices_are_refused(device):
    with pytest.raises(ConfigurationError, match=f'device {device!r} cannot be used; allowed are'):
        Decoder(make_checkpoint(), device=device)


def test_device_is_found_by_itself():
    assert find_device('cpu') == 'cpu'
    import torch

    assert find_device('auto') == ('cuda' if torch.cuda.is_available() else 'cpu')


def test_first_estimate_after_one_image_stamped_with_its_last_sample():
    decoder = Decoder(make_checkpoint(), output_rate=0)
    chunks = evenly_cut(make_emg(40), 1)
    assert decode(decoder, chunks[: IMAGE - 1]) == []
    (first,) = decoder.decode(chunks[IMAGE - 1])
    assert first.stamp_ns == stamp_of(9)
    assert [e.stamp_ns for e in decode(decoder, chunks[IMAGE:])] == [
        stamp_of(sample) for sample in (19, 29, 39)
    ]
    assert decoder.joint_names == JOINTS
    assert first.positions.shape == (len(JOINTS),)
    assert first.positions.dtype == np.float64


def test_stamps_do_not_drift_at_a_rate_without_whole_nanoseconds():
    rate = 3000 / 7
    decoder = Decoder(make_checkpoint(sampling_rate=rate), output_rate=0)
    estimates = decode(decoder, evenly_cut(make_emg(4300), 13, rate=rate))
    length = round(0.1 * rate)
    expected = [START_NS + (length * n - 1) * 1e9 / rate for n in range(1, len(estimates) + 1)]
    np.testing.assert_allclose([e.stamp_ns for e in estimates], expected, rtol=0, atol=2)


def test_positions_stay_within_what_training_saw():
    emg = make_emg(200) * 50
    free = decode(Decoder(make_checkpoint(gain=200)), cut(emg, []))
    limits = (-0.05, 0.15)
    kept = decode(Decoder(make_checkpoint(gain=200, limits=limits)), cut(emg, []))
    free_positions = np.array([e.positions for e in free])
    assert free_positions.min() < limits[0] < limits[1] < free_positions.max()
    np.testing.assert_array_equal([e.positions for e in kept], free_positions.clip(*limits))


def test_emg_in_microvolts_gives_no_estimates_and_the_likely_mistake():
    decoder = Decoder(make_checkpoint())
    estimates = decode(decoder, evenly_cut(make_emg(1000) * np.float32(1e6), 10))
    assert estimates[-1].stamp_ns < estimates[0].stamp_ns + 1.1e9
    assert decoder.counts.withheld_estimates > 50
    assert 'is it in V, or in uV? No estimates' in decoder.contradiction
    decoder.reset()
    assert decoder.contradiction == ''


def test_output_is_turned_into_radians_by_mean_and_scale():
    checkpoint = make_checkpoint()
    joints = checkpoint.description.joints
    plain = tuple(joint.model_copy(update={'mean': 0.0, 'scale': 1.0}) for joint in joints)
    raw = Checkpoint_with(checkpoint, joints=plain)
    emg = cut(make_emg(60), [])
    outputs = np.array([e.positions for e in decode(Decoder(raw), emg)])
    angles = np.array([e.positions for e in decode(Decoder(checkpoint), emg)])
    expected = outputs * [j.scale for j in joints] + [j.mean for j in joints]
    np.testing.assert_allclose(angles, expected, atol=1e-12)
    assert np.abs(outputs).max() > 0.05


def Checkpoint_with(checkpoint, **changes):  # noqa: N802
    return replace(checkpoint, description=checkpoint.description.model_copy(update=changes))


def test_estimates_depend_on_the_past_beyond_the_image():
    emg = make_emg(60)
    other = emg.copy()
    other[:10] *= 100
    one, two = (
        decode(Decoder(make_checkpoint(rms_window=0), output_rate=0), cut(e, []))
        for e in (emg, other)
    )
    assert np.abs(one[2].positions - two[2].positions).max() > 1e-4


def test_estimates_do_not_depend_on_the_future():
    emg = make_emg(60)
    other = emg.copy()
    other[40:] = 1
    one, two = (decode(Decoder(make_checkpoint()), cut(e, [])) for e in (emg, other))
    before = [e.stamp_ns < stamp_of(40) for e in one].count(True)
    assert 0 < before < len(one)
    assert_same(one[:before], two[:before])
    assert np.abs(one[-1].positions - two[-1].positions).max() > 1e-4


def test_reset_forgets_everything_but_the_counts():
    decoder = Decoder(make_checkpoint())
    chunks = cut(make_emg(60), [13, 20])
    first = decode(decoder, chunks)
    decoder.reset()
    assert_same(decode(decoder, chunks), first)
    assert decoder.counts.messages == 6
    assert decoder.counts.faults() == {}


def test_a_stream_that_starts_again_is_decoded_as_if_it_were_new():
    decoder = Decoder(make_checkpoint())
    chunks = evenly_cut(make_emg(300), 10)
    first = decode(decoder, chunks)
    assert_same(decode(decoder, chunks), first)
    assert decoder.counts.restarts == 1


def test_a_long_gap_starts_afresh():
    chunks = evenly_cut(make_emg(200), 10)
    decoder = Decoder(make_checkpoint())
    decode(decoder, chunks[:7])
    after = decode(decoder, chunks[12:])
    assert_same(after, decode(Decoder(make_checkpoint()), chunks[12:]))
    assert decoder.counts.lost_samples == 50


def test_states_that_would_fill_the_memory_are_refused():
    model = one_stack(planes=(512,), kernel=1)
    big = make_checkpoint(model=model, channels=200, sampling_rate=1000.0)
    state = 2 * (512 + 3) * 200 * 100
    with pytest.raises(ConfigurationError, match=rf'5 streams .* of {state} state values each'):
        Decoder(big)
    assert Decoder(big, output_rate=10).output_rate == 10


def test_a_short_gap_keeps_the_rhythm():
    chunks = evenly_cut(make_emg(200), 5)
    without_loss = decode(Decoder(make_checkpoint()), chunks)
    decoder = Decoder(make_checkpoint())
    with_loss = decode(decoder, chunks[:20] + chunks[21:])
    assert [e.stamp_ns for e in with_loss] == [e.stamp_ns for e in without_loss]
    assert decoder.counts.bridged_samples == 5
    assert_same(with_loss[:40], without_loss[:40])


def test_warm_up_changes_no_result():
    chunks = cut(make_emg(100), [])
    expected = decode(Decoder(make_checkpoint()), chunks)
    decoder = Decoder(make_checkpoint())
    seconds = decoder.warm_up()
    assert 0 < seconds < 1
    assert_same(decode(decoder, chunks), expected)
    assert decoder.counts.messages == 1
    # In the middle of a stream it forgets, as reset does.
    decoder.warm_up()
    assert_same(decode(decoder, [chunks[0]._replace(first_sample=100)]), expected)


def spoilt_chunks():
    emg = make_emg(20)
    nan = emg.copy()
    nan[3, 1] = np.nan
    infinite = emg.copy()
    infinite[0, 0] = -np.inf
    huge = np.full_like(emg, np.finfo(np.float32).max)
    tiny = np.full_like(emg, np.finfo(np.float32).tiny)

    def chunk(samples, first=100, stamp_ns=None, rate=RATE):
        return EmgChunk(stamp_of(first) if stamp_ns is None else stamp_ns, rate, first, samples)

    return {
        'nan': chunk(nan),
        'infinite': chunk(infinite),
        'huge': chunk(huge),
        'tiny': chunk(tiny),
        'constant': chunk(np.zeros_like(emg)),
        'other channels': chunk(emg[:, :2]),
        'other rate': chunk(emg, rate=2 * RATE),
        'no rate': chunk(emg, rate=float('nan')),
        'far ahead': chunk(emg, first=2**62),
        'time goes back': chunk(emg, stamp_ns=0),
        'counter goes back': chunk(emg, first=0),
        'repeated': chunk(emg, first=80),
        'doubles': chunk(emg.astype(np.float64)),
        'read only': chunk(np.frombuffer(emg.tobytes(), np.float32).reshape(emg.shape)),
    }


@pytest.mark.parametrize('fault', spoilt_chunks())
def test_faults_never_raise_and_are_survived(fault):
    chunks = evenly_cut(make_emg(400), 20)
    decoder = Decoder(make_checkpoint())
    estimates = decode(decoder, chunks[:5])
    estimates += decoder.decode(spoilt_chunks()[fault])
    # What follows may start anew, by counter or clock; then it must decode as if nothing was.
    estimates += decode(decoder, chunks[6:])
    assert np.isfinite([e.positions for e in estimates]).all()
    assert len(decode(decoder, chunks[6:])) > 50


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(-300, 300), st.integers(1, 40), st.sampled_from([0, 0, 0, 10**9])),
        max_size=12,
    )
)
def test_any_order_of_messages_is_survived(jumps):
    decoder = Decoder(make_checkpoint())
    first = 1000
    for jump, size, later_ns in jumps:
        first = max(0, first + jump)
        chunk = EmgChunk(stamp_of(first) + later_ns, RATE, first, make_emg(size, seed=first))
        for estimate in decoder.decode(chunk):
            assert np.isfinite(estimate.positions).all()
        first += size
    assert decoder.counts.messages == len(jumps)


def test_a_long_stream_takes_no_more_memory():
    decoder = Decoder(make_checkpoint(), output_rate=DEFAULT_OUTPUT_RATE)
    chunks = evenly_cut(make_emg(5000), 2)
    decode(decoder, chunks[:1000])
    tracemalloc.start()
    decode(decoder, chunks[1000:1100])
    before, _ = tracemalloc.get_traced_memory()
    decode(decoder, chunks[1100:])
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # To keep a number of each of 1400 messages would take 45 000 bytes.
    assert after - before < 25_000
