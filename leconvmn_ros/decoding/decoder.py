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

"""The decoder: EMG chunks in, time-stamped joint angles out; live and offline alike."""

from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import NamedTuple

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.decoding.checkpoint import Checkpoint
from leconvmn_ros.decoding.network_streams import NetworkStreams
from leconvmn_ros.decoding.output_limits import OutputLimits
from leconvmn_ros.emg.electrode_map import ImageMapper
from leconvmn_ros.emg.intake import Intake, IntakeCounts, Piece
from leconvmn_ros.emg.level import IMPOSSIBLE, level_words, LevelMeter
from leconvmn_ros.emg.signal_path import Image, LongExposure, SignalPath
from leconvmn_ros.emg.signal_quality import SignalQuality
from leconvmn_ros.engines.devices import find_device
from leconvmn_ros.engines.registry import AUTO, threads_for
from leconvmn_ros.models.config import MOST_STATE_VALUES
from leconvmn_ros.models.network import Network
import numpy as np
from numpy.typing import NDArray

# Estimates per second unless asked otherwise: what a hand's controller expects, at a fifth of an
# image's length.
DEFAULT_OUTPUT_RATE = 50.0


class Estimate(NamedTuple):
    """One state of the hand.

    Attributes:
        stamp_ns: acquisition time of the last sample used (ns).
        positions: angles in the order of `Decoder.joint_names` (rad), shape (joints,).
    """

    stamp_ns: int
    positions: NDArray[np.float64]


class _Completed(NamedTuple):
    """An image, the time of its last sample (ns), and whether the input can be trusted."""

    stamp_ns: int
    image: Image
    believed: bool


class Decoder:
    """Runs a checkpoint over a stream of EMG.

    One recurrent stream gives one estimate per image. For a higher rate, K streams with a state of
    their own take turns, each shifted by 1/K of an image (polyphase), so every stream sees what
    the network saw in training.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        output_rate: float = DEFAULT_OUTPUT_RATE,
        device: str = 'cpu',
        engine: str = AUTO,
        threads: int = 0,
        greatest_age: float = 0,
        speed_limit: float = 0,
    ) -> None:
        """Prepare to decode.

        Args:
            checkpoint: the trained decoder.
            output_rate: estimates per second (Hz), rounded to a whole number of streams; 0 = one
                per image.
            device: 'auto', 'cpu' or 'cuda', see `find_device`.
            engine: what runs the network, see `engines.registry`; 'auto' is a rule, no race.
            threads: of the CPU for the network; 0 = as many as its size asks for.
            greatest_age: chunks that are older when they arrive are refused (s); 0 = none.
            speed_limit: how fast an angle may change from estimate to estimate (rad/s); 0 = any.

        Raises:
            ConfigurationError: the rate, the device or the engine is not possible.
        """
        path = checkpoint.description.signal_path
        joints = checkpoint.description.joints
        self._streams = _streams_for(output_rate, path.exposure, path.image_length)
        self.channels = path.channels
        self.sampling_rate = path.sampling_rate
        self.joint_names = tuple(joint.name for joint in joints)
        self._intake = Intake(path.channels, path.sampling_rate, greatest_age=greatest_age)
        self._signal_path = SignalPath(path, checkpoint.description.statistics)
        self._level = LevelMeter(path, checkpoint.description.statistics)
        electrode_map = checkpoint.description.electrode_map
        self._mapper = None if electrode_map is None else ImageMapper(electrode_map)
        self.quality = SignalQuality(
            path,
            self.counts,
            can_mask=checkpoint.description.standardised,
            usual=None if electrode_map is None else electrode_map.usual,
        )
        self._images = LongExposure(
            path.image_length, path.channels, column_step=path.column_step, streams=self._streams
        )
        network = checkpoint.network()
        check_streams(network, self._streams)
        work = network.config.multiplications(network.image_size, network.joints)
        self._network = NetworkStreams(
            network,
            self._streams,
            find_device(device),
            engine,
            threads or threads_for(work, self.output_rate),
        )
        self._mean = np.array([joint.mean for joint in joints])
        self._scale = np.array([joint.scale for joint in joints])
        self._lower = np.array([joint.lower for joint in joints])
        self._upper = np.array([joint.upper for joint in joints])
        # Of all estimates so far, and how many of them were beyond what the training had.
        self.angles = self.angles_at_a_limit = 0
        self._output = OutputLimits(speed_limit, 1 / self.output_rate, self.counts)
        self.reset()

    @property
    def output_rate(self) -> float:
        """Estimates per second (Hz)."""
        return self._streams * self.sampling_rate / self._images.length

    @property
    def device(self) -> str:
        """What the network runs on."""
        return self._network.engine.device

    @property
    def counts(self) -> IntakeCounts:
        """What came in so far and what was wrong with it."""
        return self._intake.counts

    @property
    def not_finite_values(self) -> NDArray[np.int64]:
        """Values that were NaN or infinite so far, shape (channels,)."""
        return self._intake.not_finite_values

    @property
    def contradiction(self) -> str:
        """Why the source cannot be believed at all, in words; empty if it can."""
        measured = self._intake.measured_rate
        if measured is not None and self._intake.rate_contradicts:
            return (
                f'the source says {self.sampling_rate:g} Hz, but by stamps and counter it takes '
                f'{measured:.4g} samples a second: no estimates'
            )
        return f'{self.level_remark} No estimates' if self._too_loud else ''

    @property
    def level_remark(self) -> str:
        """That the EMG is far louder or quieter than in training, in words; empty if not."""
        return level_words(self._level.ratio)

    @property
    def _too_loud(self) -> bool:
        ratio = self._level.ratio
        return ratio is not None and ratio > IMPOSSIBLE

    def decode(self, chunk: EmgChunk, now_ns: int | None = None) -> list[Estimate]:
        """Take the next chunk and return the estimates it completes, in time order.

        Faults of the input are counted in `counts` and never raise.

        Args:
            chunk: the samples.
            now_ns: time at which they arrived, by the clock of their stamps (ns); without it their
                age is not judged.
        """
        return list(self.decode_each(chunk, now_ns))

    def decode_each(self, chunk: EmgChunk, now_ns: int | None = None) -> Iterator[Estimate]:
        """Do the same, but yield each estimate as soon as it is there.

        Whoever stops before the end must `reset` the decoder.
        """
        for piece in self._intake.accept(chunk, now_ns):
            if piece.restart:
                self._restart()
            for image in self._completed(piece):
                yield from self._estimates([image])

    def decode_together(self, chunks: Iterable[EmgChunk]) -> Iterator[list[Estimate]]:
        """Take chunks that are all there already; yield the same estimates, some at a time.

        An image waits until there is one of every stream, and the network takes them all at once.
        """
        waiting: list[_Completed] = []
        for chunk in chunks:
            for piece in self._intake.accept(chunk):
                if piece.restart:
                    yield self._estimates(waiting)
                    waiting = []
                    self._restart()
                for image in self._completed(piece):
                    waiting.append(image)
                    if len(waiting) == self._streams:
                        yield self._estimates(waiting)
                        waiting = []
        yield self._estimates(waiting)

    def _completed(self, piece: Piece) -> Iterator[_Completed]:
        """Yield the images that a piece completes."""
        features = self._signal_path.push(piece.samples)
        self._level.add(features)
        possible = not (self._intake.rate_contradicts or self._too_loud)
        enough_channels = self.quality.mask(piece.samples, features)
        for image in self._images.push(features):
            stamp_ns = piece.stamp_ns + round(image.last * NANOSECONDS / self.sampling_rate)
            believed = bool(enough_channels[image.last]) and possible
            if self._mapper is not None:
                image = image._replace(pixels=self._mapper.apply(image.pixels))  # noqa: PLW2901
            yield _Completed(stamp_ns, image, believed)

    def _estimates(self, completed: Sequence[_Completed]) -> list[Estimate]:
        """Advance the streams of these images, which differ; return the valid estimates."""
        estimates: list[Estimate] = []
        images = [image for _, image, _ in completed]
        outputs = self._network.advance([i.stream for i in images], [i.pixels for i in images])
        for (stamp_ns, image, believed), output in zip(completed, outputs, strict=True):
            if not np.isfinite(output).all():
                # It would stay in the state of the stream.
                self._network.reset(image.stream)
                self.counts.failed_estimates += 1
            elif not believed:
                self.counts.withheld_estimates += 1
            else:
                estimates += self._limited(stamp_ns, output * self._scale + self._mean)
        return estimates

    def rest(self, stamp_ns: int) -> list[Estimate]:
        """Return the rest pose at a time, for as long as no EMG comes; see `decode`.

        It is the mean of the training angles: a posture of this hand by this measurement, while
        angles of 0 may be none.
        """
        return self._limited(stamp_ns, self._mean)

    def _limited(self, stamp_ns: int, positions: NDArray[np.float64]) -> list[Estimate]:
        clipped = positions.clip(self._lower, self._upper)
        self.angles += len(positions)
        self.angles_at_a_limit += int(np.count_nonzero(clipped != positions))
        limited = self._output.limited(stamp_ns, clipped)
        return [] if limited is None else [Estimate(stamp_ns, limited)]

    def reset(self) -> None:
        """Expect a new source: forget all samples and all recurrent state, keep the counts."""
        self._intake.reset()
        self._level.reset()
        self.quality.reset()
        self._output.reset()
        self._restart()

    def _restart(self) -> None:
        """Reset all but the intake: the next sample does not follow the last one."""
        self._signal_path.reset()
        self.quality.interrupt()
        self._output.restart()
        self._images.reset()
        self._network.reset()

    @property
    def engine(self) -> str:
        """Name of what runs the network, see `engines.registry`."""
        return self._network.engine.name

    def warm_up(self) -> float:
        """Run some steps of the network, so that the first image is not slow, and reset.

        Returns:
            Median time of one step of the network (s).
        """
        seconds = self._network.warm_up()
        self.reset()
        return seconds


def check_streams(network: Network, streams: int) -> None:
    """Refuse more memory for the states of all streams than a network of this package takes.

    Raises:
        ConfigurationError: more than MOST_STATE_VALUES.
    """
    shapes = network.config.state_shapes(network.image_size, network.joints)
    values = sum(map(prod, shapes))
    if streams * values > MOST_STATE_VALUES:
        raise ConfigurationError(
            f'{streams} streams (output rate times exposure) of {values} state values each; '
            f'allowed are {MOST_STATE_VALUES} together'
        )


def _streams_for(output_rate: float, exposure: float, image_length: int) -> int:
    # NaN fails the comparison as well; infinity could not be rounded.
    possible = 0 <= output_rate * exposure < image_length + 0.5
    streams = max(1, round(output_rate * exposure)) if possible else 0
    if not 1 <= streams <= image_length:
        raise ConfigurationError(
            f'output rate {output_rate} Hz; '
            f'allowed are 0 (one estimate per image, {1 / exposure:g} Hz) '
            f'to {image_length / exposure:g} Hz (one per sample)'
        )
    return streams
