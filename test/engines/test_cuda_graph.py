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

"""The engine with CUDA graphs; without a GPU, all but the capture runs on the CPU."""

from contextlib import nullcontext
import logging

from builders import cut, make_checkpoint, make_emg, one_stack, random_network
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.engines.cuda_graph import GraphEngine, HalfGraphEngine
from leconvmn_ros.engines.devices import find_device
from leconvmn_ros.engines.eager import EagerEngine
from leconvmn_ros.engines.registry import ENGINES, make_engine
from leconvmn_ros.models.le_convmn import LeConvMnConfig, StackConfig
from leconvmn_ros.models.lstm import LstmConfig
from leconvmn_ros.models.ridge import RidgeConfig
from leconvmn_ros.models.spgp import SpgpConfig
import numpy as np
import pytest
import torch

SIZE, JOINTS = (4, 6), 3
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
ON_GPU = [entry.name for entry in ENGINES if not entry.runs_on('cpu')]
# A GPU takes other kernels for several streams than for one.
ATOL = 1e-5 if DEVICE == 'cpu' else 1e-4
needs_gpu = pytest.mark.skipif(DEVICE == 'cpu', reason='there is no GPU')
MODELS = {
    'paper': one_stack(planes=(6, 4)),
    'stacks': LeConvMnConfig(
        stacks=(
            StackConfig(planes=(4, 5), electrodes='ring_then_all', time='all', head='all'),
            StackConfig(planes=(3,), electrodes='all', head='mean'),
        )
    ),
    'LSTM': LstmConfig(units=5, networks=2),
    'LSTM of columns': LstmConfig(units=5, steps='columns'),
    'ridge': RidgeConfig(input='image'),
    'SPGP': SpgpConfig(pseudo_inputs=4),
}
every_model = pytest.mark.parametrize('config', MODELS.values(), ids=MODELS)


def build(config):
    return random_network(config, SIZE, JOINTS)


def images(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, *SIZE)).astype(np.float32)


def run(engine, sequence):
    state, outputs = engine.initial_state(), []
    for pixels in sequence:
        output, state = engine.step(pixels, state)
        outputs.append(output)
    return np.array(outputs)


@every_model
def test_it_gives_what_the_model_gives(config):
    model, sequence = build(config), images(20)
    engine = GraphEngine(model, DEVICE)
    found, expected = run(engine, sequence), run(EagerEngine(model, DEVICE), sequence)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL)
    assert found.dtype == np.float32
    assert np.ptp(expected, axis=0).min() > 0.02  # there is something to see
    # Each output is the caller's own: the next step does not write over it.
    np.testing.assert_array_equal(run(engine, sequence), found)


@every_model
def test_streams_together_are_the_same_as_one_by_one(config):
    engine = GraphEngine(build(config), DEVICE)
    sequences = [images(6, seed) for seed in range(3)]
    alone = [run(engine, sequence) for sequence in sequences]
    states, together = [engine.initial_state()] * 3, []
    for pixels in zip(*sequences, strict=True):
        outputs, states = engine.step_together(pixels, states)
        together.append(outputs)
    np.testing.assert_allclose(np.swapaxes(together, 0, 1), alone, rtol=0, atol=ATOL)
    # As many as come together first have a graph, and one alone; others go in groups.
    assert set(engine._captured) == {1, 3}
    eight, after = engine.step_together(list(images(8)), (states * 3)[:8])
    for number, image in enumerate(images(8)):
        output, state = engine.step(image, states[number % 3])
        np.testing.assert_allclose(eight[number], output, rtol=0, atol=ATOL)
        np.testing.assert_allclose(after[number], state, rtol=0, atol=ATOL)
    two, _ = engine.step_together([sequences[0][0], sequences[1][0]], states[:2])
    three, _ = engine.step_together([sequence[0] for sequence in sequences], states)
    np.testing.assert_allclose(two, three[:2], rtol=0, atol=ATOL)
    assert set(engine._captured) == {1, 3}
    # A stream may go on alone.
    one, _ = engine.step(sequences[0][0], states[0])
    (other, _), _ = engine.step_together([sequences[0][0]] * 2, states[:2])
    np.testing.assert_allclose(one, other, rtol=0, atol=ATOL)


def test_a_state_can_be_used_again():
    engine = GraphEngine(build(MODELS['stacks']), DEVICE)
    first, second, other = images(3)
    _, state = engine.step(first, engine.initial_state())
    output, _ = engine.step(second, state)
    engine.step(other, state)
    np.testing.assert_array_equal(engine.step(second, state)[0], output)
    assert np.abs(output - engine.step(second, engine.initial_state())[0]).max() > 1e-3


@pytest.mark.parametrize('name', ['paper', 'stacks', 'LSTM'])
def test_half_precision_is_near(name):
    model, sequence = build(MODELS[name]), images(20)
    engine = HalfGraphEngine(model, DEVICE)
    assert engine.name == 'float16'
    assert engine.initial_state().dtype == torch.float16
    found, expected = run(engine, sequence), run(EagerEngine(model, DEVICE), sequence)
    assert 1e-6 < np.abs(found - expected).max() < 0.02 * np.ptp(expected)


@pytest.mark.parametrize('streams', [1, 3])
def test_one_that_gives_something_else_is_refused(monkeypatch, streams):
    engine = GraphEngine(build(MODELS['paper']), DEVICE)
    engine._captured.clear()
    plain = engine._plain.step_together

    def step_all():
        engine.step_together(list(images(streams)), [engine.initial_state()] * streams)

    def off(pixels, states):
        outputs, states = plain(pixels, states)
        return [output + 0.1 for output in outputs], states

    monkeypatch.setattr(engine._plain, 'step_together', off)
    # And is not taken for good the next time.
    for _ in range(2):
        with pytest.raises(
            ConfigurationError, match=r'engine graph on .* differs by 0\.\d+ standard'
        ):
            step_all()
    nothing = [np.full(JOINTS, np.nan)] * streams
    monkeypatch.setattr(engine._plain, 'step_together', lambda _, states: (nothing, states))
    with pytest.raises(ConfigurationError, match='differs by nan'):
        step_all()
    monkeypatch.undo()
    step_all()


def test_a_device_that_cannot_is_one_clear_error(monkeypatch):
    engine = GraphEngine(build(MODELS['paper']), DEVICE)

    image, state = images(1), engine.initial_state()

    def step():
        engine.step_together(list(image), [state])

    def fail(error):
        def step(*_):
            raise error

        monkeypatch.setattr('leconvmn_ros.engines.cuda_graph._Step', step)

    engine._captured.clear()
    fail(RuntimeError('CUDA error: not permitted when stream is capturing.\nSearch for'))
    with pytest.raises(
        ConfigurationError, match=r'engine graph is not possible on .* is capturing.$'
    ):
        step()
    # One that is full or lost has room for no other engine either.
    monkeypatch.setattr(engine, 'device', 'cuda')
    monkeypatch.setattr('leconvmn_ros.engines.cuda_graph.full_precision_on', nullcontext)
    for error in (torch.OutOfMemoryError('full'), RuntimeError('CUBLAS_STATUS_ALLOC_FAILED')):
        fail(error)
        with pytest.raises(type(error), match=str(error)):
            step()


class FullGpu(EagerEngine):
    """Replaces an engine, as on a GPU without free memory."""

    def __init__(self, network, device, threads):
        if device == 'cuda':
            raise torch.OutOfMemoryError('CUDA out of memory.\nTried to allocate')
        super().__init__(network, device, threads)


@pytest.mark.parametrize(
    ('choice', 'expected'), [('auto', 'onnx'), ('eager', 'eager'), ('float16', 'onnx')]
)
def test_a_gpu_that_is_full_from_the_start_is_left_for_the_cpu(
    choice, expected, monkeypatch, caplog
):
    for place in ('eager.EagerEngine', 'cuda_graph.GraphEngine', 'cuda_graph.HalfGraphEngine'):
        monkeypatch.setattr(f'leconvmn_ros.engines.{place}', FullGpu)
    monkeypatch.setattr('leconvmn_ros.decoding.decoder.find_device', str)
    with caplog.at_level(logging.ERROR):
        decoder = Decoder(make_checkpoint(), device='cuda', engine=choice)
    assert decoder.warm_up() > 0
    assert (decoder.device, decoder.engine) == ('cpu', expected)
    assert sum(len(decoder.decode(chunk)) for chunk in cut(make_emg(400), [10] * 40)) > 10
    assert [record.getMessage() for record in caplog.records] == [
        'the network fell back from cuda to the CPU and was reset: CUDA out of memory.'
    ]


def test_a_gpu_that_does_not_work_is_not_chosen_by_itself(monkeypatch, caplog):
    if DEVICE == 'cuda':
        pytest.skip('there is one that works')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr('leconvmn_ros.engines.devices._gpu_driver', lambda: True)
    with caplog.at_level(logging.ERROR):
        assert find_device('auto') == 'cpu'
    assert "runs on the CPU: there is a GPU, but device 'cuda' cannot be used" in caplog.text
    with pytest.raises(ConfigurationError):
        find_device('cuda')


@needs_gpu
def test_a_step_is_captured():
    network = build(MODELS['stacks'])
    engine = GraphEngine(network, DEVICE)
    assert all(step._graph is not None for step in engine._captured.values())
    for name in ('eager', *ON_GPU):
        assert make_engine(name, network, DEVICE).name == name
    assert make_engine('auto', network, DEVICE).name == 'graph'
