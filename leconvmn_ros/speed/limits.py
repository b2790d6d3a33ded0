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

"""Finds, by trial, the highest sampling rate that the decoder node sustains without loss."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.speed.end_to_end import measure_end_to_end
from leconvmn_ros.speed.stages import random_checkpoint
from leconvmn_ros.training.presets import TrainingSettings

FIRST_RATE = 1000.0  # Hz
MOST_RATE = 100_000.0  # Hz, the limit of the signal path and the load node
# Each replaces the ratio of failed to sustained rate by its root: 2, 1.41, 1.19, 1.09.
BISECTIONS = 3
# A decoder with this latency has fallen behind and would soon lose samples (ms).
LONGEST_LATENCY = 250.0
# Least share of estimates received, since the first may be late and the last missing.
_FEWEST = 0.95


class Limit(NamedTuple):
    """The limit found.

    Attributes:
        held: highest sustained rate (Hz), 0 = none.
        broke_at: lowest failed rate (Hz), None = the highest possible rate was sustained.
        reason: first failure at that rate.
    """

    held: float
    broke_at: float | None
    reason: str


def highest_held(try_rate: Callable[[float], str]) -> Limit:
    """Double or halve the rate until the outcome changes, then bisect.

    Args:
        try_rate: tries a rate (Hz) and returns the failure, or '' if it was sustained.
    """
    held, rate = 0.0, FIRST_RATE
    while reason := try_rate(rate):
        if rate <= 1:
            return Limit(0.0, rate, reason)
        broke, why = rate, reason
        rate = max(1.0, rate / 2)
    held = rate
    if held >= FIRST_RATE:
        while not (reason := try_rate(min(MOST_RATE, 2 * held))):
            held = min(MOST_RATE, 2 * held)
            if held == MOST_RATE:
                return Limit(held, None, '')
        broke, why = min(MOST_RATE, 2 * held), reason
    for _ in range(BISECTIONS):
        rate = float(f'{(held * broke) ** 0.5:.3g}')
        if reason := try_rate(rate):
            broke, why = rate, reason
        else:
            held = rate
    return Limit(held, broke, why)


def what_broke(
    trip: Mapping[str, Any], seconds: float, chunk_seconds: float, output_rate: float
) -> str:
    """Return the first sign of loss in the result of `measure_end_to_end`, '' = none.

    Causes come before their effects.

    Args:
        trip: the result.
        seconds: duration of the source (s).
        chunk_seconds: length of a message (s).
        output_rate: estimates per second (Hz).
    """
    late, latency = trip['late_ms'], trip['latency_ms']
    if late is None or late['p99'] > 1e3 * max(chunk_seconds, 0.02):
        return 'the source did not keep its own pace'
    if trip['faults']:
        return f'the decoder logged: {trip["faults"][0]}'
    if latency is None:
        return 'no estimate came'
    if latency['p99'] > LONGEST_LATENCY:
        return f'the decoder fell behind: p99 of the latency was {latency["p99"]:.0f} ms'
    due = seconds * output_rate
    if trip['gaps'] or trip['estimates'] < _FEWEST * due - output_rate / 2:
        return f'{trip["estimates"]} of {due:.0f} estimates came, {trip["gaps"]} are missing'
    return ''


def find_limit(
    settings: TrainingSettings,
    channels: int,
    *,
    chunk_seconds: float,
    output_rate: float,
    seconds: float,
    device: str,
    engine: str,
    threads: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Find the highest rate that a decoder with that many channels sustains.

    Args:
        settings: settings of the network.
        channels: number of electrodes.
        chunk_seconds: length of a message (s), at least one sample.
        output_rate: estimates per second (Hz).
        seconds: duration of each trial (s).
        device: see `find_device`.
        engine: see `engines.registry`.
        threads: CPU threads of the decoder, 0 = its own choice.
        progress: called with the present trial.

    Returns:
        `channels`, `held` and `broke_at` (Hz), `values` (channels x rate held), `reason`, and
        `trials`: rate, failure, and median and p99 of the latency (ms) of each.
    """
    trials: list[dict[str, Any]] = []

    def try_once(rate: float) -> str:
        progress(f'{channels} channels at {rate:g} Hz')
        trial: dict[str, Any] = {'rate': rate, 'latency_ms': None}
        trials.append(trial)
        try:
            trip = measure_end_to_end(
                random_checkpoint(settings, channels, rate),
                chunk=max(1, round(chunk_seconds * rate)),
                output_rate=output_rate,
                seconds=seconds,
                device=device,
                engine=engine,
                threads=threads,
                progress=lambda _: None,
            )
        except (ConfigurationError, ValueError) as error:
            trial['reason'] = str(error)
        else:
            trial['latency_ms'] = trip['latency_ms']
            trial['reason'] = what_broke(trip, seconds, chunk_seconds, output_rate)
        return str(trial['reason'])

    def try_rate(rate: float) -> str:
        # Try twice, because other programs may have interfered.
        return try_once(rate) and try_once(rate)

    limit = highest_held(try_rate)
    return {
        'channels': channels,
        'values': channels * limit.held,
        **limit._asdict(),
        'trials': trials,
    }
