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

"""Settles on an engine and on a number of CPU threads, live and for recordings."""

import os

from leconvmn_ros.decoding.decoder import Decoder
import torch


def warm_up_with_threads(decoder: Decoder, threads: int = 0) -> float:
    """Warm up and settle on an engine, and on a number of CPU threads for this process.

    Several threads wait for one another after every layer: on a machine that does other things as
    well, that costs a small network far more than it gains. So one thread is kept as long as it
    leaves three quarters of the time free.

    Args:
        decoder: the decoder to warm up.
        threads: threads to use; 0 = choose by measuring.

    Returns:
        Median time of one step of the network (s).
    """
    torch.set_num_threads(threads or 1)
    decoder.choose_engine()
    best = decoder.warm_up()
    most = os.cpu_count() or 1
    while (
        not threads and best > 0.25 / decoder.output_rate and 2 * torch.get_num_threads() <= most
    ):
        torch.set_num_threads(2 * torch.get_num_threads())
        time = decoder.warm_up()
        # A network that hardly keeps up gets all there is, whatever this measurement says: other
        # nodes that are just starting spoil it.
        if time > 0.8 * best and best < 0.5 / decoder.output_rate:
            torch.set_num_threads(torch.get_num_threads() // 2)
            # Engines have settled on the threads that are taken away again.
            return decoder.warm_up()
        best = min(best, time)
    return best


def settle_for_recordings(decoder: Decoder, threads: int = 0) -> None:
    """Settle on the engine, and on the number of CPU threads, that decode recordings the fastest.

    Args:
        decoder: the decoder to prepare.
        threads: threads to use; 0 = one or all there are, by measuring.
    """
    counts = [threads] if threads else sorted({1, os.cpu_count() or 1}, reverse=True)
    times = {}
    for count in counts:
        torch.set_num_threads(count)
        decoder.choose_engine(recorded=True)
        times[count] = decoder.round_seconds()
    best = min(counts, key=times.__getitem__)
    if best != counts[-1]:
        torch.set_num_threads(best)
        decoder.choose_engine(recorded=True)
        decoder.warm_up()
