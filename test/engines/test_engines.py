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

import gc
from itertools import pairwise
import os
import time
import tracemalloc

from builders import CHANNELS, cut, make_checkpoint, make_emg, one_stack
from leconvmn_ros.decoding.autotune import settle_for_recordings, warm_up_with_threads
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.engines.base import EagerEngine, interleaved
from leconvmn_ros.engines.choice import (
    CHOICES,
    EXACT,
    fastest,
    make_engine,
    ON_GPU,
    possible_engines,
    REDUCED,
    stepping,
)
from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.models.build import build_model
from leconvmn_ros.models.le_convmn import LeConvMnConfig, StackConfig
from leconvmn_ros.models.lstm import LstmConfig
from leconvmn_ros.models.ridge import RidgeConfig
from leconvmn_ros.speed.stages import chunks_for_ever
from leconvmn_ros.training.presets import PRESETS
import numpy as np
import pytest
import torch

JOINTS = 3
MODELS = {
    'paper': one_stack(planes=(6, 4)),
    'kernel 5': one_stack(planes=(3,), kernel=5),
    'one layer': one_stack(planes=()),
    'ring': one_stack(planes=(4, 3), electrodes='ring', head='all'),
    'all': one_stack(planes=(4, 3), electrodes='all', head='last'),
    'columns': one_stack(planes=(4, 3), electrodes='ring', time='all', head='all'),
    'image': one_stack(planes=(4, 3), electrodes='all', time='all', head='mean'),
    'ring, then all': one_stack(planes=(4, 3), electrodes='ring_then_all', head='all'),
    'ring, then all, columns': one_stack(
        planes=(4, 3, 3), electrodes='ring_then_all', time='all', head='all'
    ),
    'ring, then all, mean': one_stack(planes=(4, 3), electrodes='ring_then_all', head='mean'),
    'stacks': LeConvMnConfig(
        stacks=(
            StackConfig(planes=(3,), electrodes='all', head='mean'),
            StackConfig(planes=(4,), electrodes='ring', head='mean'),
            StackConfig(planes=(2, 2)),
        )
    ),
}


def build(config, image_size=(4, 6), gain=3.0):
    torch.manual_seed(0)
    model = build_model(config, image_size, JOINTS).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(gain)  # so that gates open and close
        # Parts that do not count alike.
        model.shares.copy_(torch.arange(1.0, len(model.shares) + 1) / model.shares.numel())
    return model


def images(count, size, seed=0):
    return np.random.default_rng(seed).standard_normal((count, *size)).astype(np.float32)


def run(engine, sequence):
    state, outputs = engine.initial_state(), []
    for pixels in sequence:
        output, state = engine.step(pixels, state)
        outputs.append(output.copy())
    return np.array(outputs)


def engine_or_skip(name, model):
    if name == 'onnx':
        pytest.importorskip('onnx')
        pytest.importorskip('onnxruntime')
    on_gpu = name in ON_GPU
    if on_gpu and not torch.cuda.is_available():
        pytest.skip('there is no GPU')
    try:
        return make_engine(name, model, torch.device('cuda' if on_gpu else 'cpu'))
    except ConfigurationError as error:
        if name in REDUCED:
            pytest.skip(str(error))
        raise


def eager(model):
    return EagerEngine(model, torch.device('cpu'))


@pytest.mark.parametrize('size', [(4, 6), (1, 9), (10, 5)], ids=str)
@pytest.mark.parametrize('config', MODELS.values(), ids=MODELS)
def test_direct_gives_what_the_model_gives(config, size):
    model, sequence = build(config, size), images(25, size)
    expected = run(eager(model), sequence)
    np.testing.assert_allclose(
        run(make_engine('direct', model), sequence), expected, rtol=0, atol=1e-5
    )
    assert np.ptp(expected, axis=0).min() > 0.05  # there is something to see


@pytest.fixture(params=[0, 1], ids=['plain', 'Winograd'])
def chosen(request, monkeypatch):
    """Wherever convolutions may be chosen, the choice falls on one kind."""
    seen = []

    def times(kinds, _):
        seen.append([type(kind).__name__ for kind in kinds])
        return np.array([[float(number != request.param)] for number in range(len(kinds))])

    monkeypatch.setattr('leconvmn_ros.engines.fused_cpu.interleaved', times)
    return seen


@pytest.mark.parametrize('size', [(4, 6), (1, 9), (10, 5)], ids=str)
@pytest.mark.parametrize('name', ['paper', 'kernel 5', 'ring', 'stacks'])
def test_direct_gives_it_with_either_convolution(name, size, chosen):
    model, sequence = build(MODELS[name], size), images(25, size)
    engine = make_engine('direct', model)
    engine.prepare()
    np.testing.assert_allclose(
        run(engine, sequence), run(eager(model), sequence), rtol=0, atol=2e-5
    )
    has_choice = name != 'kernel 5' and size[0] > 1
    assert chosen == [['_Convolution', 'Winograd']] * len(chosen)
    assert bool(chosen) == has_choice


@pytest.mark.usefixtures('chosen')
def test_a_choice_is_for_a_number_of_threads():
    engine = make_engine('direct', build(MODELS['paper']))
    threads = torch.get_num_threads()

    def kept():
        engine.prepare()
        return [layer._convolution for stack in engine._stacks for layer in stack.layers]

    try:
        torch.set_num_threads(1)
        first = kept()
        assert all(one is other for one, other in zip(first, kept(), strict=True))
        torch.set_num_threads(2)
        assert all(one is not other for one, other in zip(first, kept(), strict=True))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    'config',
    [
        *MODELS.values(),
        LstmConfig(units=5),
        LstmConfig(steps='columns', units=5),
        RidgeConfig(input='image'),
    ],
    ids=[*MODELS, 'lstm', 'lstm of columns', 'ridge'],
)
def test_onnx_runtime_gives_what_the_model_gives(config):
    model, sequence = build(config), images(25, (4, 6))
    np.testing.assert_allclose(
        run(engine_or_skip('onnx', model), sequence),
        run(eager(model), sequence),
        rtol=0,
        atol=1e-5,
    )


@pytest.mark.parametrize('name', REDUCED)
@pytest.mark.parametrize('config', MODELS.values(), ids=MODELS)
def test_reduced_precision_is_near(name, config):
    model, sequence = build(config), images(25, (4, 6))
    expected, found = run(eager(model), sequence), run(engine_or_skip(name, model), sequence)
    spread = expected.std()
    assert 1e-6 * spread < np.abs(found - expected).max() < 0.3 * spread
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.995


@pytest.mark.parametrize('name', EXACT + REDUCED)
def test_streams_do_not_disturb_one_another(name):
    model = build(MODELS['paper'])
    engine = engine_or_skip(name, model)
    first, second = images(8, (4, 6), seed=1), images(8, (4, 6), seed=2)
    alone = run(engine, first), run(engine, second)
    states, together = [engine.initial_state(), engine.initial_state()], ([], [])
    for pair in zip(first, second, strict=True):
        for stream, pixels in enumerate(pair):
            output, states[stream] = engine.step(pixels, states[stream])
            together[stream].append(output.copy())
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    'config',
    [*MODELS.values(), LstmConfig(units=5, networks=2), RidgeConfig(input='image')],
    ids=[*MODELS, 'lstm', 'ridge'],
)
@pytest.mark.parametrize('name', ['eager', 'direct'])
def test_streams_together_are_the_same_as_one_by_one(name, config):
    model = build(config)
    if name == 'direct' and not isinstance(config, LeConvMnConfig):
        pytest.skip('there is no such engine')
    engine = make_engine(name, model)
    sequences = [images(6, (4, 6), seed) for seed in range(3)]
    states, together = [engine.initial_state()] * 3, []
    for pixels in zip(*sequences, strict=True):
        outputs, states = engine.step_together(pixels, states)
        together.append(outputs)
    alone = [run(engine, sequence) for sequence in sequences]
    np.testing.assert_allclose(np.swapaxes(together, 0, 1), alone, rtol=0, atol=1e-5)
    # A stream may go on alone.
    one, _ = engine.step(sequences[0][0], states[0])
    (other, _), _ = engine.step_together([sequences[0][0]] * 2, states[:2])
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize('name', EXACT + REDUCED)
def test_a_state_can_be_used_again(name):
    engine = engine_or_skip(name, build(MODELS['ring']))
    first, second, other = images(3, (4, 6))
    _, state = engine.step(first, engine.initial_state())
    output, _ = engine.step(second, state)
    engine.step(other, state)
    again, _ = engine.step(second, state)
    np.testing.assert_array_equal(again, output)


def test_other_models_have_no_direct_engine():
    lstm = build(LstmConfig(units=5))
    with pytest.raises(ConfigurationError, match='engine direct runs LE-ConvMN only'):
        make_engine('direct', lstm)
    assert [engine.name for engine in possible_engines(['eager', 'direct', 'int8'], lstm)] == [
        'eager'
    ]


class Sleeper(EagerEngine):
    def __init__(self, name, seconds):
        super().__init__(build(MODELS['one layer']), torch.device('cpu'))
        self.name, self.seconds = name, seconds

    def step(self, pixels, state):  # noqa: ARG002
        time.sleep(self.seconds)
        return np.zeros(JOINTS, dtype=np.float32), state


@pytest.fixture
def sleepers(monkeypatch):
    """Engines of known pace: of all int8 is the fastest, of the exact ones direct."""
    paces = {'eager': 0.03, 'direct': 0.01, 'onnx': 0.05, 'bfloat16': 0.02, 'int8': 0.0}
    paces |= dict.fromkeys(ON_GPU, 0.06)
    monkeypatch.setattr(
        'leconvmn_ros.engines.choice.make_engine', lambda name, *_: Sleeper(name, paces[name])
    )


@pytest.mark.usefixtures('sleepers')
@pytest.mark.parametrize(('choice', 'expected'), [('auto', 'direct'), ('reduced', 'int8')])
def test_the_fastest_is_chosen(choice, expected):
    assert fastest(choice, build(MODELS['one layer'])).name == expected


@pytest.mark.usefixtures('sleepers')
def test_for_recordings_what_many_streams_take_counts(monkeypatch):
    monkeypatch.setattr(EagerEngine, 'step_together', EagerEngine.__base__.step_together)
    decoder = Decoder(make_checkpoint(), engine='auto')
    threads = torch.get_num_threads()
    try:
        settle_for_recordings(decoder)
        assert torch.get_num_threads() in {1, os.cpu_count()}
    finally:
        torch.set_num_threads(threads)
    assert decoder.engine == 'direct'
    # Eager takes five streams in the time of one, which direct does not.
    monkeypatch.setattr(
        Sleeper,
        'step_together',
        lambda self, pixels, states: (
            time.sleep(self.seconds * (1 if self.name == 'eager' else len(pixels))),
            states,
        ),
    )
    model = build(MODELS['one layer'])
    assert [fastest('auto', model, streams).name for streams in (1, 5)] == ['direct', 'eager']


@pytest.mark.usefixtures('sleepers')
def test_decoder_chooses_when_it_warms_up():
    decoder = Decoder(make_checkpoint(), engine='auto')
    assert decoder.engine == 'eager'
    threads = torch.get_num_threads()
    warm_up_with_threads(decoder, threads=1)
    torch.set_num_threads(threads)
    assert decoder.engine == 'direct'


class Paced:
    """In place of a decoder whose step takes a known time with so many threads."""

    output_rate = 50.0

    def __init__(self, seconds):
        self.seconds, self.settled_on = seconds, []

    def choose_engine(self):
        pass

    def warm_up(self):
        self.settled_on.append(torch.get_num_threads())
        return self.seconds[torch.get_num_threads()]


@pytest.mark.parametrize(
    ('seconds', 'settled_on'),
    [
        ({1: 0.004}, [1]),  # a quarter of the time is free with one
        ({1: 0.008, 2: 0.007}, [1, 2, 1]),  # two are hardly worth it: ready for one again
        ({1: 0.008, 2: 0.006, 4: 0.0059}, [1, 2, 4, 2]),
        ({1: 0.03, 2: 0.03, 4: 0.03}, [1, 2, 4]),  # it does not keep up: all there is
    ],
)
def test_the_engine_is_ready_for_the_threads_that_are_left(seconds, settled_on, monkeypatch):
    monkeypatch.setattr('os.cpu_count', lambda: 4)
    decoder, before = Paced(seconds), torch.get_num_threads()
    try:
        assert warm_up_with_threads(decoder) == seconds[settled_on[-1]]
        assert decoder.settled_on == settled_on
        assert torch.get_num_threads() == settled_on[-1]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize('choice', [name for name in CHOICES if name not in {'onnx', *ON_GPU}])
def test_decoder_with_each_choice(choice):
    emg = cut(make_emg(600), [7] * 85)
    checkpoint = make_checkpoint(planes=(6, 4))
    if choice in REDUCED:
        engine_or_skip(choice, checkpoint.build_model())
    decoder = Decoder(checkpoint, engine=choice)
    decoder.choose_engine()
    found = np.array([e.positions for chunk in emg for e in decoder.decode(chunk)])
    plain = Decoder(checkpoint)
    expected = np.array([e.positions for chunk in emg for e in plain.decode(chunk)])
    exact = choice in {'auto', *EXACT}
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 if exact else 0.1)
    assert np.ptp(expected, axis=0).max() > 0.01


def test_a_stream_leaves_nothing_behind():
    """However long it is: what a decoder holds after a minute is what it held after a second."""
    decoder = Decoder(make_checkpoint(), engine='direct')
    emg = chunks_for_ever(make_emg(7), 100.0)
    for _ in range(300):
        decoder.decode(next(emg))
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1500):
        decoder.decode(next(emg))
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    # The newest chunks and counts are other objects than those before tracing began.
    assert grown < 20_000 < 1500 * 7 * CHANNELS * 4


def test_unknown_engine_is_refused():
    with pytest.raises(ConfigurationError, match=r"engine 'warp'; allowed are auto, reduced, eag"):
        Decoder(make_checkpoint(), engine='warp')


def test_timing_takes_turns():
    order = []
    calls = [lambda: order.append('a'), lambda: order.append('b')]
    times = interleaved(calls, 4)
    assert times.shape == (2, 4)
    assert (times >= 0).all()
    timed = order[4:]
    assert timed == ['a', 'b'] * 4
    assert all(one != other for one, other in pairwise(timed))


def test_direct_is_not_slower_than_eager():
    """Guards the reason for which it is there, generously: the machine may stall."""
    settings = PRESETS['paper']
    model = build(settings.model, (12, 50), gain=1.0)
    pixels = np.zeros((12, 50), dtype=np.float32)
    steps = [stepping(make_engine(name, model), pixels) for name in ('eager', 'direct')]
    plain, direct = interleaved(steps, 15).min(axis=1)
    assert direct < 1.5 * plain


def test_to_make_the_engines_leaves_the_model_as_it_was():
    """Dropout was at work in eager once the model had been translated for ONNX Runtime."""
    model = build(one_stack(planes=(4,), head='all', dropout=0.5))
    before = run(eager(model), images(5, model.image_size))
    assert next(engine.name for engine in possible_engines(EXACT, model)) == 'eager'
    assert not any(module.training for module in model.modules())
    np.testing.assert_array_equal(run(eager(model), images(5, model.image_size)), before)
