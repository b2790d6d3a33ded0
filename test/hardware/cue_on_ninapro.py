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

"""How well a decoder that was trained on a cue follows the pose that was meant, on Ninapro.

Not a test: a benchmark of minutes per person, to be run by hand.

    python test/hardware/cue_on_ninapro.py FOLDER small DB5:S4 DB5:S5 DB1:S3

The cue is the mean pose of the *other* people of the database, shown as the stimulus was shown
(`stimulus`, not the labels that Ninapro moved to the movement). Training sees EMG, cue and the
labels of the cue; the glove of the person is never used. Scored on held-out repetitions:

- CC with the intended pose: the cue, re-timed by the EMG of the held-out repetition as well;
- right movement: the mean estimate while the pose is held is nearest to the pose that was meant,
  of all poses of the exercise;
- CC with the glove, for comparison.
"""

import argparse
from pathlib import Path
import time

from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import EmgChunk, JointTrack, LabelTrack, NANOSECONDS, Recording
from leconvmn_ros.dataset.cue_timing import find_timings, retimed
from leconvmn_ros.dataset.hold_out import default_hold_out
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.evaluation.comparison import compare, decode_recording
from leconvmn_ros.recordings.ninapro import read_ninapro
from leconvmn_ros.training.presets import PRESETS
from leconvmn_ros.training.run import train
from leconvmn_ros.wearing.timeline import bend
import numpy as np
from scipy.io import loadmat
import torch

RAMP = 0.6  # s, of the cue: as fast as people move
HELD = (0.4, 0.7)  # share of a movement in which its pose is held
START_NS = 1_000 * NANOSECONDS


def path_of(folder, database, subject):
    name = f'{subject}_A1_E1.mat' if database == 'DB1' else f'{subject}_E1_A1.mat'
    return folder / database / name


def poses_of(paths):
    """Return the mean pose of each movement and of rest over several people."""
    moving, resting = {}, []
    for path in paths:
        subject = read_ninapro(path)
        resting.append(np.median(subject.positions[subject.movement == 0], axis=0))
        for number in range(1, int(subject.movement.max()) + 1):
            inside = np.flatnonzero(subject.movement == number)
            runs = np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1)
            held = [run[round(HELD[0] * len(run)) : round(HELD[1] * len(run))] for run in runs]
            pose = subject.positions[np.concatenate(held)].mean(axis=0)
            moving.setdefault(number, []).append(pose)
    means = {number: np.mean(poses, axis=0) for number, poses in moving.items()}
    return means, np.mean(resting, axis=0)


def recording_of(subject, movement, repetition, positions):
    rate, count = subject.sampling_rate, len(subject.emg)
    stamps = START_NS + np.round(np.arange(count) * NANOSECONDS / rate).astype(np.int64)
    size, step = max(1, round(0.05 * rate)), max(1, round(0.02 * rate))
    chunks = [
        EmgChunk(int(stamps[k]), rate, k, subject.emg[k : k + size]) for k in range(0, count, size)
    ]
    changes = (np.diff(movement, prepend=-1) != 0) | (np.diff(repetition, prepend=-1) != 0)
    places = np.flatnonzero(changes)
    return Recording(
        subject.name,
        chunks,
        JointTrack(stamps[::step], JOINT_NAMES, positions[::step]),
        LabelTrack(stamps[places], movement[places], repetition[places]),
    )


def shown_cue(movement, rate, poses, rest):
    positions = np.tile(rest, (len(movement), 1))
    for first in np.flatnonzero(np.diff(movement, prepend=0)):
        if not (number := movement[first]):
            continue
        others = np.flatnonzero(movement[first:] != number)
        last = first + others[0] if len(others) else len(movement)
        end = min(len(movement), last + round(2 * RAMP * rate))
        times = (np.arange(first, end) - first) / rate
        share = bend(RAMP, max(0.0, (last - first) / rate - RAMP), times)
        positions[first:end] += share[:, None] * (poses[number] - rest)
    return positions


def mean_cc(comparison):
    columns = zip(comparison.truth.T, comparison.estimate.T, strict=True)
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in columns if a.std() > np.radians(2)]))


def right_share(estimates, timings, poses, test):
    numbers = sorted(poses)
    table = np.array([poses[number] for number in numbers])
    right = []
    for timing in timings:
        if timing.attempt.repetition not in test:
            continue
        up = timing.cue.up_ns + timing.start_delay * NANOSECONDS
        down = timing.cue.down_ns + timing.end_delay * NANOSECONDS
        inside = (estimates.stamps_ns >= up + 0.3 * (down - up)) & (
            estimates.stamps_ns <= down - 0.2 * (down - up)
        )
        if inside.any():
            apart = np.linalg.norm(table - estimates.positions[inside].mean(axis=0), axis=1)
            right.append(numbers[int(np.argmin(apart))] == timing.attempt.movement)
    return float(np.mean(right)), len(right)


def run(folder, preset, database, subject):
    started = time.monotonic()
    own = path_of(folder, database, subject)
    others = [path for path in sorted((folder / database).glob('*.mat')) if path != own]
    person, file = read_ninapro(own), loadmat(own)
    movement = file['stimulus'].reshape(-1).astype(np.int64)
    repetition = file['repetition'].reshape(-1).astype(np.int64)
    latest = np.maximum.accumulate(np.where(movement > 0, np.arange(len(movement)), -1))
    repetition = np.where(latest < 0, 0, repetition[latest])
    poses, rest = poses_of(others)
    positions = shown_cue(movement, person.sampling_rate, poses, rest)
    cue = recording_of(person, movement, repetition, positions)
    timings = find_timings(cue)
    reference = retimed(cue, timings)
    hold_out = default_hold_out(reference)
    checkpoint = train([reference], PRESETS[preset], hold_out=hold_out)
    estimates = decode_recording(Decoder(checkpoint), reference)
    glove = recording_of(person, movement, repetition, person.positions)
    scores = [
        mean_cc(compare(estimates, each.reference, each.labels, each.span_ns, hold_out))
        for each in (reference, glove)
    ]
    right, count = right_share(estimates, timings, poses, hold_out.test)
    found = np.mean([timing.start_found for timing in timings])
    print(
        f'{database} {subject} {preset}: intended CC {scores[0]:.3f}, glove CC {scores[1]:.3f}, '
        f'right movement {right:.1%} of {count}, onsets found {found:.0%}, '
        f'{time.monotonic() - started:.0f} s',
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path)
    parser.add_argument('preset', choices=sorted(PRESETS))
    parser.add_argument('people', nargs='+', metavar='DB:S')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for person in arguments.people:
        run(arguments.folder, arguments.preset, *person.split(':'))


if __name__ == '__main__':
    main()
