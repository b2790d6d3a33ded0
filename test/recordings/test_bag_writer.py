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

"""Bags that a stock rosbag2 opens, and that are complete or absent."""

import os
from pathlib import Path
import signal
import subprocess
import sys
import textwrap

from leconvmn_ros.core.errors import OutputError
from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.recordings.bag_types import type_definition
from leconvmn_ros.recordings.bags import BagWriter, open_bag, read_bag
from mcap.records import Channel, Chunk, DataEnd, Footer
from mcap.stream_reader import StreamReader
import numpy as np
import pytest
from ruamel.yaml import YAML

REPOSITORY = Path(__file__).resolve().parents[2]


def chunk(first=0, samples=4, channels=3):
    values = np.arange(samples * channels, dtype=np.float32).reshape(samples, channels) + first
    return EmgChunk(10**9 + first * 10**7, 100.0, first, values)


def write_small_bag(path, first=0, **options):
    with BagWriter(path, **options) as writer:
        writer.write_label(10**9, 2, 1)
        writer.write_reference(10**9, ['a', 'b'], np.array([0.5, -0.5]))
        writer.write_emg(chunk(first))


def run_python(script, folder):
    """Run a script in a process of its own, in `folder`; the script may end that process."""
    code = textwrap.dedent(script)
    environment = {**os.environ, 'PYTHONPATH': str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, '-c', code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_metadata_is_what_rosbag2_version_9_expects(tmp_path):
    write_small_bag(tmp_path / 'bag', information={'emg_unit': 'V', 'subject': '3'})
    text = (tmp_path / 'bag' / 'metadata.yaml').read_text()
    information = YAML(typ='safe').load(text)['rosbag2_bagfile_information']
    assert information['version'] == 9
    assert information['storage_identifier'] == 'mcap'
    assert information['relative_file_paths'] == ['bag_0.mcap']
    assert information['message_count'] == 3
    assert information['starting_time']['nanoseconds_since_epoch'] == 10**9
    assert information['duration']['nanoseconds'] == 3 * 10**7
    assert information['custom_data'] == {'emg_unit': 'V', 'subject': '3'}
    topics = {
        entry['topic_metadata']['name']: entry['topic_metadata']
        for entry in information['topics_with_message_count']
    }
    assert {name: topic['type'] for name, topic in topics.items()} == {
        '/emg': 'leconvmn_ros/msg/EmgArray',
        '/joint_states_reference': 'sensor_msgs/msg/JointState',
        '/movement_label': 'leconvmn_ros/msg/MovementLabel',
    }
    for topic in topics.values():
        assert topic['serialization_format'] == 'cdr'
        assert topic['type_description_hash'].startswith('RIHS01_')
        (qos,) = topic['offered_qos_profiles']
        assert (qos['reliability'], qos['history']) == ('reliable', 'keep_last')
    assert topics['/movement_label']['offered_qos_profiles'][0]['durability'] == 'transient_local'


def test_channels_carry_the_type_hash_and_chunks_a_checksum(tmp_path):
    write_small_bag(tmp_path / 'bag')
    with (tmp_path / 'bag' / 'bag_0.mcap').open('rb') as file:
        records = list(StreamReader(file, emit_chunks=True, validate_crcs=True).records)
    channels = {record.topic: record for record in records if isinstance(record, Channel)}
    digest = type_definition('leconvmn_ros/msg/EmgArray').digest
    assert channels['/emg'].metadata['topic_type_hash'] == digest
    assert 'reliable' in channels['/emg'].metadata['offered_qos_profiles']
    assert all(record.uncompressed_crc for record in records if isinstance(record, Chunk))
    assert all(record.data_section_crc for record in records if isinstance(record, DataEnd))
    assert all(record.summary_crc for record in records if isinstance(record, Footer))


def test_definitions_keep_their_comments_and_name_what_they_use(tmp_path):
    write_small_bag(tmp_path / 'bag')
    with open_bag(tmp_path / 'bag') as bag:
        definition = bag.topics['/emg'].definition.data
    assert 'Sampling rate of each channel (Hz)' in definition
    assert definition.count('=' * 80 + '\nMSG: std_msgs/Header\n') == 1
    assert definition.count('=' * 80 + '\nMSG: builtin_interfaces/Time\n') == 1


def test_type_hash_of_joint_state_is_that_of_ros():
    # sensor_msgs/msg/JointState.json of a ROS 2 Jazzy installation.
    assert type_definition('sensor_msgs/msg/JointState').digest == (
        'RIHS01_a13ee3a330e346c9d87b5aa18d24e11690752bd33a0350f11c5882bc9179260e'
    )


def test_nothing_but_the_bag_is_left(tmp_path):
    write_small_bag(tmp_path / 'bag')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['bag']
    assert sorted(path.name for path in (tmp_path / 'bag').iterdir()) == [
        'bag_0.mcap',
        'metadata.yaml',
    ]


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_after_an_exception(tmp_path, error):
    def interrupted():
        with BagWriter(tmp_path / 'bag') as writer:
            writer.write_emg(chunk())
            raise error

    with pytest.raises(error):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_existing_target_is_refused_and_kept(tmp_path):
    write_small_bag(tmp_path / 'bag', first=1)
    before = (tmp_path / 'bag' / 'bag_0.mcap').read_bytes()
    with pytest.raises(OutputError, match='exists already'):
        write_small_bag(tmp_path / 'bag')
    assert (tmp_path / 'bag' / 'bag_0.mcap').read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ['bag']


def test_overwriting_replaces_a_bag_only_by_a_complete_one(tmp_path):
    write_small_bag(tmp_path / 'bag', first=1)

    def interrupted():
        with BagWriter(tmp_path / 'bag', overwrite=True):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert read_bag(tmp_path / 'bag').chunks[0].first_sample == 1
    write_small_bag(tmp_path / 'bag', first=2, overwrite=True)
    assert read_bag(tmp_path / 'bag').chunks[0].first_sample == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ['bag']


@pytest.mark.parametrize('make', [Path.mkdir, Path.touch])
def test_overwriting_never_replaces_anything_but_a_bag(tmp_path, make):
    make(tmp_path / 'precious')
    with pytest.raises(OutputError, match='is not a bag'):
        write_small_bag(tmp_path / 'precious', overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ['precious']


def test_two_writers_of_one_target_do_not_mix(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        with pytest.raises(OutputError, match='being written by another process'):
            write_small_bag(tmp_path / 'bag')
        writer.write_emg(chunk(5))
    assert read_bag(tmp_path / 'bag').chunks[0].first_sample == 5


def test_target_that_appears_meanwhile_is_kept(tmp_path):
    writer = BagWriter(tmp_path / 'bag')
    with pytest.raises(OutputError, match='exists already'), writer:
        (tmp_path / 'bag').mkdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['bag']
    assert list((tmp_path / 'bag').iterdir()) == []


def test_target_below_a_file_is_one_clear_error(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OutputError, match='cannot write'):
        write_small_bag(tmp_path / 'file' / 'bag')


def test_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path):
    # A limit on the size of files is met like a full disk: write() fails.
    result = run_python(
        """
        import resource, signal
        import numpy as np
        from leconvmn_ros.recordings.bags import BagWriter
        from leconvmn_ros.core.errors import OutputError
        from leconvmn_ros.core.recording import EmgChunk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
        try:
            with BagWriter('bag') as writer:
                for number in range(100):
                    samples = np.zeros((1000, 16), np.float32)
                    writer.write_emg(EmgChunk(10**9, 100.0, number * 1000, samples))
        except OutputError as error:
            print(number, error)
        """,
        tmp_path,
    )
    assert result.returncode == 0, result.stderr
    number, _, message = result.stdout.partition(' ')
    assert int(number) < 99, 'the limit was not met while writing'
    assert message.startswith('cannot write')
    assert 'File too large' in message
    assert list(tmp_path.iterdir()) == []


def test_full_disk_at_the_very_end_leaves_nothing(tmp_path):
    result = run_python(
        """
        import resource, signal
        import numpy as np
        from leconvmn_ros.recordings.bags import BagWriter
        from leconvmn_ros.core.errors import OutputError
        from leconvmn_ros.core.recording import EmgChunk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            with BagWriter('bag') as writer:
                writer.write_emg(EmgChunk(10**9, 100.0, 0, np.zeros((10, 16), np.float32)))
                print('written')
        except OutputError as error:
            print(error)
        """,
        tmp_path,
    )
    assert result.stdout.startswith('written\ncannot write'), result.stderr
    assert list(tmp_path.iterdir()) == []


def test_kill_leaves_only_a_partial_folder_that_the_next_write_removes(tmp_path):
    result = run_python(
        """
        import os, signal
        from leconvmn_ros.recordings.bags import BagWriter
        with BagWriter('bag'):
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path,
    )
    assert result.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith('.bag.')
    write_small_bag(tmp_path / 'bag')
    assert [path.name for path in tmp_path.iterdir()] == ['bag']


def test_relative_target_and_missing_parents(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_small_bag('new/../deep/bag')
    assert read_bag('deep/bag').name == 'bag'


def test_root_folder_is_refused():
    with pytest.raises(OutputError, match='root folder'):
        BagWriter('/')
