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

"""Runs `leconvmn_ros train`; its arguments are in parsers/train.py."""

import argparse
import os
from typing import Any

from leconvmn_ros.commands.arguments import (
    checked,
    option,
)
from leconvmn_ros.commands.parsers.train import OVERRIDES
from leconvmn_ros.commands.progress import progress_bar, remark, say, say_duration
from leconvmn_ros.commands.read_recording import read_recording
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.dataset.filter_choice import choose_filters, filter_remarks
from leconvmn_ros.dataset.hold_out import hold_out_named, HoldOut, RepetitionHoldOut
from leconvmn_ros.dataset.reference_lag import align_reference
from leconvmn_ros.dataset.summary import training_summary
from leconvmn_ros.decoding.checkpoint import check_place, Checkpoint, load_checkpoint
from leconvmn_ros.recordings.description import common_description
from leconvmn_ros.training.fit_settings import RecurrentFitSettings
from leconvmn_ros.training.presets import (
    DEFAULT_PRESET,
    fine_tuning,
    PRESETS,
    TrainingSettings,
)
from leconvmn_ros.training.reports import EpochReport
from leconvmn_ros.training.run import train
from leconvmn_ros.training.train_on_all import train_on_all

_FILTERS = ('high_pass', 'mains')
# More overrides, which are not numbers and so have parsers of their own.
_CHOICES = (
    ('fit', RecurrentFitSettings, 'order'),
    ('fit', RecurrentFitSettings, 'donnings'),
)


def run(arguments: argparse.Namespace) -> int:
    """Train and save."""
    start = None if arguments.start is None else load_checkpoint(arguments.start)
    settings = _settings(arguments, start)
    everything = arguments.all or arguments.test == 'none'
    named = _hold_out(arguments)
    if arguments.donnings and len(arguments.bags) < 2:
        raise ConfigurationError('--donnings needs two or more BAGs, one per donning; got 1')
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
    if start is None:
        filters = choose_filters(recordings, settings.high_pass, settings.mains, hold_out)
        for line in filter_remarks(recordings, filters):
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
            electrodes=common_description(arguments.bags),
            # One process per core if each uses a single thread.
            processes=len(os.sched_getaffinity(0)) if settings.threads == 1 else 1,
        )
    checkpoint.save(arguments.output)
    record = checkpoint.description.training
    remark(f'held out: {record.hold_out.rule()}')
    if known := record.trained_on_all:
        remark(
            f'trained on everything; before that, with {known.hold_out.rule()} held out, the same '
            f'training had CC {known.test["cc"]:.2f} on the test'
        )
    say(
        f'{arguments.output}: epoch {record.best_epoch} of {record.epochs}, {record.seconds:.0f} s'
    )
    return 0


def _aligned(recording: Recording, lag: Any, hold_out: HoldOut) -> Recording:
    recording, taken = align_reference(recording, lag, hold_out)
    if lag == 'auto':
        remark(f'{recording.name}: the reference is taken to be {taken:.3f} s late')
    return recording


def _settings(arguments: argparse.Namespace, start: Checkpoint | None) -> TrainingSettings:
    if start is None:
        data: dict[str, Any] = PRESETS[arguments.preset or DEFAULT_PRESET].model_dump()
    elif arguments.preset:
        raise ConfigurationError('--from keeps the model of its decoder: no --preset then')
    else:
        trained: TrainingSettings = checked(TrainingSettings, start.description.training.settings)
        data = fine_tuning(trained).model_dump()
    if arguments.validation is not None:
        data['choose_epoch'] = True
    for name in _FILTERS:
        if (value := getattr(arguments, name)) is not None:
            if start is not None:
                raise ConfigurationError(
                    f'--from keeps the filters of its decoder: no {option(name)} then'
                )
            data[name] = value
    for part, _, name in (*OVERRIDES, *_CHOICES):
        if (value := getattr(arguments, name)) is not None:
            values = data[part] if part else data
            if name not in values:
                raise ConfigurationError(
                    f'{option(name)} does not apply to {data["model"]["kind"]}'
                )
            values[name] = value
    settings: TrainingSettings = checked(TrainingSettings, data)
    return settings


def _hold_out(arguments: argparse.Namespace) -> RepetitionHoldOut | None:
    if arguments.all and arguments.test not in {None, 'none'}:
        raise ConfigurationError('--all trains on everything, but --test holds something out')
    if arguments.test == 'none' and arguments.validation is not None:
        raise ConfigurationError('--validation does not go with --test none')
    if arguments.test in {None, 'none'} and arguments.validation is None:
        return None
    if arguments.test is None:
        raise ConfigurationError('--validation needs --test')
    if arguments.protocol != 'repetitions':
        raise ConfigurationError(
            f'--test and --validation name repetitions; --protocol {arguments.protocol} has none'
        )
    hold_out: RepetitionHoldOut = checked(
        RepetitionHoldOut, {'test': arguments.test, 'validation': arguments.validation or ()}
    )
    return hold_out
