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

"""Fuzz targets: EMG messages, into the intake alone and through the whole decoder."""

from array import array
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from builders import CHANNELS, make_checkpoint, RATE
from fuzz_mutations import NOT_FINITE, ODD_INTEGERS, odd_number, pick
from leconvmn_ros.core.errors import MalformedMessageError
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.emg.intake import Intake, IntakeCounts, Piece
from leconvmn_ros.emg.message import chunk_from_message
import numpy as np
from numpy.random import Generator

LIMITS = (-0.5, 0.75)
COUNTERS = tuple(field.name for field in fields(IntakeCounts))
REFUSALS = ('wrong_channels', 'wrong_rate', 'not_finite')


class Source:
    """Makes EmgArray messages, most of them of a sane stream, with fields as the wire has them."""

    def __init__(self, random: Generator) -> None:
        self._random = random
        self._next = int(random.choice([0, 0, 5, 2**64 - 20]))
        self._stamp_ns = int(random.choice([0, 1, 1_700_000_000, 2**31 - 1])) * NANOSECONDS

    def message(self) -> Any:
        random = self._random
        length = int(random.integers(1, 31))
        self._next += self._hole()
        self._stamp_ns += round(self._hole() * NANOSECONDS / RATE)
        first, stamp_ns = self._next, self._stamp_ns
        self._next += length
        self._stamp_ns += round(length * NANOSECONDS / RATE)
        channels = CHANNELS if self._sane() else int(pick(random, ODD_INTEGERS)) % 2**32
        rate = RATE if self._sane() else float(odd_number(random))
        if not self._sane():
            first = int(pick(random, ODD_INTEGERS))
        if not self._sane():
            stamp_ns = int(pick(random, ODD_INTEGERS)) * int(pick(random, (1, 1000, NANOSECONDS)))
        seconds, nanoseconds = divmod(stamp_ns, NANOSECONDS)
        if not self._sane():
            nanoseconds = 2**32 - 1
        return SimpleNamespace(
            header=SimpleNamespace(
                stamp=SimpleNamespace(sec=(seconds + 2**31) % 2**32 - 2**31, nanosec=nanoseconds)
            ),
            sampling_rate=rate,
            first_sample=first % 2**64,
            channels=channels,
            samples=self._samples(length),
        )

    def _sane(self) -> bool:
        return bool(self._random.integers(20))

    def _hole(self) -> int:
        """Return samples lost (or, below 0, sent again)."""
        return 0 if self._random.integers(5) else int(self._random.integers(-200, 400))

    def _samples(self, length: int) -> Any:
        random = self._random
        size = length * CHANNELS if self._sane() else int(random.integers(0, 100))
        values = random.standard_normal(size) * 10.0 ** random.integers(-9, -2)
        if not self._sane() and size:
            odd = (*NOT_FINITE, 3.4e38, -3.4e38, 1e-45)
            values[int(random.integers(size))] = pick(random, odd)
        elif not self._sane():
            values *= 10.0 ** random.integers(0, 40)
        with np.errstate(over='ignore'):
            samples = values.astype(np.float32)
        # As rclpy has them, and as rosbags.
        return array('f', samples.tobytes()) if random.integers(2) else samples


class IntakeTarget:
    """Several messages to a new Intake."""

    def __init__(self, _folder: Path) -> None:
        """Nothing to prepare."""

    def __call__(self, random: Generator) -> None:
        source, intake = Source(random), Intake(CHANNELS, RATE)
        taken = 0
        for _ in range(int(random.integers(1, 9))):
            try:
                chunk = chunk_from_message(source.message())
            except MalformedMessageError:
                continue
            before = _counts(intake)
            pieces = list(intake.accept(chunk))
            _check_pieces(pieces)
            news = zip(COUNTERS, before, _counts(intake), strict=True)
            _check_counts(chunk, pieces, {name: now - then for name, then, now in news})
            taken += sum(len(piece.samples) for piece in pieces)
        counts = intake.counts
        assert taken == counts.samples + counts.bridged_samples


class DecoderTarget:
    """Several messages to a decoder that has just been reset."""

    def __init__(self, _folder: Path) -> None:
        """Make a decoder whose angles move far, so that the limits are met."""
        checkpoint = make_checkpoint(gain=1e4, limits=LIMITS)
        self._decoder = Decoder(checkpoint, output_rate=0)

    def __call__(self, random: Generator) -> None:
        source, decoder = Source(random), self._decoder
        decoder.reset()
        last_ns = None
        for _ in range(int(random.integers(1, 9))):
            try:
                chunk = chunk_from_message(source.message())
            except MalformedMessageError:
                continue
            restarts = decoder.counts.restarts
            estimates = decoder.decode(chunk)
            if decoder.counts.restarts > restarts:
                last_ns = None  # the time of a new start is its own
            for estimate in estimates:
                assert estimate.positions.shape == (len(decoder.joint_names),)
                assert np.all(
                    (estimate.positions >= LIMITS[0]) & (estimate.positions <= LIMITS[1])
                )
                assert last_ns is None or estimate.stamp_ns > last_ns, 'the stamp went back'
                last_ns = estimate.stamp_ns


def _counts(intake: Intake) -> list[int]:
    return [getattr(intake.counts, name) for name in COUNTERS]


def _check_pieces(pieces: list[Piece]) -> None:
    assert len(pieces) <= 2
    for piece in pieces:
        assert piece.samples.shape[0] > 0
        assert piece.samples.shape[1] == CHANNELS
        assert np.isfinite(piece.samples).all()


def _check_counts(chunk: EmgChunk, pieces: list[Piece], news: dict[str, int]) -> None:
    """Every sample of a chunk is decoded, late, or of one refused chunk."""
    assert news['messages'] == 1
    assert min(news.values()) >= 0
    refused = sum(news[name] for name in REFUSALS)
    assert refused in {0, 1}
    if refused:
        assert not pieces
        assert sum(news.values()) == 2, news
        return
    assert news['samples'] + news['late_samples'] == len(chunk.samples)
    assert news['bridged_samples'] in {0, news['lost_samples']}
    if pieces:
        np.testing.assert_array_equal(pieces[-1].samples, chunk.samples[-news['samples'] :])
