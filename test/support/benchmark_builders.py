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

"""Small benchmarks: bags, plans, and synthetic results without training."""

from dataclasses import replace
from pathlib import Path

from leconvmn_ros.benchmark.plan import Bag, Plan
from leconvmn_ros.benchmark.results import (
    COMPARISON_FILE,
    Environment,
    Epoch,
    pack_comparison,
    RunOutput,
    RunResult,
    Scored,
    Scores,
    UseFigures,
)
from leconvmn_ros.benchmark.run import perform
from leconvmn_ros.dataset.hold_out import RepetitionHoldOut
from leconvmn_ros.evaluation.comparison import Comparison
from leconvmn_ros.recordings.bags import write_bag
from leconvmn_ros.training.presets import PRESETS
import numpy as np
from small_recordings import sampled_subject

EPOCHS = 2
_TINY = PRESETS['lstm'].changed('model', networks=1, layers=1, units=8)
QUICK = _TINY.changed('fit', epochs=EPOCHS, lanes=2)
SECOND = 1_000_000_000
JOINTS = ('thumb_ip', 'index_mcp')


def make_bag(folder: Path, name: str, *, seed: int = 0, **information: str) -> Path:
    """Write 12 s of `sampled_subject`: six repetitions, rest and movement 1 in each."""
    subject = sampled_subject(12, rate=100.0, seed=seed)
    write_bag(replace(subject, name=name, information=information), folder / name)
    return folder / name


def made_up_bag(name: str) -> Bag:
    """Return a bag that does not exist; its hash depends on its name."""
    return Bag(name=name, path=f'/nowhere/{name}', sha256=f'hash of {name}', size=1000)


def make_plan(bags, **changes) -> Plan:
    bags = tuple(bag if isinstance(bag, Bag) else Bag.at(bag) for bag in bags)
    values = {
        'started': '2026-11-24 12:00 UTC',
        'command': 'leconvmn_ros benchmark bags',
        'presets': {'ours': QUICK, 'theirs': QUICK.changed('fit', learning_rate=1e-3)},
        'against': 'ours',
        'seeds': (0,),
        'bags': bags,
    }
    return Plan(**values | changes)


def in_process(jobs):
    """Do the runs one after another in this process."""
    for job in jobs:
        yield job, 0.5
        yield (
            job,
            perform(job, Path(job.bag.path), device='cpu', threads=1, on_progress=lambda _: None),
        )


def make_comparison(*, error: float, seed: int = 0) -> Comparison:
    random = np.random.default_rng(seed)
    stamps_ns = SECOND + (np.arange(200) * 0.02 * SECOND).astype(np.int64)
    truth = 0.5 + 0.4 * np.sin(stamps_ns[:, None] / SECOND + np.arange(len(JOINTS)))
    noise = error * random.standard_normal(truth.shape)
    return Comparison(stamps_ns, JOINTS, truth, truth + noise)


def made_up_use(cc: float) -> UseFigures:
    """Return scores of a decoder that is worse by 0.1 in shuffled order."""
    return UseFigures(
        shuffled_cc=cc - 0.1,
        gap=0.1,
        right_movements=0.75,
        reference_right_movements=1.0,
        delay=0.04,
        unrest=1.5,
        reference_unrest=0.5,
        false_movements=2.0,
        same_before=1.0,
        same_before_shuffled=0.25,
    )


def make_output(job, *, error: float = 0.1, **information: str) -> RunOutput:
    """Return the output of a run whose estimates have this error (rad)."""
    comparison = make_comparison(error=error, seed=job.settings.seed)
    scores = Scores.of(comparison.score())
    outcome = Scored(
        information=information,
        hold_out=RepetitionHoldOut(validation=(4,), test=(2, 5)),
        scores=scores,
        shuffled=scores,
        in_use=made_up_use(scores.mean.cc),
        movements={0: scores, 3: scores},
        epochs=(
            Epoch(training_loss=0.9, validation_loss=1.0),
            Epoch(training_loss=None, validation_loss=0.8),
        ),
        best_epoch=2,
        parameters=1234,
        training_seconds=5.5,
        step_seconds=0.002,
        environment=Environment(
            package='0',
            python='3',
            torch='2',
            numpy='2',
            scipy='1',
            system='Linux x86_64',
            processor='an <ordinary> one',
            device='cpu',
            threads=1,
        ),
    )
    result = RunResult(
        key=job.key,
        preset=job.preset,
        bag=job.bag.name,
        seed=job.settings.seed,
        outcome=outcome,
    )
    return RunOutput(result, {COMPARISON_FILE: pack_comparison(comparison)})
