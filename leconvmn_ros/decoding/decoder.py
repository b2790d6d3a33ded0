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
from functools import partial
from math import prod

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.decoding.checkpoint import Checkpoint
from leconvmn_ros.decoding.lane import Completed, Estimate, Lane
from leconvmn_ros.decoding.network_streams import NetworkStreams
from leconvmn_ros.decoding.side_by_side import decode_side_by_side
from leconvmn_ros.emg.electrode_map import ElectrodeMap
from leconvmn_ros.emg.emg_memory import EmgMemory
from leconvmn_ros.emg.intake import IntakeCounts
from leconvmn_ros.engines.devices import find_device
from leconvmn_ros.engines.registry import AUTO, threads_for
from leconvmn_ros.models.config import MOST_STATE_VALUES
from leconvmn_ros.models.network import Network
import numpy as np
from numpy.typing import NDArray

# Estimates per second unless asked otherwise: what a hand's controller expects, at a fifth of an
# image's length.
DEFAULT_OUTPUT_RATE = 50.0


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
        follow_drift: bool = False,
        remember: float = 0,
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
            follow_drift: follow slow drift of each channel, see `drift.py`.
            remember: how much of the newest EMG is kept for adaptation (s), see `recent_emg`.

        Raises:
            ConfigurationError: the rate, the device or the engine is not possible, or drift cannot
                be followed.
        """
        path = checkpoint.description.signal_path
        self._streams = _streams_for(output_rate, path.exposure, path.image_length)
        self.channels = path.channels
        self.sampling_rate = path.sampling_rate
        self._output_rate = self._streams * path.sampling_rate / path.image_length
        self.joint_names = tuple(joint.name for joint in checkpoint.description.joints)
        self._new_lane = partial(
            Lane,
            checkpoint.description,
            self._streams,
            greatest_age,
            speed_limit,
            follow_drift=follow_drift,
        )
        self._lane = self._new_lane()
        self.quality = self._lane.quality
        self.input_map = self._lane.input_map
        if remember:
            self._lane.memory = EmgMemory(path.channels, path.sampling_rate, remember)
        network = checkpoint.network()
        self._sources_at_once = _sources_at_once(network, self._streams)
        work = network.config.multiplications(network.image_size, network.joints)
        self._network = NetworkStreams(
            network,
            self._streams,
            find_device(device),
            engine,
            threads or threads_for(work, self.output_rate),
        )
        self.reset()

    @property
    def output_rate(self) -> float:
        """Estimates per second (Hz)."""
        return self._output_rate

    @property
    def device(self) -> str:
        """What the network runs on."""
        return self._network.engine.device

    @property
    def counts(self) -> IntakeCounts:
        """What came in so far and what was wrong with it."""
        return self._lane.counts

    @property
    def not_finite_values(self) -> NDArray[np.int64]:
        """Values that were NaN or infinite so far, shape (channels,)."""
        return self._lane.not_finite_values

    @property
    def angles(self) -> int:
        """Number of angles so far."""
        return self._lane.angles

    @property
    def angles_at_a_limit(self) -> int:
        """How many of them were beyond what the training had."""
        return self._lane.angles_at_a_limit

    @property
    def contradiction(self) -> str:
        """Why the source cannot be believed at all, in words; empty if it can."""
        return self._lane.contradiction

    @property
    def level_remark(self) -> str:
        """That the EMG is far louder or quieter than in training, in words; empty if not."""
        return self._lane.level_remark

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
        for accepted in self._lane.accept(chunk, now_ns):
            if accepted.piece.restart:
                self._lane.restart()
                self._network.reset()
            for completed in self._lane.completed([accepted]):
                yield from self._estimates([completed])

    def decode_together(self, chunks: Iterable[EmgChunk]) -> Iterator[list[Estimate]]:
        """Take chunks that are all there already; yield the same estimates, some at a time.

        An image waits until there is one of every stream, and the network takes them all at once.
        """
        for (estimates,) in decode_side_by_side([self._lane], [chunks], self._network):
            yield estimates

    def decode_side_by_side(self, sources: Sequence[Iterable[EmgChunk]]) -> list[list[Estimate]]:
        """Return the estimates of several sources, each as a new decoder of this kind gives them.

        The network takes all sources as one batch. What this decoder knows of its own source, and
        its counts, stay as they are.

        Args:
            sources: chunks that are all there already, of each source.
        """
        found: list[list[Estimate]] = []
        for first in range(0, len(sources), self._sources_at_once):
            some = sources[first : first + self._sources_at_once]
            lanes = [self._new_lane() for _ in some]
            network = self._network.beside(len(some) * self._streams)
            parts: list[list[Estimate]] = [[] for _ in some]
            for step in decode_side_by_side(lanes, some, network):
                for part, estimates in zip(parts, step, strict=True):
                    part.extend(estimates)
            found += parts
        return found

    def _estimates(self, completed: Sequence[Completed]) -> list[Estimate]:
        """Advance the streams of these images, which differ; return the valid estimates."""
        outputs = self._network.advance(
            [image.stream for _, image, _ in completed],
            [image.pixels for _, image, _ in completed],
        )
        estimates, failed = self._lane.estimates(completed, outputs)
        for stream in failed:
            self._network.reset(stream)
        return estimates

    def rest(self, stamp_ns: int) -> list[Estimate]:
        """Return the rest pose at a time, for as long as no EMG comes; see `decode`.

        It is the mean of the training angles: a posture of this hand by this measurement, while
        angles of 0 may be none.
        """
        return self._lane.rest(stamp_ns)

    def adopt(self, electrode_map: ElectrodeMap | None) -> None:
        """Decode with another map of the electrodes from now on; it is blended in over a second.

        It stays until another one is adopted; `reset` keeps it.

        Args:
            electrode_map: of the electrodes as they sit now; None for that of the training.
        """
        self.input_map.adopt(electrode_map)

    def recent_emg(self) -> list[EmgChunk]:
        """Return the newest EMG, as much as `remember` says, one chunk per gapless stretch."""
        return [] if self._lane.memory is None else self._lane.memory.chunks()

    def reset(self) -> None:
        """Expect a new source: forget all samples and all recurrent state, keep the counts."""
        self._lane.reset()
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


def _sources_at_once(network: Network, streams: int) -> int:
    """Return for how many sources the states of all streams fit into the memory allowed.

    Raises:
        ConfigurationError: those of one need more than MOST_STATE_VALUES.
    """
    shapes = network.config.state_shapes(network.image_size, network.joints)
    values = sum(map(prod, shapes))
    if streams * values > MOST_STATE_VALUES:
        raise ConfigurationError(
            f'{streams} streams (output rate times exposure) of {values} state values each; '
            f'allowed are {MOST_STATE_VALUES} together'
        )
    return MOST_STATE_VALUES // max(1, streams * values)


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
