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

"""Our messages as bytes: the tables read and write what rosbags reads and writes."""

from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.recordings.bag_types import EMG_TYPE, LABEL_TYPE, REFERENCE_TYPE, typestore
from leconvmn_ros.recordings.cdr import (
    emg_table,
    label_table,
    Packer,
    stamped_tables,
    StampedTable,
    state_tables,
)
import numpy as np
import pytest

STORE = typestore()
STAMP_NS = 1_750_000_000_123_456_789
names = st.lists(st.text(st.characters(codec='utf-8', exclude_characters='\0'), max_size=9))


def header(frame_id):
    seconds, nanoseconds = divmod(STAMP_NS, 10**9)
    time = STORE.types['builtin_interfaces/msg/Time'](sec=seconds, nanosec=nanoseconds)
    return STORE.types['std_msgs/msg/Header'](stamp=time, frame_id=frame_id)


def emg(samples, frame_id=''):
    return STORE.types[EMG_TYPE](
        header=header(frame_id),
        sampling_rate=200.0,
        first_sample=2**63 + 5,
        channels=samples.shape[1],
        samples=samples.reshape(-1),
    )


def state(joints, positions, velocities=0, efforts=0):
    return STORE.types[REFERENCE_TYPE](
        header=header('hand'),
        name=joints,
        position=np.asarray(positions, float),
        velocity=np.ones(velocities),
        effort=np.ones(efforts),
    )


def rows_of(messages, type_name, *, little_endian=True):
    parts = [
        STORE.serialize_cdr(item, type_name, little_endian=little_endian) for item in messages
    ]
    return np.stack([np.frombuffer(bytes(part), np.uint8) for part in parts])


def stamped(rows):
    return list(stamped_tables(np.arange(len(rows)), rows))


@settings(deadline=None, max_examples=50)
@given(
    st.text(st.characters(codec='utf-8', exclude_characters='\0'), max_size=9), st.integers(1, 5)
)
def test_emg_is_packed_as_rosbags_packs_it_and_read_back(frame_id, channels):
    samples = np.random.default_rng(0).normal(size=(7, channels)).astype(np.float32)
    rows = rows_of([emg(samples, frame_id)], EMG_TYPE)
    packed = Packer().emg(STAMP_NS, frame_id, 200.0, 2**63 + 5, samples)
    assert packed == rows[0].tobytes()
    (table,) = stamped(rows)
    read = emg_table(table)
    assert read.stamps_ns.tolist() == [STAMP_NS]
    assert read.frame_id == frame_id
    assert (read.rates[0], int(read.first[0]), read.channels[0]) == (200.0, 2**63 + 5, channels)
    np.testing.assert_array_equal(read.values, samples.reshape(1, -1))


@settings(deadline=None, max_examples=100)
@given(names, st.booleans(), st.integers(0, 3), st.integers(0, 3))
def test_states_are_packed_as_rosbags_packs_them_and_read_back(joints, named, velocities, efforts):
    positions = np.arange(len(joints) if named else 3, dtype=float)
    rows = rows_of([state(joints, positions, velocities, efforts)] * 2, REFERENCE_TYPE)
    (table,) = stamped(rows)
    (read,) = state_tables(table)
    assert read.names == tuple(joints)
    assert read.positions.tolist() == [positions.tolist()] * 2
    plain = STORE.types[REFERENCE_TYPE](
        header=header(''),
        name=joints,
        position=positions,
        velocity=np.empty(0),
        effort=np.empty(0),
    )
    packed = Packer().state(STAMP_NS, joints, positions)
    assert packed == bytes(STORE.serialize_cdr(plain, REFERENCE_TYPE))


def test_labels_are_packed_as_rosbags_packs_them_and_read_back():
    message = STORE.types[LABEL_TYPE](header=header(''), movement=65535, repetition=3)
    rows = rows_of([message], LABEL_TYPE)
    assert Packer().label(STAMP_NS, 65535, 3) == rows[0].tobytes()
    (table,) = stamped(rows)
    read = label_table(table)
    assert (read.movement.tolist(), read.repetition.tolist()) == ([65535], [3])


def test_states_with_other_names_of_the_same_length_are_tables_of_their_own():
    messages = [state(['aa'], [1]), state(['bb'], [2]), state(['aa'], [3])]
    (table,) = stamped(rows_of(messages, REFERENCE_TYPE))
    found = {read.names: read for read in state_tables(table)}
    assert found['aa',].numbers.tolist() == [0, 2]
    assert found['aa',].positions.tolist() == [[1], [3]]
    assert found['bb',].numbers.tolist() == [1]


@pytest.mark.parametrize('padding', [1, 2, 3])
def test_padding_of_the_middleware_is_ignored(padding):
    samples = np.ones((2, 2), np.float32)
    data = Packer().emg(STAMP_NS, '', 200.0, 0, samples) + bytes(padding)
    (table,) = stamped(np.frombuffer(data, np.uint8)[None])
    assert emg_table(table).values.tolist() == [[1, 1, 1, 1]]


def test_big_endian_messages_are_left_to_the_general_reader():
    rows = rows_of([emg(np.ones((1, 1), np.float32))], EMG_TYPE, little_endian=False)
    (left,) = stamped(rows)
    assert left.tolist() == [0]


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=120), st.integers(1, 3))
def test_any_bytes_are_a_table_or_are_left_to_the_general_reader(data, count):
    rows = np.frombuffer(b'\0\1\0\0' + data, np.uint8)[None].repeat(count, axis=0)
    seen = []
    for table in stamped_tables(np.arange(count), rows):
        if not isinstance(table, StampedTable):
            seen += table.tolist()
            continue
        emg_table(table)
        label_table(table)
        for read in state_tables(table):
            seen += (read if isinstance(read, np.ndarray) else read.numbers).tolist()
    assert sorted(seen) == list(range(count))
