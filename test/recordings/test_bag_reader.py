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

"""Bags from other recorders, and damaged bags."""

import shutil
import struct

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.recordings.bag_types import type_definition, typestore
from leconvmn_ros.recordings.bags import BagWriter, open_bag, read_bag
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import get_types_from_msg, get_typestore, Stores

STORE = typestore()
EMG, STATE = 'leconvmn_ros/msg/EmgArray', 'sensor_msgs/msg/JointState'
LABEL, STRING = 'leconvmn_ros/msg/MovementLabel', 'std_msgs/msg/String'


def make(type_name, /, **fields):
    return STORE.types[type_name](**fields)


def header(stamp_ns):
    seconds, nanoseconds = divmod(stamp_ns, 10**9)
    time = make('builtin_interfaces/msg/Time', sec=seconds, nanosec=nanoseconds)
    return make('std_msgs/msg/Header', stamp=time, frame_id='')


def emg(stamp_ns=10**9, channels=2, values=(1, 2, 3, 4), rate=100.0, first=0):
    samples = np.asarray(values, np.float32)
    return make(
        EMG,
        header=header(stamp_ns),
        sampling_rate=rate,
        first_sample=first,
        channels=channels,
        samples=samples,
    )


def state(names, positions, stamp_ns=10**9):
    values, none = np.asarray(positions, float), np.empty(0)
    return make(
        STATE,
        header=header(stamp_ns),
        name=list(names),
        position=values,
        velocity=none,
        effort=none,
    )


def label(stamp_ns, movement, repetition):
    return make(LABEL, header=header(stamp_ns), movement=movement, repetition=repetition)


def write(path, messages, plugin=StoragePlugin.MCAP, compression=None, version=9):
    """Write (topic, message, log time) like a foreign recorder, without custom data."""
    writer = Writer(path, version=version, storage_plugin=plugin)
    if compression is not None:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for topic, message, log_ns in messages:
            name = message.__msgtype__
            if (topic, name) not in connections:
                connections[topic, name] = writer.add_connection(topic, name, typestore=STORE)
            data = STORE.serialize_cdr(message, name)
            writer.write(connections[topic, name], log_ns, data)
    return path


def users_recording():
    return [
        ('/arm/emg', emg(10**9), 5),
        ('/chatter', make(STRING, data='hello'), 6),
        ('/hand', state('ba', [2.0, 1.0], 10**9), 7),
        ('/hand', state('xab', [9.0, 1.5, 2.5], 10**9 + 10), 8),
        ('/arm/emg', emg(10**9 + 2 * 10**7, first=2), 9),
    ]


@pytest.mark.parametrize('version', [8, 9])
@pytest.mark.parametrize(
    ('plugin', 'compression'),
    [
        (StoragePlugin.MCAP, None),
        (StoragePlugin.MCAP, CompressionMode.STORAGE),
        (StoragePlugin.MCAP, CompressionMode.MESSAGE),
        (StoragePlugin.MCAP, CompressionMode.FILE),
        (StoragePlugin.SQLITE3, None),
        (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
        (StoragePlugin.SQLITE3, CompressionMode.FILE),
    ],
)
def test_reads_a_recording_of_a_users_own_topics(tmp_path, plugin, compression, version):
    path = write(tmp_path / 'mine', users_recording(), plugin, compression, version)
    recording = read_bag(path, emg_topic='/arm/emg', reference_topic='/hand')
    assert [item.first_sample for item in recording.chunks] == [0, 2]
    assert recording.chunks[0].samples.tolist() == [[1, 2], [3, 4]]
    assert recording.reference.names == ('b', 'a', 'x')
    assert recording.reference.positions[:, :2].tolist() == [[2.0, 1.0], [2.5, 1.5]]
    np.testing.assert_array_equal(recording.reference.positions[:, 2], [np.nan, 9.0])
    assert recording.reference.stamps_ns.tolist() == [10**9, 10**9 + 10]
    assert recording.labels is None
    assert recording.information == {}
    assert recording.name == 'mine'


@pytest.mark.parametrize('plugin', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_reads_a_single_file(tmp_path, plugin):
    path = write(tmp_path / 'bag', users_recording(), plugin)
    (file,) = (entry for entry in path.iterdir() if entry.name != 'metadata.yaml')
    recording = read_bag(file, emg_topic='/arm/emg')
    assert len(recording.chunks) == 2
    assert recording.reference is None
    assert recording.name == 'bag'


def test_messages_of_all_topics_come_raw_and_in_log_order(tmp_path):
    messages = users_recording()
    path = write(tmp_path / 'bag', [messages[index] for index in (3, 0, 4, 2, 1)])
    with open_bag(path) as bag:
        found = list(bag.messages())
        later = list(bag.messages(start_ns=7))
        chosen = list(bag.messages(topics=['/chatter']))
        assert (bag.start_ns, bag.end_ns, bag.message_count) == (5, 9, 5)
        assert bag.topics['/chatter'].type_name == STRING
        assert bag.topics['/hand'].message_count == 2
        assert bag.topics['/arm/emg'].digest == type_definition(EMG).digest
    assert [(message.topic, message.log_ns) for message in found] == [
        (topic, log_ns) for topic, _, log_ns in messages
    ]
    assert [message.log_ns for message in later] == [7, 8, 9]
    assert [STORE.deserialize_cdr(message.data, STRING).data for message in chosen] == ['hello']


def test_files_of_a_split_bag_are_merged_by_time(tmp_path):
    whole = write(tmp_path / 'bag', [('/emg', emg(first=item), item) for item in (1, 3, 5)])
    other = write(tmp_path / 'other', [('/emg', emg(first=item), item) for item in (2, 4, 6)])
    shutil.copy(other / 'other.mcap', whole)
    metadata = whole / 'metadata.yaml'
    text = metadata.read_text()
    old = '  relative_file_paths:\n  - bag.mcap\n'
    assert old in text
    metadata.write_text(text.replace(old, old + '  - other.mcap\n'))
    chunks = read_bag(whole).chunks
    assert [item.first_sample for item in chunks] == [1, 2, 3, 4, 5, 6]


def test_tracks_are_in_the_order_of_their_stamps(tmp_path):
    messages = [
        ('/emg', emg(), 1),
        ('/joint_states_reference', state('a', [2.0], 200), 2),
        ('/joint_states_reference', state('a', [1.0], 100), 3),
        ('/movement_label', label(300, 4, 1), 4),
        ('/movement_label', label(50, 0, 0), 5),
    ]
    recording = read_bag(write(tmp_path / 'bag', messages))
    assert recording.reference.stamps_ns.tolist() == [100, 200]
    assert recording.reference.positions.tolist() == [[1.0], [2.0]]
    assert recording.labels.stamps_ns.tolist() == [50, 300]
    assert recording.labels.movement.tolist() == [0, 4]


def test_nan_passes(tmp_path):
    messages = [
        ('/emg', emg(values=[1, np.nan]), 1),
        ('/joint_states_reference', state('a', [np.nan]), 2),
    ]
    recording = read_bag(write(tmp_path / 'bag', messages))
    assert np.isnan(recording.chunks[0].samples[0, 1])
    assert np.isnan(recording.reference.positions[0, 0])


@pytest.mark.parametrize(
    ('messages', 'reason'),
    [
        (
            [('/emg', emg(channels=0), 1)],
            '/emg: 1 of 1 messages left out: malformed: EmgArray with 0 channels',
        ),
        (
            [('/emg', emg(), 1), ('/emg', emg(channels=3), 2), ('/emg', emg(channels=3), 3)],
            '/emg: 2 of 3 messages left out: malformed: EmgArray with 4 values for 3 channels',
        ),
        (
            [('/emg', emg(), 1), ('/emg', emg(channels=1), 2), ('/emg', emg(channels=4), 3)],
            '/emg: 1 of 3 messages left out: . channels, 1 messages have .*; /emg: 1 of 3',
        ),
        ([('/emg', emg(rate=0.0), 1)], 'sampling rate of 0 Hz'),
        ([('/emg', emg(values=[]), 1)], 'with 0 values'),
        ([('/emg', emg(0), 1), ('/emg', emg(0), 2)], 'stamps on /emg are not set'),
        ([('/emg', make(STRING, data=''), 1)], 'topic /emg carries std_msgs/msg/String; it must'),
        (
            [('/emg', emg(), 1), ('/emg', make(STRING, data=''), 2)],
            'topic /emg carries several types; it must',
        ),
        ([('/other', emg(), 1)], r'no topic /emg; .* /other \(leconvmn_ros/msg/EmgArray\)'),
        ([], 'no topic /emg; topics that are there: none'),
    ],
)
def test_emg_that_cannot_be_used_is_one_clear_error(tmp_path, messages, reason):
    with pytest.raises(RecordingError, match=reason):
        read_bag(write(tmp_path / 'bag', messages))


@pytest.mark.parametrize(
    ('states', 'reason'),
    [
        ([state('aba', [1, 2, 3])], '1 of 1 messages left out: a named more than once'),
        ([state('ab', [1])], '1 of 1 messages left out: 1 positions for 2 joint names'),
        ([state('ab', []), state('a', [])], '2 of 2 messages left out: without positions'),
        ([state('', [])], 'without a joint name'),
        ([state('a', [1], 0), state('a', [2], 0)], 'stamps on /joint_states_reference are not'),
    ],
)
def test_reference_that_cannot_be_used_is_one_clear_error(tmp_path, states, reason):
    messages = [('/emg', emg(), 1)]
    messages += [('/joint_states_reference', item, 2 + n) for n, item in enumerate(states)]
    with pytest.raises(RecordingError, match=reason):
        read_bag(write(tmp_path / 'bag', messages))


REFERENCE = '/joint_states_reference'


def read_states(path, states):
    messages = [(REFERENCE, item, 2 + number) for number, item in enumerate(states)]
    return read_bag(write(path, [('/emg', emg(), 1), *messages]))


def test_states_of_other_devices_are_left_out_and_counted(tmp_path):
    arm = ['elbow', 'wrist']
    others = 'of the ten joints of the hand, but elbow, wrist'
    states = [state(arm, [5.0, 6.0], 10), state(['thumb_mcp', 'thumb_ip'], [0.1, 0.2], 20)]
    recording = read_states(tmp_path / 'bag', states)
    assert recording.reference.names == ('thumb_mcp', 'thumb_ip')
    assert recording.reference.stamps_ns.tolist() == [20]
    assert recording.remarks == (f'{REFERENCE}: 1 of 2 messages left out: none {others}',)


def test_states_that_come_finger_by_finger_become_one_track(tmp_path):
    fingers = [['thumb_mcp'], ['index_mcp', 'index_pip']]
    states = [
        state(names, np.arange(len(names)) + number / 10, 10**9 + number * 10**7)
        for number in range(20)
        for names in [fingers[number % 2]]
    ]
    track = read_states(tmp_path / 'bag', states).reference
    assert track.names == ('thumb_mcp', 'index_mcp', 'index_pip')
    assert len(track.stamps_ns) == 20
    np.testing.assert_array_equal(np.isnan(track.positions[0]), [False, True, True])
    np.testing.assert_allclose(track.positions[1, 1:], [0.1, 1.1])


def test_states_of_one_time_share_a_row_and_the_last_counts(tmp_path):
    states = [
        state(['thumb_mcp'], [0.1], 100),
        state(['index_mcp'], [0.2], 100),
        state(['index_mcp', 'thumb_mcp'], [0.4, 0.3], 100),
        state(['thumb_mcp'], [0.5], 100),
    ]
    track = read_states(tmp_path / 'bag', states).reference
    assert track.stamps_ns.tolist() == [100]
    assert track.positions.tolist() == [[0.5, 0.4]]


def test_joint_that_the_first_state_lacks_is_used(tmp_path):
    states = [state('a', [1.0], 10**9)]
    states += [state('ab', [1.0, 2.0], 10**9 + number * 10**7) for number in range(1, 9)]
    track = read_states(tmp_path / 'bag', states).reference
    assert track.names == ('a', 'b')
    np.testing.assert_array_equal(track.positions[:2], [[1.0, np.nan], [1.0, 2.0]])


def test_joint_that_hardly_any_state_has_is_left_out_and_reported(tmp_path):
    names = ['thumb_mcp', 'thumb_ip']
    states = [
        state(names[: 1 + (number < 5)], [0.1, 0.2][: 1 + (number < 5)], 10**9 + number * 10**7)
        for number in range(100)
    ]
    recording = read_states(tmp_path / 'bag', states)
    assert recording.reference.names == ('thumb_mcp',)
    assert 'thumb_ip left out: it is measured for 0 s only' in recording.remarks[0]


def test_malformed_states_are_left_out_and_counted(tmp_path):
    states = [state('ab', [1, 2], 10), state('abb', [1, 2, 3], 20), state('ab', [], 30)]
    states += [state('', [], 40), state('ab', [3, 4], 50)]
    recording = read_states(tmp_path / 'bag', states)
    assert recording.reference.positions.tolist() == [[1, 2], [3, 4]]
    assert sorted(recording.remarks) == [
        f'{REFERENCE}: 1 of 5 messages left out: b named more than once',
        f'{REFERENCE}: 1 of 5 messages left out: without a joint name',
        f'{REFERENCE}: 1 of 5 messages left out: without positions',
    ]


def test_the_usual_number_of_channels_is_that_of_most_messages(tmp_path):
    messages = [('/emg', emg(channels=4 if number == 0 else 2), number) for number in range(9)]
    recording = read_bag(write(tmp_path / 'bag', messages))
    assert [chunk.samples.shape for chunk in recording.chunks] == [(2, 2)] * 8
    assert recording.remarks == ('/emg: 1 of 9 messages left out: 4 channels, 8 messages have 2',)


@pytest.mark.parametrize('option', ['reference_topic', 'label_topic'])
def test_topic_that_was_asked_for_must_be_there(tmp_path, option):
    path = write(tmp_path / 'bag', [('/emg', emg(), 1)])
    with pytest.raises(RecordingError, match='no topic /mine'):
        read_bag(path, **{option: '/mine'})
    with pytest.raises(ConfigurationError, match='asked for twice'):
        read_bag(path, **{option: '/emg'})


@pytest.mark.parametrize('plugin', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize('known_hash', [True, False])
def test_other_definition_of_emg_array_is_refused(tmp_path, plugin, known_hash):
    other = get_typestore(Stores.ROS2_JAZZY)
    other.register(get_types_from_msg('std_msgs/Header header\nfloat32[] samples', EMG))
    message = other.types[EMG](header=header(1), samples=np.zeros(3, np.float32))
    with Writer(tmp_path / 'bag', version=9, storage_plugin=plugin) as writer:
        connection = writer.add_connection('/emg', EMG, typestore=other)
        writer.write(connection, 1, other.serialize_cdr(message, EMG))
    if not known_hash:
        metadata = tmp_path / 'bag' / 'metadata.yaml'
        digest = other.hash_rihs01(EMG)
        assert digest in metadata.read_text()
        metadata.write_text(metadata.read_text().replace(digest, "''"))
    with pytest.raises(RecordingError, match='another definition of leconvmn_ros/msg/EmgArray'):
        read_bag(tmp_path / 'bag')


def test_missing_and_foreign_paths_are_one_clear_error(tmp_path):
    with pytest.raises(RecordingError, match='does not exist'):
        read_bag(tmp_path / 'missing')
    (tmp_path / 'folder').mkdir()
    with pytest.raises(RecordingError, match=r'lacks metadata\.yaml'):
        read_bag(tmp_path / 'folder')
    for name, reason in (
        ('notes.txt', 'neither a folder nor'),
        ('a.mcap', 'damaged'),
        ('a.db3', 'damaged'),
    ):
        (tmp_path / name).write_text('hello')
        with pytest.raises(RecordingError, match=reason):
            read_bag(tmp_path / name)


def test_paths_in_the_metadata_never_leave_the_bag(tmp_path):
    path = write(tmp_path / 'bag', [('/emg', emg(first=1), 1)])
    outside = write(tmp_path / 'outside', [('/emg', emg(first=2), 1)]) / 'outside.mcap'
    text = (path / 'metadata.yaml').read_text()
    for hostile in ('../outside/outside.mcap', str(outside), '..', '.', '../../etc/passwd'):
        (path / 'metadata.yaml').write_text(text.replace('- bag.mcap', f'- {hostile}'))
        with pytest.raises(RecordingError):
            read_bag(path)


@pytest.mark.parametrize(
    'text', ['', '5', '- a', '[' * 2000, '\0', 'rosbag2_bagfile_information: {version: 99}']
)
def test_hostile_metadata_is_one_clear_error(tmp_path, text):
    path = write(tmp_path / 'bag', [('/emg', emg(), 1)])
    (path / 'metadata.yaml').write_text(text)
    with pytest.raises(RecordingError, match='damaged'):
        read_bag(path)


def make_template(folder):
    with BagWriter(folder / 'bag') as writer:
        for number in range(20):
            writer.write_reference(10**9 + number, ['a', 'b'], np.zeros(2))
            writer.write_label(10**9 + number, number, 1)
            samples = np.ones((4, 2), np.float32)
            writer.write_emg(EmgChunk(10**9 + number, 100.0, 4 * number, samples))
    return folder / 'bag'


def damaged(data, random):
    data = bytearray(data)
    place = int(random.integers(len(data)))
    match int(random.integers(4)):
        case 0:
            data[place] ^= 1 << int(random.integers(8))
        case 1:
            del data[place:]
        case 2:
            data[place : place + 8] = b'\xff' * 8
        case _:
            del data[place : place + int(random.integers(1, 20))]
    return bytes(data)


@pytest.mark.parametrize('name', ['bag_0.mcap', 'metadata.yaml'])
def test_damage_gives_a_recording_or_one_clear_error(tmp_path, name):
    path = make_template(tmp_path)
    whole = (path / name).read_bytes()
    random = np.random.default_rng(7)
    lines = []
    for _ in range(150):
        (path / name).write_bytes(damaged(whole, random))
        try:
            read_bag(path)
        except RecordingError as error:
            lines.append(len(str(error).splitlines()))
    assert len(lines) > 50
    assert set(lines) == {1}


def test_no_flipped_bit_changes_what_is_read(tmp_path):
    path = make_template(tmp_path)
    whole = (path / 'bag_0.mcap').read_bytes()
    expected = repr(read_bag(path))
    random = np.random.default_rng(3)
    noticed = 0
    for place in random.integers(len(whole), size=200).tolist():
        changed = bytearray(whole)
        changed[place] ^= 1 << int(random.integers(8))
        (path / 'bag_0.mcap').write_bytes(changed)
        try:
            assert repr(read_bag(path)) == expected
        except RecordingError:
            noticed += 1
    assert noticed > 180


def test_a_bag_that_lost_a_message_its_index_knows_is_refused(tmp_path):
    path = write(tmp_path / 'bag', [('/emg', emg(first=2 * n), n + 1) for n in range(9)])
    (file,) = path.glob('*.mcap')
    whole = file.read_bytes()
    number = struct.pack('<Q', 9)
    place = whole.rindex(struct.pack('<H', 1) + number)
    file.write_bytes(whole[: place + 2] + struct.pack('<Q', 10) + whole[place + 10 :])
    with pytest.raises(RecordingError, match='holds 9 messages on /emg, its index says 10'):
        read_bag(path)


def test_every_truncation_of_the_recorded_file_is_noticed(tmp_path):
    path = make_template(tmp_path)
    whole = (path / 'bag_0.mcap').read_bytes()
    for length in range(0, len(whole), 211):
        (path / 'bag_0.mcap').write_bytes(whole[:length])
        with pytest.raises(RecordingError, match='damaged'):
            read_bag(path)
