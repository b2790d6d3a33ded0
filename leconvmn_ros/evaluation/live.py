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

"""Collects messages for the live evaluation, and reports on them."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.percentiles import percentiles
from leconvmn_ros.core.recording import EmgChunk, JointTrack, LabelTrack, NANOSECONDS
from leconvmn_ros.dataset.alignment import angles_at
from leconvmn_ros.dataset.hold_out import HoldOut, Role
from leconvmn_ros.emg.latency import Latency
from leconvmn_ros.emg.sample_count import SampleCount
from leconvmn_ros.emg.steady_stream import missing_between
from leconvmn_ros.evaluation.comparison import compare, Comparison
from leconvmn_ros.evaluation.metrics import as_json
import numpy as np
from numpy.typing import NDArray

# Within an image of the end of the preceding data, nothing more is expected.
AT_THE_END_NS = NANOSECONDS // 2


class _Track:
    """Joint states in order of arrival; of several with one stamp the last counts.

    A source may send its joints in several messages: joints missing in a message are NaN.
    """

    def __init__(self) -> None:
        self._rows: dict[int, dict[str, float]] = {}
        self._names: set[str] = set()
        self.newest_ns: int | None = None

    def add(self, stamp_ns: int, angles: dict[str, float]) -> None:
        known = self._rows.get(stamp_ns)
        self._rows[stamp_ns] = angles if known is None else known | angles
        self._names.update(angles)
        if self.newest_ns is None or stamp_ns > self.newest_ns:
            self.newest_ns = stamp_ns

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def stamps_ns(self) -> NDArray[np.int64]:
        return np.array(sorted(self._rows), dtype=np.int64)

    def freeze(self) -> JointTrack:
        names = tuple(name for name in JOINT_NAMES if name in self._names)
        stamps = sorted(self._rows)
        positions = np.array(
            [[self._rows[stamp].get(name, np.nan) for name in names] for stamp in stamps],
            dtype=np.float64,
        )
        return JointTrack(
            np.array(stamps, dtype=np.int64), names, positions.reshape(len(stamps), len(names))
        )


class _Sequence:
    """Counts the missing messages of one publisher by its sequence numbers."""

    def __init__(self) -> None:
        self.lost = 0
        self._last: int | None = None

    def add(self, number: int | None) -> None:
        if number is None:
            return
        # A number that falls back means that the publisher has restarted.
        if self._last is not None and number > self._last:
            self.lost += number - self._last - 1
        self._last = number


class Session:
    """Collects the messages of one evaluation, and scores them at any time.

    `published_ns` and `received_ns` are times as in `Latency`; `sequence` is the publisher's
    sequence number of a message, None if the middleware does not provide it.

    Attributes:
        emg_messages: number of EMG messages.
        refused: number of rejected messages, also counted by the caller.
    """

    def __init__(self, hold_out: HoldOut | None, *, reference_lag: float = 0.0) -> None:
        """Start a session.

        Args:
            hold_out: score only its test part; None scores everything.
            reference_lag: lag of the stamps of the reference (s).
        """
        self._hold_out = hold_out
        self._reference_lag_ns = round(reference_lag * NANOSECONDS)
        self._estimates, self._reference = _Track(), _Track()
        self._labels: dict[int, tuple[int, int]] = {}
        self._span_ns: tuple[int, int] | None = None
        self._latency = Latency()
        self._samples = SampleCount()
        self._latencies_ns: list[int] = []
        self._estimate_sequence, self._reference_sequence = _Sequence(), _Sequence()
        self.emg_messages = 0
        self.refused = 0

    @property
    def lost_samples(self) -> int:
        """Number of EMG samples that never arrived; late ones are not lost."""
        return self._samples.lost

    def add_emg(self, chunk: EmgChunk, published_ns: int) -> None:
        """Note the arrival of EMG; the samples are not kept."""
        self.emg_messages += 1
        self._samples.add(chunk)
        self._latencies_ns += self._latency.add_emg(chunk, published_ns)
        first, last = self._span_ns or (chunk.stamp_ns, chunk.end_ns)
        self._span_ns = min(first, chunk.stamp_ns), max(last, chunk.end_ns)

    def add_estimate(
        self,
        stamp_ns: int,
        angles: Mapping[str, float],
        received_ns: int,
        sequence: int | None = None,
    ) -> None:
        """Note an estimate (rad, by joint name), of all or some of the joints."""
        self._estimate_sequence.add(sequence)
        if self._add(self._estimates, stamp_ns, angles):
            self._latencies_ns += self._latency.add_estimate(stamp_ns, received_ns)

    def add_reference(
        self, stamp_ns: int, angles: Mapping[str, float], sequence: int | None = None
    ) -> None:
        """Note a reference, likewise."""
        self._reference_sequence.add(sequence)
        self._add(self._reference, stamp_ns - self._reference_lag_ns, angles)

    def add_label(self, stamp_ns: int, movement: int, repetition: int) -> None:
        """Note a movement label."""
        self._labels[stamp_ns] = movement, repetition

    @property
    def estimates(self) -> JointTrack:
        """All complete estimates so far; joints from several messages are combined."""
        track = self._estimates.freeze()
        if not np.isnan(track.positions).any():
            return track
        positions, known = angles_at(track, track.names, track.stamps_ns)
        return JointTrack(track.stamps_ns[known], track.names, positions[known])

    @property
    def settled(self) -> bool:
        """Whether nothing more is expected once messages stop.

        This is so when the estimates reach the end of the EMG and the reference the end of the
        estimates, or when one of them is missing completely.
        """
        estimate_ns, reference_ns = self._estimates.newest_ns, self._reference.newest_ns
        if estimate_ns is None or reference_ns is None or self._span_ns is None:
            return True
        return max(self._span_ns[1] - estimate_ns, estimate_ns - reference_ns) < AT_THE_END_NS

    def compare(self) -> Comparison:
        """Match estimates with the reference.

        Raises:
            RecordingError: there is nothing to compare yet.
        """
        if not len(self._estimates) or not len(self._reference):
            raise RecordingError(
                f'nothing to score: {len(self._estimates)} estimates and '
                f'{len(self._reference)} reference states came in'
            )
        return compare(self.estimates, self._reference.freeze(), *self._protocol())

    def _protocol(self) -> tuple[LabelTrack | None, tuple[int, int], HoldOut | None]:
        """Return the data that determine which estimates are scored."""
        stamps_ns = self._estimates.stamps_ns
        span_ns = self._span_ns or (int(stamps_ns[0]), int(stamps_ns[-1]))
        return self._label_track(), span_ns, self._hold_out

    def _unscored_estimates(self) -> int:
        """Count the estimates without a reference in the scored part."""
        stamps_ns = self._estimates.stamps_ns
        if not len(stamps_ns):
            return 0
        labels, span_ns, hold_out = self._protocol()
        wanted = np.ones(len(stamps_ns), dtype=np.bool_)
        if hold_out is not None:
            try:
                wanted = hold_out.roles(stamps_ns, labels, span_ns) == Role.TEST
            except RecordingError:  # no movement labels: nothing is scored, as the report tells
                return 0
        if not len(self._reference):
            return int(wanted.sum())
        reference = self._reference.freeze()
        names = [name for name in self._estimates.freeze().names if name in reference.names]
        return int((wanted & ~angles_at(reference, names, stamps_ns).known).sum())

    def report(self) -> dict[str, Any]:
        """Return counts, latency and, if possible, scores as JSON values."""
        report: dict[str, Any] = {
            'estimates': len(self._estimates),
            'missing_estimates': missing_between(self._estimates.stamps_ns),
            'unscored_estimates': self._unscored_estimates(),
            'lost_messages': {
                'estimates': self._estimate_sequence.lost,
                'reference': self._reference_sequence.lost,
            },
            'emg_messages': self.emg_messages,
            'lost_emg_samples': self.lost_samples,
            'refused_messages': self.refused,
            'latency_ms': self._latency_ms(),
        }
        try:
            return report | as_json(self.compare().score())
        except RecordingError as error:
            return report | {'reason': str(error)}

    def _add(self, track: _Track, stamp_ns: int, angles: Mapping[str, float]) -> bool:
        # Other devices on the topic, such as an arm, are ignored.
        human = {name: float(angles[name]) for name in JOINT_NAMES if name in angles}
        if not human:
            return False
        if not all(map(isfinite, human.values())):
            self.refused += 1
            return False
        track.add(stamp_ns, human)
        return True

    def _label_track(self) -> LabelTrack | None:
        if not self._labels:
            return None
        stamps = sorted(self._labels)
        movement, repetition = zip(*(self._labels[stamp] for stamp in stamps), strict=True)
        return LabelTrack(
            np.array(stamps, dtype=np.int64), np.array(movement), np.array(repetition)
        )

    def _latency_ms(self) -> dict[str, float] | None:
        """Time from the publication of the EMG that completed an estimate to its arrival."""
        found = percentiles(np.array(self._latencies_ns) / 1e6)
        return found and {**found, 'count': len(self._latencies_ns)}
