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

"""Runs `leconvmn_ros align`; its arguments are in parsers/align.py."""

import argparse

from leconvmn_ros.commands.progress import progress_bar, say
from leconvmn_ros.commands.read_recording import read_recording
from leconvmn_ros.core.files import write_json
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.dataset.hold_out import hold_out_named
from leconvmn_ros.dataset.reference_lag import find_reference_lag, PLAUSIBLE_DELAY, ReferenceLag
from leconvmn_ros.evaluation.plots import plot_lag


def run(arguments: argparse.Namespace) -> int:
    """Search the lag, report it, write the results."""
    recording = read_recording(arguments.bag, arguments)
    with progress_bar(f'align {recording.name}'):
        lag = find_reference_lag(recording, hold_out_named(arguments.protocol, recording))
    for line in _told(recording, lag):
        say(line)
    if arguments.json:
        write_json(arguments.json, lag.as_json())
    if arguments.plot:
        plot_lag(lag, arguments.plot, recording.name)
    return 0


def _told(recording: Recording, lag: ReferenceLag) -> list[str]:
    low, high = PLAUSIBLE_DELAY
    text = (
        f'{recording.name}: the reference follows the EMG by {lag.delay:.3f} s '
        f'(standard error {lag.error:.3f}); {low} to {high} s is usual with one clock'
    )
    if lag.doubt:
        return [text, f'not reliable: {lag.doubt}']
    if lag.correction == 0:
        return [text, 'no lag to correct']
    return [text, f'the stamps of the reference are {lag.correction:.3f} s late']
