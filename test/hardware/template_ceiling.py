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

"""The score of a decoder that knew each movement, its start and its end.

Not a test: it tells how much of an error no decoder of these recordings can be blamed for.

    python test/hardware/template_ceiling.py BAG...

For each held-out repetition the answer is the mean trajectory of the same movement over the
training repetitions, stretched between the labels: once over the movement, once over the rest
after it. People do not repeat a movement exactly, so the score stays below 1.
"""

import argparse
from pathlib import Path

from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.dataset.alignment import angles_at
from leconvmn_ros.dataset.hold_out import default_hold_out
from leconvmn_ros.dataset.repetitions import held_out_repetitions, repetitions_of
from leconvmn_ros.evaluation.metrics import score_table
from leconvmn_ros.recordings.bags import read_bag
import numpy as np

POINTS = 50


def trajectory(reference, repetition):
    """Return the measured angles over a movement and over the rest after it, (2, POINTS, 10)."""
    spans = (
        (repetition.start_ns, repetition.rest_ns),
        (repetition.rest_ns, max(repetition.end_ns - 1, repetition.rest_ns + 1)),
    )
    times = [np.linspace(*span, POINTS).astype(np.int64) for span in spans]
    return np.stack([angles_at(reference, JOINT_NAMES, each)[0] for each in times])


def at(course, phase):
    """Return the angles of a trajectory at phases from 0 to 1, shape (samples, 10)."""
    grid = np.linspace(0, 1, POINTS)
    return np.stack([np.interp(phase, grid, column) for column in course.T], axis=1)


def answer(template, repetition, stamps_ns):
    """Return the template, stretched to the labels of a repetition, at some times."""
    start, rest, end = repetition.start_ns, repetition.rest_ns, repetition.end_ns
    moving = at(template[0], (stamps_ns - start) / max(1, rest - start))
    resting = at(template[1], (stamps_ns - rest) / max(1, end - rest))
    return np.where((stamps_ns < rest)[:, None], moving, resting)


def ceiling(path):
    """Return the mean CC over the joints, and the number of repetitions."""
    recording = read_bag(path)
    held_out = held_out_repetitions(recording, default_hold_out(recording))
    scored = {each.label for each in held_out}
    courses = {}
    for each in repetitions_of(recording.labels, recording.span_ns[1]):
        if each not in scored:
            courses.setdefault(each.movement, []).append(trajectory(recording.reference, each))
    templates = {movement: np.mean(rows, axis=0) for movement, rows in courses.items()}
    truth = [angles_at(recording.reference, JOINT_NAMES, each.stamps_ns)[0] for each in held_out]
    answers = [answer(templates[r.label.movement], r.label, r.stamps_ns) for r in held_out]
    scores = score_table(JOINT_NAMES, np.concatenate(truth), np.concatenate(answers))
    return scores.mean.cc, len(held_out)


def main():
    """Print one line per bag and the mean."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('bags', nargs='+', type=Path, metavar='BAG')
    found = []
    for bag in parser.parse_args().bags:
        cc, repetitions = ceiling(bag)
        found.append(cc)
        print(f'{bag.name}: CC {cc:.3f} over {repetitions} held-out repetitions', flush=True)
    print(f'mean: CC {np.mean(found):.3f}')


if __name__ == '__main__':
    main()
