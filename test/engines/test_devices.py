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

"""Devices; test_decoder.py tests them through the decoder."""

from contextlib import nullcontext

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.engines.devices import find_device, full_precision_on, runs_at_once
import pytest
import torch


def test_cpu_is_always_there():
    assert find_device('cpu') == 'cpu'


def test_a_device_that_gives_nothing_back_is_refused():
    with pytest.raises(ConfigurationError, match='allowed are auto, cpu, and cuda'):
        find_device('meta')


def test_float32_is_not_rounded_to_less_on_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device', nullcontext)  # there need be none

    def rounded():
        return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()

    # As torch has it, and as somebody may have set it.
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', True)
    torch.set_float32_matmul_precision('high')
    try:
        before = rounded()
        with full_precision_on('cuda'):
            assert rounded() == (False, 'highest')
        assert rounded() == before  # other code in this process is left alone
        with pytest.raises(RuntimeError), full_precision_on('cuda'):
            raise RuntimeError('CUDA error: the GPU is lost')
        assert rounded() == before
        with full_precision_on('cpu'):
            assert rounded() == before
    finally:
        torch.set_float32_matmul_precision('highest')


def test_as_many_runs_as_there_are_cores_or_as_a_gpu_has_memory_for(monkeypatch):
    monkeypatch.setattr('os.sched_getaffinity', lambda _: range(6))
    assert runs_at_once('cpu') == 6
    monkeypatch.setattr('leconvmn_ros.engines.devices.find_device', str)
    for gibibytes, expected in ((139, 6), (8, 4), (1, 1)):
        free = gibibytes * 2**30
        monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda _, free=free: (free, free))
        assert runs_at_once('cuda') == expected
