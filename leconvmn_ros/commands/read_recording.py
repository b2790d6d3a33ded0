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

"""Reads the recordings of a command, with the requested reference."""

import argparse
from pathlib import Path
from statistics import median

from leconvmn_ros.commands.progress import progress_bar, remark
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.dataset.cue_timing import find_timings, retimed
from leconvmn_ros.recordings.bag_types import CUE_TOPIC, REFERENCE_TOPIC
from leconvmn_ros.recordings.bags import read_bag


def reference_of(recording: Recording, kind: str | None) -> Recording:
    """Return the recording with the reference of --reference; report its timing.

    Raises:
        RecordingError: it has no cue, labels or EMG.
    """
    if kind != 'cue':
        return recording
    timings = find_timings(recording)
    found = [timing.start_delay for timing in timings if timing.start_found]
    usual = f', {median(found):.2f} s after the cue (median)' if found else ''
    withdrawn = sum(timing.attempt.withdrawn for timing in timings)
    remark(
        f'{recording.name}: {len(timings)} repetitions of a cue, {len(found)} with an onset of '
        f'EMG{usual}, {withdrawn} withdrawn',
    )
    return retimed(recording, timings)


def reference_topic(arguments: argparse.Namespace, kind: str | None) -> str:
    """Return the topic of the reference; a cue has its own default topic."""
    if kind == 'cue' and arguments.reference_topic == REFERENCE_TOPIC:
        return CUE_TOPIC
    return str(arguments.reference_topic)


def read_recording(
    path: Path, arguments: argparse.Namespace, reference: str | None = None
) -> Recording:
    """Read a bag by the topics of `add_topics`; report the parts that are not used.

    Args:
        path: path of the bag.
        arguments: arguments of the command.
        reference: 'cue' if the reference is a cue, see `reference_of`.
    """
    with progress_bar(f'read {path.name}'):
        recording = read_bag(
            path,
            emg_topic=arguments.emg_topic,
            reference_topic=reference_topic(arguments, reference),
            label_topic=arguments.label_topic,
        )
    for line in recording.remarks:
        remark(f'{recording.name}: {line}')
    return reference_of(recording, reference)
