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

"""Runs `leconvmn_ros demo`; its arguments are in parsers/demo.py."""

import argparse
import json
from pathlib import Path
import re
import time
from typing import Any, TYPE_CHECKING

from leconvmn_ros.commands.parsers.demo import DEFAULT_RATE
from leconvmn_ros.commands.progress import progress_bar, remark, say, say_duration, show
from leconvmn_ros.core.errors import CheckpointError, ConfigurationError, RecordingError
from leconvmn_ros.core.files import hash_file
from leconvmn_ros.core.node_processes import Launcher, node_processes, NodeProcess
from leconvmn_ros.core.recording import SampledSubject
from leconvmn_ros.core.ros_domain import to_listen
from leconvmn_ros.decoding.checkpoint import check_place, load_checkpoint
from leconvmn_ros.evaluation.tables import score_table_text
from leconvmn_ros.recordings.bags import open_bag, read_bag, write_bag
from leconvmn_ros.recordings.ninapro import read_ninapro
from leconvmn_ros.synthetic.config import SyntheticSubjectConfig
from leconvmn_ros.synthetic.subject import synthesize
from leconvmn_ros.training.presets import PRESETS, TrainingSettings
from leconvmn_ros.view.page import import_viser

if TYPE_CHECKING:
    from leconvmn_ros.training.reports import EpochReport

# Trained on the synthetic subject; see docs/explanation/demo_checkpoint.md.
DEMO_CHECKPOINT = Path(__file__).parent.with_name('demo_checkpoint')
# Time to import torch and load a network on a slow machine (s).
LONGEST_START = 120.0
# Interval of checks on the processes (s).
POLL_PERIOD = 0.2
# Interval of the replay's progress lines (s).
PROGRESS_PERIOD = 0.5


def run(arguments: argparse.Namespace) -> int:
    """Make the recording, train unless done before, replay and score."""
    if arguments.view:
        import_viser()  # fail now, not after the training
    rate = arguments.rate
    if rate is None:
        rate = 1.0 if arguments.view else DEFAULT_RATE
    folder: Path = arguments.output
    bag = _prepare_bag(arguments.recording, folder)
    checkpoint = _prepare_checkpoint(folder, bag, arguments.preset)
    results = folder / 'results'
    report = _replay(bag, checkpoint, results, rate, arguments.domain, view=arguments.view)
    show(score_table_text(report, f'{bag.name}: {report["count"]} held-out estimates over ROS 2'))
    latency = report['latency_ms']
    if latency and rate == 1:
        say(f'latency {latency["median"]:.1f} ms (p99 {latency["p99"]:.1f} ms)')
    say(f'plot: {results / "estimates.png"}')
    say(f'scores: {results / "scores.json"}')
    return 0


def _prepare_bag(recording: Path | None, folder: Path) -> Path:
    """Return the bag to use; create it if there is none."""
    if recording is not None and recording.suffix != '.mat':
        return recording
    name = 'synthetic' if recording is None else recording.stem
    bag = folder / name
    if bag.is_dir() and _made_from(bag, recording):
        return bag
    with progress_bar(f'make {bag}') as progress:
        subject: SampledSubject = (
            synthesize(SyntheticSubjectConfig()) if recording is None else read_ninapro(recording)
        )
        write_bag(subject, bag, overwrite=True, progress=progress)
    return bag


def _made_from(bag: Path, recording: Path | None) -> bool:
    """Whether a bag of an earlier demo has this recording; None is the synthetic subject."""
    with open_bag(bag) as opened:
        information = opened.information
    if recording is None:
        return information.get('config') == SyntheticSubjectConfig().model_dump_json()
    # Compare contents, because files of different databases have the same names.
    try:
        return information.get('source_sha256') == hash_file(recording)
    except OSError as error:
        raise RecordingError(f'cannot read {recording}: {error.strerror}') from error


def _prepare_checkpoint(folder: Path, bag: Path, preset: str) -> Path:
    """Return a decoder with this preset for the recording; train it unless there is one."""
    settings = PRESETS[preset]
    trained = folder / f'{bag.name}_{preset}'
    for place in (trained, DEMO_CHECKPOINT):
        if _trained_on(place, bag, settings):
            remark(f'using the decoder trained before: {place}')
            return place
    from leconvmn_ros.training.run import train  # noqa: PLC0415 - imports torch

    check_place(trained)
    with progress_bar('train') as progress:

        def on_epoch(report: 'EpochReport') -> None:
            progress(report.share(settings.second_pass), report.text())

        checkpoint = train([read_bag(bag)], settings, on_start=say_duration, on_epoch=on_epoch)
    checkpoint.save(trained)
    return trained


def _trained_on(folder: Path, bag: Path, settings: TrainingSettings) -> bool:
    try:
        description = load_checkpoint(folder).description
    except CheckpointError:
        return False
    with open_bag(bag) as opened:
        information = dict(opened.information)
    # A bag without information may be any recording.
    return (
        bool(information)
        and description.training.information == (information,)
        and description.training.settings == settings.model_dump(mode='json')
    )


def _replay(
    bag: Path, checkpoint: Path, results: Path, rate: float, domain: str, *, view: bool
) -> dict[str, Any]:
    """Run the nodes until the evaluator is done, and return its report."""
    with (
        node_processes(results, domain) as launcher,
        progress_bar('replay over ROS 2') as progress,
    ):
        if view:
            _start_viewer(launcher)
        launcher.start(
            'decoder',
            # A replay that waits for its readers must not count as silence of a source.
            {'checkpoint': checkpoint, 'lossless': True, 'input_timeout': 0.0},
        )
        evaluator = launcher.start(
            'evaluator', {'checkpoint': checkpoint, 'output': results, 'lossless': True}
        )
        replay = launcher.start(
            'replay',
            {
                'bag': bag,
                'rate': float(rate),
                'lossless': True,
                'publish_clock': False,
                'progress_period': PROGRESS_PERIOD,
                'wait_for': 'decoder, evaluator' + (', viewer' if view else ''),
                'subscriber_timeout': LONGEST_START,
            },
        )
        listen = to_listen(launcher.environment)
        remark(f'to listen meanwhile: {listen} ros2 topic echo /joint_states')
        while evaluator.process.poll() is None:
            _check(launcher)
            progress(_share_played(replay), _last_remark(evaluator))
            time.sleep(POLL_PERIOD)
        _check(launcher)
    report: dict[str, Any] = json.loads((results / 'scores.json').read_text(encoding='utf-8'))
    return report


def _share_played(replay: NodeProcess) -> float:
    """Return how much of the bag the replay has played, 0 to 0.99."""
    played = re.findall(r'([\d.]+) of ([\d.]+) s played', '\n'.join(replay.said()[-3:]))
    return min(0.99, float(played[-1][0]) / float(played[-1][1])) if played else 0.0


def _start_viewer(launcher: Launcher) -> None:
    """Start the viewer and report the address of its page."""
    viewer = launcher.start('viewer', {})
    started = time.monotonic()
    while not (url := re.search(r'live view: (\S+)', '\n'.join(viewer.said()))):
        _check(launcher)
        if time.monotonic() - started > LONGEST_START:
            raise ConfigurationError(f'the viewer does not start, see {viewer.log}')
        time.sleep(POLL_PERIOD)
    remark(f'live view, until the replay ends: {url[1]}')


def _check(launcher: Launcher) -> None:
    if failed := launcher.failed():
        raise ConfigurationError(f'{failed.ending()} (full log: {failed.log})')
    if line := launcher.disturbed():
        raise ConfigurationError(
            f'other nodes use the topics of the demo in this ROS domain: {line.strip()}. '
            'Use --domain own, or stop them'
        )


def _last_remark(node: NodeProcess) -> str:
    """Return the score in the newest live report of the evaluator, empty if there is none."""
    reports = [line for line in node.said() if 'CC ' in line]
    return reports[-1].partition(': ')[2].rpartition(', NRMSE')[0] if reports else ''
