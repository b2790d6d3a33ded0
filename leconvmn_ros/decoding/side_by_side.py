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

"""Decodes several sources of EMG with one network, as one batch."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.decoding.lane import Batch, Estimate, Lane
from leconvmn_ros.decoding.network_streams import NetworkStreams

_NOTHING = Batch([], fresh=False)


def decode_side_by_side(
    lanes: Sequence[Lane], sources: Sequence[Iterable[EmgChunk]], network: NetworkStreams
) -> Iterator[list[list[Estimate]]]:
    """Yield the next estimates of each source until all sources have ended.

    Images are collected until each source has one of every stream; the network then runs all of
    them at once.

    Args:
        lanes: one lane for each source.
        sources: available chunks of each source.
        network: a network with as many streams as all lanes have together.
    """
    firsts = range(0, network.streams, network.streams // len(lanes))
    running = [lane.batches(chunks) for lane, chunks in zip(lanes, sources, strict=True)]
    while True:
        batches = [next(images, _NOTHING) for images in running]
        numbers, pixels = [], []
        for first, batch in zip(firsts, batches, strict=True):
            if batch.fresh:
                for stream in range(first, first + firsts.step):
                    network.reset(stream)
            numbers += [first + image.stream for _, image, _ in batch.completed]
            pixels += [image.pixels for _, image, _ in batch.completed]
        if not numbers:  # a source takes part in batches until it has ended
            return
        outputs = iter(network.advance(numbers, pixels))
        found = []
        for first, lane, batch in zip(firsts, lanes, batches, strict=True):
            estimates, failed = lane.estimates(
                batch.completed, list(islice(outputs, len(batch.completed)))
            )
            for stream in failed:
                network.reset(first + stream)
            found.append(estimates)
        yield found
