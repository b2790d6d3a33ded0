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

"""Times the whole path over ROS 2, with EMG source and decoder in separate processes."""

from collections.abc import Callable
import json
from pathlib import Path
import tempfile
import time
from typing import Any

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.machine_info import cpu_seconds, resident_bytes
from leconvmn_ros.core.node_processes import node_processes, NodeProcess
from leconvmn_ros.decoding.checkpoint import Checkpoint
from leconvmn_ros.decoding.health import FAULTS
from leconvmn_ros.speed.round_trip import PUBLISHING

# Time to import torch, load a network and choose an engine (s).
LONGEST_START = 120.0
POLL_PERIOD = 0.1


def measure_end_to_end(
    checkpoint: Checkpoint,
    *,
    chunk: int,
    output_rate: float,
    seconds: float,
    device: str,
    engine: str,
    threads: int,
    progress: Callable[[float], None],
) -> dict[str, Any]:
    """Decode noise live and measure it.

    Args:
        checkpoint: the decoder.
        chunk: samples per message.
        output_rate: estimates per second (Hz).
        seconds: duration (s).
        device: see `find_device`.
        engine: see `engines.registry`.
        threads: CPU threads of the decoder, 0 = its own choice.
        progress: called with the share done.

    Returns:
        The values of `RoundTrip.report` and, for the decoder, `cores` (processor time per second),
        `memory` (bytes at the end), `growth` (bytes since the start) and `faults` (log lines).

    Raises:
        ConfigurationError: a node ended with an error, or is not installed.
    """
    path = checkpoint.description.signal_path
    with tempfile.TemporaryDirectory(prefix='leconvmn_ros_speed.') as name:
        folder = Path(name)
        checkpoint.save(folder / 'checkpoint')
        with node_processes(folder) as launcher:
            decoder = launcher.start(
                'decoder',
                {
                    'checkpoint': folder / 'checkpoint',
                    'device': device,
                    'output_rate': float(output_rate),
                    'engine': engine,
                    'threads': threads,
                },
            )
            source = launcher.start(
                'load',
                {
                    'channels': path.channels,
                    'sampling_rate': float(path.sampling_rate),
                    'chunk': chunk,
                    'duration': float(seconds),
                    'subscriber_timeout': LONGEST_START,
                    'output': folder / 'trip.json',
                },
            )
            use = _watch(decoder, source, seconds, progress)
            if failed := launcher.failed():
                raise ConfigurationError(failed.ending())
        trip: dict[str, Any] = json.loads((folder / 'trip.json').read_text(encoding='utf-8'))
        remarks = [line.partition(FAULTS)[2] for line in decoder.said() if FAULTS in line]
    return trip | use | {'faults': remarks}


def _watch(
    decoder: NodeProcess,
    source: NodeProcess,
    seconds: float,
    progress: Callable[[float], None],
) -> dict[str, Any]:
    """Wait until the source is done or a node fails; return the decoder's resource use."""
    running = (decoder.process, source.process)
    while PUBLISHING not in ''.join(source.said()) and all(p.poll() is None for p in running):
        time.sleep(POLL_PERIOD)
    if any(p.poll() is not None for p in running):
        return {}
    number = decoder.process.pid
    started, cpu, memory = time.monotonic(), cpu_seconds(number), resident_bytes(number)
    while source.process.poll() is None and decoder.process.poll() is None:
        time.sleep(POLL_PERIOD)
        progress(min(1.0, (time.monotonic() - started) / seconds))
    if decoder.process.poll() is not None:
        return {}
    held = resident_bytes(number)
    return {
        'cores': (cpu_seconds(number) - cpu) / (time.monotonic() - started),
        'memory': held,
        'growth': held - memory,
    }
