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

"""Train a model on bags and write a checkpoint for the decoder: LE-ConvMN, or one of its rivals.

Repetitions 2 and 5 (of ten: 2, 5 and 7) are left for the test. A bag without repetition labels is
split by time: the last quarter is the test. The usual presets learn single repetitions in random
order and take the last epoch; others let repetition 4 pick the epoch.
"""

import argparse
from pathlib import Path
from typing import Any, get_args

from leconvmn_ros.commands.arguments import (
    add_device,
    add_protocol,
    add_reference,
    add_reference_lag,
    add_setting,
    add_topics,
    checked,
    integers,
    option,
    read_recording,
)
from leconvmn_ros.commands.progress import progress_bar, remark, say, say_duration
from leconvmn_ros.dataset.hold_out import hold_out_named, HoldOut, RepetitionHoldOut
from leconvmn_ros.dataset.reference_lag import align_reference
from leconvmn_ros.dataset.summary import training_summary
from leconvmn_ros.decoding.checkpoint import check_place, Checkpoint, load_checkpoint
from leconvmn_ros.emg.signal_path import ExposureConfig
from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.recording import Recording
from leconvmn_ros.training.fit_settings import Order, RecurrentFitSettings
from leconvmn_ros.training.presets import (
    CURRENT_PRESETS,
    DEFAULT_PRESET,
    fine_tuning,
    PRESETS,
    TrainingSettings,
)
from leconvmn_ros.training.reports import EpochReport
from leconvmn_ros.training.train import train
from leconvmn_ros.training.train_on_all import train_on_all

# Options that stand for a value of the preset: the part of the settings, its class and the name.
OVERRIDES = (
    ('fit', RecurrentFitSettings, 'epochs'),
    ('exposure', ExposureConfig, 'exposure'),
    ('fit', RecurrentFitSettings, 'learning_rate'),
    ('', TrainingSettings, 'seed'),
    ('', TrainingSettings, 'threads'),
)
# The same, declared apart because it is no number.
_ORDER = ('fit', RecurrentFitSettings, 'order')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'bags', nargs='+', type=Path, metavar='BAG', help='recordings of one subject'
    )
    parser.add_argument(
        '--output', required=True, type=Path, metavar='CHECKPOINT', help='folder of the checkpoint'
    )
    parser.add_argument(
        '--preset',
        choices=list(PRESETS),
        metavar='NAME',
        help=f'model and how it is trained (default: {DEFAULT_PRESET}): '
        f'{", ".join(CURRENT_PRESETS)}; NAME@1 is one as it was in version 0.1.0',
    )
    parser.add_argument(
        '--from',
        dest='start',
        type=Path,
        metavar='CHECKPOINT',
        help='go on from this decoder, to get used to a new session or person (fine-tuning)',
    )
    for _, model, name in OVERRIDES:
        add_setting(parser, model, name, None, remark="instead of the preset's")
    parser.add_argument(
        '--order',
        choices=get_args(Order),
        help="how the training data follow one another, instead of the preset's: single "
        'repetitions in random order, or the order of the recording',
    )
    parser.add_argument(
        '--test',
        type=_test,
        metavar='N,N',
        help='repetitions for the test, instead of the usual; none = --all',
    )
    parser.add_argument(
        '--all',
        action='store_true',
        help='for a decoder to be worn: after a training with the usual hold-out, which gives the '
        'score and the epoch, train once more on everything',
    )
    parser.add_argument(
        '--validation',
        type=integers('repetitions such as 2,5'),
        metavar='N,N',
        help='repetitions that pick the epoch, instead of the last one; --test must be given, too',
    )
    add_protocol(parser)
    add_reference(parser, default='measured', remark='the cue needs a bag of the guide')
    add_reference_lag(parser, auto=True)
    add_topics(parser)
    add_device(parser)


def _test(text: str) -> tuple[int, ...] | str:
    return text if text == 'none' else integers('repetitions such as 2,5')(text)


def run(arguments: argparse.Namespace) -> int:
    """Train and save."""
    start = None if arguments.start is None else load_checkpoint(arguments.start)
    settings = _settings(arguments, start)
    everything = arguments.all or arguments.test == 'none'
    named = _hold_out(arguments)
    check_place(arguments.output)
    if arguments.reference == 'cue' and arguments.reference_lag != 0:
        raise ConfigurationError(
            f'--reference-lag {arguments.reference_lag} with --reference cue: a cue has no lag, '
            'its repetitions are re-timed one by one'
        )
    recordings = [read_recording(bag, arguments, arguments.reference) for bag in arguments.bags]
    hold_out = named or hold_out_named(arguments.protocol, recordings[0])
    recordings = [
        _aligned(recording, arguments.reference_lag, hold_out) for recording in recordings
    ]
    for recording in recordings:
        lines = training_summary(recording, hold_out, learn_validation=not settings.choose_epoch)
        for line in lines:
            remark(line)
    with progress_bar('train') as progress:

        def on_epoch(report: EpochReport) -> None:
            progress(report.share(settings.second_pass), report.text())

        checkpoint = (train_on_all if everything else train)(
            recordings,
            settings,
            hold_out=hold_out,
            device=arguments.device,
            start=start,
            on_start=say_duration,
            on_epoch=on_epoch,
        )
    checkpoint.save(arguments.output)
    record = checkpoint.description.training
    remark(f'held out: {record.hold_out.rule()}')
    if known := record.trained_on_all:
        remark(
            f'learnt everything; before that, with {known.hold_out.rule()} held out, the same '
            f'training had CC {known.test["cc"]:.2f} on the test'
        )
    say(
        f'{arguments.output}: epoch {record.best_epoch} of {record.epochs}, {record.seconds:.0f} s'
    )
    return 0


def _aligned(recording: Recording, lag: Any, hold_out: HoldOut) -> Recording:
    recording, taken = align_reference(recording, lag, hold_out)
    if lag == 'auto':
        remark(f'{recording.name}: the reference is taken to be late by {taken:.3f} s')
    return recording


def _settings(arguments: argparse.Namespace, start: Checkpoint | None) -> TrainingSettings:
    if start is None:
        data: dict[str, Any] = PRESETS[arguments.preset or DEFAULT_PRESET].model_dump()
    elif arguments.preset:
        raise ConfigurationError('--from goes on with the model that is there: no --preset then')
    else:
        trained: TrainingSettings = checked(TrainingSettings, start.description.training.settings)
        data = fine_tuning(trained).model_dump()
    if arguments.validation is not None:
        data['choose_epoch'] = True
    for part, _, name in (*OVERRIDES, _ORDER):
        if (value := getattr(arguments, name)) is not None:
            values = data[part] if part else data
            if name not in values:
                raise ConfigurationError(
                    f'{option(name)} is not for a {data["model"]["kind"]}, which has none'
                )
            values[name] = value
    settings: TrainingSettings = checked(TrainingSettings, data)
    return settings


def _hold_out(arguments: argparse.Namespace) -> RepetitionHoldOut | None:
    if arguments.all and arguments.test not in {None, 'none'}:
        raise ConfigurationError('--all learns everything, --test holds something out')
    if arguments.test == 'none' and arguments.validation is not None:
        raise ConfigurationError('--validation with --test none: the usual part is validated')
    if arguments.test in {None, 'none'} and arguments.validation is None:
        return None
    if arguments.test is None:
        raise ConfigurationError('--validation needs --test beside it')
    if arguments.protocol != 'repetitions':
        raise ConfigurationError(
            f'--test and --validation name repetitions; --protocol {arguments.protocol} has none'
        )
    hold_out: RepetitionHoldOut = checked(
        RepetitionHoldOut, {'test': arguments.test, 'validation': arguments.validation or ()}
    )
    return hold_out
