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

"""Runs `leconvmn_ros evaluate`; its arguments are in parsers/evaluate.py."""

import argparse
from collections.abc import Sequence
from math import nan
from typing import Any

from leconvmn_ros.commands.progress import progress_bar, remark, say, show
from leconvmn_ros.commands.read_recording import read_recording
from leconvmn_ros.core.errors import CheckpointError, ConfigurationError, RecordingError
from leconvmn_ros.core.files import write_json
from leconvmn_ros.core.recording import JointTrack, Recording
from leconvmn_ros.dataset.reference_lag import MOST_LAG, shifted
from leconvmn_ros.decoding.checkpoint import Checkpoint, load_checkpoint
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.decoding.history import Overlap, overlap_of
from leconvmn_ros.evaluation.comparison import decode_recording, join
from leconvmn_ros.evaluation.recording_scores import (
    evaluation_report,
    RecordingScores,
    score_recording,
    WHY_SHUFFLED,
)
from leconvmn_ros.evaluation.tables import behaviour_table, score_table_text, write_estimates
from leconvmn_ros.recordings.bag_types import REFERENCE_TOPIC


def run(arguments: argparse.Namespace) -> int:
    """Decode, score, show and write."""
    if arguments.estimates and len(arguments.bags) > 1:
        raise ConfigurationError(f'--estimates takes one bag, got {len(arguments.bags)}')
    checkpoint = load_checkpoint(arguments.checkpoint)
    scores, overlaps = [], []
    joint_units = set()
    for path in arguments.bags:
        recording = read_recording(path, arguments, _reference(checkpoint, arguments))
        lag = arguments.reference_lag
        recording = shifted(recording, _trained_lag(checkpoint, recording) if lag is None else lag)
        joint_units.add(recording.information.get('joint_unit', 'rad'))
        overlaps.append(_overlap(checkpoint, recording, arguments.part))
        decoder = _decoder(checkpoint, arguments)
        estimates = _decode(decoder, recording)
        scores.append(_score(decoder, checkpoint, recording, estimates, arguments))
        if arguments.estimates:
            write_estimates(arguments.estimates, estimates)
    report = evaluation_report(scores) | {
        'joint_units': sorted(joint_units),
        'learnt_share': max(overlap.share for overlap in overlaps),
        'history_known': checkpoint.description.training.history_known,
    }
    names = ', '.join(path.name for path in arguments.bags)
    title = f'{arguments.checkpoint.name} on {names} ({arguments.part})'
    _show(report, scores, title)
    for path, overlap in zip(arguments.bags, overlaps, strict=True):
        if overlap:
            print(f'this is not a test score: of {path.name}, {overlap.text()}')
    if not report['history_known']:
        print(
            'the checkpoint does not list everything that the decoder has learnt from (it was '
            'trained before version 0.2.0): it may have learnt what is scored here'
        )
    if uncalibrated := [unit for unit in joint_units if 'nominal' in unit]:
        say(f'unit of the reference: {"; ".join(uncalibrated)}')
    if arguments.json:
        write_json(arguments.json, report)
    if arguments.plot:
        from leconvmn_ros.evaluation.plots import plot_comparison  # noqa: PLC0415 - matplotlib

        plot_comparison(join([each.recorded for each in scores]), arguments.plot, title)
    return 0


def _show(report: dict[str, Any], scores: Sequence[RecordingScores], title: str) -> None:
    shuffled = report['shuffled_order']
    if shuffled is None:
        reasons = '; '.join(dict.fromkeys(each.reason for each in scores))
        say(f'no scores in shuffled order, which are those to expect in use: {reasons}')
    else:
        orders = f'{shuffled["orders"]} random order{"s" if shuffled["orders"] > 1 else ""}'
        show(score_table_text(shuffled, f'{title}, {orders}'))
        say(WHY_SHUFFLED)
    show(score_table_text(report, f"{title}, the recording's own order"))
    show(behaviour_table(report, 'what a wearer notices'))


def _reference(checkpoint: Checkpoint, arguments: argparse.Namespace) -> str:
    if arguments.reference is not None:
        return str(arguments.reference)
    trained_on = [known.get('reference') for known in checkpoint.description.training.information]
    usual = arguments.reference_topic == REFERENCE_TOPIC
    return 'cue' if usual and 'cue' in trained_on else 'measured'


def _overlap(checkpoint: Checkpoint, recording: Recording, part: str) -> Overlap:
    """Return how much of the scored part the decoder has learnt.

    Raises:
        RecordingError: it has learnt any of it, and a score of the held-out part was requested.
    """
    record = checkpoint.description.training
    overlap = overlap_of(recording, record.hold_out if part == 'test' else None, record.learnt)
    if overlap and part == 'test':
        raise RecordingError(
            f'{recording.name}: the decoder has learnt part of what is to be scored: '
            f'{overlap.text()}; --part all scores it nevertheless, marked as no test'
        )
    return overlap


def _trained_lag(checkpoint: Checkpoint, recording: Recording) -> float:
    """Return the lag of the reference that the training used for this recording (s).

    Raises:
        CheckpointError: the checkpoint has an invalid lag.
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


def _decoder(checkpoint: Checkpoint, arguments: argparse.Namespace) -> Decoder:
    return Decoder(
        checkpoint,
        output_rate=arguments.output_rate,
        device=arguments.device,
        engine=arguments.engine,
        threads=arguments.threads,
    )


def _decode(decoder: Decoder, recording: Recording) -> JointTrack:
    with progress_bar(f'decode {recording.name}') as progress:
        estimates = decode_recording(decoder, recording, progress)
    if reason := decoder.contradiction:
        raise RecordingError(f'{recording.name}: {reason}')
    if len(estimates.stamps_ns) == 0:
        raise RecordingError(
            f'{recording.name} gave no estimate: the decoder takes {decoder.channels} channels at '
            f'{decoder.sampling_rate:g} Hz; '
            f'input: {decoder.counts.faults() or "shorter than one image"}'
        )
    if decoder.level_remark:
        remark(f'{recording.name}: {decoder.level_remark}')
    fit = decoder.input_map.fit
    if fit.unfit:
        remark(
            f'{recording.name}: the EMG does not fit the training in '
            f'{fit.unfit / fit.compared:.0%} of the movement; electrodes may have moved (adapt)'
        )
    return estimates


def _score(
    decoder: Decoder,
    checkpoint: Checkpoint,
    recording: Recording,
    estimates: JointTrack,
    arguments: argparse.Namespace,
) -> RecordingScores:
    hold_out = checkpoint.description.training.hold_out if arguments.part == 'test' else None
    try:
        with progress_bar(f'{recording.name} in random order') as progress:
            return score_recording(
                decoder,
                recording,
                estimates,
                hold_out,
                orders=arguments.orders,
                seed=arguments.seed,
                progress=progress,
            )
    except RecordingError as error:
        if hold_out is None:
            raise
        raise RecordingError(f'{error}; --part all scores the whole recording') from error
