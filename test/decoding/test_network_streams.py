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

"""The network in use: when a GPU is lost, whatever it was doing."""

from contextlib import nullcontext
import logging

from builders import cut, make_checkpoint, make_emg
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.engines.cuda_graph import GraphEngine
from leconvmn_ros.engines.eager import EagerEngine
from leconvmn_ros.engines.registry import make_engine
import numpy as np
import pytest
import torch

LEFT = 'the network fell back from cuda to the CPU and was reset: CUDA out of memory.'


class LostGpu(EagerEngine):
    """An engine that says it runs on a GPU, which is gone after some steps."""

    def __init__(self, checkpoint, steps):
        super().__init__(checkpoint.network())
        self.device, self.steps = 'cuda', steps

    def _check(self):
        if self.steps <= 0:
            raise torch.OutOfMemoryError('CUDA out of memory.\nTried to allocate')

    def initial_state(self):
        self._check()
        return super().initial_state()

    def step_together(self, pixels, states):
        self._check()
        self.steps -= 1
        self.device, there = 'cpu', self.device
        try:
            return super().step_together(pixels, states)
        finally:
            self.device = there


def lose_gpu(decoder, checkpoint, steps):
    decoder._network._engine = LostGpu(checkpoint, steps)


def decode(decoder, chunks):
    return [e for chunk in chunks for e in decoder.decode(chunk)]


def test_a_lost_gpu_is_left_for_the_cpu(caplog):
    checkpoint = make_checkpoint()
    chunks = cut(make_emg(400), [10] * 40)
    decoder = Decoder(checkpoint, output_rate=0, engine='eager')
    lose_gpu(decoder, checkpoint, 5)
    with caplog.at_level(logging.ERROR):
        estimates = decode(decoder, chunks)
    expected = decode(Decoder(checkpoint, output_rate=0, engine='eager'), chunks)
    assert [e.stamp_ns for e in estimates] == [e.stamp_ns for e in expected]
    for one, other in zip(estimates[:5], expected[:5], strict=True):
        np.testing.assert_array_equal(one.positions, other.positions)
    # The state was lost: what follows is as from a network whose state is lost there.
    afresh = Decoder(checkpoint, output_rate=0, engine='eager')
    advance, images = afresh._network.advance, []

    def forgetful(streams, pixels):
        images.append(pixels)
        if len(images) == 6:
            afresh._network.reset()
        return advance(streams, pixels)

    afresh._network.advance = forgetful
    for one, other in zip(estimates, decode(afresh, chunks), strict=True):
        np.testing.assert_array_equal(one.positions, other.positions)
    assert np.abs(estimates[5].positions - expected[5].positions).max() > 1e-4
    assert [record.getMessage() for record in caplog.records] == [LEFT]


def test_a_gpu_that_is_lost_while_nothing_comes_is_left(caplog):
    checkpoint = make_checkpoint()
    decoder = Decoder(checkpoint)
    lose_gpu(decoder, checkpoint, 30)
    chunks = cut(make_emg(400), [10] * 40)
    first = decode(decoder, chunks[:20])
    decoder._network._engine.steps = 0
    # The source starts again: all streams get a new state.
    with caplog.at_level(logging.ERROR):
        second = decode(decoder, [c._replace(first_sample=c.first_sample - 200) for c in chunks])
    assert decoder.device == 'cpu'
    assert len(first) > 50
    expected = decode(Decoder(checkpoint), chunks)
    assert len(second) > 50
    for one, other in zip(second[-50:], expected[-50:], strict=True):
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-3)
    assert [record.getMessage() for record in caplog.records] == [LEFT]


def test_a_gpu_that_is_lost_at_the_start_is_left(caplog):
    checkpoint = make_checkpoint()
    decoder = Decoder(checkpoint)
    decoder._network._choice = 'auto'
    lose_gpu(decoder, checkpoint, 0)
    with caplog.at_level(logging.ERROR):
        assert decoder.warm_up() > 0
    assert (decoder.device, decoder.engine) == ('cpu', 'onnx')
    assert [record.getMessage() for record in caplog.records] == [LEFT]


def test_an_engine_by_name_that_does_not_fit_the_gpu_is_left(monkeypatch, caplog):
    checkpoint = make_checkpoint()
    decoder = Decoder(checkpoint)
    engine = GraphEngine(checkpoint.network(), 'cpu')
    engine.device = 'cuda'
    engine._captured.clear()

    def full(*_):
        raise torch.OutOfMemoryError('CUDA out of memory.\nTried to allocate')

    monkeypatch.setattr('leconvmn_ros.engines.cuda_graph._Step', full)
    monkeypatch.setattr(engine, 'initial_state', list)
    monkeypatch.setattr('leconvmn_ros.engines.cuda_graph.full_precision_on', nullcontext)
    decoder._network._engine, decoder._network._choice = engine, 'graph'
    with caplog.at_level(logging.ERROR):
        decoder.warm_up()
    assert (decoder.device, decoder.engine) == ('cpu', 'onnx')
    assert [record.getMessage() for record in caplog.records] == [LEFT]


def test_a_fault_of_ours_on_a_gpu_is_no_lost_gpu(monkeypatch):
    monkeypatch.setattr(torch, 'zeros', lambda *_, **__: torch.ones(1))  # one that works
    checkpoint = make_checkpoint()
    decoder = Decoder(checkpoint, output_rate=0)
    lose_gpu(decoder, checkpoint, 5)

    def step(*_):
        raise RuntimeError('shapes cannot be multiplied')

    decoder._network._engine.step_together = step
    with pytest.raises(RuntimeError, match='shapes'):
        decode(decoder, cut(make_emg(50), []))
    assert decoder.device == 'cuda'


def test_an_error_on_the_cpu_is_no_lost_gpu():
    checkpoint = make_checkpoint()
    decoder = Decoder(checkpoint, output_rate=0)
    lose_gpu(decoder, checkpoint, 1)
    decoder._network._engine.device = 'cpu'
    with pytest.raises(torch.OutOfMemoryError):
        decode(decoder, cut(make_emg(50), []))


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_an_output_that_is_not_finite_is_no_pose(bad):
    checkpoint = make_checkpoint()
    decoder = Decoder(checkpoint)
    chunks = cut(make_emg(400), [10] * 40)
    expected = decode(Decoder(checkpoint), chunks)
    engine = make_engine('onnx', checkpoint.network())
    plain, count = engine.step_together, 0

    def step(pixels, states):
        nonlocal count
        count += 1
        outputs, states = plain(pixels, states)
        return [np.full_like(o, bad) if count == 20 else o for o in outputs], states

    engine.step_together = step
    decoder._network._engine = engine
    found = decode(decoder, chunks)
    assert decoder.counts.failed_estimates == 1
    stamps = [e.stamp_ns for e in expected]
    assert [e.stamp_ns for e in found] == stamps[:19] + stamps[20:]
    assert np.isfinite([e.positions for e in found]).all()
