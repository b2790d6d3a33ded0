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

"""EMG in which every sample is accounted for, and the decoder's counters."""

from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.emg.message import fill_message, stamp_to_ns
from leconvmn_ros.msg import EmgArray
from small_recordings import CHANNELS, RATE, sampled_subject

CHUNK = 4  # samples in a message
IMAGE = 20  # samples in an image: 0.1 s
START_NS = 1_700_000_000 * NANOSECONDS
_SAMPLES = sampled_subject(10.0, channels=CHANNELS).emg


def message_at(sample):
    """Return the message that starts with this sample of an endless recording."""
    stamp_ns = START_NS + round(sample / RATE * NANOSECONDS)
    place = sample % len(_SAMPLES)
    return fill_message(
        EmgArray(), EmgChunk(stamp_ns, RATE, sample, _SAMPLES[place : place + CHUNK])
    )


def sample_of(state):
    """Return the last sample in the image of an estimate."""
    return round((stamp_to_ns(state.header.stamp) - START_NS) * RATE / NANOSECONDS)


def totals_of(report):
    """Return what the decoder has counted, from its DiagnosticArray, by name of the counter."""
    values = {value.key: value.value for status in report.status for value in status.values}
    return {
        key.removesuffix(', total'): int(value)
        for key, value in values.items()
        if key.endswith(', total')
    }
