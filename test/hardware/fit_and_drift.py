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

"""Measures on a real recording when the decoder warns, and what following drift gives.

    python test/hardware/fit_and_drift.py CHECKPOINT BAG --ring 8

The test repetitions that the checkpoint holds out are one stream. First it is decoded as it is,
with the band turned and with other gains: when does the decoder say that the EMG does not fit?
Then it is repeated for ten minutes while the gains drift to between half and twice: how much of
the correlation is left in the second half, without and with `follow_drift`? One estimate per
image.
"""

import argparse
from pathlib import Path

from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.dataset.alignment import angles_at
from leconvmn_ros.dataset.hold_out import Role
from leconvmn_ros.dataset.segments import gapless_runs
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.recordings.bags import read_bag
import numpy as np

MINUTES = 10
DRAWS = 2


def session(checkpoint, recording):
    """Return EMG of the test repetitions, and the times of the samples (ns)."""
    runs = list(gapless_runs(recording))
    emg = np.concatenate([run.samples for run in runs])
    stamps_ns = np.concatenate([run.stamps_ns for run in runs])
    hold_out = checkpoint.description.training.hold_out
    test = hold_out.roles(stamps_ns, recording.labels, recording.span_ns) == Role.TEST
    return emg[test], stamps_ns[test]


def decoded(checkpoint, emg, **options):
    """Yield, each second, the time (s), the decoder and its new estimates."""
    decoder = Decoder(checkpoint, output_rate=0, **options)
    rate = decoder.sampling_rate
    size = round(rate)
    for first in range(0, len(emg), size):
        stamp_ns = NANOSECONDS + round(first * NANOSECONDS / rate)
        part = np.ascontiguousarray(emg[first : first + size], dtype=np.float32)
        yield first / rate, decoder, decoder.decode(EmgChunk(stamp_ns, rate, first, part))


def turned(emg, electrodes, ring):
    """Return EMG of bands that turned by so many electrodes."""
    parts = emg[:, : emg.shape[1] // ring * ring].reshape(len(emg), -1, ring)
    moved = emg.copy()
    moved[:, : parts.shape[1] * ring] = np.roll(parts, -electrodes, axis=2).reshape(len(emg), -1)
    return moved


def changes(emg, ring):
    """Yield what changed, in words, and the EMG."""
    yield 'unchanged', emg
    for electrodes in (-2, -1, 1, 2):
        yield f'turned by {electrodes:+d}', turned(emg, electrodes, ring)
    for channels in ([0, 3], [1, 4, 6], [2, 5, 7], list(range(0, emg.shape[1], 2))):
        gains = np.where(np.isin(np.arange(emg.shape[1]), channels), 2.0, 1.0)
        yield f'twice as loud: {channels}', emg * gains


def print_alarms(checkpoint, emg, ring):
    """Print when the decoder warned."""
    for words, changed in changes(emg, ring):
        alarm, lowest = None, np.inf
        for time, decoder, _ in decoded(checkpoint, changed):
            fit = decoder.input_map.fit
            lowest = min(lowest, np.inf if fit.score is None else fit.score)
            if fit.fits is False and alarm is None:
                alarm = time
        after = 'no alarm' if alarm is None else f'alarm after {alarm:.0f} s'
        print(f'  {words:38s} lowest fit {lowest:6.2f} (usual: {fit.least:.2f}), {after}')


def correlation(checkpoint, emg, truth, *, follow):
    """Return CC in the second half, mean over the joints."""
    estimates = [e for *_, some in decoded(checkpoint, emg, follow_drift=follow) for e in some]
    rate = checkpoint.description.signal_path.sampling_rate
    stamps = np.array([e.stamp_ns for e in estimates]) - NANOSECONDS
    samples = np.round(stamps * rate / NANOSECONDS).astype(int)
    angles = np.array([e.positions for e in estimates])
    late = samples > len(emg) // 2
    pairs = zip(angles[late].T, truth[samples[late]].T, strict=True)
    return np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs])


def main():
    """Measure one person."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', type=Path)
    parser.add_argument('bag', type=Path)
    parser.add_argument('--ring', type=int, default=8, help='electrodes of one band')
    arguments = parser.parse_args()
    checkpoint, recording = load_checkpoint(arguments.checkpoint), read_bag(arguments.bag)
    emg, stamps_ns = session(checkpoint, recording)
    print(recording.name)
    print_alarms(checkpoint, emg, arguments.ring)
    names = tuple(joint.name for joint in checkpoint.description.joints)
    truth, known = angles_at(recording.reference, names, stamps_ns)
    emg, truth = emg[known], truth[known]
    count = round(60 * MINUTES * checkpoint.description.signal_path.sampling_rate)
    times = -(-count // len(emg))
    emg, truth = np.tile(emg, (times, 1))[:count], np.tile(truth, (times, 1))[:count]
    for draw in range(-1, DRAWS):
        ends = np.zeros(emg.shape[1])
        if draw >= 0:
            ends = np.random.default_rng([draw]).uniform(-1, 1, emg.shape[1]) * np.log(2)
        drifting = emg * np.exp(np.linspace(0, 1, count)[:, None] * ends)
        without, with_it = (
            correlation(checkpoint, drifting, truth, follow=follow) for follow in (False, True)
        )
        words = 'no drift' if draw < 0 else f'drift, draw {draw}'
        print(f'  {words:38s} CC {without:.3f} without, {with_it:.3f} with follow_drift')


if __name__ == '__main__':
    main()
