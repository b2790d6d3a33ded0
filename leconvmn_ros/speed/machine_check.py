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
"""Checks which output rates each preset sustains on this machine, and advises if few."""

from collections.abc import Iterator
from time import perf_counter
from typing import NamedTuple

from leconvmn_ros.core.percentiles import percentiles
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.speed.stages import random_checkpoint
from leconvmn_ros.training.presets import PRESETS
import numpy as np

PRESETS_CHECKED = ('small', 'lstm', 'le_convmn', 'paper')
RATES = (10.0, 20.0, 50.0, 100.0, 200.0)
# Share of the time for the decoder; the rest is for middleware, view and other programs.
SHARE = 0.5
_ESTIMATES = 150


class Held(NamedTuple):
    """The performance of a preset on this machine.

    Attributes:
        preset: its name.
        median_ms: median time from a chunk to the estimate that it completes (ms).
        p99_ms: the 99th percentile (ms).
        rates: the sustainable ones of RATES (Hz).
        advice: advice to the user, '' = none.
    """

    preset: str
    median_ms: float
    p99_ms: float
    rates: tuple[float, ...]
    advice: str


def check_machine(channels: int, sampling_rate: float, *, device: str) -> Iterator[Held]:
    """Decode noise with each preset and yield the results.

    Args:
        channels: number of electrodes.
        sampling_rate: samples per second of each (Hz).
        device: see `find_device`.

    Raises:
        ConfigurationError: there is no such device.
        ValueError: a preset does not fit the channels and the rate.
    """
    for preset in PRESETS_CHECKED:
        checkpoint = random_checkpoint(PRESETS[preset], channels, sampling_rate)
        decoder = Decoder(checkpoint, device=device)
        decoder.warm_up()
        yield _held(preset, _times(decoder))


def _times(decoder: Decoder) -> list[float]:
    """Return the time of each call that gave an estimate (ms)."""
    rng = np.random.default_rng(0)
    size = max(1, round(decoder.sampling_rate / decoder.output_rate))
    times: list[float] = []
    first = 0
    while len(times) < _ESTIMATES:
        noise = rng.standard_normal((size, decoder.channels), dtype=np.float32)
        samples = noise * np.float32(1e-4)  # V, the level of EMG
        stamp = round(first * NANOSECONDS / decoder.sampling_rate)
        chunk = EmgChunk(stamp, decoder.sampling_rate, first, samples)
        started = perf_counter()
        estimates = decoder.decode(chunk)
        if estimates:
            times.append(1e3 * (perf_counter() - started) / len(estimates))
        first += size
    return times


def _held(preset: str, times_ms: list[float]) -> Held:
    spread = percentiles(times_ms)
    assert spread is not None  # noqa: S101 - _times returns some
    rates = tuple(rate for rate in RATES if spread['p99'] * rate <= 1e3 * SHARE)
    if not rates:
        advice = 'too slow for this machine'
    elif 50.0 not in rates:
        advice = f'use output_rate:={rates[-1]:g}, or a smaller preset'
    else:
        advice = ''
    return Held(preset, spread['median'], spread['p99'], rates, advice)
