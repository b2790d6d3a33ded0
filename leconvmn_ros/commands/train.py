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

"""Train LE-ConvMN on bags and write a checkpoint for the decoder.

Repetitions 2 and 5 (of ten: 2, 5 and 7) are left for the test and repetition 4 picks the epoch. A
bag without repetition labels is split by time: the last quarter is the test.
"""

import argparse
from pathlib import Path

from leconvmn_ros.bags import read_bag
from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.progress import CONSOLE, progress_bar
from leconvmn_ros.protocol import RepetitionHoldOut
from leconvmn_ros.training import EpochReport, PRESETS, train, TrainingSettings
from pydantic import ValidationError
import torch

OVERRIDES = ('epochs', 'exposure', 'learning_rate', 'seed')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'bags', nargs='+', type=Path, metavar='BAG', help='recordings of one subject'
    )
    parser.add_argument(
        '--output', required=True, type=Path, metavar='CHECKPOINT', help='folder of the checkpoint'
    )
    parser.add_argument(
        '--preset', choices=sorted(PRESETS), default='small', help='size and schedule'
    )
    for name in OVERRIDES:
        field = TrainingSettings.model_fields[name]
        parser.add_argument(
            f'--{name.replace("_", "-")}',
            type=int if field.annotation is int else float,
            help=f"{field.description}, instead of the preset's",
        )
    parser.add_argument(
        '--test',
        type=_numbers,
        metavar='N,N',
        help='repetitions for the test, instead of the usual',
    )
    parser.add_argument(
        '--validation', type=_numbers, metavar='N', help='repetitions that pick the epoch'
    )
    add_topic_arguments(parser)
    parser.add_argument('--device', default='auto', help='torch device: auto, cpu, cuda')
    parser.add_argument('--threads', type=int, help='CPU threads')


def add_topic_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the names of the topics in the bags."""
    parser.add_argument('--emg-topic', default='/emg', help='topic of EmgArray messages')
    parser.add_argument(
        '--reference-topic',
        default='/joint_states_reference',
        help='topic of measured JointStates',
    )
    parser.add_argument(
        '--label-topic', default='/movement_label', help='topic of MovementLabel messages'
    )


def run(arguments: argparse.Namespace) -> int:
    """Train and save."""
    settings = _settings(arguments)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    recordings = [
        read_bag(
            bag,
            emg_topic=arguments.emg_topic,
            reference_topic=arguments.reference_topic,
            label_topic=arguments.label_topic,
        )
        for bag in arguments.bags
    ]
    with progress_bar('train') as progress:

        def on_epoch(report: EpochReport) -> None:
            progress(
                report.epoch / report.epochs,
                f'epoch {report.epoch}: loss {report.training_loss:.3f}, '
                f'validation {report.validation_loss:.3f} (best at {report.best_epoch})',
            )

        checkpoint = train(
            recordings,
            settings,
            hold_out=_hold_out(arguments),
            device=arguments.device,
            on_epoch=on_epoch,
        )
    checkpoint.save(arguments.output)
    record = checkpoint.description.training
    CONSOLE.print(f'held out for the test: {record.hold_out.model_dump_json()}')
    print(
        f'{arguments.output}: epoch {record.best_epoch} of {record.epochs}, {record.seconds:.0f} s'
    )
    return 0


def _settings(arguments: argparse.Namespace) -> TrainingSettings:
    given = {
        name: getattr(arguments, name)
        for name in OVERRIDES
        if getattr(arguments, name) is not None
    }
    try:
        return TrainingSettings(**(PRESETS[arguments.preset].model_dump() | given))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise ConfigurationError(
            f'--{problem["loc"][0]}: {problem["msg"]}, got {problem["input"]!r}'
        ) from error


def _hold_out(arguments: argparse.Namespace) -> RepetitionHoldOut | None:
    if arguments.test is None and arguments.validation is None:
        return None
    if arguments.test is None or arguments.validation is None:
        raise ConfigurationError('--test and --validation must be given together')
    try:
        return RepetitionHoldOut(test=arguments.test, validation=arguments.validation)
    except ValidationError as error:
        raise ConfigurationError(error.errors(include_url=False)[0]['msg']) from error


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(','))
