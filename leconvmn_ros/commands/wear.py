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

"""Runs `leconvmn_ros wear`; its arguments are in parsers/wear.py."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
import os
from pathlib import Path
import re
import time
from typing import Any, TYPE_CHECKING

from leconvmn_ros.commands.parsers.wear import SYNTHETIC
from leconvmn_ros.commands.progress import progress_bar, remark, say
from leconvmn_ros.core.errors import CheckpointError, ConfigurationError, RecordingError
from leconvmn_ros.core.files import write_json
from leconvmn_ros.core.node_processes import Launcher, node_processes, NodeProcess
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.core.ros_domain import to_listen
from leconvmn_ros.dataset.cue_timing import find_timings, retimed
from leconvmn_ros.dataset.hold_out import default_hold_out, HoldOut, RepetitionHoldOut
from leconvmn_ros.dataset.reference_lag import align_reference
from leconvmn_ros.decoding.checkpoint import check_place, HeldOutScore, load_checkpoint
from leconvmn_ros.evaluation.comparison import compare
from leconvmn_ros.evaluation.metrics import as_json
from leconvmn_ros.hands.profile import load_profile
from leconvmn_ros.recordings.bag_types import CUE_TOPIC, ESTIMATE_TOPIC, REFERENCE_TOPIC
from leconvmn_ros.recordings.bags import read_bag
from leconvmn_ros.recordings.description import common_description
from leconvmn_ros.sources.registry import source_names
from leconvmn_ros.training.presets import PRESETS
from leconvmn_ros.training.reports import EpochReport
from leconvmn_ros.training.train_on_all import train_on_all
from leconvmn_ros.view.page import import_viser
from leconvmn_ros.wearing.folder import DESCRIPTION, read_record, session_bags, SessionFolder
from leconvmn_ros.wearing.session import load_session, Session
from leconvmn_ros.wearing.status import GuideStatus

if TYPE_CHECKING:
    from leconvmn_ros.nodes.wear_link import WearLink

WEARER_TOPIC = '/wearer_joint_states'
LONGEST_START = 120.0  # s
POLL_PERIOD = 0.1  # s
# Approximate share of the first training in the work of both.
FIRST_SHARE = 0.5


@dataclass(frozen=True)
class Sitting:
    """The state of one run of the command.

    Attributes:
        arguments: arguments of the command.
        launcher: starts the nodes.
        link: shows a status on the page.
    """

    arguments: argparse.Namespace
    launcher: Launcher
    link: 'WearLink'

    @property
    def decoder(self) -> Path:
        """Folder of the checkpoint."""
        return Path(self.arguments.output) / 'decoder'

    @property
    def clock(self) -> dict[str, object]:
        """Parameters for every node when the wearer's time is not real time."""
        return {'use_sim_time': True} if self.arguments.speed != 1 else {}

    def start(self, name: str, **parameters: object) -> NodeProcess:
        """Start a node."""
        return self.launcher.start(name, parameters | self.clock)


def run(arguments: argparse.Namespace) -> int:
    """Guide through all steps until Ctrl-C."""
    session = _checked(arguments)
    folder: Path = arguments.output
    with node_processes(folder / 'log', arguments.domain) as launcher, _linked(launcher) as link:
        sitting = Sitting(arguments, launcher, link)
        _refuse_company(sitting)
        _start_viewer(sitting)
        if _train_again(sitting):
            bags = _record(sitting, session)
            _train(sitting, bags)
        else:
            _start_source(sitting)
        _go_live(sitting)
        if arguments.practice:
            _practise(sitting, session)
        _until_ended(sitting)
    return 0


def _checked(arguments: argparse.Namespace) -> Session:
    """Check all arguments before anything is started."""
    import_viser()
    session = load_session(arguments.session)
    if not _is_bag(arguments.source) and arguments.source not in source_names():
        raise ConfigurationError(
            f'--source {arguments.source}: there is no such source or bag; allowed are '
            f'{", ".join(source_names())} and the folder of a bag'
        )
    if arguments.speed != 1 and arguments.source != SYNTHETIC:
        raise ConfigurationError('--speed needs --source synthetic; a person has one speed')
    if arguments.practice and _is_bag(arguments.source):
        raise ConfigurationError('--practice needs a wearer who follows; a bag does not')
    if arguments.hand is not None:
        load_profile(arguments.hand)
    elif arguments.hand_urdf is not None:
        raise ConfigurationError('--hand-urdf shows the hand of --hand, which is not given')
    if arguments.reference in {'camera', 'mirrored'} and arguments.camera_model is None:
        raise ConfigurationError(
            f'--reference {arguments.reference} needs --camera-model, the hand_landmarker.task of '
            'MediaPipe'
        )
    check_place(arguments.output / 'decoder')
    return session


def _is_bag(source: str) -> bool:
    return (Path(source) / 'metadata.yaml').is_file()


@contextmanager
def _linked(launcher: Launcher) -> Iterator['WearLink']:
    """Join the ROS graph of the nodes."""
    # Import rclpy only now: --help works without ROS.
    from leconvmn_ros.nodes.wear_link import WearLink  # noqa: PLC0415

    before = dict(os.environ)
    _set_environment(launcher.environment)
    try:
        link = WearLink()
        try:
            yield link
        finally:
            link.close()
    finally:
        _set_environment(before)


def _set_environment(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def _refuse_company(sitting: Sitting) -> None:
    """Refuse a graph on which others publish the topics of our nodes."""
    topics = ['emg', 'joint_states', 'movement_label', 'cue_joint_states']
    if sitting.arguments.hand is not None:
        topics.append(load_profile(sitting.arguments.hand).command.topic)
    if taken := sitting.link.publishers(tuple(topics)):
        raise ConfigurationError(
            f'in this ROS domain ({to_listen(sitting.launcher.environment) or "the usual one"}) '
            f'somebody publishes {", ".join(taken)} already; stop it, or choose another --domain'
        )


def _start_viewer(sitting: Sitting) -> None:
    arguments = sitting.arguments
    robot = {}
    if arguments.hand_urdf is not None:
        robot = {'robot_urdf': arguments.hand_urdf, 'robot_profile': arguments.hand}
    viewer = sitting.start('viewer', port=arguments.port, side=arguments.side, **robot)
    found: list[str] = []

    def there() -> bool:
        found.extend(re.findall(r'live view: (\S+)', '\n'.join(viewer.said())))
        return bool(found)

    _wait(sitting, there, 'the viewer does not start')
    remark(f'open this page: {found[0]}')
    remark(f'to listen meanwhile: {to_listen(sitting.launcher.environment)} ros2 topic list')


def _train_again(sitting: Sitting) -> bool:
    """Whether to record and train: there is no decoder, or the wearer wants a new one."""
    arguments = sitting.arguments
    if arguments.again or not (sitting.decoder / 'checkpoint.json').exists():
        return True
    text = _score_text(_known_score(sitting.decoder))
    if arguments.use:
        return False
    made = time.strftime('%A %d %B, %H:%M', time.localtime(sitting.decoder.stat().st_mtime))
    sitting.link.show(
        GuideStatus(
            state='choose',
            title='Welcome back',
            message=f'There is a decoder of {made}. It fits if the band sits as it did then; '
            'otherwise record and train again.',
            score=text,
            actions=('use', 'train'),
        )
    )
    remark(f'there is a decoder of {made}: choose on the page, or start with --use or --again')
    answer: list[str] = []

    def answered() -> bool:
        action = sitting.link.pressed()
        if action is not None:
            answer.append(action)
        return bool(answer)

    _wait(sitting, answered, '', forever=True)
    return answer[0] == 'train'


def _known_score(decoder: Path) -> HeldOutScore | None:
    try:
        return load_checkpoint(decoder).description.training.trained_on_all
    except CheckpointError as error:
        raise ConfigurationError(f'{error}; --again records and trains a new one') from error


def _score_text(score: HeldOutScore | None) -> str:
    if score is None or score.test.get('cc') is None:
        return ''
    return f'CC {score.test["cc"]:.2f} on repetitions that it had not learnt'


def _start_source(sitting: Sitting) -> None:
    arguments = sitting.arguments
    if arguments.source == SYNTHETIC:
        sitting.start('simulated_wearer', speed=arguments.speed)
        return
    options = arguments.source_options
    if _is_bag(arguments.source):
        path = Path(arguments.source).resolve()
        sitting.start('emg_source', source='bag', options=f"'path={path}' loop=true {options}")
        return
    sitting.start('emg_source', source=arguments.source, options=options, arm=arguments.side)


def _record(sitting: Sitting, session: Session) -> list[Path]:
    """Run the session and return its bags."""
    arguments = sitting.arguments
    _start_source(sitting)
    if _is_bag(arguments.source):
        return [Path(arguments.source)]
    if arguments.reference in {'camera', 'mirrored'}:
        other = {'right': 'left', 'left': 'right'}[arguments.side]
        sitting.start(
            'hand_camera',
            model=arguments.camera_model,
            camera=arguments.camera,
            calibration=arguments.camera_calibration,
            side=other if arguments.reference == 'mirrored' else arguments.side,
        )
    folder = _session_folder(arguments, session)
    sitting.link.show(None)
    guide = sitting.start(
        'guide',
        session=arguments.session,
        output=folder,
        auto_start=arguments.auto_start,
        end_when_done=True,
    )
    remark(f'session {session.name}: follow the hand on the page ({folder})')
    _wait(sitting, lambda: guide.process.poll() is not None, '', forever=True)
    return session_bags(folder)


def _session_folder(arguments: argparse.Namespace, session: Session) -> Path:
    """Return the folder of the newest unfinished session, or a new one."""
    taken = [
        int(path.name.partition('_')[2])
        for path in Path(arguments.output).glob('session_*')
        if re.fullmatch(r'session_\d+', path.name)
    ]
    newest = max(taken, default=0)
    place = Path(arguments.output) / f'session_{newest}'
    if (
        newest
        and (place / DESCRIPTION).is_file()
        and read_record(place).session == session
        and len(SessionFolder(place, session).finished())
        < len(session.movements) * session.repetitions
    ):
        return place
    return Path(arguments.output) / f'session_{newest + 1}'


def _train(sitting: Sitting, bags: list[Path]) -> None:
    """Score on held-out repetitions, train again on all of them, and save the decoder."""
    arguments = sitting.arguments
    settings = PRESETS[arguments.preset]
    status = GuideStatus(
        state='training',
        title='Training',
        message='First with some repetitions held out, to measure its accuracy. '
        'You can rest your arm.',
    )
    sitting.link.show(status)
    recordings, hold_out = _read(bags, arguments.reference)
    done = 0.0
    remark(f'training on {", ".join(bag.name for bag in bags)}')
    with progress_bar('train') as progress:

        def on_epoch(report: EpochReport) -> None:
            share = done + FIRST_SHARE * report.share(settings.second_pass and not done)
            progress(share, report.text())
            sitting.link.show(status.model_copy(update={'progress': min(share, 1.0)}))
            _check(sitting)

        def on_score(score: HeldOutScore) -> None:
            nonlocal done, status
            done = FIRST_SHARE
            status = status.model_copy(
                update={
                    'title': 'Training on all repetitions',
                    'message': 'The decoder that you will use learns from everything.',
                    'score': _score_text(score),
                }
            )

        checkpoint = train_on_all(
            recordings,
            settings,
            hold_out=hold_out,
            on_epoch=on_epoch,
            on_score=on_score,
            electrodes=common_description(bags),
        )
    checkpoint.save(sitting.decoder)
    record = checkpoint.description.training
    say(f'{_score_text(record.trained_on_all)}; trained on everything in {record.seconds:.0f} s')


def _read(bags: list[Path], reference: str) -> tuple[list[Recording], HoldOut]:
    """Read the bags with their reference; hold out the last repetition if possible."""
    topic = CUE_TOPIC if reference == 'cue' else REFERENCE_TOPIC
    recordings = [read_bag(bag, reference_topic=topic) for bag in bags]
    numbers = sorted(
        {
            int(number)
            for recording in recordings
            if recording.labels is not None
            for number in recording.labels.repetition
            if number > 0
        }
    )
    hold_out: HoldOut = default_hold_out(recordings[0])
    if len(bags) > 1 and len(numbers) >= 3:
        hold_out = RepetitionHoldOut(validation=(numbers[-2],), test=(numbers[-1],))
    if reference == 'cue':
        return [retimed(each, find_timings(each)) for each in recordings], hold_out
    aligned = []
    for each in recordings:
        try:
            recording, lag = align_reference(each, 'auto', hold_out)
        except RecordingError as error:  # too short, or without motion
            remark(f'{error}; its reference is used as it is')
            recording, lag = each, 0.0
        if lag:
            remark(f'{each.name}: the reference is taken to be {lag:.2f} s late')
        aligned.append(recording)
    return aligned, hold_out


def _go_live(sitting: Sitting) -> None:
    """Start the decoder, and the hand if there is one."""
    arguments = sitting.arguments
    score = _known_score(sitting.decoder)
    decoder = sitting.start('decoder', checkpoint=sitting.decoder)
    if arguments.hand is not None:
        sitting.start('retarget', profile=arguments.hand)
    _wait(sitting, lambda: bool(decoder.said()), 'the decoder does not start')
    sitting.link.show(
        GuideStatus(
            state='live',
            title='The decoder is running',
            message='Move your fingers; Ctrl-C in the terminal ends it.',
            score=_score_text(score),
        )
    )
    remark('the decoder is running; Ctrl-C ends it')


def _practise(sitting: Sitting, session: Session) -> None:
    """Run one more session and score the live estimates on the intended or the real motion."""
    arguments = sitting.arguments
    folder = _next_folder(Path(arguments.output), 'practice')
    estimates = folder / 'estimates'
    folder.mkdir(parents=True)
    recorder = sitting.start(
        'recorder', bag=estimates, topics='emg,joint_states,wearer_joint_states'
    )
    sitting.link.show(None)
    guide = sitting.start(
        'guide',
        session=arguments.session,
        output=folder / 'session',
        auto_start=arguments.auto_start,
        end_when_done=True,
    )
    remark(f'practice, {session.name}: follow the hand, and see how the decoder follows you')
    _wait(sitting, lambda: guide.process.poll() is not None, '', forever=True)
    recorder.process.terminate()
    recorder.process.wait()
    report = _practice_scores(session_bags(folder / 'session'), estimates, arguments.source)
    write_json(folder / 'scores.json', report)
    say(
        f'practice: CC {report["mean"]["cc"]:.3f} of the live estimates with '
        f'{report["truth"]} ({folder / "scores.json"})'
    )
    sitting.link.show(
        GuideStatus(
            state='live',
            title='The decoder is running',
            score=f'CC {report["mean"]["cc"]:.2f} in the practice',
        )
    )


def _next_folder(place: Path, name: str) -> Path:
    taken = [
        int(path.name.rpartition('_')[2])
        for path in place.glob(f'{name}_*')
        if re.fullmatch(rf'{name}_\d+', path.name)
    ]
    return place / f'{name}_{max(taken, default=0) + 1}'


def _practice_scores(bags: list[Path], estimates: Path, source: str) -> dict[str, Any]:
    live = read_bag(estimates, reference_topic=ESTIMATE_TOPIC)
    if live.reference is None:
        raise RecordingError(f'{estimates} holds no estimates')
    if source == SYNTHETIC:
        truth = read_bag(estimates, reference_topic=WEARER_TOPIC)
        what = 'what the simulated hand did'
    else:
        cue = read_bag(bags[0], reference_topic=CUE_TOPIC)
        truth = retimed(cue, find_timings(cue))
        what = 'the intended poses'
    if truth.reference is None:
        raise RecordingError(f'{estimates} holds nothing to score against')
    comparison = compare(live.reference, truth.reference, None, live.span_ns, None)
    return as_json(comparison.score()) | {'truth': what}


def _until_ended(sitting: Sitting) -> None:
    if not sitting.arguments.end:
        _wait(sitting, lambda: False, '', forever=True)


def _wait(
    sitting: Sitting, condition: Callable[[], bool], reason: str, *, forever: bool = False
) -> None:
    """Wait for a condition while all nodes run."""
    deadline = time.monotonic() + LONGEST_START
    while not condition():
        _check(sitting)
        if not forever and time.monotonic() > deadline:
            raise ConfigurationError(f'{reason}, see the logs in {sitting.arguments.output}/log')
        time.sleep(POLL_PERIOD)
    _check(sitting)


def _check(sitting: Sitting) -> None:
    if failed := sitting.launcher.failed():
        raise ConfigurationError(f'{failed.ending()} (full log: {failed.log})')
