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

"""One run of a benchmark: train a preset on a bag, decode the bag, score what was held out.

A `Plan` lists presets, bags and seeds; each combination is a `Job`, whose key tells whether an
existing result is the one that the job would give.
"""

from collections.abc import Callable
from math import isfinite
from pathlib import Path
import platform
import tempfile
import traceback
from typing import Final

from leconvmn_ros.benchmark.donning_plan import AnyJob
from leconvmn_ros.benchmark.plan import Job
from leconvmn_ros.benchmark.results import (
    CHECKPOINT_FOLDER,
    COMPARISON_FILE,
    Donned,
    Environment,
    Epoch,
    Failed,
    pack_comparison,
    RunOutput,
    RunResult,
    Scored,
    Scores,
    UseFigures,
)
from leconvmn_ros.core.errors import LeconvmnError, RecordingError
from leconvmn_ros.core.machine_info import describe_machine
from leconvmn_ros.core.recording import LabelTrack
from leconvmn_ros.dataset.hold_out import movement_at
from leconvmn_ros.decoding.checkpoint import Checkpoint, package_version
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.engines.devices import find_device
from leconvmn_ros.evaluation.comparison import Comparison, decode_recording
from leconvmn_ros.evaluation.recording_scores import evaluation_report, score_recording
from leconvmn_ros.evaluation.shuffled_order import DEFAULT_ORDERS
from leconvmn_ros.recordings.bags import read_bag
from leconvmn_ros.training.reports import EpochReport
from leconvmn_ros.training.run import train
import numpy as np
import scipy
import torch

# Share of training in the duration of a run, for its progress.
SHARE_OF_TRAINING: Final = 0.8


def perform(
    job: Job,
    path: Path,
    *,
    device: str,
    threads: int,
    on_progress: Callable[[float], None],
) -> RunOutput:
    """Do one run; a failure is returned as its result.

    Args:
        job: what to do.
        path: path of the bag on this machine.
        device: 'auto', 'cpu' or 'cuda', see `find_device`.
        threads: CPU threads.
        on_progress: called with the share done, 0 to 1.
    """
    try:
        return _score(job, path, device, threads, on_progress)
    except LeconvmnError as error:
        return failure(job, str(error))
    except Exception as error:  # noqa: BLE001 - the other runs go on
        return failure(job, f'{type(error).__name__}: {error}', traceback.format_exc())


def failure(job: AnyJob, error: str, trace: str = '') -> RunOutput:
    """Return the output of a run that failed."""
    return RunOutput(result_of(job, Failed(error=error, traceback=trace)), {})


def result_of(job: AnyJob, outcome: Scored | Donned | Failed) -> RunResult:
    """Return the result of a run with this outcome."""
    return RunResult(
        key=job.key,
        preset=job.preset,
        bag=job.name,
        seed=job.settings.seed,
        outcome=outcome,
    )


def _score(
    job: Job, path: Path, device: str, threads: int, on_progress: Callable[[float], None]
) -> RunOutput:
    torch.set_num_threads(threads)
    recording = read_bag(
        path,
        emg_topic=job.topics.emg,
        reference_topic=job.topics.reference,
        label_topic=job.topics.label,
    )
    if recording.reference is None:
        raise RecordingError(f'{recording.name} has no reference angles to score against')
    epochs: list[Epoch] = []

    def on_epoch(report: EpochReport) -> None:
        on_progress(SHARE_OF_TRAINING * report.share(job.settings.second_pass))
        if report.second_pass:
            return
        losses = (report.training_loss, report.validation_loss)
        training, validation = (loss if isfinite(loss) else None for loss in losses)
        epochs.append(Epoch(training_loss=training, validation_loss=validation))

    settings = job.settings.model_copy(update={'threads': threads})
    checkpoint = train(
        [recording], settings, hold_out=job.hold_out, device=device, on_epoch=on_epoch
    )
    decoder = Decoder(checkpoint, output_rate=job.output_rate, device=device, threads=threads)
    step_seconds = decoder.warm_up()
    estimates = decode_recording(
        decoder,
        recording,
        lambda share: on_progress(SHARE_OF_TRAINING + (1 - SHARE_OF_TRAINING) * share),
    )
    record = checkpoint.description.training
    scores = score_recording(decoder, recording, estimates, record.hold_out, orders=DEFAULT_ORDERS)
    tested = scores.recorded
    outcome = Scored(
        information=dict(recording.information),
        hold_out=record.hold_out,
        scores=Scores.of(tested.score()),
        shuffled=Scores.of(scores.shuffled_scores()) if scores.shuffled else None,
        in_use=UseFigures.of(evaluation_report([scores])),
        movements=score_movements(tested, recording.labels),
        epochs=tuple(epochs),
        best_epoch=record.best_epoch,
        parameters=sum(weights.size for weights in checkpoint.weights.values()),
        training_seconds=record.seconds,
        step_seconds=step_seconds,
        environment=environment(decoder.device, threads),
    )
    files = _files_of(checkpoint) | {COMPARISON_FILE: pack_comparison(tested)}
    return RunOutput(result_of(job, outcome), files)


def score_movements(tested: Comparison, labels: LabelTrack | None) -> dict[int, Scores]:
    """Score each movement (0 = rest) on its own, by the label that holds at each estimate."""
    if labels is None:
        return {}
    movement = movement_at(labels, tested.stamps_ns)
    return {
        int(number): Scores.of(tested.part(movement == number).score())
        for number in np.unique(movement)
    }


def environment(device: str, threads: int) -> Environment:
    """Describe this machine and its software; `device` as `find_device` takes it."""
    found = find_device(device)
    return Environment(
        package=package_version(),
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=np.__version__,
        scipy=scipy.__version__,
        system=f'{platform.system()} {platform.machine()}',
        processor=describe_machine()['processor'],
        device=torch.cuda.get_device_name(found) if found.startswith('cuda') else found,
        threads=threads,
    )


def _files_of(checkpoint: Checkpoint) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, CHECKPOINT_FOLDER)
        checkpoint.save(folder)
        return {f'{CHECKPOINT_FOLDER}/{file.name}': file.read_bytes() for file in folder.iterdir()}
