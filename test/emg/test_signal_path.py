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

"""Features against their definitions, whole and chunk by chunk."""

from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.emg import signal_path
from leconvmn_ros.emg.signal_path import (
    columns_of,
    FeatureStatistics,
    LongExposure,
    MU,
    mu_law,
    SignalPath,
    SignalPathConfig,
    SlidingRms,
)
import numpy as np
from pydantic import ValidationError
import pytest

quick = settings(deadline=None, max_examples=60)


def noise(samples, channels=3, seed=0, scale=1e-4):
    random = np.random.default_rng(seed)
    return random.normal(0, scale, (samples, channels)).astype(np.float32)


def naive_rms(samples, window):
    wide = samples.astype(np.float64)
    return np.array(
        [
            np.sqrt(np.mean(wide[max(0, end - window) : end] ** 2, axis=0))
            for end in range(1, len(wide) + 1)
        ]
    )


def chunked(values, lengths):
    """Cut values into chunks of these lengths, repeatedly; the last takes the remainder."""
    first = 0
    while first < len(values):
        for length in lengths:
            yield values[first : first + length]
            first += length


chunk_lengths = st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(any)


# ---- settings


@pytest.mark.parametrize(
    ('setting', 'value'),
    [
        ('channels', 0),
        ('channels', 257),
        ('sampling_rate', 0.0),
        ('sampling_rate', -200.0),
        ('sampling_rate', float('nan')),
        ('sampling_rate', float('inf')),
        ('rms_window', -0.1),
        ('exposure', 0.0),
        ('exposure', 2.5),
        ('column_period', -0.01),
        ('exposur', 0.1),
    ],
)
def test_error_of_a_setting_names_it_and_its_value(setting, value):
    with pytest.raises(ValidationError) as caught:
        SignalPathConfig(**({'channels': 8, 'sampling_rate': 200.0} | {setting: value}))
    (problem,) = caught.value.errors()
    assert problem['loc'] == (setting,)
    assert str(value) in str(caught.value)


def test_error_of_a_too_short_exposure_says_how_long_it_must_be():
    with pytest.raises(ValidationError, match=r'exposure of 0\.01 s holds 1 columns.*0\.02 s'):
        SignalPathConfig(channels=8, sampling_rate=100.0, exposure=0.01)
    SignalPathConfig(channels=8, sampling_rate=100.0, exposure=0.02)


def test_column_period_counts_in_the_shortest_exposure():
    with pytest.raises(ValidationError, match=r'exposure of 0\.1 s holds 1 columns.*0\.2 s'):
        SignalPathConfig(channels=8, sampling_rate=100.0, exposure=0.1, column_period=0.1)
    SignalPathConfig(channels=8, sampling_rate=100.0, exposure=0.2, column_period=0.1)


@pytest.mark.parametrize(
    ('rate', 'window', 'exposure', 'period', 'expected'),
    [
        (2000.0, 0.1, 0.1, 0.0, (200, 1, 200, 200)),  # the paper's set-up, DB2
        (200.0, 0.1, 0.1, 0.0, (20, 1, 20, 20)),  # DB5
        (100.0, 0.0, 0.2, 0.0, (1, 1, 20, 20)),  # DB1: an envelope already
        (2000.0, 0.1, 0.1, 0.005, (200, 10, 20, 200)),
        (1000.0, 0.1, 0.1, 0.03, (100, 30, 3, 90)),  # columns do not fill the exposure
    ],
)
def test_seconds_become_samples(rate, window, exposure, period, expected):
    config = SignalPathConfig(
        channels=2, sampling_rate=rate, rms_window=window, exposure=exposure, column_period=period
    )
    assert (
        config.window_length,
        config.column_step,
        config.image_columns,
        config.image_length,
    ) == expected


# ---- sliding RMS


@pytest.mark.parametrize('window', [1, 2, 7, 20, 64, 500])
def test_rms_equals_window_by_window_computation(window):
    samples = noise(300, seed=window)
    np.testing.assert_allclose(
        SlidingRms(window, 3).push(samples), naive_rms(samples, window), rtol=1e-12
    )


@quick
@given(window=st.integers(1, 50), lengths=chunk_lengths)
def test_rms_is_bit_identical_for_any_chunking(window, lengths):
    samples = noise(257)
    whole = SlidingRms(window, 3).push(samples)
    rms = SlidingRms(window, 3)
    parts = [rms.push(chunk) for chunk in chunked(samples, lengths)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_rms_of_many_blocks_side_by_side_is_bit_identical():
    samples = noise(9000, channels=12)
    rms = SlidingRms(200, 12)
    whole = rms.push(samples)
    np.testing.assert_allclose(whole[:900], naive_rms(samples[:900], 200), rtol=1e-12)
    stream = SlidingRms(200, 12)
    parts = [stream.push(chunk) for chunk in chunked(samples, [70, 150])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    # Both go on alike.
    np.testing.assert_array_equal(rms.push(samples[:300]), stream.push(samples[:300]))


def test_rms_does_not_drift_and_forgets_an_artefact():
    window, count = 200, 1_000_000
    samples = noise(count, channels=1, seed=3, scale=1e-5)
    clean = samples.copy()
    samples[count // 2] = 1e12  # 17 orders above the signal: a running sum would never recover
    rms = SlidingRms(window, 1).push(samples)
    np.testing.assert_allclose(
        rms[-1000:], naive_rms(clean[-1000 - window :], window)[-1000:], rtol=1e-12
    )
    after = count // 2 + window
    np.testing.assert_array_equal(
        rms[after : after + 5000], SlidingRms(window, 1).push(clean)[after : after + 5000]
    )
    assert (rms[count // 2 : after] > 1e10).all()


def test_rms_does_not_change_its_input():
    samples = noise(100)
    before = samples.copy()
    rms = SlidingRms(20, 3)
    kept = rms.push(samples[:50])
    first = kept.copy()
    rms.push(samples[50:])
    np.testing.assert_array_equal(samples, before)
    np.testing.assert_array_equal(kept, first)  # nor what it returned earlier


@pytest.mark.parametrize('window', [1, 20])
def test_rms_after_reset_is_that_of_a_new_one(window):
    rms = SlidingRms(window, 3)
    rms.push(noise(57, scale=10.0))
    rms.reset()
    np.testing.assert_array_equal(
        rms.push(noise(90, seed=1)), SlidingRms(window, 3).push(noise(90, seed=1))
    )


class CountingNumpy:
    """NumPy that counts the elements its functions work on."""

    def __init__(self):
        self.elements = 0

    def __getattr__(self, name):
        thing = getattr(np, name)
        if isinstance(thing, type) or not callable(thing):
            return thing

        def counted(*args, **options):
            return self._count(thing(*args, **options), args)

        if isinstance(thing, np.ufunc):
            counted.accumulate = lambda *args, **options: self._count(
                thing.accumulate(*args, **options), args
            )
        return counted

    def _count(self, result, args):
        arrays = [a for a in (*args, result) if isinstance(a, np.ndarray)]
        self.elements += max((a.size for a in arrays), default=1)
        return result


@pytest.mark.parametrize('length', [1, 20, 333])
@pytest.mark.parametrize('window', [1, 10, 400])
def test_cost_of_rms_is_in_proportion_to_the_samples(monkeypatch, window, length):
    samples = noise(4000, channels=2)
    rms = SlidingRms(window, 2)
    counting = CountingNumpy()
    monkeypatch.setattr(signal_path, 'np', counting)
    for chunk in chunked(samples, [length]):
        rms.push(chunk)
    assert 0 < counting.elements <= 10 * samples.size


# ---- mu-law


def test_mu_law_equals_its_formula():
    values = np.array([-1.0, -1e-3, -1e-6, 1e-9, 1e-6, 1e-5, 1e-4, 1e-3, 0.5, 1.0])
    expected = np.sign(values) * np.log(1 + MU * np.abs(values)) / np.log(1 + MU)
    np.testing.assert_allclose(mu_law(values), expected, rtol=1e-9)
    assert pytest.approx(np.log(2) / np.log(1 + 2**20)) == mu_law(np.array([2.0**-20]))[0]
    assert MU == 2**20


def test_mu_law_keeps_zero_and_one():
    np.testing.assert_array_equal(mu_law(np.array([0.0, 1.0, -1.0])), [0.0, 1.0, -1.0])


@quick
@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20))
def test_mu_law_is_odd_and_monotone(values):
    values = np.sort(np.array(values))
    companded = mu_law(values)
    np.testing.assert_array_equal(mu_law(-values), -companded)
    assert (np.diff(companded) >= 0).all()


def test_mu_law_of_another_constant():
    np.testing.assert_allclose(mu_law(np.array([0.1]), mu=255), np.log(26.5) / np.log(256))


# ---- statistics


def test_statistics_standardise_the_features_they_are_of():
    features = noise(1000, scale=0.2) + np.float32([1, 2, 3])
    statistics = FeatureStatistics.of(features)
    standard = (features - np.array(statistics.mean)) / np.array(statistics.scale)
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(standard.std(axis=0), 1, rtol=1e-12)


@pytest.mark.parametrize('value', [0.0, 0.1, 0.3, 127.3, 123456.7])
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_constant_channel_is_centred_and_not_scaled(value, dtype):
    features = noise(999).astype(dtype)
    features[:, 1] = value
    statistics = FeatureStatistics.of(features)
    assert statistics.scale[1] == 1
    assert statistics.mean[1] == pytest.approx(float(dtype(value)))
    assert statistics.scale[0] == pytest.approx(1e-4, rel=0.1)


def test_statistics_of_weak_signals_are_not_taken_for_constant():
    statistics = FeatureStatistics.of(noise(1000, scale=1e-9))
    assert max(statistics.scale) < 2e-9


@pytest.mark.parametrize(
    ('mean', 'scale', 'message'),
    [
        ((0.0, 1.0), (1.0,), '2 means for 1 scales'),
        ((), (), '0 means'),
        ((0.0,), (0.0,), r'scale 0\.0'),
        ((0.0, 0.0), (1.0, -2.5), r'scale -2\.5'),
        ((float('nan'),), (1.0,), 'finite'),
        ((0.0,), (float('inf'),), 'finite'),
    ],
)
def test_unusable_statistics_are_refused(mean, scale, message):
    with pytest.raises(ValidationError, match=message):
        FeatureStatistics(mean=mean, scale=scale)


# ---- signal path


def path_config(**settings):
    return SignalPathConfig(**({'channels': 3, 'sampling_rate': 200.0} | settings))


def test_path_is_rms_then_mu_law_then_standardisation():
    samples = noise(200)
    statistics = FeatureStatistics(mean=(0.1, 0.2, 0.3), scale=(0.5, 2.0, 4.0))
    expected = (mu_law(naive_rms(samples, 20)) - [0.1, 0.2, 0.3]) / [0.5, 2.0, 4.0]
    features = SignalPath(path_config(), statistics).push(samples)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, rtol=1e-6, atol=1e-7)


def test_steps_of_the_path_can_be_left_out():
    samples = noise(100)
    statistics = FeatureStatistics(mean=(1.0,) * 3, scale=(2.0,) * 3)
    rms = naive_rms(samples, 20)
    bare = SignalPath(path_config(companding=False, standardise=False), statistics)
    np.testing.assert_allclose(bare.push(samples), rms, rtol=1e-6)
    unstandardised = SignalPath(path_config(), None)
    np.testing.assert_allclose(unstandardised.push(samples), mu_law(rms), rtol=1e-6)
    uncompanded = SignalPath(path_config(companding=False), statistics)
    np.testing.assert_allclose(uncompanded.push(samples), (rms - 1) / 2, rtol=1e-6)


@quick
@given(lengths=chunk_lengths)
def test_path_is_bit_identical_for_any_chunking(lengths):
    samples = noise(300)
    statistics = FeatureStatistics(mean=(0.1, 0.2, 0.3), scale=(0.5, 2.0, 4.0))
    path = SignalPath(path_config(), statistics)
    parts = [path.push(chunk) for chunk in chunked(samples, lengths)]
    whole = SignalPath(path_config(), statistics).push(samples)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_path_after_reset_is_that_of_a_new_one():
    path = SignalPath(path_config())
    path.push(noise(33, scale=1.0))
    path.reset()
    np.testing.assert_array_equal(path.push(noise(50)), SignalPath(path_config()).push(noise(50)))


def test_statistics_of_another_channel_count_are_refused():
    with pytest.raises(ValueError, match='statistics of 2 channels for a path of 3'):
        SignalPath(path_config(), FeatureStatistics(mean=(0.0, 0.0), scale=(1.0, 1.0)))


# ---- long exposure


def ramp(samples, channels=2):
    """Return features that encode their index: sample i of channel c is 1000 c + i."""
    return (np.arange(samples)[:, None] + 1000 * np.arange(channels)).astype(np.float32)


def cut(features, lengths, **options):
    """Return (stream, index of the last sample in the whole, pixels) of all images."""
    exposure = LongExposure(channels=features.shape[1], **options)
    images, done = [], 0
    for chunk in chunked(features, lengths):
        images += [(i.stream, done + i.last, i.pixels) for i in exposure.push(chunk)]
        done += len(chunk)
    return images


@pytest.mark.parametrize(('length', 'streams'), [(20, 1), (20, 5), (20, 3), (7, 7), (200, 7)])
def test_images_of_a_stream_are_consecutive_and_do_not_overlap(length, streams):
    images = cut(ramp(10 * length), [10 * length], length=length, streams=streams)
    assert [stream for stream, _, _ in images] == [i % streams for i in range(len(images))]
    for stream in range(streams):
        of_stream = [(last, pixels) for s, last, pixels in images if s == stream]
        offset = stream * length // streams
        seen = np.concatenate([pixels[0] for _, pixels in of_stream])
        np.testing.assert_array_equal(seen, np.arange(offset, offset + len(seen)))
        assert all(pixels[0, -1] == last for last, pixels in of_stream)
        assert len(of_stream) == (10 * length - offset) // length


@pytest.mark.parametrize('streams', [1, 3, 5, 20])
def test_images_come_at_an_even_pace(streams):
    lasts = [last for _, last, _ in cut(ramp(400), [400], length=20, streams=streams)]
    assert lasts[0] == 19
    steps = np.diff(lasts)
    assert steps.min() >= 20 // streams
    assert steps.max() <= -(-20 // streams)
    assert len(lasts) == 1 + (400 - 20) * streams // 20


@quick
@given(
    length=st.integers(2, 24),
    share=st.floats(0, 1),
    lengths=chunk_lengths,
    column_step=st.integers(1, 4),
)
def test_images_are_the_same_for_any_chunking(length, share, lengths, column_step):
    length *= column_step
    options = {
        'length': length,
        'streams': 1 + round(share * (length - 1)),
        'column_step': column_step,
    }
    features = ramp(20 * length + 5)  # the buffer of 8 lengths wraps several times
    whole = cut(features, [len(features)], **options)
    parts = cut(features, lengths, **options)
    assert [image[:2] for image in parts] == [image[:2] for image in whole]
    for (_, last, one), (_, _, other) in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(one, other)
        span = features[last + 1 - length : last + 1]
        np.testing.assert_array_equal(one, span[column_step - 1 :: column_step].T)


def test_images_hold_every_nth_sample_and_always_the_newest():
    (first, second) = cut(ramp(20), [20], length=10, column_step=5)
    np.testing.assert_array_equal(first[2], [[4, 9], [1004, 1009]])
    np.testing.assert_array_equal(second[2], [[14, 19], [1014, 1019]])


def test_image_fits_its_configuration():
    config = SignalPathConfig(
        channels=2, sampling_rate=1000.0, exposure=0.1, column_period=0.03, rms_window=0
    )
    ((_, last, pixels),) = cut(
        ramp(100), [100], length=config.image_length, column_step=config.column_step
    )
    assert pixels.shape == (config.channels, config.image_columns)
    assert last == config.image_length - 1


def test_images_stay_as_they_were_when_more_comes():
    exposure = LongExposure(10, 2)
    (image,) = exposure.push(ramp(10))
    before = image.pixels.copy()
    exposure.push(-ramp(500))
    np.testing.assert_array_equal(image.pixels, before)


def test_after_reset_the_next_image_starts_with_the_next_feature():
    exposure = LongExposure(10, 2, streams=5)
    exposure.push(ramp(27))
    exposure.reset()
    assert exposure.push(ramp(9)) == []
    (image,) = exposure.push(ramp(10)[9:])
    assert (image.stream, image.last) == (0, 0)
    np.testing.assert_array_equal(image.pixels, ramp(10).T)


@pytest.mark.parametrize('streams', [0, -1, 11])
def test_impossible_number_of_streams_is_refused(streams):
    with pytest.raises(ValueError, match=f'{streams} streams.*10 samples.*1 to 10'):
        LongExposure(10, 2, streams=streams)


class CountingArray(np.ndarray):
    """An array that counts the elements written into it."""

    written = 0

    def __setitem__(self, key, value):
        CountingArray.written += value.size
        super().__setitem__(key, value)


@pytest.mark.parametrize('chunk_length', [1, 20, 4000])
def test_buffer_is_not_moved_with_every_chunk(monkeypatch, chunk_length):
    monkeypatch.setattr(CountingArray, 'written', 0)
    features = ramp(4000)
    exposure = LongExposure(200, 2, streams=10)
    exposure._buffer = exposure._buffer.view(CountingArray)
    for chunk in chunked(features, [chunk_length]):
        exposure.push(chunk)
    assert features.size <= CountingArray.written <= 1.5 * features.size


def test_columns_of_a_batch_are_those_of_each_span():
    spans = np.stack([ramp(12), -ramp(12)])
    batch = columns_of(spans, 3)
    assert batch.shape == (2, 2, 4)
    assert batch.flags.c_contiguous
    np.testing.assert_array_equal(batch[1], columns_of(spans[1], 3))
