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

"""Small checkpoints and recordings in memory, without files, training or ROS."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import EmgChunk, JointTrack, LabelTrack, NANOSECONDS, Recording
from leconvmn_ros.dataset.hold_out import HoldOut, RepetitionHoldOut, Role
from leconvmn_ros.decoding.checkpoint import Checkpoint, Description, JointOutput, TrainingRecord
from leconvmn_ros.emg.signal_path import FeatureStatistics, SignalPathConfig
from leconvmn_ros.models.config import MEMBER_WEIGHTS, ModelConfig
from leconvmn_ros.models.le_convmn import LeConvMnConfig, StackConfig
from leconvmn_ros.models.lstm import LstmConfig
from leconvmn_ros.models.network import Network
import numpy as np
import torch

RATE = 100.0
CHANNELS = 3
START_NS = NANOSECONDS
PERIOD_NS = 10_000_000  # of one sample at RATE
# Reference angles come at half of RATE, and not with the first sample.
REFERENCE_STEP = 2
JOINTS = JOINT_NAMES[:3]
HOLD_OUT = RepetitionHoldOut(validation=(2,), test=(3,))


def one_stack(**options) -> LeConvMnConfig:
    """Return the configuration of a LE-ConvMN of a single stack, as the paper's is."""
    forget_bias = options.pop('forget_bias', 1.0)
    return LeConvMnConfig(stacks=(StackConfig(**options),), forget_bias=forget_bias)


def make_description(
    *,
    joints: Sequence[str] = JOINTS,
    planes: Sequence[int] = (4,),
    model: LeConvMnConfig | LstmConfig | None = None,
    hold_out: HoldOut = HOLD_OUT,
    limits: tuple[float, float] = (-10.0, 10.0),
    **signal_path,
) -> Description:
    signal_path = {'channels': CHANNELS, 'sampling_rate': RATE} | signal_path
    channels = signal_path['channels']
    return Description(
        package_version='test',
        model=model or one_stack(planes=tuple(planes)),
        signal_path=SignalPathConfig(**signal_path),
        statistics=FeatureStatistics(mean=(0.3,) * channels, scale=(0.05,) * channels),
        joints=tuple(
            JointOutput(name=name, mean=0.1 * j, scale=0.5, lower=limits[0], upper=limits[1])
            for j, name in enumerate(joints)
        ),
        training=TrainingRecord(
            recordings=('made up',),
            information=({'subject': 'nobody'},),
            hold_out=hold_out,
            settings={'epochs': 3},
            epochs=3,
            best_epoch=2,
            validation={'loss': 0.5},
            seconds=1.5,
        ),
    )


def make_checkpoint(*, seed: int = 0, gain: float = 20.0, **description) -> Checkpoint:
    """Return an untrained decoder whose head is enlarged, so that its angles move."""
    described = make_description(**description)
    torch.manual_seed(seed)
    model = described.model.build(described.signal_path.image_size, len(described.joints))
    weights = {
        name: array * np.float32(gain if name.endswith('head.weight') else 1)
        for name, array in model.trained_weights().items()
    }
    return Checkpoint(described, weights)


def random_network(
    config: ModelConfig,
    image_size: tuple[int, int] = (4, 6),
    joints: int = 3,
    *,
    spread: float = 0.5,
    seed: int = 0,
) -> Network:
    """Return a network with active gates and unequal weights of its members."""
    random = np.random.default_rng(seed)
    weights = {
        name: (spread * random.standard_normal(shape)).astype(np.float32)
        for name, shape in config.weight_shapes(image_size, joints).items()
    }
    if MEMBER_WEIGHTS in weights:
        members = np.arange(1.0, len(weights[MEMBER_WEIGHTS]) + 1, dtype=np.float32)
        weights[MEMBER_WEIGHTS] = members / members.sum()
    return Network(config, image_size, joints, weights)


def make_emg(samples: int, channels: int = CHANNELS, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    loudness = 1e-4 * (1.1 + np.sin(np.arange(samples) / 17)[:, None] + np.zeros(channels))
    return (loudness * random.standard_normal((samples, channels))).astype(np.float32)


def cut(emg: np.ndarray, sizes: Iterable[int], rate: float = RATE) -> list[EmgChunk]:
    """Cut EMG into messages of these sizes; the last takes the remainder."""
    edges = [0]
    for size in sizes:
        edges.append(min(edges[-1] + size, len(emg)))
    edges.append(len(emg))
    return [
        EmgChunk(START_NS + round(first * NANOSECONDS / rate), rate, first, emg[first:last])
        for first, last in pairwise(edges)
        if first < last
    ]


def evenly_cut(emg: np.ndarray, size: int, rate: float = RATE) -> list[EmgChunk]:
    return cut(emg, [size] * (len(emg) // size), rate)


def make_recording(
    *,
    repetitions: int = 5,
    repetition_length: int = 200,
    chunk: int = 10,
    seed: int = 0,
    joints: Sequence[str] = JOINTS,
    name: str = 'made up',
) -> Recording:
    """Return a recording whose angles follow the loudness of the EMG, so that they can be learnt.

    Joint j follows channel j, smoothly. The repetitions follow one another without a break.
    """
    random = np.random.default_rng(seed)
    samples = repetitions * repetition_length
    time = np.arange(samples) / RATE
    phases = random.uniform(0, 6, len(joints))
    bend = 0.5 + 0.5 * np.sin(2 * np.pi * 0.5 * time[:, None] + phases)  # 0 to 1
    loudness = 1e-5 * 30 ** bend[:, np.arange(CHANNELS) % len(joints)]
    emg = (loudness * random.standard_normal((samples, CHANNELS))).astype(np.float32)
    stamps_ns = START_NS + PERIOD_NS * np.arange(samples)
    measured = slice(0, samples, REFERENCE_STEP)
    starts = stamps_ns[::repetition_length]
    return Recording(
        name,
        evenly_cut(emg, chunk),
        JointTrack(stamps_ns[measured], tuple(joints), bend[measured]),
        LabelTrack(starts, np.ones(repetitions, dtype=np.int64), np.arange(1, repetitions + 1)),
        {'subject': 'nobody'},
    )


def with_emg(recording: Recording, emg: np.ndarray, chunk: int = 10) -> Recording:
    return replace(recording, chunks=evenly_cut(emg, chunk))


def emg_of(recording: Recording) -> np.ndarray:
    return np.concatenate([chunk.samples for chunk in recording.chunks])


def changed_where(recording: Recording, role: Role, hold_out: HoldOut) -> Recording:
    """Return the recording with other EMG and angles wherever it has this role."""
    emg = emg_of(recording)
    stamps_ns = START_NS + PERIOD_NS * np.arange(len(emg))
    of_emg = hold_out.roles(stamps_ns, recording.labels, recording.span_ns) == role
    track = recording.reference
    of_track = hold_out.roles(track.stamps_ns, recording.labels, recording.span_ns) == role
    random = np.random.default_rng(1)
    emg[of_emg] = 0.3 * random.standard_normal((int(of_emg.sum()), emg.shape[1]))
    positions = track.positions.copy()
    positions[of_track] = 1 + random.uniform(size=(int(of_track.sum()), positions.shape[1]))
    return replace(
        with_emg(recording, emg), reference=JointTrack(track.stamps_ns, track.names, positions)
    )


def weights_of(checkpoint: Checkpoint) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in checkpoint.weights.items()}
