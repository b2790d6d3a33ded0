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

"""Runs decoders for a long time, or many of them, and watches them.

`python test/hardware/soak.py --seconds 3600` feeds one decoder process 16 channels at 2 kHz over
DDS and looks every minute at its memory, its processor time, the latency of its estimates and the
samples that nobody accounts for; `--decoders 1,2,4` does it with so many streams at once, one
after the other. Writes CSV, ends with a verdict and with exit code 1 if that is bad.
"""

import argparse
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
import csv
from itertools import islice
import os
from pathlib import Path
import sys
from tempfile import TemporaryDirectory
import time
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / 'support'))

from builders import make_checkpoint
from diagnostic_msgs.msg import DiagnosticArray
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.emg.message import fill_message, stamp_to_ns
from leconvmn_ros.models.le_convmn import LeConvMnConfig, StackConfig
from leconvmn_ros.msg import EmgArray
from node_harness import Nodes, Peer, peer, RunningNode, started_nodes, wait_until
import numpy as np
from rclpy.qos import qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import JointState
from small_recordings import sampled_subject

RATE, CHANNELS = 2000.0, 16
CHUNK = 40  # samples in a message: 20 ms
IMAGE = 200  # samples in an image: 0.1 s
LAST_WORDS = 120.0  # the last samples have so long to come through and to be reported (s)
RELIABLE = QoSProfile(depth=1000)
COLUMNS = (
    *('decoders', 'stream', 'second', 'memory_mb', 'processor_percent'),
    *('sent', 'taken', 'lost', 'restarts', 'unaccounted', 'estimates', 'missing_estimates'),
    *('latency_median_ms', 'latency_p99_ms', 'latency_most_ms'),
)


class Stream:
    """A source of EMG, its decoder, and what is known of both."""

    def __init__(
        self, number: int, ros: Peer, start: Nodes, checkpoint: Path, greatest_age: float
    ) -> None:
        self._name = f'soak{number}'
        self._node: RunningNode = start(
            'decoder',
            *('-r', f'__ns:=/{self._name}'),
            parameters={
                'checkpoint': checkpoint,
                'device': 'cpu',
                'threads': 1,
                'greatest_age': greatest_age,
            },
        )
        assert wait_until(lambda: 'Hz out' in self._node.text, 300), self._node.text
        self._states = ros.collect(f'/{self._name}/joint_states', JointState, RELIABLE)
        self._publisher = ros.publisher(f'/{self._name}/emg', EmgArray, qos_profile_sensor_data)
        self._emg = sampled_subject(10.0, rate=RATE, channels=CHANNELS, seed=number).emg
        self._start_ns = 0
        self._sent_at: deque[tuple[int, float]] = deque()
        self._latencies: list[float] = []
        self._totals: dict[str, int] = {}
        self._first_sample: int | None = None
        self._estimates = self._last_index = 0
        self._processor = (time.monotonic(), 0.0)
        self.sent = 0

    def begin(self) -> None:
        """Let the first sample be of now."""
        self._start_ns = time.time_ns()

    def publish(self) -> None:
        first, place = self.sent, self.sent % len(self._emg)
        stamp_ns = self._start_ns + round(first / RATE * NANOSECONDS)
        chunk = EmgChunk(stamp_ns, RATE, first, self._emg[place : place + CHUNK])
        self.sent += CHUNK
        self._sent_at.append((self.sent, time.monotonic()))
        self._publisher.publish(fill_message(EmgArray(), chunk))

    def take(self, diagnostics: Sequence[Any]) -> None:
        """Take what has come in; of the reports the newest counts."""
        for arrival in self._states:
            stamp_ns = stamp_to_ns(arrival.message.header.stamp)
            index = round((stamp_ns - self._start_ns) * RATE / NANOSECONDS)
            if self._first_sample is None:
                self._first_sample = index - IMAGE + 1
            self._estimates += 1
            self._last_index = index
            while self._sent_at[0][0] <= index:
                self._sent_at.popleft()
            self._latencies.append(arrival.time - self._sent_at[0][1])
        self._states.clear()
        for array in diagnostics:
            for status in array.message.status:
                if status.name == f'{self._name}/decoder: input':
                    values = {value.key: value.value for value in status.values}
                    self._totals = {
                        key.removesuffix(', total'): int(value)
                        for key, value in values.items()
                        if key.endswith(', total')
                    }

    @property
    def unaccounted(self) -> int:
        """Samples sent since the first one taken that are neither taken nor counted as lost."""
        counted = self._totals.get('samples', 0) + self._totals.get('lost samples', 0)
        return self.sent - (self._first_sample or 0) - counted

    def row(self) -> dict[str, Any]:
        """Return the figures since the last row."""
        status = Path(f'/proc/{self._node.process.pid}/status').read_text()
        memory = next(line for line in status.splitlines() if line.startswith('VmRSS'))
        latencies = 1e3 * np.array(self._latencies or [np.nan])
        self._latencies.clear()
        total = self._totals.get
        taken, lost, restarts = total('samples', 0), total('lost samples', 0), total('restarts', 0)
        started = self._first_sample or 0
        expected = (self._last_index - started + 1 - IMAGE) // CHUNK + 1
        return {
            'memory_mb': round(int(memory.split()[1]) / 1024, 2),
            'processor_percent': round(self._processor_share(), 1),
            'sent': self.sent - started,
            'taken': taken,
            'lost': lost,
            'restarts': restarts,
            'unaccounted': self.unaccounted,
            'estimates': self._estimates,
            'missing_estimates': expected - self._estimates,
            'latency_median_ms': round(float(np.median(latencies)), 2),
            'latency_p99_ms': round(float(np.percentile(latencies, 99)), 2),
            'latency_most_ms': round(float(latencies.max()), 2),
        }

    def _processor_share(self) -> float:
        fields = (
            Path(f'/proc/{self._node.process.pid}/stat').read_text().rpartition(')')[2].split()
        )
        used = (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')
        now = time.monotonic()
        (then, before), self._processor = self._processor, (now, used)
        return 100 * (used - before) / (now - then)


@contextmanager
def streams(count: int, folder: Path, greatest_age: float) -> Iterator[tuple[Peer, list[Stream]]]:
    """Start decoders with a small network of 16 channels, and their sources."""
    model = LeConvMnConfig(stacks=(StackConfig(electrodes='all', head='all'),))
    checkpoint = folder / 'checkpoint'
    make_checkpoint(
        joints=JOINT_NAMES,
        model=model,
        limits=(-3.0, 3.0),
        channels=CHANNELS,
        sampling_rate=RATE,
        column_period=0.02,
    ).save(checkpoint)
    with started_nodes(folder) as start, peer() as ros:
        yield (
            ros,
            [Stream(number, ros, start, checkpoint, greatest_age) for number in range(count)],
        )


def soak(
    count: int, seconds: float, every: float, greatest_age: float
) -> Iterator[dict[str, Any]]:
    """Run decoders for some time and yield rows now and then, one of each stream."""
    with (
        TemporaryDirectory() as folder,
        streams(count, Path(folder), greatest_age) as (ros, all_streams),
    ):
        diagnostics = ros.collect('/diagnostics', DiagnosticArray, RELIABLE)
        for stream in all_streams:
            stream.begin()
        started = time.monotonic()
        next_row = min(every, seconds)

        def rows() -> Iterator[dict[str, Any]]:
            for number, stream in enumerate(all_streams):
                stream.take(diagnostics)
                second = round(time.monotonic() - started, 1)
                yield {'decoders': count, 'stream': number, 'second': second} | stream.row()
            diagnostics.clear()

        while (passed := time.monotonic() - started) < seconds:
            for stream in all_streams:
                # What this process could not send in time (a busy machine) it sends at once.
                while stream.sent < passed * RATE:
                    stream.publish()
            if passed >= next_row:
                yield from rows()
                next_row += every
            ros.spin(CHUNK / RATE / 4)
        deadline = time.monotonic() + LAST_WORDS
        while any(stream.unaccounted for stream in all_streams) and time.monotonic() < deadline:
            ros.spin(1.0)
            for stream in all_streams:
                stream.take(diagnostics)
        yield from rows()


def verdict(rows: Sequence[dict[str, Any]], p99_bound: float) -> list[str]:
    """Say what is wrong with a stream, from its rows; the first quarter is left for warming up.

    The bound (ms) is for the median of the rows' p99: a stall of the machine is in one of them.
    """
    wrong = []
    last, rows = rows[-1], rows[:-1]
    if last['unaccounted']:
        wrong.append(f'{last["unaccounted"]} samples are not accounted for')
    if last['missing_estimates']:
        wrong.append(f'{last["missing_estimates"]} estimates are missing')
    usual = float(np.median([row['latency_p99_ms'] for row in rows[len(rows) // 4 :]] or [0.0]))
    if not usual <= p99_bound:  # NaN where nothing came out
        wrong.append(f'p99 of the latency is {usual:.1f} ms; at most {p99_bound:g} ms are good')
    second, fourth = (rows[len(rows) * part // 4 : len(rows) * (part + 1) // 4] for part in (1, 3))
    if not second or not fourth:
        return wrong

    def grown(name: str) -> tuple[float, float]:
        before, after = (
            float(np.median([row[name] for row in part])) for part in (second, fourth)
        )
        return before, after

    before, after = grown('memory_mb')
    if after > before + 5:
        wrong.append(f'memory has grown from {before} to {after} MB')
    before, after = grown('latency_median_ms')
    if after > 1.5 * before + 2:
        wrong.append(f'latency has grown from {before} to {after} ms')
    return wrong


def main() -> int:
    """Soak and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=float, default=3600)
    parser.add_argument('--every', type=float, default=60, help='time between rows (s)')
    parser.add_argument('--decoders', default='1', help='how many at once, such as 1,2,4')
    parser.add_argument(
        '--greatest-age',
        type=float,
        default=0.0,
        help='parameter of the decoders (s); what is refused at the very end stays unaccounted',
    )
    parser.add_argument(
        '--p99-bound',
        type=float,
        default=1e3 * CHUNK / RATE,
        help='of the latency (ms); by default the time between two messages',
    )
    parser.add_argument('--output', type=Path, default=Path('soak.csv'))
    arguments = parser.parse_args()
    good = True
    with arguments.output.open('w', newline='', encoding='utf-8') as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for count in map(int, arguments.decoders.split(',')):
            rows = []
            for row in soak(count, arguments.seconds, arguments.every, arguments.greatest_age):
                rows.append(row)
                table.writerow(row)
                file.flush()
                print(', '.join(f'{name} {value}' for name, value in row.items()), flush=True)
            for number in range(count):
                wrong = verdict(list(islice(rows, number, None, count)), arguments.p99_bound)
                good = good and not wrong
                print(f'{count} decoders, stream {number}: {"; ".join(wrong) or "good"}')
    return 0 if good else 1


if __name__ == '__main__':
    for variable in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'):
        os.environ[variable] = '1'
    sys.exit(main())
