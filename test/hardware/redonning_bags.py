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

"""Makes bags of the re-donning data of Kanoga et al.: an armband put on anew, day after day.

    python test/hardware/redonning_bags.py data/sub1 data/sub2 --days 10 --output bags

S. Kanoga, A. Kanemura, H. Asoh, "Are armband sEMG devices dense enough for long-term use?",
Biomed. Signal Process. Control 60 (2020) 101981; data (Apache-2.0):
github.com/Suguru55/Wearable_Sensor_Long-term_sEMG_Dataset. As published, a person is a folder
with `day1/D1M1T1.csv`: day, motion (1 = rest) and trial, 300 samples of the eight channels of a
Myo armband at 200 Hz, in units of 128 counts. A person may also be one file `subject1.npz` with
`emg`, shape (day, motion, trial, sample, channel), in 0.01 count, and `placement` of each day (N,
I or O).

Each day becomes the bag OUTPUT/PERSON/day_DD. A trial holds all motions, one after another, rest
last. The hand is in its position from the beginning of each; between two of them the EMG jumps,
so a score should leave out the time that a decoder needs to follow (`--settle 0.5`). There is no
glove: the angles are the prompted position, from -1 to 1 rad, and four joints lend their names to
the four axes (see AXES).
"""

import argparse
from pathlib import Path

from leconvmn_ros.core.recording import JointTrack, LabelTrack, NANOSECONDS, Recording
from leconvmn_ros.emg.description import EmgDescription, INFORMATION_KEY
from leconvmn_ros.recordings.array_bag import regular_chunks, write_recording
from leconvmn_ros.recordings.bags import FIRST_STAMP_NS
from leconvmn_ros.recordings.ninapro_layouts import VOLTS_PER_MYO_COUNT
import numpy as np

RATE, MOTIONS, TRIALS, SAMPLES, CHANNELS = 200.0, 22, 4, 300, 8
COUNTS_PER_CSV_UNIT, COUNTS_PER_NPZ_UNIT = 128.0, 0.01
PLACEMENTS = {'N': 'neutral', 'I': 'turned inwards', 'O': 'turned outwards'}
AXES = {
    'index_mcp': 'wrist flexion (+) and extension (-)',
    'middle_mcp': 'radial (+) and ulnar (-) deviation',
    'ring_mcp': 'pronation (+) and supination (-)',
    'little_mcp': 'closing of the hand',
}
# Position of the seven single motions on the axes; rest is zero.
FLEXION, EXTENSION, RADIAL, ULNAR = (1, 0, 0, 0), (-1, 0, 0, 0), (0, 1, 0, 0), (0, -1, 0, 0)
PRONATION, SUPINATION, CLOSING = (0, 0, 1, 0), (0, 0, -1, 0), (0, 0, 0, 1)
WRIST = (FLEXION, EXTENSION, RADIAL, ULNAR)


def positions():
    """Return the position of each motion, shape (motions, axes)."""
    single = [*WRIST, PRONATION, SUPINATION]
    combined = [
        *(np.add(motion, turn) for turn in (PRONATION, SUPINATION) for motion in WRIST),
        *(np.add(motion, CLOSING) for motion in single),
    ]
    return np.array([(0, 0, 0, 0), *single, CLOSING, *combined], dtype=np.float64)


def days_of(path, most):
    """Yield the day, its EMG (counts), shape (motion, trial, sample, channel), and placement."""
    if path.is_dir():
        for day in range(1, most + 1):
            yield day, COUNTS_PER_CSV_UNIT * read_day(path / f'day{day}', day), ''
        return
    with np.load(path, allow_pickle=False) as arrays:
        emg, placement = arrays['emg'], arrays['placement']
    for day in range(1, min(most, len(emg)) + 1):
        yield day, COUNTS_PER_NPZ_UNIT * emg[day - 1], str(placement[day - 1])


def read_day(folder, day):
    return np.array(
        [
            [
                np.loadtxt(folder / f'D{day}M{motion}T{trial}.csv', delimiter=',')
                for trial in range(1, TRIALS + 1)
            ]
            for motion in range(1, MOTIONS + 1)
        ]
    )


def recording_of(person, day, counts, placement):
    if counts.shape != (MOTIONS, TRIALS, SAMPLES, CHANNELS):
        raise SystemExit(
            f'{person}, day {day}: EMG of shape {counts.shape}; it must be '
            f'{(MOTIONS, TRIALS, SAMPLES, CHANNELS)}'
        )
    order = [*range(1, MOTIONS), 0]
    emg = counts[order].transpose(1, 0, 2, 3).reshape(-1, CHANNELS) * VOLTS_PER_MYO_COUNT
    motion = np.tile(order, TRIALS)
    starts = np.arange(len(motion)) * SAMPLES
    stamps = FIRST_STAMP_NS + np.rint(starts * NANOSECONDS / RATE).astype(np.int64)
    step = 2  # as many angles as a glove would give
    places = np.arange(0, len(emg), step)
    angles = JointTrack(
        FIRST_STAMP_NS + np.rint(places * NANOSECONDS / RATE).astype(np.int64),
        tuple(AXES),
        positions()[motion][places // SAMPLES],
    )
    return Recording(
        f'day_{day:02d}',
        regular_chunks(emg.astype(np.float32), RATE),
        angles,
        LabelTrack(stamps, motion, np.repeat(np.arange(1, TRIALS + 1), MOTIONS)),
        information(person, day, placement),
    )


def information(person, day, placement):
    electrodes = EmgDescription(
        source='csv',
        device='Myo armband',
        sampling_rate=RATE,
        channels=tuple(map(str, range(CHANNELS))),
        rings=(tuple(range(CHANNELS)),),
    )
    return {
        'database': 'Kanoga 2020, re-donning',
        'citation': 'Kanoga et al., Biomed. Signal Process. Control 60 (2020) 101981',
        'subject': person,
        'donning': f'day {day:02d}',
        'placement': PLACEMENTS.get(placement, 'unknown'),
        'emg_kind': 'raw',
        'emg_unit': f'V (nominal: uncalibrated, 1 count is taken as {VOLTS_PER_MYO_COUNT} V)',
        'joint_unit': 'rad (nominal: prompted position, 1 = the whole motion)',
        'joint_names': '; '.join(f'{name}: {axis}' for name, axis in AXES.items()),
        INFORMATION_KEY: electrodes.to_json(),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('people', nargs='+', type=Path, metavar='PERSON')
    parser.add_argument('--days', type=int, default=10, help='how many, from the first')
    parser.add_argument('--output', type=Path, required=True)
    arguments = parser.parse_args()
    for path in arguments.people:
        for day, counts, placement in days_of(path, arguments.days):
            place = arguments.output / path.stem / f'day_{day:02d}'
            place.parent.mkdir(parents=True, exist_ok=True)
            write_recording(recording_of(path.stem, day, counts, placement), place)
            print(f'{place}: {counts.shape[0] * counts.shape[1]} trials', flush=True)


if __name__ == '__main__':
    main()
