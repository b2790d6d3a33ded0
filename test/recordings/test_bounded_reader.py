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

"""Bags with false claims about their size allocate no memory."""

import os
import shutil
import struct
import subprocess
import sys
import textwrap
import tracemalloc

from fuzz_files import rewrite
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.recordings.bag_types import typestore
from leconvmn_ros.recordings.bags import open_bag, read_bag, write_bag
from leconvmn_ros.recordings.bounded_reader import BoundedFile, DECOMPRESSORS, inflate, zstd
import lz4.frame
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, writer
from small_recordings import sampled_subject

BOMB = bytes(2**26)
COMPRESSORS = {'zstd': zstd.compress, 'lz4': lz4.frame.compress}


def memory_of(action):
    """Return the peak memory of an action that ends in a RecordingError."""
    tracemalloc.start()
    try:
        with pytest.raises(RecordingError):
            action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def copied(bag, target):
    """Rewrite a bag as rosbags does, without chunks."""
    rewrite(bag, target, StoragePlugin.MCAP)
    return target


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp('ours') / 'bag'
    write_bag(sampled_subject(0.2), path)
    return path


def test_a_read_is_no_longer_than_the_file(tmp_path):
    (tmp_path / 'file').write_bytes(b'0123456789')
    with BoundedFile(tmp_path / 'file') as file:
        assert file.read(4) == b'0123'
        assert file.read(2**64) == b'456789'
        file.seek(0)
        assert file.read() == b'0123456789'


def test_a_record_that_claims_more_than_memory_is_refused(tmp_path, bag):
    """Found by fuzzing: memory was allocated for any length that a record claims."""
    path = copied(bag, tmp_path / 'bag') / 'bag.mcap'
    whole = path.read_bytes()
    (summary,) = struct.unpack('<Q', whole[-28:-20])
    claim = struct.pack('<Q', 2**40)
    path.write_bytes(whole[: summary + 1] + claim + whole[summary + 9 :])
    assert memory_of(lambda: read_bag(path)) < 2**20


@pytest.mark.parametrize('name', COMPRESSORS)
def test_a_chunk_inflates_to_what_it_claims_and_no_more(name):
    inflated, compress = DECOMPRESSORS[name], COMPRESSORS[name]
    for data in (b'', b'a', bytes(100_000)):
        assert inflated(compress(data), len(data)) == data
    bomb = compress(BOMB)
    assert memory_of(lambda: inflated(bomb, 1000)) < 2**20
    with pytest.raises(RecordingError, match='cut'):
        inflated(bomb[:-20], len(BOMB))


def test_what_is_left_after_a_frame_is_inflated_within_the_same_limit():
    two = zstd.compress(b'one, ') + zstd.compress(b'two')
    assert inflate(two) == b'one, two'
    assert inflate(two, 8) == b'one, two'
    with pytest.raises(RecordingError, match='more than'):
        inflate(two, 7)


def bag_with_a_bomb(path, mode):
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection('/a', 'std_msgs/msg/String', typestore=typestore())
        writer.write(connection, 1, BOMB)
    return path


def test_a_message_inflates_within_a_limit(tmp_path, monkeypatch):
    path = bag_with_a_bomb(tmp_path / 'bag', CompressionMode.MESSAGE)
    with open_bag(path) as bag:
        assert [message.data for message in bag.messages()] == [BOMB]
        monkeypatch.setattr(inflate, '__defaults__', (1000,))
        assert memory_of(lambda: list(bag.messages())) < 2**21


def test_a_compressed_file_must_fit_where_it_is_inflated(tmp_path, monkeypatch):
    path = bag_with_a_bomb(tmp_path / 'bag', CompressionMode.FILE)
    with open_bag(path) as opened:
        assert sum(len(message.data) for message in opened.messages()) == len(BOMB)
    free = shutil.disk_usage(tmp_path)._replace(free=len(BOMB))
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: free)
    with pytest.raises(RecordingError, match='temporary files'):
        read_bag(path)


# Each line stands for the one before it nine times: 9**20 values.
NESTED = ''.join(f'a{n}: &a{n} [{", ".join([f"*a{n - 1}"] * 9)}]\n' for n in range(1, 21))
BOMBS = {
    'aliases': 'a0: &a0 [x]\n' + NESTED,
    'merges': 'a0: &a0 {x: 1}\n' + NESTED.replace('[', '{<<: [').replace(']', ']}'),
    'an alias of itself': 'a: &a [*a]\n',
    'depth': f'a: {"[" * 500}{"]" * 500}\n',
}


@pytest.mark.parametrize('bomb', BOMBS)
def test_metadata_that_stand_for_more_are_refused(tmp_path, bag, bomb):
    """Found by hand: nested merges took minutes, and custom data were expanded."""
    path = copied(bag, tmp_path / 'bag') / 'metadata.yaml'
    path.write_text(BOMBS[bomb] + path.read_text())
    with pytest.raises(RecordingError, match=r'alias|within one another'):
        read_bag(path.parent)


def test_custom_data_that_stand_for_more_are_refused(tmp_path, bag):
    path = copied(bag, tmp_path / 'bag') / 'metadata.yaml'
    path.write_text(BOMBS['aliases'] + path.read_text() + '  custom_data: {a: *a20}\n')
    with pytest.raises(RecordingError, match='alias'):
        read_bag(path.parent)


@pytest.mark.parametrize('plugin', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_qos_that_stand_for_more_are_refused(tmp_path, monkeypatch, plugin):
    """The QoS is YAML in the file of the messages."""
    bomb = '- ' + BOMBS['merges'].replace('\n', '\n  ')
    monkeypatch.setattr(writer, 'dump_qos_v9', lambda _: bomb)
    with Writer(tmp_path / 'bag', version=9, storage_plugin=plugin) as bag:
        bag.add_connection('/a', 'std_msgs/msg/String', typestore=typestore())
    (path,) = (tmp_path / 'bag').glob('bag.*')
    with pytest.raises(RecordingError, match='alias'), open_bag(path):
        pass


def test_metadata_that_are_no_metadata_are_not_read(tmp_path, bag):
    path = copied(bag, tmp_path / 'bag')
    with (path / 'metadata.yaml').open('a') as file:
        file.write('#' * 2**23)
    assert memory_of(lambda: read_bag(path)) < 2**20


def test_rosbags_stays_as_it_is_for_others():
    code = """
        from rosbags.rosbag2 import metadata, reader, storage_mcap, storage_sqlite3
        modules = (metadata, reader, storage_mcap, storage_sqlite3)
        before = [dict(vars(module)) for module in modules]
        chunks = dict(storage_mcap.DECOMPRESSORS)
        import leconvmn_ros.recordings.bags
        assert [dict(vars(module)) for module in modules] == before
        assert storage_mcap.DECOMPRESSORS == chunks
    """
    subprocess.run([sys.executable, '-c', textwrap.dedent(code)], check=True)


@pytest.mark.parametrize('name', ['a#b', 'a?b', 'a%20b', 'a b', 'ü'])
def test_a_sqlite3_bag_is_read_whatever_its_path(tmp_path, bag, name):
    rewrite(bag, tmp_path / 'bag', StoragePlugin.SQLITE3)
    folder = (tmp_path / 'bag').rename(tmp_path / name)
    assert read_bag(folder).chunks
    file = (folder / 'bag.db3').rename(folder / f'{name}.db3')
    assert read_bag(file).chunks


@pytest.mark.parametrize('name', ['metadata.yaml', 'bag.db3', 'other'])
def test_a_fifo_in_a_bag_is_refused_without_waiting(tmp_path, bag, name):
    path = tmp_path / 'bag'
    rewrite(bag, path, StoragePlugin.SQLITE3)
    (path / name).unlink(missing_ok=True)
    os.mkfifo(path / name)
    with pytest.raises(RecordingError, match=r'FIFO|lacks metadata'):
        read_bag(path)


def test_a_fifo_is_no_bag(tmp_path):
    os.mkfifo(tmp_path / 'bag.mcap')
    with pytest.raises(RecordingError, match='it is a FIFO; a regular file is needed'):
        read_bag(tmp_path / 'bag.mcap')
