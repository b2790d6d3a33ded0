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

"""The device of the network. PyTorch is imported only if there may be a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager, ExitStack, suppress
import ctypes
import logging
import os
from pathlib import Path

from leconvmn_ros.core.errors import ConfigurationError

CPU = 'cpu'
# Memory of a training with its evaluation on a GPU, including CUDA itself (bytes): an estimate.
MEMORY_OF_RUN = 2 * 2**30


def find_device(name: str) -> str:
    """Return a working device of this machine, as PyTorch names it.

    Args:
        name: 'auto' (a GPU if PyTorch finds one that works), 'cpu', 'cuda', 'cuda:1' and so on.

    Raises:
        ConfigurationError: there is no such device.
    """
    if name == CPU or (name == 'auto' and not _gpu_driver()):
        return CPU
    try:
        import torch  # noqa: PLC0415 - a decoder on a CPU does not need it
    except ImportError as error:
        if name == 'auto':
            return CPU
        raise ConfigurationError(f'device {name!r} needs PyTorch: pip install torch') from error
    if name == 'auto':
        if not torch.cuda.is_available():
            return CPU
        try:
            return find_device('cuda')
        except ConfigurationError as error:
            logging.getLogger(__name__).error(  # noqa: TRY400 - a traceback would not help
                'the network runs on the CPU: there is a GPU, but %s', error
            )
            return CPU
    try:
        device = torch.device(name)
        # Copy back, because 'meta' accepts any tensor but holds no data.
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, torch.cuda.DeferredCudaCallError) as error:
        raise ConfigurationError(
            f'device {name!r} cannot be used; '
            'allowed are auto, cpu, and cuda where PyTorch finds a GPU'
        ) from error
    return str(device)


def _gpu_driver() -> bool:
    """Whether the driver of a GPU that PyTorch can use is installed (CUDA, or ROCm)."""
    if Path('/dev/kfd').exists():
        return True
    try:
        ctypes.CDLL('libcuda.so.1')
    except OSError:
        return False
    return True


def runs_at_once(name: str) -> int:
    """Return how many trainings fit on a device at the same time, at least one.

    Args:
        name: name of a device, see `find_device`.
    """
    cores = len(os.sched_getaffinity(0))
    device = find_device(name)
    if not device.startswith('cuda'):
        return cores
    import torch  # noqa: PLC0415 - there is a GPU

    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(cores, free // MEMORY_OF_RUN))


def is_device_failure(device: str, error: RuntimeError) -> bool:
    """Whether an error means that a GPU is out of memory or lost, not that a call was invalid.

    Only memory that PyTorch itself allocates has an error type of its own.
    """
    if device == CPU:
        return False
    import torch  # noqa: PLC0415 - it runs on a GPU

    text = str(error)
    if isinstance(error, torch.OutOfMemoryError) or 'out of memory' in text or 'ALLOC_F' in text:
        return True
    try:
        find_device(device)
    except ConfigurationError:
        return True
    return False


@contextmanager
def full_precision_on(device: str) -> Iterator[None]:
    """Make a GPU the current one, and compute float32 in full precision on it.

    By default, its convolutions and LSTM layers round to 10 bits (TF32), and so do products of
    matrices if somebody allowed it: a decoder would give different angles on a GPU than on a CPU.
    """
    if not device.startswith('cuda'):
        yield
        return
    import torch  # noqa: PLC0415 - it runs on a GPU

    with ExitStack() as stack:
        stack.enter_context(torch.cuda.device(device))
        # Settings made through torch's newer interface cannot be read here; respect them as the
        # user's choice.
        with suppress(RuntimeError):
            if torch.backends.cudnn.allow_tf32:
                torch.backends.cudnn.allow_tf32 = False
                stack.callback(setattr, torch.backends.cudnn, 'allow_tf32', True)
            if (products := torch.get_float32_matmul_precision()) != 'highest':
                torch.set_float32_matmul_precision('highest')
                stack.callback(torch.set_float32_matmul_precision, products)
        yield
