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

"""Separation of the people used for development from those whose scores are reported.

A preset that was chosen by its scores on some people looks better on them than on others.
Therefore presets and hyperparameters are chosen on development bags, and results are reported on
other people, who took no part in any choice.
"""

from collections.abc import Sequence
from pathlib import Path

from leconvmn_ros.benchmark.plan import Topics
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.dataset.hold_out import NoHoldOut
from leconvmn_ros.decoding.history import learnt_recordings, overlap_of
from leconvmn_ros.recordings.bags import read_bag


def check_apart(development: Sequence[Path], report: Sequence[Path], topics: Topics) -> None:
    """Reject bags that, or whose people, are in both groups.

    Compares the database and the subject that the bags name, and the EMG itself, so that a copy or
    an excerpt is found under any name.

    Args:
        development: bags that choices are made on.
        report: bags whose scores are reported.
        topics: where the signals are in them.

    Raises:
        ConfigurationError: a person or EMG is in both.
        RecordingError: a bag cannot be read.
    """
    # One at a time: a recording may be large, the part kept of it is not.
    known = []
    for path in development:
        recording = _read(path, topics)
        known.append((path, _person(recording), learnt_recordings([recording], NoHoldOut())))
    for path in report:
        recording = _read(path, topics)
        for other, person, blocks in known:
            if person is not None and person == _person(recording):
                raise ConfigurationError(
                    f'{path} is of the same person as {other} ({" subject ".join(person)}): '
                    'one of them chooses, the other is reported; a person can do only one of both'
                )
            if overlap_of(recording, None, blocks):
                raise ConfigurationError(
                    f'{path} holds the same EMG as {other}: one of them chooses, the other is '
                    'reported; a recording can do only one of both'
                )


def _read(path: Path, topics: Topics) -> Recording:
    return read_bag(
        path,
        emg_topic=topics.emg,
        reference_topic=topics.reference,
        label_topic=topics.label,
    )


def _person(recording: Recording) -> tuple[str, str] | None:
    database, subject = (recording.information.get(key, '') for key in ('database', 'subject'))
    return (database, subject) if database and subject not in {'', 'unknown'} else None
