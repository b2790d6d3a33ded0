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

"""Fuzz targets: settings, command lines, and recordings to train on or to go on with."""

import argparse
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

from builders import make_checkpoint, make_recording, one_stack
from fuzz_mutations import damaged_tree, NOT_FINITE, odd_number, odd_value, pick
from leconvmn_ros.cli import build_parser, COMMANDS
from leconvmn_ros.commands.arguments import checked
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.recording import JointTrack, LabelTrack, Recording
from leconvmn_ros.dataset.alignment import angles_at
from leconvmn_ros.dataset.hold_out import default_hold_out, hold_out_named
from leconvmn_ros.dataset.reference_lag import find_reference_lag
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.emg.message import HIGHEST_RATE, LOWEST_RATE
from leconvmn_ros.evaluation.comparison import compare, decode_recording
from leconvmn_ros.recordings.playback import Playback
from leconvmn_ros.training.fit_settings import RecurrentFitSettings
from leconvmn_ros.training.presets import PRESETS, TrainingSettings
from leconvmn_ros.training.run import train
import numpy as np
from numpy.random import Generator
import torch


class SettingsTarget:
    """Training settings, parameters of the nodes, and options of the commands."""

    def __init__(self, _folder: Path) -> None:
        """Take the presets as seeds."""
        self._presets = [preset.model_dump(mode='json') for preset in PRESETS.values()]
        self._checkpoint = make_checkpoint()
        self._parsers = {name: build_parser(name) for name in COMMANDS}
        self._options = {name: _options(parser) for name, parser in self._parsers.items()}

    def __call__(self, random: Generator) -> None:
        kind = int(random.integers(8))
        if kind == 0:
            decoder = Decoder(self._checkpoint, output_rate=float(odd_number(random)))
            assert 0 < decoder.output_rate < np.inf
        elif kind == 1:
            Playback(float(odd_number(random)))
        elif kind < 5:
            self._make_settings(random)
        else:
            self._parse(random)

    def _make_settings(self, random: Generator) -> None:
        data = damaged_tree(random, pick(random, self._presets))
        settings: TrainingSettings = checked(TrainingSettings, data)
        # Again from what a checkpoint keeps of it.
        assert checked(TrainingSettings, settings.model_dump(mode='json')) == settings
        with torch.device('meta'):
            try:
                settings.model.build((16, 5), 10)
            except ValueError as error:  # as train does
                raise ConfigurationError(str(error)) from error

    def _parse(self, random: Generator) -> None:
        command = pick(random, list(self._parsers))
        words = [command, *['x'] * int(random.integers(0, 3))]
        for _ in range(int(random.integers(1, 4))):
            value = pick(random, ('1', '0.5', '2,3', 'auto', str(odd_value(random))))
            words += [pick(random, self._options[command]), value]
        try:
            with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
                self._parsers[command].parse_args(words)
        except SystemExit as end:
            if end.code != 0:  # --help
                raise ConfigurationError('refused by argparse') from end


class TrainingTarget:
    """A recording with odd angles, labels, stamps or EMG, to score, to train and to fine-tune."""

    def __init__(self, _folder: Path) -> None:
        """Train a small decoder to go on from."""
        self._recording = make_recording(repetitions=4, repetition_length=60)
        self._settings = TrainingSettings(
            model=one_stack(planes=(3,)), fit=RecurrentFitSettings(epochs=1, lanes=2)
        )
        self._start = train([self._recording], self._settings)

    def __call__(self, random: Generator) -> None:
        recording = self._recording
        for _ in range(int(random.integers(1, 3))):
            change = pick(random, (_other_angles, _other_labels, _other_stamps, _other_emg))
            recording = change(random, recording)
        match int(random.integers(4)):
            case 0:
                hold_out = hold_out_named(pick(random, ('repetitions', 'paper')), recording)
                lag = find_reference_lag(recording, hold_out)
                assert np.isfinite(lag.seconds)
            case 1:
                self._score(recording)
            case 2:
                self._check(train([recording], self._settings))
            case _:
                self._check(train([recording], self._settings, start=self._start))

    def _score(self, recording: Recording) -> None:
        estimates = decode_recording(Decoder(self._start), recording)
        assert np.isfinite(estimates.positions).all()
        if recording.reference is None:
            return
        angles, known = angles_at(recording.reference, estimates.names, estimates.stamps_ns)
        assert np.isfinite(angles[known]).all()
        compare(
            estimates,
            recording.reference,
            recording.labels,
            recording.span_ns,
            default_hold_out(recording),
        ).score()

    def _check(self, checkpoint: Any) -> None:
        assert all(np.isfinite(weights).all() for weights in checkpoint.weights.values())


def _options(parser: argparse.ArgumentParser) -> list[str]:
    (commands,) = (
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    return [
        name
        for command in commands.choices.values()
        for action in command._actions
        for name in action.option_strings
    ]


def _other_angles(random: Generator, recording: Recording) -> Recording:
    track = recording.reference
    if track is None or random.integers(10) == 0:
        return replace(recording, reference=None)
    positions = track.positions.copy()
    names = track.names
    match int(random.integers(5)):
        case 0:
            positions[int(random.integers(len(positions)))] = pick(random, (*NOT_FINITE, 1e300))
        case 1:
            positions[:, int(random.integers(positions.shape[1]))] = odd_number(random)
        case 2:
            positions *= 10.0 ** random.integers(-300, 300)
        case 3:
            names = (*names[:-1], pick(random, ('', names[0], 'left/' + names[-1], 'elbow')))
        case _:
            kept = slice(int(random.integers(len(positions))), None)
            return replace(
                recording, reference=JointTrack(track.stamps_ns[kept], names, positions[kept])
            )
    return replace(recording, reference=JointTrack(track.stamps_ns, names, positions))


def _other_labels(random: Generator, recording: Recording) -> Recording:
    if recording.labels is None or random.integers(5) == 0:
        return replace(recording, labels=None)
    length = int(random.integers(1, 12))
    start, end = sorted(recording.span_ns)  # with odd stamps it may end before it starts
    numbers = (0, 1, 2, 3, 4, 65535)
    return replace(
        recording,
        labels=LabelTrack(
            np.sort(random.integers(start - 10**9, end + 10**9, length)),
            np.array([pick(random, numbers) for _ in range(length)]),
            np.array([pick(random, numbers) for _ in range(length)]),
        ),
    )


def _other_stamps(random: Generator, recording: Recording) -> Recording:
    track = recording.reference
    if track is None or random.integers(2):
        chunks = list(recording.chunks)
        which = int(random.integers(len(chunks)))
        stamp_ns = pick(random, (0, 1, -(2**31) * 10**9, (2**31 - 1) * 10**9, 5 * 10**9))
        chunks[which] = chunks[which]._replace(stamp_ns=stamp_ns)
        return replace(recording, chunks=chunks)
    stamps_ns = track.stamps_ns.copy()
    match int(random.integers(3)):
        case 0:
            stamps_ns[:] = stamps_ns[0]
        case 1:
            stamps_ns[: int(random.integers(len(stamps_ns)))] = pick(random, (0, -(2**31) * 10**9))
        case _:
            stamps_ns += int(random.integers(-5 * 10**9, 5 * 10**9))
    return replace(
        recording, reference=JointTrack(np.sort(stamps_ns), track.names, track.positions)
    )


def _other_emg(random: Generator, recording: Recording) -> Recording:
    chunks = list(recording.chunks)
    which = int(random.integers(len(chunks)))
    chunk = chunks[which]
    match int(random.integers(6)):
        case 0:
            del chunks[which:]
        case 1:
            chunks[which] = chunk._replace(first_sample=int(random.integers(0, 2**63)))
        case 2:
            rate = abs(float(odd_number(random)))
            # As chunk_from_message lets through; NaN is not below either.
            rate = rate if LOWEST_RATE <= rate <= HIGHEST_RATE else HIGHEST_RATE
            chunks[which] = chunk._replace(sampling_rate=rate)
        case 3:
            chunks[which] = chunk._replace(samples=chunk.samples[:, :1])
        case 4:
            samples = chunk.samples.copy()
            samples[0, 0] = pick(random, (*NOT_FINITE, 3e38))
            chunks[which] = chunk._replace(samples=samples)
        case _:
            scale = np.float32(pick(random, (0.0, 1e-30, 1e6, 1e38)))
            with np.errstate(over='ignore'):
                chunks = [c._replace(samples=c.samples * scale) for c in chunks]
    return replace(recording, chunks=chunks or recording.chunks[:1])
