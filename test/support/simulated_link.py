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

"""Arrivals of samples over links with bursts, jitter and stalls."""

from typing import NamedTuple

import numpy as np

DELAY = 0.008  # s


class Link(NamedTuple):
    """A link and the device at its other end.

    Attributes:
        claimed: rate that the device claims (Hz).
        packet: samples in a packet.
        jitter: mean of the exponential delay of a packet (s).
        stall: probability that a packet waits for 50 to 300 ms, and all after it.
    """

    claimed: float
    packet: int
    jitter: float
    stall: float


# As devices of these kinds send.
LINKS = {
    'serial, 250 Hz': Link(250, 1, 0.004, 0.0005),
    'Bluetooth, 200 Hz, two samples a packet': Link(200, 2, 0.006, 0.002),
    'Bluetooth, 500 Hz, 16 samples a packet': Link(500, 16, 0.006, 0.002),
    'WiFi, 500 Hz': Link(500, 1, 0.003, 0.0003),
    'network, 2 kHz, 20 samples a chunk': Link(2000, 20, 0.002, 0.001),
}


def arrivals(link, rate, seconds, seed=0):
    """Return when samples were taken and when they arrived (s); `rate`: the true one (Hz)."""
    random = np.random.default_rng(seed)
    count = round(seconds * rate)
    taken = np.arange(count) / rate
    packet = np.arange(count) // link.packet
    packets = packet[-1] + 1
    # A packet leaves when it is full.
    sent = (packet + 1) * link.packet / rate
    arrived = sent + DELAY + random.exponential(link.jitter, packets)[packet]
    for stalled in np.flatnonzero(random.random(packets) < link.stall):
        begin = stalled * link.packet
        until = arrived[begin] + random.uniform(0.05, 0.3)
        arrived[begin:] = np.maximum(arrived[begin:], until)
    return taken, np.maximum.accumulate(arrived)


def polls(arrived, period=0.02):
    """Yield (now, begin, end): the new samples for a reader every `period` seconds."""
    now, begin = arrived[0], 0
    while begin < len(arrived):
        end = int(np.searchsorted(arrived, now, 'right'))
        yield now, begin, end
        now, begin = now + period, end
