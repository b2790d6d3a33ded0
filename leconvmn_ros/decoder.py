# Copyright 2026 The leconvmn_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The decoder: EMG chunks in, time-stamped joint angles out. The live node and the offline evaluation both run this."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from leconvmn_ros.checkpoint import Checkpoint
from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.intake import Intake, IntakeCounts
from leconvmn_ros.recording import NANOSECONDS, EmgChunk
from leconvmn_ros.signal_path import Image, LongExposure, SignalPath

# Estimates per second unless asked otherwise: what a hand's controller expects, at a fifth of an image's length.
DEFAULT_OUTPUT_RATE = 50.0


class Estimate(NamedTuple):
    """One state of the hand.

    Attributes:
        stamp_ns: acquisition time of the last sample used (ns).
        positions: angles in the order of `Decoder.joint_names` (rad), shape (joints,).
    """

    stamp_ns: int
    positions: NDArray[np.float64]


class Decoder:
    """Runs a checkpoint over a stream of EMG.

    One recurrent stream gives one estimate per image. For a higher rate, K streams with a state of their own take
    turns, each shifted by 1/K of an image (polyphase), so every stream sees what the network saw in training.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, output_rate: float = DEFAULT_OUTPUT_RATE, device: str = 'cpu'
    ) -> None:
        """Prepare to decode.

        Args:
            checkpoint: the trained decoder.
            output_rate: estimates per second (Hz), rounded to a whole number of streams; 0 = one per image.
            device: a torch device, such as 'cpu' or 'cuda'.

        Raises:
            ConfigurationError: the rate or the device is not possible.
        """
        path = checkpoint.description.signal_path
        joints = checkpoint.description.joints
        self._streams = _streams_for(output_rate, path.exposure, path.image_length)
        self.channels = path.channels
        self.sampling_rate = path.sampling_rate
        self.joint_names = tuple(joint.name for joint in joints)
        self._intake = Intake(path.channels, path.sampling_rate)
        self._signal_path = SignalPath(path, checkpoint.description.statistics)
        self._images = LongExposure(
            path.image_length, path.channels, column_step=path.column_step, streams=self._streams
        )
        self._device = _device(device)
        self._model = checkpoint.build_model().to(self._device)
        self._mean = np.array([joint.mean for joint in joints])
        self._scale = np.array([joint.scale for joint in joints])
        self._lower = np.array([joint.lower for joint in joints])
        self._upper = np.array([joint.upper for joint in joints])
        self.reset()

    @property
    def output_rate(self) -> float:
        """Estimates per second (Hz)."""
        return self._streams * self.sampling_rate / self._images.length

    @property
    def counts(self) -> IntakeCounts:
        """What came in so far and what was wrong with it."""
        return self._intake.counts

    def decode(self, chunk: EmgChunk) -> list[Estimate]:
        """Take the next chunk and return the estimates it completes, in time order.

        Faults of the input are counted in `counts` and never raise.
        """
        estimates = []
        for piece in self._intake.accept(chunk):
            if piece.restart:
                self._forget()
            features = self._signal_path.push(piece.samples)
            for image in self._images.push(features):
                stamp_ns = piece.stamp_ns + round(image.last * NANOSECONDS / self.sampling_rate)
                estimates.append(Estimate(stamp_ns, self._step(image)))
        return estimates

    def reset(self) -> None:
        """Expect a new source: forget all samples and all recurrent state, keep the counts."""
        self._intake.reset()
        self._forget()

    def _forget(self) -> None:
        self._signal_path.reset()
        self._images.reset()
        self._states = [self._model.initial_state() for _ in range(self._streams)]

    def warm_up(self) -> None:
        """Run the network once per stream, so that the first real image is not slowed by first-time work."""
        for stream in range(self._streams):
            self._step(Image(stream, 0, np.zeros(self._model.image_size, dtype=np.float32)))
        self.reset()

    @torch.inference_mode()
    def _step(self, image: Image) -> NDArray[np.float64]:
        pixels = torch.from_numpy(image.pixels).unsqueeze(0).to(self._device)
        output, self._states[image.stream] = self._model(pixels, self._states[image.stream])
        angles = self._mean + self._scale * output[0].double().cpu().numpy()
        return np.clip(angles, self._lower, self._upper)


def _streams_for(output_rate: float, exposure: float, image_length: int) -> int:
    streams = max(1, round(output_rate * exposure))
    if not output_rate >= 0 or streams > image_length:
        raise ConfigurationError(
            f'output rate {output_rate} Hz; allowed are 0 (one estimate per image, {1 / exposure:g} Hz) '
            f'to {image_length / exposure:g} Hz (one per sample)'
        )
    return streams


def _device(name: str) -> torch.device:
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(
            f'device {name!r} cannot be used; allowed are auto, cpu and cuda where torch finds a GPU'
        ) from error
    return device
