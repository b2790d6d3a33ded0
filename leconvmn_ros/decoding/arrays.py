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

"""Decodes EMG in a NumPy array, as in a notebook."""

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import EmgChunk, JointTrack
from leconvmn_ros.decoding.decoder import Decoder
import numpy as np
from numpy.typing import NDArray


def decode_array(decoder: Decoder, emg: NDArray[np.floating], sampling_rate: float) -> JointTrack:
    """Decode EMG without gaps; the estimates equal those of live decoding.

    The decoder is reset first. The first sample is at time 0.

    Args:
        decoder: see `Decoder`, which has the number of channels and the rate.
        emg: amplitudes (V), shape (samples, channels).
        sampling_rate: samples per second of each channel (Hz).

    Returns:
        The estimates: times (ns), joint names, and angles (rad), shape (estimates, joints).

    Raises:
        RecordingError: the array does not fit the decoder, has values that are not finite, or is
            shorter than one image.
    """
    emg = np.asarray(emg)
    if emg.ndim != 2 or emg.shape[1] != decoder.channels or emg.dtype.kind not in 'fiu':
        raise RecordingError(
            f'EMG of shape {emg.shape} and type {emg.dtype}; the decoder takes numbers of shape '
            f'(samples, {decoder.channels})'
        )
    if not np.isfinite(emg).all():
        sample, channel = np.argwhere(~np.isfinite(emg))[0]
        raise RecordingError(
            f'{np.sum(~np.isfinite(emg))} values of the EMG are NaN or infinite, the first at '
            f'sample {sample} of channel {channel}'
        )
    decoder.reset()
    chunk = EmgChunk(0, sampling_rate, 0, emg.astype(np.float32))
    refused = decoder.counts.wrong_rate
    estimates = [e for some in decoder.decode_together([chunk]) for e in some]
    if decoder.counts.wrong_rate > refused:
        raise RecordingError(
            f'EMG at {sampling_rate:g} Hz; the decoder takes {decoder.sampling_rate:g} Hz'
        )
    if not estimates:
        raise RecordingError(f'{len(emg)} samples of EMG gave no estimate: shorter than one image')
    return JointTrack(
        np.array([estimate.stamp_ns for estimate in estimates], dtype=np.int64),
        decoder.joint_names,
        np.array([estimate.positions for estimate in estimates]),
    )
