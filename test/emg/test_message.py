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

"""EmgArray messages of rclpy and of rosbags become chunks; chunks become messages."""

from array import array

from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.core.errors import MalformedMessageError
from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.emg.message import chunk_from_message, fill_message, FRAME_ID, stamp_to_ns
from leconvmn_ros.recordings.bag_types import EMG_TYPE, typestore
import numpy as np
import pytest


def rclpy_message(chunk):
    from leconvmn_ros.msg import EmgArray

    return fill_message(EmgArray(), chunk)


def rosbags_message(chunk):
    types = typestore().types
    sec, nanosec = divmod(chunk.stamp_ns, 1_000_000_000)
    stamp = types['builtin_interfaces/msg/Time'](sec=sec, nanosec=nanosec)
    return types[EMG_TYPE](
        header=types['std_msgs/msg/Header'](stamp=stamp, frame_id=FRAME_ID),
        sampling_rate=chunk.sampling_rate,
        first_sample=chunk.first_sample,
        channels=chunk.samples.shape[1],
        samples=chunk.samples.ravel(),
    )


both = pytest.mark.parametrize('message_of', [rclpy_message, rosbags_message])


def make_chunk(count=20, channels=12, **fields):
    random = np.random.default_rng(count)
    chunk = EmgChunk(
        stamp_ns=1_700_000_000_123_456_789,
        sampling_rate=2000.0,
        first_sample=40,
        samples=random.normal(0, 1e-4, (count, channels)).astype(np.float32),
    )
    return chunk._replace(**fields)


def assert_same(chunk, other):
    assert chunk[:3] == other[:3]
    assert chunk.samples.dtype == np.float32
    np.testing.assert_array_equal(chunk.samples, other.samples)


@both
@pytest.mark.parametrize('shape', [(20, 12), (1, 1), (1, 16), (300, 1)])
def test_chunk_comes_back_from_its_message(message_of, shape):
    chunk = make_chunk(*shape)
    assert_same(chunk_from_message(message_of(chunk)), chunk)


@settings(deadline=None, max_examples=50)
@given(
    stamp_ns=st.integers(-(2**31) * 10**9, 2**31 * 10**9 - 1),
    rate=st.floats(1e-3, 1e5),
    first=st.integers(0, 2**64 - 1),
)
@both
def test_extreme_fields_come_back_exactly(message_of, stamp_ns, rate, first):
    chunk = make_chunk(2, 3, stamp_ns=stamp_ns, sampling_rate=rate, first_sample=first)
    assert_same(chunk_from_message(message_of(chunk)), chunk)


def test_samples_are_row_major():
    chunk = make_chunk(samples=np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32))
    assert rclpy_message(chunk).samples.tolist() == [1, 2, 3, 4, 5, 6]


def test_array_of_another_layout_or_type_is_sent_right():
    values = np.arange(6.0).reshape(3, 2)  # float64
    for samples in (values, np.asfortranarray(values), values[::-1][::-1], values.astype('>f4')):
        message = rclpy_message(make_chunk(samples=samples))
        assert message.samples.tolist() == [0, 1, 2, 3, 4, 5]


def test_fields_get_the_types_that_rclpy_sends():
    """Unless checks are on, as they seldom are, other types are published as 0."""
    chunk = make_chunk(
        stamp_ns=np.int64(5_000_000_007),
        sampling_rate=np.float32(200),
        first_sample=np.uint64(7),
    )
    message = rclpy_message(chunk)
    assert type(message.header.stamp.sec) is int
    assert type(message.header.stamp.nanosec) is int
    assert type(message.sampling_rate) is float
    assert type(message.first_sample) is int
    assert type(message.channels) is int
    assert isinstance(message.samples, array)
    assert message.samples.typecode == 'f'
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (5, 7)
    assert (message.sampling_rate, message.first_sample, message.channels) == (200.0, 7, 12)
    assert message.header.frame_id == FRAME_ID == 'emg'


def test_whole_rate_is_accepted_as_a_number_of_samples_per_second():
    assert rclpy_message(make_chunk(sampling_rate=1000)).sampling_rate == 1000.0


def test_message_of_rosbags_is_the_message_of_rclpy():
    from leconvmn_ros.msg import EmgArray
    from rclpy.serialization import deserialize_message

    chunk = make_chunk()
    data = typestore().serialize_cdr(rosbags_message(chunk), EMG_TYPE)
    assert deserialize_message(bytes(data), EmgArray) == rclpy_message(chunk)
    assert_same(chunk_from_message(typestore().deserialize_cdr(data, EMG_TYPE)), chunk)


@both
def test_samples_are_not_copied(message_of):
    message = message_of(make_chunk())
    chunk = chunk_from_message(message)
    assert np.shares_memory(chunk.samples, np.frombuffer(message.samples, dtype=np.float32))


def test_samples_of_another_type_are_converted_not_reinterpreted():
    message = rosbags_message(make_chunk())
    message.samples = np.linspace(0, 1, 24)  # float64: rosbags does not check
    samples = chunk_from_message(message).samples
    np.testing.assert_allclose(samples.ravel(), np.linspace(0, 1, 24), rtol=1e-6)
    message.samples = [1.0, 2.0] * 6
    assert chunk_from_message(message).samples.shape == (1, 12)


@both
def test_values_are_not_judged_here(message_of):
    chunk = make_chunk(samples=np.array([[np.nan, np.inf], [-np.inf, 0]], np.float32))
    assert_same(chunk_from_message(message_of(chunk)), chunk)


@both
@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'channels': 0}, '0 channels; 1 to 4096'),
        ({'channels': 7}, '240 values for 7 channels; a positive multiple of 7'),
        ({'channels': 2**32 - 1}, '4294967295 channels; 1 to 4096'),
        ({'samples': np.zeros(0, np.float32)}, '0 values for 12 channels'),
        ({'samples': np.zeros(13, np.float32)}, '13 values for 12 channels'),
        ({'sampling_rate': 0.0}, r'rate of 0 Hz; it must be from 0\.001 to 1e\+06 Hz'),
        ({'sampling_rate': 1e-320}, 'it must be from'),
        ({'sampling_rate': 1e300}, 'it must be from'),
        ({'sampling_rate': -200.0}, 'rate of -200 Hz'),
        ({'sampling_rate': float('nan')}, 'rate of nan Hz'),
        ({'sampling_rate': float('inf')}, 'rate of inf Hz'),
    ],
)
def test_contradicting_fields_are_refused(message_of, fields, message):
    wrong = message_of(make_chunk())
    for name, value in fields.items():
        is_array = isinstance(value, np.ndarray) and message_of is rclpy_message
        setattr(wrong, name, array('f', value.tobytes()) if is_array else value)
    with pytest.raises(MalformedMessageError, match=message):
        chunk_from_message(wrong)


def test_message_as_it_is_made_is_refused():
    from leconvmn_ros.msg import EmgArray

    with pytest.raises(MalformedMessageError):
        chunk_from_message(EmgArray())


def test_stamp_is_exact():
    from builtin_interfaces.msg import Time

    assert stamp_to_ns(Time(sec=2**31 - 1, nanosec=999_999_999)) == 2**31 * 10**9 - 1
    assert stamp_to_ns(Time(sec=-1, nanosec=1)) == -999_999_999
