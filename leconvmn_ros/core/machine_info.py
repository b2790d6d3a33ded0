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

"""Facts about this machine and about a process on it."""

from importlib.metadata import PackageNotFoundError, version
import os
from pathlib import Path
import platform
from typing import Any

# Processor features that make low precision fast, by their names in the Linux kernel.
_INSTRUCTIONS = (
    *('avx2', 'avx512f', 'avx_vnni', 'avx512_vnni', 'avx512_bf16', 'amx_int8', 'amx_bf16'),
    *('asimd', 'asimddp', 'i8mm', 'bf16', 'sve'),
)


_LIBRARIES = ('torch', 'numpy', 'onnxruntime', 'rclpy')


def describe_machine() -> dict[str, Any]:
    """Return processor, memory, system and libraries as JSON values."""
    facts = _first_values(Path('/proc/cpuinfo'))
    flags = (facts.get('flags') or facts.get('Features') or '').split()
    return {
        'processor': facts.get('model name') or platform.processor() or platform.machine(),
        'instructions': [name for name in _INSTRUCTIONS if name in flags],
        'cores': os.cpu_count(),
        'load': os.getloadavg()[0],
        'memory': _first_values(Path('/proc/meminfo')).get('MemTotal', ''),
        'system': platform.platform(),
        'python': platform.python_version(),
        'libraries': {name: found for name in _LIBRARIES if (found := _version(name))},
    }


def _first_values(path: Path) -> dict[str, str]:
    """Read the lines `name: value` of a file of the kernel, the first of each name."""
    values: dict[str, str] = {}
    if path.is_file():
        for line in path.read_text(encoding='utf-8').splitlines():
            name, _, value = line.partition(':')
            values.setdefault(name.strip(), value.strip())
    return values


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ''


def cpu_seconds(process: int) -> float:
    """Return the processor time that a running process has taken so far, by its id (s)."""
    # After the name in brackets, which may hold spaces: fields 14 and 15 are user and system.
    fields = Path(f'/proc/{process}/stat').read_text(encoding='utf-8').rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def resident_bytes(process: int) -> int:
    """Return the memory that a running process holds, by its id."""
    pages = Path(f'/proc/{process}/statm').read_text(encoding='utf-8').split()[1]
    return int(pages) * os.sysconf('SC_PAGE_SIZE')
