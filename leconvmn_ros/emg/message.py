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

"""Converts EmgArray messages to samples and back, without a Python loop.

Works with the message classes of both rclpy and rosbags, which have the fields of
`msg/EmgArray.msg`.
"""

from array import array
from typing import Any

from leconvmn_ros.core.errors import MalformedMessageError
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
import numpy as np

FRAME_ID = 'emg'
# Rates accepted (Hz); beyond, times and lengths exceed their types.
LOWEST_RATE, HIGHEST_RATE = 1e-3, 1e6
# The largest electrode grids have some hundreds. Every buffer of EMG grows with the channels.
MOST_CHANNELS = 4096


def stamp_to_ns(stamp: Any) -> int:
    """Return a builtin_interfaces/Time as integer nanoseconds."""
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


def chunk_from_message(message: Any) -> EmgChunk:
    """Read an EmgArray message.

    The chunk shares the memory of the message if that holds 32-bit floats, as it should. Values
    are not checked here (NaN passes, `Intake` decides).

    Args:
        message: an EmgArray of rclpy (samples: array.array) or of rosbags (samples: NumPy array).

    Returns:
        The chunk, samples of shape (samples, channels) in V.

    Raises:
        MalformedMessageError: the fields contradict each other.
    """
    channels, rate = int(message.channels), float(message.sampling_rate)
    flat = np.asarray(message.samples, dtype=np.float32)
    if fault := emg_fault(channels, flat.size, rate):
        raise MalformedMessageError(fault)
    return EmgChunk(
        stamp_to_ns(message.header.stamp),
        rate,
        int(message.first_sample),
        flat.reshape(-1, channels),
    )


def emg_fault(channels: int, values: int, rate: float) -> str:
    """Return the fault of an EmgArray's fields in words; empty if there is none."""
    if not 1 <= channels <= MOST_CHANNELS:
        return f'EmgArray with {channels} channels; 1 to {MOST_CHANNELS} are allowed'
    if values == 0 or values % channels:
        return (
            f'EmgArray with {values} values for {channels} channels; '
            f'a positive multiple of {channels} is needed'
        )
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:  # NaN fails, too
        return (
            f'EmgArray with a sampling rate of {rate:g} Hz; '
            f'it must be from {LOWEST_RATE:g} to {HIGHEST_RATE:g} Hz'
        )
    return ''


def fill_message(message: Any, chunk: EmgChunk) -> Any:
    """Write a chunk into an EmgArray message of rclpy and return that message.

    rclpy silently publishes 0.0 for a field of another type than its own, hence float() and
    int().
    """
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(
        int(chunk.stamp_ns), NANOSECONDS
    )
    message.header.frame_id = FRAME_ID
    message.sampling_rate = float(chunk.sampling_rate)
    message.first_sample = int(chunk.first_sample)
    message.channels = int(chunk.samples.shape[1])
    # An array.array made from bytes is the only fast way: 0.4 us, against 17 us for a NumPy
    # array.
    message.samples = array('f', np.ascontiguousarray(chunk.samples, dtype=np.float32).tobytes())
    return message
