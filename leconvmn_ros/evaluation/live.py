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

"""What the live evaluator has heard so far, and the report it makes of it."""

from collections.abc import Sequence
from typing import Any

from leconvmn_ros.dataset.hold_out import HoldOut
from leconvmn_ros.emg.latency import Latency
from leconvmn_ros.emg.sample_count import SampleCount
from leconvmn_ros.errors import RecordingError
from leconvmn_ros.evaluation.comparison import compare, Comparison
from leconvmn_ros.evaluation.metrics import as_json
from leconvmn_ros.recording import EmgChunk, JointTrack, LabelTrack, NANOSECONDS
import numpy as np
from numpy.typing import NDArray


class _Track:
    """Joint states as they come in; of several with one stamp the last counts."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self._rows: dict[int, Sequence[float]] = {}

    def add(self, stamp_ns: int, names: Sequence[str], positions: Sequence[float]) -> None:
        if not self.names:
            self.names = tuple(names)
        if tuple(names) != self.names:
            by_name = dict(zip(names, positions, strict=True))
            positions = [by_name[name] for name in self.names]
        self._rows[stamp_ns] = positions

    def __len__(self) -> int:
        return len(self._rows)

    def freeze(self) -> JointTrack:
        stamps = sorted(self._rows)
        positions = np.array([self._rows[stamp] for stamp in stamps], dtype=np.float64)
        return JointTrack(
            np.array(stamps, dtype=np.int64),
            self.names,
            positions.reshape(len(stamps), len(self.names)),
        )


class Session:
    """Collects what comes in during one evaluation, and scores it at any time.

    Times called `published_ns` and `received_ns` are those of `Latency`.
    """

    def __init__(self, hold_out: HoldOut | None, *, reference_lag: float = 0.0) -> None:
        """Start.

        Args:
            hold_out: scores are of what it keeps for the test, of everything if it is None.
            reference_lag: how late the stamps of the reference are (s).
        """
        self._hold_out = hold_out
        self._reference_lag_ns = round(reference_lag * NANOSECONDS)
        self._estimates, self._reference = _Track(), _Track()
        self._labels: dict[int, tuple[int, int]] = {}
        self._span_ns: tuple[int, int] | None = None
        self._latency = Latency()
        self._samples = SampleCount()
        self._latencies_ns: list[int] = []
        self.emg_messages = 0
        self.refused = 0

    @property
    def lost_samples(self) -> int:
        """EMG samples that did not come; those that came late are not lost."""
        return self._samples.lost

    def add_emg(self, chunk: EmgChunk, published_ns: int) -> None:
        """Note the arrival of EMG; the samples themselves are not kept."""
        self.emg_messages += 1
        self._samples.add(chunk)
        self._latencies_ns += self._latency.add_emg(chunk, published_ns)
        first, last = self._span_ns or (chunk.stamp_ns, chunk.end_ns)
        self._span_ns = min(first, chunk.stamp_ns), max(last, chunk.end_ns)

    def add_estimate(
        self, stamp_ns: int, names: Sequence[str], positions: Sequence[float], received_ns: int
    ) -> None:
        """Note an estimate; one without the names of the first is refused."""
        if self._add(self._estimates, stamp_ns, names, positions):
            self._latencies_ns += self._latency.add_estimate(stamp_ns, received_ns)

    def add_reference(
        self, stamp_ns: int, names: Sequence[str], positions: Sequence[float]
    ) -> None:
        """Note a reference; one without the names of the first is refused."""
        self._add(self._reference, stamp_ns - self._reference_lag_ns, names, positions)

    def add_label(self, stamp_ns: int, movement: int, repetition: int) -> None:
        """Note a movement label."""
        self._labels[stamp_ns] = movement, repetition

    @property
    def estimates(self) -> JointTrack:
        """All estimates so far."""
        return self._estimates.freeze()

    def compare(self) -> Comparison:
        """Put estimates and reference side by side.

        Raises:
            RecordingError: there is nothing to compare yet.
        """
        if not len(self._estimates) or not len(self._reference):
            raise RecordingError(
                f'nothing to score: {len(self._estimates)} estimates and '
                f'{len(self._reference)} reference states came in'
            )
        estimates = self._estimates.freeze()
        span_ns = self._span_ns or (int(estimates.stamps_ns[0]), int(estimates.stamps_ns[-1]))
        return compare(
            estimates, self._reference.freeze(), self._label_track(), span_ns, self._hold_out
        )

    def report(self) -> dict[str, Any]:
        """Return counts, latency and, if there is anything to compare, scores, as JSON values."""
        report: dict[str, Any] = {
            'estimates': len(self._estimates),
            'missing_estimates': self._missing_estimates(),
            'emg_messages': self.emg_messages,
            'lost_emg_samples': self.lost_samples,
            'refused_messages': self.refused,
            'latency_ms': self._latency_ms(),
        }
        try:
            return report | as_json(self.compare().score())
        except RecordingError as error:
            return report | {'reason': str(error)}

    def _add(
        self, track: _Track, stamp_ns: int, names: Sequence[str], positions: Sequence[float]
    ) -> bool:
        if not names or len(names) != len(positions) or not set(track.names) <= set(names):
            self.refused += 1
            return False
        track.add(stamp_ns, names, positions)
        return True

    def _label_track(self) -> LabelTrack | None:
        if not self._labels:
            return None
        stamps = sorted(self._labels)
        movement, repetition = zip(*(self._labels[stamp] for stamp in stamps), strict=True)
        return LabelTrack(
            np.array(stamps, dtype=np.int64), np.array(movement), np.array(repetition)
        )

    def _missing_estimates(self) -> int:
        """Count the estimates that a steady rate would have had where none came."""
        gaps = (
            np.diff(self._estimates.freeze().stamps_ns)
            if len(self._estimates) > 2
            else np.zeros(0)
        )
        if gaps.size == 0:
            return 0
        return int(np.sum(np.maximum(np.round(gaps / np.median(gaps)) - 1, 0)))

    def _latency_ms(self) -> dict[str, float] | None:
        """Time from publishing the EMG that completed an estimate to receiving that estimate."""
        if not self._latencies_ns:
            return None
        values: NDArray[np.float64] = np.array(self._latencies_ns) / 1e6
        return {
            'median': float(np.median(values)),
            'p99': float(np.percentile(values, 99)),
            'count': values.size,
        }
