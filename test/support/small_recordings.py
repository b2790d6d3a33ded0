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

"""Small bags and saved untrained decoders, for tests of the nodes."""

from collections.abc import Sequence
from pathlib import Path

from builders import make_checkpoint
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import SampledSubject
from leconvmn_ros.recordings.bags import write_bag
import numpy as np

RATE, CHANNELS = 200.0, 4


def sampled_subject(
    seconds: float, *, rate: float = RATE, channels: int = CHANNELS, seed: int = 0
) -> SampledSubject:
    """Make noise of alternating level, moving fingers, and a repetition every 2 s."""
    random = np.random.default_rng(seed)
    samples = round(seconds * rate)
    time = np.arange(samples) / rate
    loudness = 1e-4 * (1.1 + np.sin(2 * np.pi * 0.7 * time[:, None] + np.arange(channels)))
    joints = np.arange(len(JOINT_NAMES))
    second = time.astype(np.int64)
    return SampledSubject(
        name='small',
        sampling_rate=rate,
        emg=(loudness * random.standard_normal((samples, channels))).astype(np.float32),
        positions=0.6 + 0.3 * np.sin(2 * np.pi * 0.3 * time[:, None] + joints),
        movement=second % 2,
        repetition=second // 2 + 1,
    )


def small_bag(folder: Path, seconds: float, **options: float) -> Path:
    """Write a bag of `sampled_subject`; `chunk_duration` is for the bag, the rest for it."""
    bag = folder / 'bag'
    chunk_duration = options.pop('chunk_duration', 0.02)
    write_bag(sampled_subject(seconds, **options), bag, chunk_duration=chunk_duration)
    return bag


def untrained_checkpoint(
    folder: Path,
    *,
    rate: float = RATE,
    channels: int = CHANNELS,
    planes: Sequence[int] = (4,),
    column_period: float = 0,
) -> Path:
    """Save a decoder with random weights that fits `small_bag`; it holds out repetition 3."""
    checkpoint = make_checkpoint(
        joints=JOINT_NAMES,
        planes=planes,
        limits=(-3.0, 3.0),
        channels=channels,
        sampling_rate=rate,
        column_period=column_period,
    )
    checkpoint.save(folder / 'checkpoint')
    return folder / 'checkpoint'
