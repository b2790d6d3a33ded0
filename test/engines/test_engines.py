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

"""Engines equal the model, alone and together; a rule chooses one."""

import gc
from itertools import pairwise
import tracemalloc

from builders import CHANNELS, cut, make_checkpoint, make_emg, one_stack, random_network
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.engines.devices import CPU
from leconvmn_ros.engines.registry import ENGINES, make_engine, threads_for
from leconvmn_ros.engines.timing import interleaved
from leconvmn_ros.models.le_convmn import LeConvMnConfig, StackConfig
from leconvmn_ros.models.lstm import LstmConfig
from leconvmn_ros.models.ridge import RidgeConfig
from leconvmn_ros.models.spgp import SpgpConfig
from leconvmn_ros.speed.stages import chunks_for_ever
import numpy as np
import pytest
import torch

MODELS = {
    'paper': one_stack(planes=(6, 4)),
    'kernel 5': one_stack(planes=(3,), kernel=5),
    'one layer': one_stack(planes=()),
    'neighbours, last': one_stack(planes=(4, 3), head='last'),
    'neighbours, columns': one_stack(planes=(4, 3), time='all', head='all'),
    'ring': one_stack(planes=(4, 3), electrodes='ring', head='all'),
    'ring, shared': one_stack(planes=(4, 3), electrodes='ring'),
    'all': one_stack(planes=(4, 3), electrodes='all', head='last'),
    'columns': one_stack(planes=(4, 3), electrodes='ring', time='all', head='all'),
    'columns, last': one_stack(planes=(4, 3), electrodes='ring', time='all', head='last'),
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
    'LSTM': LstmConfig(units=5, networks=2),
    'LSTM of columns': LstmConfig(units=5, steps='columns'),
    'ridge': RidgeConfig(),
    'ridge of images': RidgeConfig(input='image'),
    'SPGP': SpgpConfig(pseudo_inputs=4),
    'SPGP of columns': SpgpConfig(pseudo_inputs=4, input='column'),
}
SIZES = [(4, 6), (1, 9), (10, 5), (3, 1)]
every_model = pytest.mark.parametrize('config', MODELS.values(), ids=MODELS)
ON_CPU = [entry.name for entry in ENGINES if entry.runs_on(CPU)]


def images(count, size=(4, 6), seed=0):
    return np.random.default_rng(seed).standard_normal((count, *size)).astype(np.float32)


def run(engine, sequence):
    state, outputs = engine.initial_state(), []
    for pixels in sequence:
        output, state = engine.step(pixels, state)
        outputs.append(output.copy())
    return np.array(outputs)


def run_together(engine, sequences):
    states, together = [engine.initial_state() for _ in sequences], []
    for pixels in zip(*sequences, strict=True):
        outputs, states = engine.step_together(pixels, states)
        together.append(np.array(outputs))
    return np.swapaxes(together, 0, 1)


@pytest.mark.parametrize('size', SIZES, ids=str)
@every_model
def test_onnx_runtime_gives_what_the_model_gives(config, size):
    network, sequence = random_network(config, size), images(25, size)
    expected = run(make_engine('eager', network), sequence)
    found = run(make_engine('onnx', network), sequence)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * scale)
    assert np.ptp(expected, axis=0).max() > 0.01 * scale  # there is something to see


@every_model
def test_onnx_runtime_gives_a_stream_the_same_bits_in_any_company(config):
    network = random_network(config)
    sequences = [images(4, seed=seed) for seed in range(13)]
    engine = make_engine('onnx', network)
    alone = np.array([run(engine, sequence) for sequence in sequences])
    for threads in (1, 2):
        engine = make_engine('onnx', network, threads=threads)
        for streams in (2, 5, 13):
            together = run_together(engine, sequences[:streams])
            np.testing.assert_array_equal(together, alone[:streams])


@every_model
def test_streams_of_the_module_together_are_near_the_same_one_by_one(config):
    engine = make_engine('eager', random_network(config))
    sequences = [images(6, seed=seed) for seed in range(3)]
    alone = np.array([run(engine, sequence) for sequence in sequences])
    np.testing.assert_allclose(
        run_together(engine, sequences), alone, rtol=1e-5, atol=1e-5 * np.abs(alone).max()
    )


def test_a_batch_that_is_too_large_is_run_in_parts(monkeypatch):
    network = random_network(MODELS['stacks'])
    sequences = [images(4, seed=seed) for seed in range(7)]
    expected = run_together(make_engine('onnx', network), sequences)
    values = network.config.working_values(network.image_size, network.joints)
    monkeypatch.setattr('leconvmn_ros.engines.onnx_runtime._MOST_WORKING_VALUES', 3 * values)
    engine = make_engine('onnx', network)
    counts, plain = [], engine._session.run

    class Session:
        def run(self, names, feeds):
            counts.append(len(feeds['image']))
            return plain(names, feeds)

    engine._session = Session()
    np.testing.assert_array_equal(run_together(engine, sequences), expected)
    assert max(counts) < 4
    assert sum(counts) == 4 * 7


@pytest.mark.parametrize('name', ON_CPU)
def test_streams_do_not_disturb_one_another(name):
    engine = make_engine(name, random_network(MODELS['paper']))
    first, second = images(8, seed=1), images(8, seed=2)
    alone = run(engine, first), run(engine, second)
    states, together = [engine.initial_state(), engine.initial_state()], ([], [])
    for pair in zip(first, second, strict=True):
        for stream, pixels in enumerate(pair):
            output, states[stream] = engine.step(pixels, states[stream])
            together[stream].append(output.copy())
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize('name', ON_CPU)
def test_a_state_can_be_used_again(name):
    engine = make_engine(name, random_network(MODELS['ring']))
    first, second, other = images(3)
    _, state = engine.step(first, engine.initial_state())
    output, _ = engine.step(second, state)
    engine.step(other, state)
    again, _ = engine.step(second, state)
    np.testing.assert_array_equal(again, output)


@pytest.mark.parametrize('name', ON_CPU)
def test_weights_that_cannot_be_written_are_enough(name):
    network = random_network(MODELS['stacks'])
    for weights in network.weights.values():
        weights.flags.writeable = False
    assert np.isfinite(run(make_engine(name, network), images(2))).all()


def test_on_a_cpu_onnx_runtime_is_chosen_and_the_module_where_it_is_missing(monkeypatch):
    network = random_network(MODELS['one layer'])
    assert make_engine('auto', network).name == 'onnx'
    assert Decoder(make_checkpoint()).engine == 'onnx'
    monkeypatch.setattr(
        'leconvmn_ros.engines.registry.find_spec', lambda name: None if 'onnx' in name else name
    )
    assert make_engine('auto', network).name == 'eager'
    with pytest.raises(ConfigurationError, match='engine onnx needs onnxruntime: pip install'):
        make_engine('onnx', network)


def test_on_a_gpu_the_graph_is_chosen_and_the_module_where_it_is_impossible(monkeypatch):
    monkeypatch.setattr('leconvmn_ros.engines.devices.find_device', str)
    made = []

    def make(entry, *_):
        made.append(entry.name)
        if entry.name == 'graph':
            raise ConfigurationError('not possible')
        return entry

    monkeypatch.setattr('leconvmn_ros.engines.registry.EngineEntry.make', make)
    assert make_engine('auto', None, 'cuda:0').name == 'eager'
    assert made == ['graph', 'eager']


def test_without_any_engine_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr('leconvmn_ros.engines.registry.find_spec', lambda _: None)
    with pytest.raises(ConfigurationError, match='no engine runs on cpu: pip install onnxruntime'):
        make_engine('auto', random_network(MODELS['one layer']))


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('direct', 'engine direct was removed; use onnx, which took its place'),
        ('int8', r'engine int8 was removed; use onnx \(CPU\) or float16 \(GPU\)'),
        ('bfloat16', 'engine bfloat16 was removed; use onnx'),
        ('reduced', 'engine reduced was removed; use auto'),
        ('warp', "engine 'warp'; allowed are auto, onnx, graph, eager, float16"),
        ('graph', 'engine graph does not run on cpu; allowed there are auto, onnx, eager'),
        ('float16', 'engine float16 does not run on cpu; allowed there are auto, onnx, eager'),
    ],
)
def test_an_engine_that_is_not_possible_is_refused_with_what_is(name, message):
    with pytest.raises(ConfigurationError, match=message):
        Decoder(make_checkpoint(), engine=name)


@pytest.mark.parametrize(
    ('multiplications', 'rate', 'cores', 'expected'),
    [
        (2_000_000, 50, 8, 1),  # the default network
        (55_000_000, 50, 8, 2),  # that of the paper on DB1
        (660_000_000, 50, 8, 8),  # and on DB2, for which there are not enough
        (660_000_000, 50, 1, 1),
        (0, 10, 4, 1),
    ],
)
def test_threads_follow_from_the_size_of_the_network(
    monkeypatch, multiplications, rate, cores, expected
):
    monkeypatch.setattr('os.sched_getaffinity', lambda _: range(cores))
    assert threads_for(multiplications, rate) == expected


@pytest.mark.parametrize('choice', ['auto', *ON_CPU])
def test_decoder_with_each_engine(choice):
    emg = cut(make_emg(600), [7] * 85)
    checkpoint = make_checkpoint(planes=(6, 4))
    decoder, plain = Decoder(checkpoint, engine=choice), Decoder(checkpoint, engine='eager')
    found = np.array([e.positions for chunk in emg for e in decoder.decode(chunk)])
    expected = np.array([e.positions for chunk in emg for e in plain.decode(chunk)])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.01


def test_the_same_recording_gives_the_same_bits_live_and_offline():
    """This holds for any number of threads, and for any length of messages."""
    checkpoint, emg = make_checkpoint(planes=(6, 4)), make_emg(900)
    chunks = cut(emg, [7] * 60 + [31] * 10)
    decoder = Decoder(checkpoint)
    live = [e for chunk in chunks for e in decoder.decode(chunk)]
    offline = [e for some in Decoder(checkpoint, threads=2).decode_together(chunks) for e in some]
    assert [e.stamp_ns for e in live] == [e.stamp_ns for e in offline]
    np.testing.assert_array_equal([e.positions for e in live], [e.positions for e in offline])


@pytest.mark.parametrize('name', ON_CPU)
def test_a_stream_leaves_nothing_behind(name):
    """A decoder holds no more memory after a minute than after a second."""
    decoder = Decoder(make_checkpoint(), engine=name)
    emg = chunks_for_ever(make_emg(7), 100.0)
    tracemalloc.start()
    # What was there before tracing began is replaced by objects that count.
    for _ in range(400):
        decoder.decode(next(emg))
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(600):
        decoder.decode(next(emg))
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 40_000 < 600 * 7 * CHANNELS * 4


def test_timing_takes_turns():
    order = []
    calls = [lambda: order.append('a'), lambda: order.append('b')]
    times = interleaved(calls, 4)
    assert times.shape == (2, 4)
    assert (times >= 0).all()
    timed = order[4:]
    assert timed == ['a', 'b'] * 4
    assert all(one != other for one, other in pairwise(timed))


@every_model
def test_the_sizes_that_are_checked_are_those_of_the_module(config):
    network = random_network(config)
    module = network.module()
    found = {name: tuple(weights.shape) for name, weights in module.state_dict().items()}
    assert found == config.weight_shapes((4, 6), 3)
    state = [part[0].numel() for layer in module.initial_state() for part in layer]
    assert [np.prod(shape) for shape in config.state_shapes((4, 6), 3)] == state
    for name, weights in module.trained_weights().items():
        np.testing.assert_array_equal(weights, network.weights[name])


@every_model
def test_multiplications_are_those_of_the_module(config):
    if isinstance(config, SpgpConfig | LstmConfig):
        pytest.skip('PyTorch does not count distances and LSTM layers')
    from torch.utils.flop_counter import FlopCounterMode

    module = random_network(config).module()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        # With `fresh`, a layer is never one call of PyTorch's LSTM, which is not counted.
        fresh = torch.zeros(1, 1, dtype=torch.bool)
        module(torch.zeros(1, 1, 4, 6), module.initial_state(), fresh)
    assert config.multiplications((4, 6), 3) == counter.get_total_flops() // 2
