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

"""Serializes messages of our topics (CDR) for a recorder.

rclpy's `serialize_message` is unsuitable: the buffer it returns may be longer than the message and
end in uninitialised memory.
"""

from collections.abc import Sequence
from typing import Any

from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.recordings.bag_types import EMG_TYPE, LABEL_TYPE, REFERENCE_TYPE, typestore
import numpy as np
from numpy.typing import NDArray


def joint_state_bytes(
    stamp_ns: int, names: Sequence[str], positions: NDArray[np.float64]
) -> bytes:
    """Return a JointState with these angles (rad), shape (joints,)."""
    store = typestore()
    none = np.empty(0)
    message = store.types[REFERENCE_TYPE](
        header=_header(stamp_ns),
        name=list(names),
        position=np.ascontiguousarray(positions, dtype=np.float64),
        velocity=none,
        effort=none,
    )
    return bytes(store.serialize_cdr(message, REFERENCE_TYPE))


def label_bytes(stamp_ns: int, movement: int, repetition: int) -> bytes:
    """Return a MovementLabel."""
    store = typestore()
    message = store.types[LABEL_TYPE](
        header=_header(stamp_ns), movement=movement, repetition=repetition
    )
    return bytes(store.serialize_cdr(message, LABEL_TYPE))


def _header(stamp_ns: int) -> Any:
    types = typestore().types
    seconds, nanoseconds = divmod(stamp_ns, NANOSECONDS)
    stamp = types['builtin_interfaces/msg/Time'](sec=seconds, nanosec=nanoseconds)
    return types['std_msgs/msg/Header'](stamp=stamp, frame_id='')


def emg_bytes(chunk: EmgChunk) -> bytes:
    """Return an EmgArray with the samples (V) of a chunk."""
    store = typestore()
    message = store.types[EMG_TYPE](
        header=_header(chunk.stamp_ns),
        sampling_rate=float(chunk.sampling_rate),
        first_sample=int(chunk.first_sample),
        channels=chunk.samples.shape[1],
        samples=np.ascontiguousarray(chunk.samples, dtype=np.float32).reshape(-1),
    )
    return bytes(store.serialize_cdr(message, EMG_TYPE))
