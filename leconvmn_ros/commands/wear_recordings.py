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

"""Files of `wear`: where a session goes, and its recordings with what they are compared with."""

import argparse
from pathlib import Path
import re
from typing import Any

from leconvmn_ros.commands.parsers.wear import SYNTHETIC
from leconvmn_ros.commands.progress import remark
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.dataset.cue_timing import find_timings, retimed
from leconvmn_ros.dataset.hold_out import default_hold_out, HoldOut, RepetitionHoldOut
from leconvmn_ros.dataset.reference_lag import align_reference
from leconvmn_ros.evaluation.comparison import compare
from leconvmn_ros.evaluation.metrics import as_json
from leconvmn_ros.recordings.bag_types import CUE_TOPIC, ESTIMATE_TOPIC, REFERENCE_TOPIC
from leconvmn_ros.recordings.bags import read_bag
from leconvmn_ros.wearing.folder import DESCRIPTION, read_record, SessionFolder
from leconvmn_ros.wearing.session import Session

WEARER_TOPIC = '/wearer_joint_states'


def session_folder(arguments: argparse.Namespace, session: Session) -> Path:
    """Return the folder of the newest unfinished session, or a new one."""
    taken = [
        int(path.name.partition('_')[2])
        for path in Path(arguments.output).glob('session_*')
        if re.fullmatch(r'session_\d+', path.name)
    ]
    newest = max(taken, default=0)
    place = Path(arguments.output) / f'session_{newest}'
    if (
        newest
        and (place / DESCRIPTION).is_file()
        and read_record(place).session == session
        and len(SessionFolder(place, session).finished())
        < len(session.movements) * session.repetitions
    ):
        return place
    return Path(arguments.output) / f'session_{newest + 1}'


def read_with_reference(bags: list[Path], reference: str) -> tuple[list[Recording], HoldOut]:
    """Read the bags with their reference; hold out the last repetition if possible."""
    topic = CUE_TOPIC if reference == 'cue' else REFERENCE_TOPIC
    recordings = [read_bag(bag, reference_topic=topic) for bag in bags]
    numbers = sorted(
        {
            int(number)
            for recording in recordings
            if recording.labels is not None
            for number in recording.labels.repetition
            if number > 0
        }
    )
    hold_out: HoldOut = default_hold_out(recordings[0])
    if len(bags) > 1 and len(numbers) >= 3:
        hold_out = RepetitionHoldOut(validation=(numbers[-2],), test=(numbers[-1],))
    if reference == 'cue':
        return [retimed(each, find_timings(each)) for each in recordings], hold_out
    aligned = []
    for each in recordings:
        try:
            recording, lag = align_reference(each, 'auto', hold_out)
        except RecordingError as error:  # too short, or without motion
            remark(f'{error}; its reference is used as it is')
            recording, lag = each, 0.0
        if lag:
            remark(f'{each.name}: the reference is taken to be {lag:.2f} s late')
        aligned.append(recording)
    return aligned, hold_out


def next_folder(place: Path, name: str) -> Path:
    """Return a folder that is not there yet: name_1, name_2 and so on."""
    taken = [
        int(path.name.rpartition('_')[2])
        for path in place.glob(f'{name}_*')
        if re.fullmatch(rf'{name}_\d+', path.name)
    ]
    return place / f'{name}_{max(taken, default=0) + 1}'


def practice_scores(bags: list[Path], estimates: Path, source: str) -> dict[str, Any]:
    """Score live estimates on what was meant, or on what a simulated hand did.

    Raises:
        RecordingError: there are no estimates, or nothing to score them on.
    """
    live = read_bag(estimates, reference_topic=ESTIMATE_TOPIC)
    if live.reference is None:
        raise RecordingError(f'{estimates} holds no estimates')
    if source == SYNTHETIC:
        truth = read_bag(estimates, reference_topic=WEARER_TOPIC)
        what = 'what the simulated hand did'
    else:
        cue = read_bag(bags[0], reference_topic=CUE_TOPIC)
        truth = retimed(cue, find_timings(cue))
        what = 'the intended poses'
    if truth.reference is None:
        raise RecordingError(f'{estimates} holds nothing to score against')
    comparison = compare(live.reference, truth.reference, None, live.span_ns, None)
    return as_json(comparison.score()) | {'truth': what}
