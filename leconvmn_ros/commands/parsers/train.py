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

"""Train a model on bags and write a checkpoint for the decoder.

Repetitions 2 and 5 (of ten: 2, 5 and 7) are held out for the test. A bag without repetition labels
is split by time: the last quarter is the test. The usual presets train on single repetitions in
random order and keep the last epoch; the others choose the epoch on repetition 4.
"""

import argparse
from pathlib import Path
from typing import get_args

from leconvmn_ros.commands.arguments import (
    add_device,
    add_protocol,
    add_reference,
    add_reference_lag,
    add_setting,
    add_topics,
    integers,
    number,
)
from leconvmn_ros.emg.signal_path import ExposureConfig
from leconvmn_ros.training.fit_settings import Order, RecurrentFitSettings
from leconvmn_ros.training.presets import (
    CURRENT_PRESETS,
    DEFAULT_PRESET,
    PRESETS,
    TrainingSettings,
)

# Options that override a value of the preset: part of the settings, its class and the name.
OVERRIDES = (
    ('fit', RecurrentFitSettings, 'epochs'),
    ('exposure', ExposureConfig, 'exposure'),
    ('fit', RecurrentFitSettings, 'learning_rate'),
    ('', TrainingSettings, 'seed'),
    ('', TrainingSettings, 'threads'),
)


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
        help=f'model and training (default: {DEFAULT_PRESET}): '
        f'{", ".join(CURRENT_PRESETS)}; NAME@1 is a preset as in version 0.1.0',
    )
    parser.add_argument(
        '--from',
        dest='start',
        type=Path,
        metavar='CHECKPOINT',
        help='start from this decoder, to adapt it to a new session or person (fine-tuning)',
    )
    for _, model, name in OVERRIDES:
        add_setting(parser, model, name, None, remark="instead of the preset's")
    parser.add_argument(
        '--high-pass',
        type=number(float, 0, 1000),
        metavar='HZ',
        help='corner of the high-pass of raw EMG, 0 = none (default: 20; below 400 Hz, 5 and only '
        'against an offset; none for an envelope)',
    )
    parser.add_argument(
        '--mains',
        type=int,
        choices=(0, 50, 60),
        help='mains frequency that notches remove (Hz); 0 = none (default)',
    )
    parser.add_argument(
        '--donnings',
        action='store_true',
        default=None,
        help='each BAG is from another donning of the electrodes, such as another day: learn to '
        'tolerate other positions and gains (needs two BAGs or more)',
    )
    parser.add_argument(
        '--order',
        choices=get_args(Order),
        help="order of the training data, instead of the preset's: single repetitions in random "
        'order, or the order of the recording',
    )
    parser.add_argument(
        '--test',
        type=_test,
        metavar='N,N',
        help='test repetitions, instead of the usual ones; none = --all',
    )
    parser.add_argument(
        '--all',
        action='store_true',
        help='for a decoder in use: train with the usual hold-out, which gives the score and the '
        'epoch, then train again on everything',
    )
    parser.add_argument(
        '--validation',
        type=integers('repetitions such as 2,5'),
        metavar='N,N',
        help='repetitions that choose the epoch, instead of the last epoch; needs --test',
    )
    add_protocol(parser)
    add_reference(parser, default='measured', remark='the cue needs a bag of the guide')
    add_reference_lag(parser, auto=True)
    add_topics(parser)
    add_device(parser)


def _test(text: str) -> tuple[int, ...] | str:
    return text if text == 'none' else integers('repetitions such as 2,5')(text)
