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
from typing import TYPE_CHECKING

from leconvmn_ros.adaptation.report import sentences
from leconvmn_ros.commands.parsers.wear import SYNTHETIC
from leconvmn_ros.commands.progress import progress_bar, remark, say
from leconvmn_ros.commands.wear_adaptation import adapted_by, session_to_adapt_by, write_session
from leconvmn_ros.commands.wear_recordings import (
    next_folder,
    practice_scores,
    read_with_reference,
    session_folder,
)
from leconvmn_ros.core.errors import CheckpointError, ConfigurationError, RecordingError
from leconvmn_ros.core.files import write_json
from leconvmn_ros.core.node_processes import Launcher, node_processes, NodeProcess
from leconvmn_ros.core.ros_domain import to_listen
from leconvmn_ros.decoding.checkpoint import check_place, HeldOutScore, load_checkpoint
from leconvmn_ros.hands.profile import load_profile
from leconvmn_ros.recordings.description import common_description
from leconvmn_ros.sources.registry import source_names
from leconvmn_ros.training.presets import PRESETS
from leconvmn_ros.training.reports import EpochReport
from leconvmn_ros.training.train_on_all import train_on_all
from leconvmn_ros.view.page import import_viser
from leconvmn_ros.wearing.folder import session_bags
from leconvmn_ros.wearing.session import load_session, Session
from leconvmn_ros.wearing.status import Action, GuideStatus

if TYPE_CHECKING:
    from leconvmn_ros.nodes.wear_link import WearLink

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
    def adapted(self) -> Path:
        """Folder of the checkpoint that was adapted last."""
        return Path(self.arguments.output) / 'adapted'

    @property
    def newest(self) -> Path:
        """Folder of the checkpoint to use: the adapted one, unless training came after it."""
        there = [path for path in (self.decoder, self.adapted) if _made_at(path)]
        return max(there, key=_made_at, default=self.decoder)

    @property
    def clock(self) -> dict[str, object]:
        """Parameters for every node when the wearer's time is not real time."""
        return {'use_sim_time': True} if self.arguments.speed != 1 else {}

    def start(self, name: str, **parameters: object) -> NodeProcess:
        """Start a node."""
        return self.launcher.start(name, parameters | self.clock)


def _made_at(decoder: Path) -> float:
    """Return when a checkpoint was written (s), 0 if there is none."""
    file = decoder / 'checkpoint.json'
    return file.stat().st_mtime if file.is_file() else 0.0


def run(arguments: argparse.Namespace) -> int:
    """Guide through all steps until Ctrl-C."""
    session = _checked(arguments)
    folder: Path = arguments.output
    with node_processes(folder / 'log', arguments.domain) as launcher, _linked(launcher) as link:
        sitting = Sitting(arguments, launcher, link)
        _refuse_company(sitting)
        _start_viewer(sitting)
        choice = _choice(sitting)
        _start_source(sitting)
        decoder = sitting.newest
        if choice == 'train':
            _train(sitting, _record(sitting, session))
            decoder = sitting.decoder
        elif choice == 'adapt':
            decoder = _adapt(sitting)
        _go_live(sitting, decoder)
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
    if arguments.adapt and _is_bag(arguments.source):
        raise ConfigurationError('--adapt needs somebody who follows; a bag does not')
    check_place(arguments.output / 'decoder')
    check_place(arguments.output / 'adapted')
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


def _choice(sitting: Sitting) -> Action:
    """Return whether to train, to adapt the decoder that is there, or to use it as it is."""
    arguments = sitting.arguments
    if arguments.again or not _made_at(sitting.decoder):
        if arguments.adapt:
            raise ConfigurationError(f'--adapt: there is no decoder in {sitting.decoder} yet')
        return 'train'
    text = _score_text(_known_score(sitting.decoder))
    if arguments.use:
        return 'use'
    if arguments.adapt:
        session_to_adapt_by(sitting.decoder)
        return 'adapt'
    made = time.strftime('%A %d %B, %H:%M', time.localtime(_made_at(sitting.newest)))
    actions, otherwise = _offered(sitting)
    sitting.link.show(
        GuideStatus(
            state='choose',
            title='Welcome back',
            message=f'There is a decoder of {made}. It fits if the band sits as it did then; '
            f'otherwise {otherwise}.',
            score=text,
            actions=actions,
        )
    )
    remark(
        f'there is a decoder of {made}: choose on the page, or start with --use, --adapt '
        'or --again'
    )
    answer: list[Action] = []

    def answered() -> bool:
        action = sitting.link.pressed()
        if action is not None:
            answer.append(action)
        return bool(answer)

    _wait(sitting, answered, '', forever=True)
    return answer[0]


def _offered(sitting: Sitting) -> tuple[tuple[Action, ...], str]:
    """Return what the wearer may choose, and what to do where the band sits elsewhere."""
    train = 'record and train again'
    if _is_bag(sitting.arguments.source):
        return ('use', 'train'), train
    try:
        seconds = session_to_adapt_by(sitting.decoder).duration
    except ConfigurationError as error:
        remark(f'adaptation is not offered: {error}')
        return ('use', 'train'), train
    return ('use', 'adapt', 'train'), f'adapt it ({seconds:.0f} s), or {train}'


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
    return _guided(sitting, session, arguments.session, session_folder(arguments, session))


def _guided(sitting: Sitting, session: Session, name: str | Path, folder: Path) -> list[Path]:
    """Run a session that the guide knows by a name, and return its bags."""
    sitting.link.show(None)
    guide = sitting.start(
        'guide',
        session=str(name),
        output=folder,
        auto_start=sitting.arguments.auto_start,
        end_when_done=True,
    )
    remark(f'session {session.name}: follow the hand on the page ({folder})')
    _wait(sitting, lambda: guide.process.poll() is not None, '', forever=True)
    return session_bags(folder)


def _adapt(sitting: Sitting) -> Path:
    """Run a short session, adapt the decoder by it, and return which decoder to use."""
    session = session_to_adapt_by(sitting.decoder)
    folder = next_folder(Path(sitting.arguments.output), 'adapt')
    file = folder.with_suffix('.yaml')
    write_session(session, file)
    bags = _guided(sitting, session, file, folder)
    status = GuideStatus(state='training', title='Adapting', message='You can rest your arm.')
    sitting.link.show(status)
    with progress_bar('adapt') as progress:

        def on_epoch(report: EpochReport) -> None:
            share = report.share(second_pass=False)
            progress(share, report.text())
            sitting.link.show(status.model_copy(update={'progress': min(share, 1.0)}))

        try:
            adaptation = adapted_by(sitting.decoder, bags, on_epoch)
        except (ConfigurationError, RecordingError) as error:
            remark(f'not adapted: {error}; the decoder is used as it was trained')
            return sitting.decoder
    adaptation.checkpoint.save(sitting.adapted)
    for line in sentences(adaptation):
        say(line)
    return sitting.adapted


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
    recordings, hold_out = read_with_reference(bags, arguments.reference)
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


def _go_live(sitting: Sitting, checkpoint: Path) -> None:
    """Start the decoder, and the hand if there is one."""
    arguments = sitting.arguments
    score = _known_score(sitting.decoder)
    decoder = sitting.start('decoder', checkpoint=checkpoint)
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
    folder = next_folder(Path(arguments.output), 'practice')
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
    report = practice_scores(session_bags(folder / 'session'), estimates, arguments.source)
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
