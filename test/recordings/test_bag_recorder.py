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

"""A bag is written while its messages arrive, and recovered after a kill."""

import signal
import struct
import subprocess
import sys

from leconvmn_ros.core.errors import OutputError, RecordingError
from leconvmn_ros.recordings.bag_reader import open_bag
from leconvmn_ros.recordings.bag_recorder import BagRecorder, MARKER
from leconvmn_ros.recordings.bag_recovery import is_unfinished, recover_bag
from leconvmn_ros.recordings.bag_types import typestore
from leconvmn_ros.recordings.installed_types import find_definition
import pytest

TEXT = 'std_msgs/msg/String'


def text(number):
    """Return a serialized std_msgs/String."""
    store = typestore()
    return bytes(store.serialize_cdr(store.types[TEXT](data=f'message {number}'), TEXT))


def record(folder, count=5, **options):
    with BagRecorder(folder, **options) as bag:
        assert bag.add_topic('/text', TEXT)
        for number in range(count):
            bag.write('/text', 1_000 + number, text(number))
    return folder


def read(folder):
    with open_bag(folder) as bag:
        return [(message.topic, message.log_ns, message.data) for message in bag.messages()]


EXPECTED = [('/text', 1_000 + number, text(number)) for number in range(5)]


def test_what_was_recorded_is_read_back(tmp_path):
    folder = record(tmp_path / 'bag', information={'subject': 'S1'})
    assert read(folder) == EXPECTED
    with open_bag(folder) as bag:
        assert bag.information == {'subject': 'S1'}
        assert bag.topics['/text'].digest == find_definition(TEXT).digest
    assert not (folder / MARKER).exists()


def test_an_error_of_the_caller_loses_nothing(tmp_path):
    def fail():
        with BagRecorder(tmp_path / 'bag') as bag:
            bag.add_topic('/text', TEXT)
            bag.write('/text', 1_000, text(0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert read(tmp_path / 'bag') == EXPECTED[:1]


def test_a_bag_without_messages_is_a_bag(tmp_path):
    assert read(record(tmp_path / 'bag', 0)) == []


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / 'bag').mkdir()
    with pytest.raises(OutputError, match='exists already'):
        record(tmp_path / 'bag')
    assert list((tmp_path / 'bag').iterdir()) == []


def test_a_type_that_is_not_installed_is_refused(tmp_path):
    with BagRecorder(tmp_path / 'bag') as bag:
        assert not bag.add_topic('/strange', 'nobody_msgs/msg/Nothing')
        assert not bag.add_topic('/strange', '../../etc/msg/Passwd')


def test_an_installed_type_is_found_with_what_it_uses(tmp_path, monkeypatch):
    folder = tmp_path / 'share' / 'lab_msgs' / 'msg'
    folder.mkdir(parents=True)
    (folder / 'Outer.msg').write_text('std_msgs/Header header\nInner[] parts # all\nfloat32 x\n')
    (folder / 'Inner.msg').write_text('uint8 KIND=3\nsensor_msgs/JointState[<=4] states\n')
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    definition = find_definition('lab_msgs/msg/Outer')
    assert 'MSG: lab_msgs/Inner' in definition.text
    assert 'MSG: sensor_msgs/JointState' in definition.text
    assert definition.digest.startswith('RIHS01_')


KILLED = """
import os, signal, sys
from leconvmn_ros.recordings.bag_recorder import BagRecorder
from test_bag_recorder import text, TEXT

with BagRecorder(sys.argv[1], information={'subject': 'S1'}) as bag:
    bag.add_topic('/text', TEXT)
    for number in (1, 0, 2, 3, 4):  # topics wait for one another
        bag.write('/text', 1_000 + number, text(number))
        if number == 2:
            bag.flush()
    bag.flush()
    bag.write('/text', 2_000, b'is not on disk yet')
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(tmp_path):
    """The folder of a killed recorder."""
    child = subprocess.run(
        [sys.executable, '-c', KILLED, tmp_path / 'bag'],
        cwd=__file__.rpartition('/')[0],
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    return tmp_path / 'bag'


def test_a_killed_recorder_loses_only_what_it_had_not_flushed(killed):
    assert is_unfinished(killed)
    with pytest.raises(RecordingError, match='--recover'):
        read(killed)
    assert recover_bag(killed) == 5
    assert read(killed) == EXPECTED
    with open_bag(killed) as bag:
        assert bag.information == {'subject': 'S1'}
    assert sorted(path.name for path in killed.parent.iterdir()) == ['bag']
    assert sorted(path.name for path in killed.iterdir()) == ['bag.mcap', 'metadata.yaml']


@pytest.mark.parametrize('tail', [b'\x06', b'\x06' + struct.pack('<Q', 2**60), b'\x06' * 200])
def test_a_record_that_was_being_written_is_cut(killed, tail):
    with (killed / 'bag.mcap').open('ab') as file:
        file.write(tail)
    assert recover_bag(killed) == 5
    assert read(killed) == EXPECTED


def test_a_recovery_that_was_interrupted_is_repeated(killed, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr('leconvmn_ros.recordings.bag_recovery._copy', lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            recover_bag(killed)
    assert recover_bag(killed) == 5
    assert read(killed) == EXPECTED


def test_what_is_being_recorded_is_not_recovered(tmp_path):
    with BagRecorder(tmp_path / 'bag') as bag:
        bag.add_topic('/text', TEXT)
        with pytest.raises(RecordingError, match='being recorded by another process'):
            recover_bag(tmp_path / 'bag')


def test_what_is_complete_is_not_recovered(tmp_path):
    with pytest.raises(RecordingError, match='nothing to recover'):
        recover_bag(record(tmp_path / 'bag'))


def test_a_full_disk_is_named_and_what_was_written_can_be_recovered(tmp_path):
    class FullDisk:
        def __getattr__(self, name):
            raise OSError(28, 'No space left on device')

    bag = BagRecorder(tmp_path / 'bag')
    bag.__enter__()
    bag.add_topic('/text', TEXT)
    bag.write('/text', 1_000, text(0))
    bag.flush()
    whole, bag._writer.storage.bio = bag._writer.storage.bio, FullDisk()
    bag.write('/text', 1_001, text(1))
    with pytest.raises(OutputError, match=r'cannot write .*No space left'):
        bag.flush()
    with pytest.raises(OutputError, match='cannot write'):
        bag.__exit__(None, None, None)
    whole.close()
    assert recover_bag(tmp_path / 'bag') == 1


def test_links_beside_and_in_an_unfinished_recording_are_not_followed(tmp_path):
    """A link with the old name of the scratch folder once emptied its target folder."""
    (tmp_path / 'home').mkdir()
    (tmp_path / 'home' / 'precious').write_text('mine')
    (tmp_path / '.bag.recovered').symlink_to('home')
    (tmp_path / 'bag').mkdir()
    (tmp_path / 'bag' / MARKER).write_text('{}')
    (tmp_path / 'bag' / 'bag.mcap').symlink_to(tmp_path / 'home' / 'precious')
    with pytest.raises(RecordingError, match='it is a link'):
        recover_bag(tmp_path / 'bag')
    assert (tmp_path / 'home' / 'precious').read_text() == 'mine'
    assert [path.name for path in (tmp_path / 'home').iterdir()] == ['precious']
