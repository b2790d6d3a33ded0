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

"""The guide node: leads a wearer through a session and records it.

Subscribes to `emg` and `emg_description`. Publishes `cue_joint_states` (the hand to follow, 50
Hz), `movement_label` and `guide_status` (JSON, see wearing/status.py). The services `~/start`,
`~/start_anyway`, `~/pause` and `~/redo` are the buttons of the page. With a bad electrode it
starts only on explicit request.

Everything is recorded to bags in the folder `output`: EMG and reference angles as they arrive,
cues and labels as they are published. A session that was ended or killed is continued later.
"""

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
import time

from leconvmn_ros.core.errors import (
    ConfigurationError,
    LeconvmnError,
    MalformedMessageError,
    printable,
)
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS, Recording
from leconvmn_ros.dataset.cue_timing import activity, Attempt, Cue, find_timing, rest_spread
from leconvmn_ros.emg.message import chunk_from_message
from leconvmn_ros.msg import EmgArray, MovementLabel
from leconvmn_ros.nodes.parameters import declare_parameters, Parameter
from leconvmn_ros.nodes.quality_of_service import EMG_INPUT, LATCHED, NEWEST, overridable, RELIABLE
from leconvmn_ros.nodes.running import every, run_node
from leconvmn_ros.nodes.topic_recorder import TopicRecorder
from leconvmn_ros.recordings.bag_recorder import BagRecorder, FLUSH_PERIOD
from leconvmn_ros.recordings.bag_types import (
    CUE_TOPIC,
    DESCRIPTION_TOPIC,
    EMG_TOPIC,
    LABEL_TOPIC,
    LABEL_TYPE,
    REFERENCE_TOPIC,
    REFERENCE_TYPE,
)
from leconvmn_ros.recordings.message_bytes import joint_state_bytes, label_bytes
from leconvmn_ros.wearing.course import Cue as ShownCue
from leconvmn_ros.wearing.course import Label, SessionCourse, Stage
from leconvmn_ros.wearing.electrodes import Contact, describe, ElectrodeMonitor
from leconvmn_ros.wearing.folder import SessionFolder
from leconvmn_ros.wearing.session import DEFAULT_SESSION, load_session
from leconvmn_ros.wearing.status import GuideStatus, MOST_ELECTRODES
from leconvmn_ros.wearing.status_text import course_status
from leconvmn_ros.wearing.timeline import to_ns
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

STEP_PERIOD = 0.02  # s
STATUS_PERIOD = 0.1  # s
LOOK_PERIOD = 0.25  # s
# Silence of a source after which it counts as stopped (s).
LONGEST_SILENCE = 1.0
# EMG kept to judge a repetition, in addition to the repetition itself (s).
KEPT = 4.0
# A bound in case the stamps of a source stand still.
MOST_CHUNKS = 50_000

PARAMETERS = (
    Parameter('session', DEFAULT_SESSION, 'quick, standard, full, or the path of a .yaml file'),
    Parameter('output', '', 'folder of the session; an existing one is continued'),
    Parameter('seed', -1, 'seed of the order of movements; -1 = random', allowed=(-1, 2**31 - 1)),
    Parameter('auto_start', False, 'start automatically as soon as the signal is good'),
    Parameter('accept_bad_signal', False, 'start even with a bad electrode'),
    Parameter('end_when_done', False, 'end the node when the session is done'),
)


class GuideNode(Node):
    """Wires `SessionCourse` and `ElectrodeMonitor` to topics, services and bags."""

    def __init__(self) -> None:
        """Declare the parameters, find what is done already, subscribe.

        Raises:
            LeconvmnError: a parameter is not allowed, or the folder cannot be used.
        """
        super().__init__('guide')
        self.done = Future()
        declare_parameters(self, PARAMETERS)
        output = self.get_parameter('output').value
        if not output:
            raise ConfigurationError('parameter output is empty; give the folder of the session')
        session = load_session(self.get_parameter('session').value)
        seed = self.get_parameter('seed').value
        self._folder = SessionFolder(Path(output), session, None if seed < 0 else seed)
        self._course = SessionCourse(
            session,
            self._folder.record.seed,
            finished=self._folder.finished(),
            followed=self._followed,
        )
        self._tell_what_is_there()
        self._electrodes = ElectrodeMonitor()
        self._chunks: deque[EmgChunk] = deque(maxlen=MOST_CHUNKS)
        self._heard = time.monotonic()
        self._hint = ''
        self._stack = ExitStack()
        self._bag: BagRecorder | None = None
        self._recorder: TopicRecorder | None = None
        self._cues = self.create_publisher(JointState, 'cue_joint_states', **overridable(RELIABLE))
        self._labels = self.create_publisher(
            MovementLabel, 'movement_label', **overridable(LATCHED)
        )
        self._status = self.create_publisher(String, 'guide_status', NEWEST)
        self.create_subscription(EmgArray, 'emg', self._on_emg, **overridable(EMG_INPUT))
        self._offer_services()
        every(STEP_PERIOD, self, self._step)
        every(STATUS_PERIOD, self, self._publish_status)
        every(LOOK_PERIOD, self, self._look)
        every(FLUSH_PERIOD, self, self._flush)

    def _tell_what_is_there(self) -> None:
        course = self._course
        if self._folder.recovered:
            self.get_logger().warning(
                f'the last recording was cut short: {self._folder.recovered} messages recovered'
            )
        for problem in self._folder.unusable:
            self.get_logger().warning(printable(f'not counted: {problem}'))
        self.get_logger().info(
            f'session {printable(course.session.name)}: '
            f'{course.done} of {course.total} repetitions done, '
            f'about {course.remaining / 60:.0f} min to go, in {printable(str(self._folder.path))}'
        )

    def _offer_services(self) -> None:
        for name, action in (
            ('start', self._start),
            ('start_anyway', partial(self._start, anyway=True)),
            ('pause', self._pause),
            ('redo', self._redo),
        ):
            self.create_service(Trigger, f'~/{name}', partial(_answer, action))

    # Actions of the buttons; each returns why it did nothing, or ''.

    def _start(self, *, anyway: bool = False) -> str:
        problem = self._electrodes.problem()
        accepted = anyway or self.get_parameter('accept_bad_signal').value
        if problem and not (accepted and self._electrodes.heard):
            self._hint = 'Not started.'
            return problem
        if self._course.stage not in {Stage.READY, Stage.PAUSED}:
            return f'the session is {self._course.stage.value}'
        self._record()
        self._course.start(self._now())
        self._hint = ''
        return ''

    def _pause(self) -> str:
        if self._course.stage is not Stage.RUNNING:
            return f'the session is {self._course.stage.value}'
        self._publish_labels(self._course.pause(self._now()))
        return ''

    def _redo(self) -> str:
        labels = self._course.redo(self._now())
        if labels:
            self._record()  # after the end
        self._publish_labels(labels)
        return '' if labels else 'there is no repetition to repeat'

    def _record(self) -> None:
        """Open the next bag, unless one is open."""
        if self._bag is not None:
            return
        session = self._course.session
        names = [movement.name for movement in session.movements]
        self._bag = self._stack.enter_context(
            BagRecorder(
                self._folder.next_bag(),
                information={
                    'session': session.name,
                    'movements': '; '.join(f'{k} {name}' for k, name in enumerate(names, 1)),
                    'guide': session.model_dump_json(),
                },
            )
        )
        self._bag.add_topic(self._absolute(CUE_TOPIC), REFERENCE_TYPE)
        self._bag.add_topic(self._absolute(LABEL_TOPIC), LABEL_TYPE, latched=True)
        topics = [topic.lstrip('/') for topic in (EMG_TOPIC, DESCRIPTION_TOPIC, REFERENCE_TOPIC)]
        self._recorder = TopicRecorder(self, self._bag, topics)
        self.get_logger().info(f'recording to {self._bag.path}')

    def _absolute(self, topic: str) -> str:
        return str(self.resolve_topic_name(topic.lstrip('/')))

    def _now(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def _on_emg(self, message: EmgArray) -> None:
        try:
            chunk = chunk_from_message(message)
        except MalformedMessageError:
            return  # the decoder reports it
        if chunk.samples.shape[1] > MOST_ELECTRODES:
            return
        self._heard = time.monotonic()
        self._electrodes.push(chunk)
        if self._chunks and chunk.stamp_ns < self._chunks[-1].stamp_ns:
            self._chunks.clear()  # another source, or time started again
        self._chunks.append(chunk)
        oldest = chunk.stamp_ns - to_ns(self._course.session.period + KEPT)
        while self._chunks[0].stamp_ns < oldest:
            self._chunks.popleft()

    def _followed(self, attempt: Attempt) -> bool:
        """Whether the EMG of the repetition that has just ended shows the movement."""
        session = self._course.session
        half = to_ns(session.ramp / 2)
        try:
            emg = activity(Recording('live', list(self._chunks)))
        except (LeconvmnError, IndexError):
            return False  # no usable EMG
        timing = find_timing(
            emg,
            attempt,
            rest_spread(emg, [attempt]),
            Cue(attempt.start_ns + half, attempt.end_ns - half),
        )
        return timing.start_found

    def _step(self) -> None:
        now_ns = self._now()
        if now_ns <= 0:  # a simulated clock that has not started
            return
        course = self._course
        if course.stage is Stage.RUNNING and time.monotonic() - self._heard > LONGEST_SILENCE:
            self._publish_labels(course.pause(now_ns, 'Paused: EMG has stopped'))
        output = course.step(now_ns)
        for cue in output.cues:
            self._publish_cue(cue)
        self._publish_labels(output.labels)
        if course.stage is Stage.READY and self.get_parameter('auto_start').value:
            self._start()
        if course.stage is Stage.DONE and self.get_parameter('end_when_done').value:
            self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self._publish_status()
            self.done.set_result(0)

    def _publish_cue(self, cue: ShownCue) -> None:
        message = JointState(name=JOINT_NAMES, position=cue.pose.tolist())
        _stamp(message, cue.stamp_ns)
        self._cues.publish(message)
        self._write(
            CUE_TOPIC, cue.stamp_ns, joint_state_bytes(cue.stamp_ns, JOINT_NAMES, cue.pose)
        )

    def _publish_labels(self, labels: list[Label]) -> None:
        for label in labels:
            message = MovementLabel(movement=label.movement, repetition=label.repetition)
            _stamp(message, label.stamp_ns)
            self._labels.publish(message)
            self._write(LABEL_TOPIC, label.stamp_ns, label_bytes(*label))

    def _write(self, topic: str, stamp_ns: int, data: bytes) -> None:
        if self._bag is not None:
            self._bag.write(self._absolute(topic), stamp_ns, data)

    def _look(self) -> None:
        if self._recorder is not None:
            self._recorder.look_for_topics()

    def _flush(self) -> None:
        if self._bag is None:
            return
        try:
            self._bag.flush()
        except LeconvmnError as error:
            self.get_logger().fatal(str(error))
            self.done.set_result(1)

    def _publish_status(self) -> None:
        contacts = self._electrodes.contacts()
        problem = self._electrodes.problem()
        status = course_status(self._course, contacts, problem, self._hint)
        advice = describe(contacts, frozenset(set(Contact) - {Contact.GOOD}))
        self._status.publish(String(data=_bounded(status, advice).to_json()))

    def close(self) -> None:
        """Complete the bag and report the progress of the session."""
        if self._recorder is not None:
            self._recorder.close()
            for line in self._recorder.summary():
                self.get_logger().info(line)
        try:
            self._stack.close()
        except LeconvmnError as error:
            self.get_logger().fatal(str(error))
        course = self._course
        self.get_logger().info(f'{course.done} of {course.total} repetitions done')
        for trial in course.without_emg:
            name = course.movement(trial).name
            self.get_logger().warning(
                f'{printable(name)}, repetition {trial.repetition}: no EMG was seen'
            )


def _answer(
    action: Callable[[], str], _: Trigger.Request, response: Trigger.Response
) -> Trigger.Response:
    response.message = action()
    response.success = not response.message
    return response


def _bounded(status: GuideStatus, advice: str) -> GuideStatus:
    return status.model_copy(update={'advice': advice[:4000]})


def _stamp(message: JointState | MovementLabel, stamp_ns: int) -> None:
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, NANOSECONDS)


def main() -> None:
    """Run the node: `ros2 run leconvmn_ros guide --ros-args -p output:=FOLDER`."""
    run_node(GuideNode)
