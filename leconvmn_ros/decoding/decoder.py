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

"""The decoder: EMG chunks in, time-stamped joint angles out, both live and offline."""

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

# Default estimates per second: what the controller of a hand expects, and five per image of
# 100 ms.
DEFAULT_OUTPUT_RATE = 50.0


class Decoder:
    """Runs a checkpoint over a stream of EMG.

    One recurrent stream gives one estimate per image. For a higher rate, K streams with separate
    hidden states take turns, each shifted by 1/K of an image (polyphase), so that every stream
    sees images as in training.
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
            engine: engine of the network, see `engines.registry`; 'auto' selects by a fixed rule.
            threads: number of CPU threads for the network; 0 = as many as its size needs.
            greatest_age: age beyond which arriving chunks are rejected (s); 0 = none.
            speed_limit: largest speed of an angle between estimates (rad/s); 0 = none.
            follow_drift: follow slow drift of each channel, see `drift.py`.
            remember: duration of the newest EMG to keep for adaptation (s), see `recent_emg`.

        Raises:
            ConfigurationError: the rate, the device or the engine is impossible, or drift cannot
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
        """The device of the network."""
        return self._network.engine.device

    @property
    def counts(self) -> IntakeCounts:
        """Counts of what was received, and of faults."""
        return self._lane.counts

    @property
    def not_finite_values(self) -> NDArray[np.int64]:
        """Number of NaN or infinite values so far, shape (channels,)."""
        return self._lane.not_finite_values

    @property
    def angles(self) -> int:
        """Number of angles so far."""
        return self._lane.angles

    @property
    def angles_at_a_limit(self) -> int:
        """Number of these angles that were outside their range in training."""
        return self._lane.angles_at_a_limit

    @property
    def contradiction(self) -> str:
        """Why the source cannot be trusted at all, in words; empty if it can."""
        return self._lane.contradiction

    @property
    def level_remark(self) -> str:
        """A message if the EMG is far louder or quieter than in training, else ''."""
        return self._lane.level_remark

    def decode(self, chunk: EmgChunk, now_ns: int | None = None) -> list[Estimate]:
        """Take the next chunk and return the estimates it completes, in order of time.

        Faults of the input are counted in `counts` and never raise.

        Args:
            chunk: the samples.
            now_ns: its time of arrival, by the clock of the stamps (ns); None = ignore its
                age.
        """
        return list(self.decode_each(chunk, now_ns))

    def decode_each(self, chunk: EmgChunk, now_ns: int | None = None) -> Iterator[Estimate]:
        """Decode likewise, but yield each estimate as soon as it is computed.

        A caller who stops before the end must `reset` the decoder.
        """
        for accepted in self._lane.accept(chunk, now_ns):
            if accepted.piece.restart:
                self._lane.restart()
                self._network.reset()
            for completed in self._lane.completed([accepted]):
                yield from self._estimates([completed])

    def decode_together(self, chunks: Iterable[EmgChunk]) -> Iterator[list[Estimate]]:
        """Take chunks that are all available; yield the same estimates, several at a time.

        Images are collected until there is one of every stream, and then run as a batch.
        """
        for (estimates,) in decode_side_by_side([self._lane], [chunks], self._network):
            yield estimates

    def decode_side_by_side(self, sources: Sequence[Iterable[EmgChunk]]) -> list[list[Estimate]]:
        """Return the estimates of several sources, each as a new decoder of this kind gives them.

        The network runs all sources as one batch. This decoder's own state and counts are not
        changed.

        Args:
            sources: available chunks of each source.
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
        """Advance the (different) streams of these images; return the valid estimates."""
        outputs = self._network.advance(
            [image.stream for _, image, _ in completed],
            [image.pixels for _, image, _ in completed],
        )
        estimates, failed = self._lane.estimates(completed, outputs)
        for stream in failed:
            self._network.reset(stream)
        return estimates

    def rest(self, stamp_ns: int) -> list[Estimate]:
        """Return the rest pose at a time, for use while no EMG comes; see `decode`.

        It is the mean of the training angles, a real posture of this hand as measured, which
        angles of 0 need not be.
        """
        return self._lane.rest(stamp_ns)

    def adopt(self, electrode_map: ElectrodeMap | None) -> None:
        """Use another map of the electrodes from now on, blended in over a second.

        It stays in use until another one is adopted, also after `reset`.

        Args:
            electrode_map: map for the present electrode positions; None for that of training.
        """
        self.input_map.adopt(electrode_map)

    def recent_emg(self) -> list[EmgChunk]:
        """Return the newest EMG, up to `remember`, one chunk per gapless stretch."""
        return [] if self._lane.memory is None else self._lane.memory.chunks()

    def reset(self) -> None:
        """Expect a new source: reset samples and hidden states, keep the counts."""
        self._lane.reset()
        self._network.reset()

    @property
    def engine(self) -> str:
        """Name of the engine, see `engines.registry`."""
        return self._network.engine.name

    def warm_up(self) -> float:
        """Run some steps of the network so that the first image is not slow, then reset.

        Returns:
            Median time of one step of the network (s).
        """
        seconds = self._network.warm_up()
        self.reset()
        return seconds


def _sources_at_once(network: Network, streams: int) -> int:
    """Return for how many sources the states of all streams fit into the allowed memory.

    Raises:
        ConfigurationError: one source alone needs more than MOST_STATE_VALUES.
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
    # NaN fails the comparison, too; infinity could not be rounded.
    possible = 0 <= output_rate * exposure < image_length + 0.5
    streams = max(1, round(output_rate * exposure)) if possible else 0
    if not 1 <= streams <= image_length:
        raise ConfigurationError(
            f'output rate {output_rate} Hz; '
            f'allowed are 0 (one estimate per image, {1 / exposure:g} Hz) '
            f'to {image_length / exposure:g} Hz (one per sample)'
        )
    return streams
