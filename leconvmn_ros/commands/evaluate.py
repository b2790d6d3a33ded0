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

"""Decode bags with a checkpoint, without ROS, and score them.

The decoder is the one that the ROS node runs. By default only what the training held out is
scored; the rest is decoded too, since the state runs through the whole recording. With several
bags the scores are over all of them together.
"""

import argparse
from math import nan
from pathlib import Path

from leconvmn_ros.commands.arguments import (
    add_device,
    add_engine,
    add_reference_lag,
    add_threads,
    add_topics,
    number,
    png,
    read_recording,
)
from leconvmn_ros.commands.progress import progress_bar
from leconvmn_ros.dataset.reference_lag import MOST_LAG, shifted
from leconvmn_ros.decoding.autotune import settle_for_recordings
from leconvmn_ros.decoding.checkpoint import Checkpoint, load_checkpoint
from leconvmn_ros.decoding.decoder import Decoder, DEFAULT_OUTPUT_RATE
from leconvmn_ros.errors import CheckpointError, ConfigurationError, RecordingError
from leconvmn_ros.evaluation.comparison import compare, Comparison, decode_recording, join
from leconvmn_ros.evaluation.metrics import as_json
from leconvmn_ros.evaluation.plots import plot_comparison
from leconvmn_ros.evaluation.tables import score_table_text, write_estimates
from leconvmn_ros.files import write_json
from leconvmn_ros.recording import JointTrack, Recording
from rich.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'checkpoint', type=Path, metavar='CHECKPOINT', help='folder that train wrote'
    )
    parser.add_argument(
        'bags', nargs='+', type=Path, metavar='BAG', help='recordings with reference angles'
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the scores here')
    parser.add_argument(
        '--plot', type=png, metavar='FILE.png', help='draw estimate over truth here'
    )
    parser.add_argument(
        '--estimates',
        type=Path,
        metavar='FILE.csv',
        help='write all estimates here (one bag only)',
    )
    parser.add_argument(
        '--part',
        choices=('test', 'all'),
        default='test',
        help='score what was held out, or everything',
    )
    parser.add_argument(
        '--output-rate',
        type=number(float, 0, 1000),
        default=DEFAULT_OUTPUT_RATE,
        metavar='HZ',
        help='estimates per second, at most one per sample and 1000; 0 = one per image',
    )
    add_reference_lag(parser, default=None)
    add_topics(parser)
    add_device(parser)
    add_engine(parser, 'the network')
    add_threads(parser, meaning_of_0='as many as are fastest')


def run(arguments: argparse.Namespace) -> int:
    """Decode, score, show, write."""
    if arguments.estimates and len(arguments.bags) > 1:
        raise ConfigurationError(f'--estimates takes one bag, got {len(arguments.bags)}')
    checkpoint = load_checkpoint(arguments.checkpoint)
    comparisons = []
    joint_units = set()
    for path in arguments.bags:
        recording = read_recording(path, arguments)
        lag = arguments.reference_lag
        recording = shifted(recording, _trained_lag(checkpoint, recording) if lag is None else lag)
        joint_units.add(recording.information.get('joint_unit', 'rad'))
        estimates = _decode(checkpoint, recording, arguments)
        comparisons.append(_compare(checkpoint, recording, estimates, arguments.part))
        if arguments.estimates:
            write_estimates(arguments.estimates, estimates)
    comparison = join(comparisons)
    report = as_json(comparison.score()) | {'joint_units': sorted(joint_units)}
    names = ', '.join(path.name for path in arguments.bags)
    title = f'{arguments.checkpoint.name} on {names} ({arguments.part})'
    Console().print(score_table_text(report, title))
    if uncalibrated := [unit for unit in joint_units if 'nominal' in unit]:
        print(f'unit of the reference: {"; ".join(uncalibrated)}')
    if arguments.json:
        write_json(arguments.json, report)
    if arguments.plot:
        plot_comparison(comparison, arguments.plot, title)
    return 0


def _trained_lag(checkpoint: Checkpoint, recording: Recording) -> float:
    """Return the lag of the reference that the training took for this recording (s).

    Raises:
        CheckpointError: the checkpoint says something that is no lag.
    """
    record = checkpoint.description.training
    for name, information in zip(record.recordings, record.information, strict=False):
        if name == recording.name:
            text = information.get('reference_lag_s', '0')
            try:
                lag = float(text)
            except ValueError:
                lag = nan
            if not abs(lag) <= MOST_LAG:
                raise CheckpointError(
                    f'reference_lag_s of {name} in the checkpoint is {text[:40]!r}; '
                    f'it must be a number from {-MOST_LAG:g} to {MOST_LAG:g}'
                )
            return lag
    return 0.0


def _decode(
    checkpoint: Checkpoint, recording: Recording, arguments: argparse.Namespace
) -> JointTrack:
    decoder = Decoder(
        checkpoint,
        output_rate=arguments.output_rate,
        device=arguments.device,
        engine=arguments.engine,
    )
    settle_for_recordings(decoder, arguments.threads)
    with progress_bar(f'decode {recording.name}') as progress:
        estimates = decode_recording(decoder, recording, progress)
    if len(estimates.stamps_ns) == 0:
        raise RecordingError(
            f'{recording.name} gave no estimate: the decoder takes {decoder.channels} channels at '
            f'{decoder.sampling_rate:g} Hz; '
            f'input: {decoder.counts.faults() or "shorter than one image"}'
        )
    return estimates


def _compare(
    checkpoint: Checkpoint, recording: Recording, estimates: JointTrack, part: str
) -> Comparison:
    if recording.reference is None:
        raise RecordingError(f'{recording.name} has no reference angles to score against')
    hold_out = checkpoint.description.training.hold_out if part == 'test' else None
    try:
        return compare(
            estimates, recording.reference, recording.labels, recording.span_ns, hold_out
        )
    except RecordingError as error:
        if hold_out is None:
            raise
        raise RecordingError(f'{error}; --part all scores the whole recording') from error
