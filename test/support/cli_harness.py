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

"""Runs commands in this process, and makes what they work on."""

from leconvmn_ros.cli import main
from leconvmn_ros.core.recording import SampledSubject
from leconvmn_ros.dataset.reference_lag import shifted
from leconvmn_ros.recordings.bags import BagWriter, read_bag, write_bag
import numpy as np
from scipy.io import savemat
import torch

torch.set_num_threads(1)
SMALL = ['--channels', '2', '--sampling-rate', '50', '--movements', '1', '--repetitions', '5']
QUICK = ['--epochs', '1', '--threads', '1']
# Of other electrodes than the rest, and its joints never move.
STILL = SampledSubject(
    name='three',
    sampling_rate=50.0,
    emg=np.ones((200, 3), np.float32),
    positions=np.zeros((200, 10)),
    movement=np.zeros(200, np.int64),
    repetition=np.arange(200) // 40 + 1,
)


def run(capsys, *arguments):
    """Run a command; return exit code, stdout and the last line of stderr."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as leaving:  # argparse
        code = leaving.code
    output = capsys.readouterr()
    lines = output.err.splitlines()
    return code, output.out, lines[-1] if lines else ''


def write_mat(path, samples=300):
    """Write a file like those of Ninapro DB1."""
    random = np.random.default_rng(0)
    label = (np.arange(samples)[:, None] // 100 % 10).astype(np.int8)
    savemat(
        path,
        {
            'emg': np.abs(random.normal(0, 0.5, (samples, 10))),
            'glove': random.uniform(0, 90, (samples, 22)),
            'restimulus': label,
            'rerepetition': label,
            'subject': 1.0,
            'exercise': 1.0,
        },
    )


def content(folder):
    """Return all that is in a folder, to see whether it changed."""
    return {
        path: path.is_dir() or (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob('*')
    }


def write_recording(recording, place):
    """Write a recording as it is, whatever its joints and rates."""
    track, labels = recording.reference, recording.labels
    with BagWriter(place) as writer:
        for chunk in recording.chunks:
            writer.write_emg(chunk)
        for stamp, positions in zip(track.stamps_ns.tolist(), track.positions, strict=True):
            writer.write_reference(stamp, track.names, positions)
        for entry in zip(
            labels.stamps_ns.tolist(), labels.movement, labels.repetition, strict=True
        ):
            writer.write_label(*map(int, entry))


def make_trained_folder(folder):
    """Make a bag, a decoder that was trained on it, and what else there may be in a folder."""
    assert main(['synthesize', '--output', str(folder / 'bag'), *SMALL]) == 0
    checkpoint = str(folder / 'checkpoint')
    assert main(['train', str(folder / 'bag'), '--output', checkpoint, *QUICK]) == 0
    (folder / 'file').write_text('mine')
    (folder / 'other').mkdir()
    (folder / 'other' / 'thesis.tex').write_text('mine')
    write_mat(folder / 'S1_A1_E1.mat')
    write_bag(STILL, folder / 'three_channels')


def make_late_bag(folder):
    """Make a bag that is long enough to find a lag in, and one with a reference 0.4 s late."""
    assert main(['synthesize', '--output', str(folder / 'bag'), '--sampling-rate', '100']) == 0
    write_recording(shifted(read_bag(folder / 'bag'), -0.4), folder / 'late')
