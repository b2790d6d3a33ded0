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

"""Memory for recordings: checked before it is allocated, grown without a second copy."""

from pathlib import Path

from leconvmn_ros.core.errors import RecordingError
import numpy as np
from numpy.typing import NDArray

_STEP = 2**20  # values
_GROWTH = 8  # by an eighth
_GIBIBYTE = 2**30


def available_bytes() -> int | None:
    """Return how much memory a process may still allocate, None if the system does not tell."""
    limits = [_free_memory(), _left_in_group()]
    known = [limit for limit in limits if limit is not None]
    return min(known, default=None)


def check_memory(needed: int, what: str) -> None:
    """Refuse to allocate more memory than is available.

    Args:
        needed: memory needed (bytes).
        what: its purpose, for the error.

    Raises:
        RecordingError: it is not available.
    """
    there = available_bytes()
    if there is not None and needed > there:
        raise RecordingError(
            f'{what} needs {needed / _GIBIBYTE:.1f} GiB of memory; '
            f'{there / _GIBIBYTE:.1f} GiB are available on this machine'
        )


class GrowingArray:
    """Float32 values in one contiguous, growing piece of memory.

    The operating system moves the memory when it grows (realloc), so there are never two copies
    of it.
    """

    def __init__(self) -> None:
        """Start without values."""
        self.size = 0
        self._values = np.empty(_STEP, dtype=np.float32)

    def append(self, values: NDArray[np.float32]) -> None:
        """Add values of any shape."""
        end = self.size + values.size
        if end > len(self._values):
            room = max(end, len(self._values) + max(_STEP, len(self._values) // _GROWTH))
            self._values.resize(room, refcheck=False)
        self._values[self.size : end] = values.reshape(-1)
        self.size = end

    def finish(self) -> NDArray[np.float32]:
        """Return all values; no more may be added."""
        self._values.resize(self.size, refcheck=False)
        return self._values


def _free_memory() -> int | None:
    try:
        lines = Path('/proc/meminfo').read_text(encoding='ascii').splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith('MemAvailable:')]
    return 1024 * int(found[0]) if found else None


def _left_in_group() -> int | None:
    """Return the memory left to the control group (container), None without a limit."""
    group = Path('/sys/fs/cgroup')
    try:
        limit = (group / 'memory.max').read_text(encoding='ascii').strip()
        used = int((group / 'memory.current').read_text(encoding='ascii'))
        reclaimable = [
            int(line.split()[1])
            for line in (group / 'memory.stat').read_text(encoding='ascii').splitlines()
            if line.startswith('inactive_file ')
        ]
    except (OSError, ValueError):
        return None
    return None if limit == 'max' else int(limit) - used + sum(reclaimable)
