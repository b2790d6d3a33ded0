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

"""The device that the network runs on."""

from collections.abc import Iterator
from contextlib import contextmanager, ExitStack, suppress
import logging
import os

from leconvmn_ros.errors import ConfigurationError
import torch

# Of a training and its evaluation on a GPU, with what CUDA itself takes (bytes): an estimate.
MEMORY_OF_RUN = 2 * 2**30


def find_device(name: str) -> torch.device:
    """Return a torch device that works on this machine.

    Args:
        name: 'auto' (a GPU if torch finds one that works), 'cpu', 'cuda', 'cuda:1' and so on.

    Raises:
        ConfigurationError: there is no such device.
    """
    if name == 'auto':
        if torch.cuda.is_available():
            try:
                return find_device('cuda')
            except ConfigurationError as error:
                logging.getLogger(__name__).error(  # noqa: TRY400 - one line is enough
                    'the network runs on the CPU: a GPU is there, but %s', error
                )
        name = 'cpu'
    try:
        device = torch.device(name)
        # And back: the device 'meta' takes everything and gives nothing.
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, torch.cuda.DeferredCudaCallError) as error:
        raise ConfigurationError(
            f'device {name!r} cannot be used; '
            'allowed are auto, cpu, and cuda where torch finds a GPU'
        ) from error
    return device


def runs_at_once(name: str) -> int:
    """Return how many trainings fit on a device beside one another, at least one.

    Args:
        name: see `find_device`.
    """
    cores = len(os.sched_getaffinity(0))
    device = find_device(name)
    if device.type != 'cuda':
        return cores
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(cores, free // MEMORY_OF_RUN))


def gave_out(device: torch.device, error: RuntimeError) -> bool:
    """Whether an error means that a GPU is full or lost, and not that it cannot do what was asked.

    Only memory that torch allots itself is reported by a type of its own.
    """
    text = str(error)
    if device.type == 'cpu':
        return False
    if isinstance(error, torch.OutOfMemoryError) or 'out of memory' in text or 'ALLOC_F' in text:
        return True
    try:
        find_device(str(device))
    except ConfigurationError:
        return True
    return False


@contextmanager
def computing_on(device: torch.device) -> Iterator[None]:
    """Make a GPU the current one, and have it compute in float32 what is in float32.

    Left alone, its convolutions and LSTM layers round to 10 bits (TF32), and products of matrices
    do where somebody allowed it: a decoder would say something else on a GPU than on a CPU.
    """
    if device.type != 'cuda':
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(torch.cuda.device(device))
        # Settings made by torch's newer interface cannot be read by this one: they are somebody's
        # own choice.
        with suppress(RuntimeError):
            if torch.backends.cudnn.allow_tf32:
                torch.backends.cudnn.allow_tf32 = False
                stack.callback(setattr, torch.backends.cudnn, 'allow_tf32', True)
            if (products := torch.get_float32_matmul_precision()) != 'highest':
                torch.set_float32_matmul_precision('highest')
                stack.callback(torch.set_float32_matmul_precision, products)
        yield
