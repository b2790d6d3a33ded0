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

"""Times each stage of the decoder separately, with the bound of the machine."""

from collections.abc import Callable, Iterator, Mapping
import gc
from itertools import count
import sys
from time import perf_counter, process_time
import tracemalloc
from typing import Any, NamedTuple

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.joints import JOINTS
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.dataset.hold_out import BlockHoldOut
from leconvmn_ros.decoding.checkpoint import Checkpoint, Description, JointOutput, TrainingRecord
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.emg.intake import Intake
from leconvmn_ros.emg.signal_path import (
    FeatureStatistics,
    LongExposure,
    SignalPath,
    SignalPathConfig,
    SlidingRms,
)
from leconvmn_ros.engines.base import Engine, stepping
from leconvmn_ros.engines.devices import CPU
from leconvmn_ros.engines.registry import ENGINES
from leconvmn_ros.engines.timing import interleaved
from leconvmn_ros.models.network import Network
from leconvmn_ros.training.presets import TrainingSettings
import numpy as np
from numpy.typing import NDArray
import torch

_WARM_UP = 0.02  # share of the repetitions
_ALLOCATION_CALLS = 50


class Stage(NamedTuple):
    """A stage that can be repeated.

    Attributes:
        call: runs it once.
        touched: bytes of its input and output.
        multiplications: multiplications (with addition), 0 if irrelevant.
        gpu: its GPU, None on the CPU.
    """

    call: Callable[[], object]
    touched: int = 0
    multiplications: int = 0
    gpu: str | None = None


def random_checkpoint(
    settings: TrainingSettings, channels: int, sampling_rate: float
) -> Checkpoint:
    """Return an untrained decoder, which is as slow as a trained one."""
    path = SignalPathConfig(
        channels=channels, sampling_rate=sampling_rate, **settings.exposure.model_dump()
    )
    description = Description(
        package_version='',
        model=settings.model,
        signal_path=path,
        statistics=FeatureStatistics(mean=(0.5,) * channels, scale=(0.1,) * channels),
        joints=tuple(
            JointOutput(name=j.name, mean=0.5, scale=0.3, lower=j.lower, upper=j.upper)
            for j in JOINTS
        ),
        training=TrainingRecord(
            recordings=(),
            hold_out=BlockHoldOut(),
            settings={},
            epochs=0,
            best_epoch=0,
            validation={},
            seconds=0,
        ),
    )
    torch.manual_seed(0)
    model = settings.model.build(path.image_size, len(JOINTS))
    return Checkpoint(description, model.trained_weights())


def noise(samples: int, channels: int) -> NDArray[np.float32]:
    """Return white noise at the level of EMG (V), shape (samples, channels)."""
    random = np.random.default_rng(0)
    return (1e-4 * random.standard_normal((samples, channels))).astype(np.float32)


def signal_stages(checkpoint: Checkpoint, chunk: int, decoder: Decoder) -> dict[str, Stage]:
    """Return the stages from a chunk of that many samples to an image, and the whole decoder."""
    description = checkpoint.description
    path = description.signal_path
    samples = noise(chunk, path.channels)
    rms = SlidingRms(path.window_length, path.channels)
    signal_path = SignalPath(path, description.statistics)
    streams = round(decoder.output_rate * path.image_length / path.sampling_rate)
    images = LongExposure(
        path.image_length, path.channels, column_step=path.column_step, streams=streams
    )
    features = SignalPath(path, description.statistics).push(samples)
    intake = Intake(path.channels, path.sampling_rate)
    to_check, to_decode = (chunks_for_ever(samples, path.sampling_rate) for _ in range(2))
    twice = 2 * samples.nbytes
    return {
        'check': Stage(lambda: list(intake.accept(next(to_check))), samples.nbytes),
        'RMS': Stage(lambda: rms.push(samples), 3 * samples.nbytes),
        'features': Stage(lambda: signal_path.push(samples), twice),
        'image': Stage(lambda: images.push(features), twice),
        'decoder, all of it': Stage(lambda: decoder.decode(next(to_decode)), samples.nbytes),
    }


def chunks_for_ever(samples: NDArray[np.float32], sampling_rate: float) -> Iterator[EmgChunk]:
    """Yield the same samples again and again, with continuing counter and stamps."""
    for first in count(step=len(samples)):
        yield EmgChunk(round(first * NANOSECONDS / sampling_rate), sampling_rate, first, samples)


def network_stages(checkpoint: Checkpoint, threads: int, gpu: str | None) -> dict[str, Stage]:
    """Return one step of the network in every engine available here.

    Args:
        checkpoint: checkpoint with the network.
        threads: number of CPU threads.
        gpu: GPU to time, too, or None.
    """
    network = checkpoint.network()
    pixels = np.zeros(network.image_size, dtype=np.float32)
    multiplications = multiplications_of(network)
    touched = sum(weights.nbytes for weights in network.weights.values())
    stages = {
        f'network, {engine.name}': Stage(stepping(engine, pixels), touched, multiplications)
        for engine in _possible_engines(network, CPU, threads)
    }
    if gpu is not None:
        # The peak rate of a GPU is not measured, so there is no fraction of it.
        for engine in _possible_engines(network, gpu, threads):
            stages[f'network, {engine.name}, {gpu}'] = Stage(stepping(engine, pixels), gpu=gpu)
    return stages


def _possible_engines(network: Network, device: str, threads: int) -> Iterator[Engine]:
    for entry in ENGINES:
        if entry.runs_on(device) and entry.available():
            try:
                yield entry.make(network, device, threads)
            except (ConfigurationError, RuntimeError):
                if device == CPU:
                    raise


def multiplications_of(network: Network) -> int:
    """Return the number of multiplications (each with an addition) of one step."""
    return network.config.multiplications(network.image_size, network.joints)


def measure(stage: Stage, repetitions: int) -> dict[str, Any]:
    """Time one stage; return the values of `_row`, its processor time and its allocations."""
    for _ in range(max(2, round(_WARM_UP * repetitions))):
        stage.call()
    times = np.empty(repetitions)
    cpu, wall = process_time(), perf_counter()
    for number in range(repetitions):
        started = perf_counter()
        stage.call()
        times[number] = perf_counter() - started
    cpu, wall = process_time() - cpu, perf_counter() - wall
    use = {'cpu_us': 1e6 * cpu / repetitions, 'cores': cpu / wall}
    return _row(times) | use | _allocations(stage.call)


def measure_in_turn(stages: Mapping[str, Stage], repetitions: int) -> dict[str, dict[str, Any]]:
    """Time stages to be compared in turn, so that disturbances affect all alike."""
    calls = [stage.call for stage in stages.values()]
    times = interleaved(calls, repetitions)
    # Processor time excludes other programs: the better measure on a busy machine.
    cpu = interleaved(calls, repetitions, process_time)
    rows: dict[str, dict[str, Any]] = {}
    for (name, stage), row, own in zip(stages.items(), times, cpu, strict=True):
        use = {'cpu_us': 1e6 * float(np.median(own)), 'cores': float(own.sum() / row.sum())}
        rows[name] = _row(row) | use | _allocations(stage.call)
        if stage.gpu is not None:
            rows[name]['events_us'] = 1e6 * float(np.median(_by_events(stage, repetitions)))
    first = next(iter(rows.values()))['least_us']
    for row in rows.values():
        row['of_first'] = row['least_us'] / first
    return rows


def _by_events(stage: Stage, repetitions: int) -> list[float]:
    """Time a stage by events on its GPU, before the call and after its completion (s).

    The GPU has no other work, so this is the time of the call including the CPU's share.
    """
    times = []
    with torch.cuda.device(stage.gpu):
        for _ in range(repetitions):
            start, end = (
                torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
                for _ in range(2)
            )
            start.record()
            stage.call()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) / 1e3)
    return times


def _row(times: NDArray[np.float64]) -> dict[str, Any]:
    """Return minimum, median, 99th percentile, maximum, and interquartile range, in us."""
    us = 1e6 * times
    low, median, high, late = np.percentile(us, [25, 50, 75, 99]).tolist()
    return {
        'least_us': float(us.min()),
        'median_us': median,
        'p99_us': late,
        'most_us': float(us.max()),
        'jitter_us': high - low,
        'calls': len(us),
    }


def _allocations(call: Callable[[], object]) -> dict[str, float]:
    """Return the temporary memory of one call, and the objects that it leaves behind."""
    blocks = sys.getallocatedblocks()
    for _ in range(_ALLOCATION_CALLS):
        call()
    left = (sys.getallocatedblocks() - blocks) / _ALLOCATION_CALLS
    tracemalloc.start()
    call()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    call()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return {'bytes_for_a_time': peak, 'objects_left': left}


def fractions_of_peak(
    row: Mapping[str, Any], stage: Stage, ceilings: Mapping[str, float]
) -> dict[str, float]:
    """Return which fraction of the machine's peak rates a stage reaches at its fastest."""
    seconds = row['least_us'] / 1e6
    found = {'share_of_copying': stage.touched / seconds / ceilings['copy']}
    if stage.multiplications:
        rate = stage.multiplications / seconds
        found['share_of_multiplying'] = rate / ceilings['float32']
    return found


def collector_pauses(call: Callable[[], object], repetitions: int) -> dict[str, float]:
    """Call repeatedly; return how often the garbage collector ran, and its longest run."""
    # As in the decoder node.
    gc.collect()
    gc.freeze()
    pauses: list[float] = []

    def note(phase: str, _: Mapping[str, int]) -> None:
        if phase == 'start':
            pauses.append(-perf_counter())
        elif pauses:
            pauses[-1] += perf_counter()

    gc.callbacks.append(note)
    try:
        for _ in range(repetitions):
            call()
    finally:
        gc.callbacks.remove(note)
        gc.unfreeze()
    return {'collections': len(pauses), 'longest_ms': 1e3 * max(pauses, default=0.0)}
