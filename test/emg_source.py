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

"""A source of EMG in a process of its own, to be killed, slowed or doubled by tests.

`python test/emg_source.py FIRST LAST PAUSE` publishes samples FIRST to LAST - 1 on /emg, in
messages of CHUNK with PAUSE seconds between them, and ends when reliable readers have them.
"""

import sys
import time

from leconvmn_ros.emg_message import fill_message
from leconvmn_ros.msg import EmgArray
from leconvmn_ros.recording import EmgChunk, NANOSECONDS
from node_harness import LOSSLESS, peer
from rclpy.duration import Duration
from small_recordings import CHANNELS, RATE, sampled_subject

CHUNK = 4
START_NS = 1_700_000_000 * NANOSECONDS


def message_at(sample, samples):
    """Return the message that starts with this sample of an endless recording."""
    stamp_ns = START_NS + round(sample / RATE * NANOSECONDS)
    place = sample % len(samples)
    chunk = EmgChunk(stamp_ns, RATE, sample, samples[place : place + CHUNK])
    return fill_message(EmgArray(), chunk)


def main():
    first, last, pause = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    samples = sampled_subject(10.0, channels=CHANNELS).emg
    with peer() as ros:
        publisher = ros.publisher('/emg', EmgArray, LOSSLESS)
        print('sending', flush=True)
        for sample in range(first, last, CHUNK):
            publisher.publish(message_at(sample, samples))
            time.sleep(pause)
        publisher.wait_for_all_acked(Duration(seconds=60))
        print('sent', flush=True)


if __name__ == '__main__':
    main()
