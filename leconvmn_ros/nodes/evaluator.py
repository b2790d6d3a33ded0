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

"""The evaluator node: scores the accuracy and the latency of the estimates on `joint_states`.

Subscribes `joint_states` (estimate), `joint_states_reference`, `movement_label` and `emg`. Reports
while it runs; at the end writes `scores.json`, `estimates.csv` and `estimates.png` into `output`.
"""

from pathlib import Path
import time
from typing import Any

from leconvmn_ros.core.errors import (
    ConfigurationError,
    MalformedMessageError,
    OutputError,
    printable,
    RecordingError,
)
from leconvmn_ros.core.files import write_json
from leconvmn_ros.dataset.hold_out import HoldOut
from leconvmn_ros.dataset.reference_lag import MOST_LAG
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.emg.message import chunk_from_message, stamp_to_ns
from leconvmn_ros.evaluation.live import Session
from leconvmn_ros.evaluation.plots import plot_comparison
from leconvmn_ros.evaluation.tables import write_estimates
from leconvmn_ros.msg import EmgArray, MovementLabel
from leconvmn_ros.nodes.joint_state import angles_by_name
from leconvmn_ros.nodes.parameters import declare_parameters, LOSSLESS, Parameter
from leconvmn_ros.nodes.quality_of_service import (
    EMG_INPUT,
    LATCHED,
    overridable,
    RELIABLE,
)
from leconvmn_ros.nodes.running import every, run_node
from leconvmn_ros.nodes.throttled_log import ThrottledLog
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

# After the end of the replay, the evaluation is over when no message has come for this time (s).
# A busy machine may still be delivering the last ones.
SETTLING_TIME = 1.0
LONGEST_SETTLING = 5.0
# Value of a middleware without sequence numbers (RMW_MESSAGE_INFO_SEQUENCE_NUMBER_...).
UNNUMBERED = 2**64 - 1
WATCH_PERIOD = 0.1  # s
# Least time between two reports, in multiples of the duration of the last one.
LEAST_IDLE_SHARE = 20


PARAMETERS = (
    Parameter('output', 'evaluation', 'folder for the results'),
    Parameter('checkpoint', '', 'score only what this decoder held out; empty = score everything'),
    Parameter(
        'reference_lag',
        0.0,
        'lag of the stamps of the reference, see `leconvmn_ros align` (s)',
        (-MOST_LAG, MOST_LAG),
    ),
    Parameter('report_period', 5.0, 'time between live reports (s)', (0.1, 3600.0)),
    Parameter('exit_when_done', True, 'end when the replay has ended'),
    LOSSLESS,
)


class EvaluatorNode(Node):
    """Wires `Session` to topics, parameters and files."""

    def __init__(self) -> None:
        """Declare the parameters and subscribe.

        Raises:
            ConfigurationError: a parameter is not allowed.
            CheckpointError: the checkpoint cannot be read.
        """
        super().__init__('evaluator')
        self.done = Future()
        declare_parameters(self, PARAMETERS)
        self._folder = self._make_folder()
        self._session = Session(
            self._hold_out(), reference_lag=self.get_parameter('reference_lag').value
        )
        self._replay_over = False
        self._quiet = 0.0
        self._next_report = 0.0
        self._log = ThrottledLog(self.get_logger())
        self._shared: set[str] = set()  # topics with several publishers
        self._finished = False
        self._emg: Subscription | None = None
        self._subscribe()
        every(self.get_parameter('report_period').value, self, self._report_live)
        every(WATCH_PERIOD, self, self._watch)

    def _make_folder(self) -> Path:
        # Now, not after an hour of listening.
        folder = Path(self.get_parameter('output').value)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f'parameter output: cannot make {folder}: {error.strerror}'
            ) from error
        return folder

    def _hold_out(self) -> HoldOut | None:
        folder = self.get_parameter('checkpoint').value
        return load_checkpoint(Path(folder)).description.training.hold_out if folder else None

    def _subscribe(self) -> None:
        self._estimate = self.create_subscription(
            JointState,
            'joint_states',
            self._on_estimate,
            **overridable(RELIABLE, self),
        )
        self._reference = self.create_subscription(
            JointState,
            'joint_states_reference',
            self._on_reference,
            **overridable(RELIABLE, self),
        )
        self.create_subscription(
            MovementLabel,
            'movement_label',
            self._on_label,
            **overridable(LATCHED),
        )
        self.create_subscription(Bool, 'replay_done', self._on_replay_done, LATCHED)

    def _on_emg(self, message: EmgArray, info: dict[str, int]) -> None:
        self._quiet = 0.0
        try:
            self._session.add_emg(chunk_from_message(message), info['source_timestamp'])
        except MalformedMessageError as error:
            self._refuse('emg', error)

    def _on_estimate(self, message: JointState, info: dict[str, int]) -> None:
        self._quiet = 0.0
        self._session.add_estimate(
            stamp_to_ns(message.header.stamp),
            self._angles('joint_states', message),
            info['received_timestamp'],
            _sequence_number(info, self._estimate),
        )

    def _on_reference(self, message: JointState, info: dict[str, int]) -> None:
        self._quiet = 0.0
        self._session.add_reference(
            stamp_to_ns(message.header.stamp),
            self._angles('joint_states_reference', message),
            _sequence_number(info, self._reference),
        )

    def _angles(self, topic: str, message: JointState) -> dict[str, float]:
        """Return the angles of a message; none if it is rejected, though it was received."""
        try:
            return angles_by_name(message)
        except MalformedMessageError as error:
            self._refuse(topic, error)
            return {}

    def _refuse(self, topic: str, error: MalformedMessageError) -> None:
        self._session.refused += 1
        self._log.warning(topic, f'{topic}: message rejected: {error}')

    def _on_label(self, message: MovementLabel) -> None:
        self._quiet = 0.0
        self._session.add_label(
            stamp_to_ns(message.header.stamp), message.movement, message.repetition
        )

    def _on_replay_done(self, message: Bool) -> None:
        self._replay_over = message.data
        self._quiet = 0.0

    def _watch(self) -> None:
        # Subscribe to the EMG last: a replay that waits for this reader then starts when all other
        # subscriptions exist.
        others = (self._estimate, self._reference)
        if self._emg is None and all(other.get_publisher_count() for other in others):
            self._emg = self.create_subscription(
                EmgArray, 'emg', self._on_emg, **overridable(EMG_INPUT, self)
            )
        for topic, subscription in zip(
            ('joint_states', 'joint_states_reference'), others, strict=True
        ):
            if subscription.get_publisher_count() > 1 and topic not in self._shared:
                self._shared.add(topic)
                self.get_logger().error(
                    f'several nodes publish {topic}: their messages cannot be told apart'
                )
        self._log.flush()
        # Counted in ticks of this timer, not in time: all waiting messages are processed between
        # two ticks, however slow the machine is.
        self._quiet += WATCH_PERIOD
        enough = SETTLING_TIME if self._session.settled else LONGEST_SETTLING
        if (
            self._replay_over
            and self._quiet > enough
            and self.get_parameter('exit_when_done').value
        ):
            self.done.set_result(self._finish())

    def _report_live(self) -> None:
        started = time.monotonic()
        if started < self._next_report:
            return
        report = self._session.report()
        # A report takes longer with more data; it must not hold up incoming messages.
        self._next_report = started + LEAST_IDLE_SHARE * (time.monotonic() - started)
        if 'mean' in report:
            self.get_logger().info(_summary(report))

    def close(self) -> None:
        """Write the results, unless they are written already."""
        if not self._finished:
            self._finish()

    def _finish(self) -> int:
        """Write the results and return the exit code.

        It is 1 if there was nothing to score, or if messages that matter were lost.
        """
        self._finished = True
        folder = self._folder
        report = self._session.report()
        for name in ('estimates.csv', 'estimates.png'):
            (folder / name).unlink(missing_ok=True)  # outdated results
        try:
            write_json(folder / 'scores.json', report)
            comparison = self._session.compare()
            write_estimates(folder / 'estimates.csv', self._session.estimates)
            plot_comparison(comparison, folder / 'estimates.png', 'Estimate over DDS')
        except (OutputError, RecordingError) as error:
            self.get_logger().error(str(error))
            return 1
        self.get_logger().info(printable(f'{_summary(report)}; results in {folder}'))
        if not (lost := _lost(report)):
            return 0
        self.get_logger().error(
            f'not everything was scored: {lost}. Set lossless to true here, in the replay and in '
            'the decoder, or play more slowly'
        )
        return 1


def _sequence_number(info: dict[str, int], subscription: Subscription) -> int | None:
    """Return the publisher's sequence number of a message, None without one."""
    number = info.get('publication_sequence_number', UNNUMBERED)
    # Each publisher counts separately, and rclpy does not tell the publisher of a message.
    return None if number == UNNUMBERED or subscription.get_publisher_count() > 1 else number


def _lost(report: dict[str, Any]) -> str:
    """Describe what should have been scored but was not; empty if nothing."""
    lost, unscored = report['lost_messages'], report['unscored_estimates']
    parts = []
    if lost['estimates']:
        parts.append(f'{lost["estimates"]} estimates were lost on their way')
    if lost['reference'] and unscored:
        parts.append(
            f'{unscored} estimates have no reference, of which {lost["reference"]} messages were '
            'lost on their way'
        )
    return ' and '.join(parts)


def _summary(report: dict[str, Any]) -> str:
    def text(value: float | None, form: str) -> str:
        return 'undefined' if value is None else format(value, form)

    mean, latency = report['mean'], report['latency_ms']
    parts = [
        f'CC {text(mean["cc"], ".3f")}',
        f'RMSE {text(mean["rmse"], ".2f")} deg',
        f'NRMSE {text(mean["nrmse"], ".3f")}',
        f'{report["count"]} of {report["estimates"]} estimates scored',
        f'{report["unscored_estimates"]} without reference',
        f'{report["missing_estimates"]} missing, {report["lost_emg_samples"]} EMG samples lost',
    ]
    if latency:
        parts.append(f'latency {latency["median"]:.1f} ms (p99 {latency["p99"]:.1f})')
    return ', '.join(parts)


def main() -> None:
    """Run the node: `ros2 run leconvmn_ros evaluator --ros-args -p output:=FOLDER`."""
    run_node(EvaluatorNode)
