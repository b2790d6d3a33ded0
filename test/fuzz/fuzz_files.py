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

"""Fuzz targets: bags, checkpoints and .mat files from strangers."""

from collections.abc import Iterator, Sequence
import hashlib
import json
from pathlib import Path
import struct
from typing import Any
import zlib

from builders import evenly_cut, make_checkpoint, make_emg
from fuzz_mutations import damaged, damaged_text, damaged_tree, pick
from leconvmn_ros.decoding.checkpoint import DESCRIPTION_FILE, load_checkpoint, WEIGHTS_FILE
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.recordings.bag_reader import open_bag
from leconvmn_ros.recordings.bag_types import typestore
from leconvmn_ros.recordings.bags import read_bag, write_bag
from leconvmn_ros.recordings.ninapro import read_ninapro
import numpy as np
from numpy.random import Generator
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from scipy.io import savemat
from small_recordings import sampled_subject


class BagTarget:
    """Bags in MCAP and sqlite3, compressed and not, with damaged data or metadata."""

    def __init__(self, folder: Path) -> None:
        """Write a valid bag of each kind."""
        ours = folder / 'ours'
        write_bag(sampled_subject(0.2), ours)
        self._seeds = [_files(ours)]
        for number, (plugin, compression) in enumerate(
            (
                (StoragePlugin.MCAP, None),
                (StoragePlugin.MCAP, CompressionMode.MESSAGE),
                (StoragePlugin.SQLITE3, None),
                (StoragePlugin.SQLITE3, CompressionMode.FILE),
            )
        ):
            path = folder / f'seed{number}'
            rewrite(ours, path, plugin, compression)
            self._seeds.append(_files(path))
        self._bag = folder / 'bag'
        self._bag.mkdir()

    def __call__(self, random: Generator) -> None:
        for path in self._bag.iterdir():
            path.unlink()
        files = dict(pick(random, self._seeds))
        name = pick(random, sorted(files))
        damage = damaged_text if name.endswith('.yaml') else damaged
        files[name] = damage(random, files[name])
        for path, content in files.items():
            (self._bag / path).write_bytes(content)
        data = next(self._bag / path for path in files if not path.endswith('.yaml'))
        single = data.suffix in {'.mcap', '.db3'} and random.integers(4) == 0
        self._read(data if single else self._bag)

    def _read(self, path: Path) -> None:
        with open_bag(path) as bag:
            assert all(isinstance(message.data, bytes) for message in bag.messages())
        recording = read_bag(path)
        assert recording.chunks
        for track in (recording.reference, recording.labels):
            assert track is None or np.all(np.diff(track.stamps_ns) >= 0)
        if recording.reference is not None:
            joints = len(recording.reference.names)
            assert recording.reference.positions.shape[1:] == (joints,)


class CheckpointTarget:
    """A checkpoint with a changed description or damaged weights; a forger mends the sum."""

    def __init__(self, folder: Path) -> None:
        """Save a valid one."""
        self._folder = folder / 'checkpoint'
        make_checkpoint(limits=(-1.0, 1.0)).save(self._folder)
        self._weights = (self._folder / WEIGHTS_FILE).read_bytes()
        text = (self._folder / DESCRIPTION_FILE).read_text(encoding='utf-8')
        self._description = json.loads(text)
        self._emg = evenly_cut(make_emg(60), 20)

    def __call__(self, random: Generator) -> None:
        description, weights = self._description, self._weights
        if random.integers(2):
            weights = self._damaged_weights(random)
            if random.integers(8):
                digest = hashlib.sha256(weights).hexdigest()
                description = description | {'weights_sha256': digest}
        else:
            description = damaged_tree(random, description)
        text = json.dumps(description).encode()
        if random.integers(8) == 0:
            text = damaged_text(random, text)
        (self._folder / WEIGHTS_FILE).write_bytes(weights)
        (self._folder / DESCRIPTION_FILE).write_bytes(text)
        decoder = Decoder(load_checkpoint(self._folder))
        joints = load_checkpoint(self._folder).description.joints
        for chunk in self._emg:
            for estimate in decoder.decode(chunk):
                for joint, angle in zip(joints, estimate.positions, strict=True):
                    assert joint.lower <= angle <= joint.upper, (joint, angle)

    def _damaged_weights(self, random: Generator) -> bytes:
        """Damage anything, the JSON header as text, or its values; the length may be kept true."""
        kind = int(random.integers(3))
        if kind == 0:
            return damaged(random, self._weights)
        (length,) = struct.unpack_from('<Q', self._weights)
        header, body = self._weights[8 : 8 + length], self._weights[8 + length :]
        if kind == 1:
            header = damaged_text(random, header)
        else:
            header = json.dumps(damaged_tree(random, json.loads(header))).encode()
        return struct.pack('<Q', len(header)) + header + body


class MatTarget:
    """Ninapro files, compressed and not; the compressed ones are damaged inside."""

    def __init__(self, folder: Path) -> None:
        """Save valid ones."""
        self._seeds = []
        for compression in (False, True):
            path = folder / f'seed{compression}.mat'
            savemat(path, _ninapro_variables(), do_compression=compression)
            self._seeds.append(path.read_bytes())
        self._path = folder / 'S1_E1_A1.mat'

    def __call__(self, random: Generator) -> None:
        plain, compressed = self._seeds
        match int(random.integers(4)):
            case 0:
                content = damaged(random, compressed)
            case 1:
                content = _damaged_inside(random, compressed)
            case _:
                content = damaged(random, plain)
        self._path.write_bytes(content)
        subject = read_ninapro(self._path)
        samples = len(subject.emg)
        assert len(subject.positions) == len(subject.movement) == samples > 0
        assert np.isfinite(subject.emg).all()
        assert np.isfinite(subject.positions).all()
        assert subject.movement.min() >= 0 <= subject.repetition.min()


def _files(bag: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(bag.iterdir())}


def rewrite(
    source: Path, target: Path, plugin: StoragePlugin, compression: CompressionMode | None = None
) -> None:
    """Write a bag as a recorder of somebody else does."""
    writer = Writer(target, version=9, storage_plugin=plugin)
    if compression is not None:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with Reader(source) as reader, writer:
        to = {
            entry.topic: writer.add_connection(entry.topic, entry.msgtype, typestore=typestore())
            for entry in reader.connections
        }
        for connection, log_ns, data in reader.messages():
            writer.write(to[connection.topic], log_ns, data)


def _ninapro_variables(samples: int = 30) -> dict[str, Any]:
    random = np.random.default_rng(0)
    movement = np.zeros((samples, 1), np.int8)
    movement[10:20] = 7
    return {
        'emg': np.abs(random.normal(0, 0.5, (samples, 10))),
        'glove': random.uniform(-60, 120, (samples, 22)).astype(np.float32),
        'restimulus': movement,
        'rerepetition': movement // 7,
        'subject': 3.0,
        'exercise': 1.0,
    }


def _damaged_inside(random: Generator, compressed: bytes) -> bytes:
    """Damage one variable before it is compressed."""
    variables = list(_variables(compressed))
    which = int(random.integers(len(variables)))
    variables[which] = damaged(random, variables[which])
    return compressed[:128] + b''.join(_compressed(variables))


def _variables(compressed: bytes) -> Iterator[bytes]:
    start = 128
    while start < len(compressed):
        _, length = struct.unpack_from('<II', compressed, start)
        yield zlib.decompress(compressed[start + 8 : start + 8 + length])
        start += 8 + length


def _compressed(variables: Sequence[bytes]) -> Iterator[bytes]:
    for variable in variables:
        data = zlib.compress(variable, 1)
        yield struct.pack('<II', 15, len(data)) + data
