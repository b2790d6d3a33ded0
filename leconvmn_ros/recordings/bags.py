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

"""Recordings as rosbag2 bags: a sampled subject becomes a bag, a bag becomes a Recording.

Bags hold /emg (leconvmn_ros/msg/EmgArray), /joint_states_reference (sensor_msgs/msg/JointState)
and /movement_label (leconvmn_ros/msg/MovementLabel). Nothing but the EMG is needed in somebody
else's bag.
"""

from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from leconvmn_ros.errors import ConfigurationError, MalformedMessageError, RecordingError
from leconvmn_ros.joints import JOINT_NAMES
from leconvmn_ros.recording import EmgChunk, NANOSECONDS, Recording, SampledSubject
from leconvmn_ros.recordings.bag_reader import open_bag, OpenBag
from leconvmn_ros.recordings.bag_types import (
    EMG_TOPIC,
    EMG_TYPE,
    is_same_type,
    LABEL_TOPIC,
    LABEL_TYPE,
    REFERENCE_TOPIC,
    REFERENCE_TYPE,
    typestore,
)
from leconvmn_ros.recordings.bag_writer import BagWriter
from leconvmn_ros.recordings.collectors import (
    Collector,
    EmgCollector,
    LabelCollector,
    ReferenceCollector,
)
from leconvmn_ros.recordings.subject_check import check_subject
import numpy as np
from numpy.typing import NDArray
from rosbags.serde import SerdeError
from rosbags.typesys import TypesysError

__all__ = [
    'FIRST_STAMP_NS',
    'BagWriter',
    'OpenBag',
    'bag_name',
    'open_bag',
    'read_bag',
    'write_bag',
]

# Stamp of the first sample of a converted subject (ns). Fixed, so that the same input gives the
# same bag; not 0, because ROS reads time 0 as 'no time yet'.
FIRST_STAMP_NS = NANOSECONDS

_PROGRESS_STEPS = 200


def write_bag(
    subject: SampledSubject,
    path: str | Path,
    *,
    chunk_duration: float = 0.02,
    reference_rate: float = 100.0,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write a sampled subject as a bag.

    It gets the EMG in chunks, the angles, and a label at each change of movement or repetition.
    Messages are written as they are made, in the order of their log time; the bag appears when it
    is complete.

    Args:
        subject: what to write.
        path: bag folder to make.
        chunk_duration: duration of the EMG in one message (s), rounded to samples, at least one.
        reference_rate: JointState messages per second at most (Hz); samples are picked, never
            averaged, and keep their own time.
        overwrite: replace a bag that is there, once the new one is complete.
        progress: called now and then with the written fraction, 0 to 1.

    Raises:
        ConfigurationError: chunk_duration or reference_rate is not positive.
        RecordingError: the subject holds NaN, infinity or arrays that do not fit together; the
            target exists, or cannot be written. Nothing is left behind.
    """
    for name, value in (('chunk_duration', chunk_duration), ('reference_rate', reference_rate)):
        if not (isfinite(value) and value > 0):
            raise ConfigurationError(f'{name} is {value}; it must be finite and above 0')
    check_subject(subject)
    rate, samples = subject.sampling_rate, len(subject.emg)
    size = max(1, round(min(chunk_duration * rate, samples)))
    since_start_ns = np.rint(np.arange(samples) * (NANOSECONDS / rate))
    stamps_ns = FIRST_STAMP_NS + since_start_ns.astype(np.int64)
    starts = np.arange(0, samples, size)
    events = _events(subject, reference_rate)
    ends = np.searchsorted(events, 2 * (starts + size)).tolist()
    stride = max(1, len(starts) // _PROGRESS_STEPS)
    with BagWriter(path, information=subject.information, overwrite=overwrite) as writer:
        written = 0
        for number, (start, end) in enumerate(zip(starts.tolist(), ends, strict=True)):
            for event in events[written:end].tolist():
                _write_event(writer, subject, event, int(stamps_ns[event // 2]))
            written = end
            writer.write_emg(
                EmgChunk(int(stamps_ns[start]), rate, start, subject.emg[start : start + size])
            )
            if progress is not None and number % stride == 0:
                progress(start / samples)
    if progress is not None:
        progress(1.0)


def read_bag(
    path: str | Path,
    *,
    emg_topic: str = EMG_TOPIC,
    reference_topic: str = REFERENCE_TOPIC,
    label_topic: str = LABEL_TOPIC,
) -> Recording:
    """Read a bag, ours or one that `ros2 bag record` made, in MCAP or sqlite3.

    Values are not judged here: NaN passes, as it does from a live source.

    Args:
        path: bag folder, or one .mcap or .db3 file.
        emg_topic: topic of EmgArray messages; it must be there.
        reference_topic: topic of JointState messages; it may be missing under its usual name only.
        label_topic: topic of MovementLabel messages; it may be missing under its usual name only.

    Returns:
        The recording; reference and labels are None if the bag has none.

    Raises:
        RecordingError: the bag is missing or damaged, a topic is missing or of another type, or a
            message is malformed.
        ConfigurationError: a topic is asked for twice.
    """
    emg, reference, labels = EmgCollector(), ReferenceCollector(), LabelCollector()
    with open_bag(path) as bag:
        wanted = {emg_topic: _Source(EMG_TYPE, emg)}
        for topic, usual, source in (
            (reference_topic, REFERENCE_TOPIC, _Source(REFERENCE_TYPE, reference)),
            (label_topic, LABEL_TOPIC, _Source(LABEL_TYPE, labels)),
        ):
            if topic in wanted:
                raise ConfigurationError(f'topic {topic} is asked for twice')
            if topic in bag.topics or topic != usual:
                wanted[topic] = source
        for topic, source in wanted.items():
            _check_topic(bag, topic, source.type_name)
        _collect(bag, wanted)
        information = bag.information
    if not emg.chunks:
        raise RecordingError(f'{path} holds no message on {emg_topic}')
    return Recording(
        bag_name(Path(path)), emg.chunks, reference.track(), labels.track(), information
    )


class _Source(NamedTuple):
    type_name: str
    collector: Collector


def _collect(bag: OpenBag, wanted: Mapping[str, _Source]) -> None:
    store = typestore()
    counts = dict.fromkeys(wanted, 0)
    for topic, type_name, _, data in bag.messages(topics=wanted):
        counts[topic] += 1
        expected, collector = wanted[topic]
        if type_name != expected:
            raise RecordingError(f'{bag.path}: {topic} has a {type_name}, not only {expected}')
        try:
            collector.add(store.deserialize_cdr(data, expected))
        except (SerdeError, MalformedMessageError) as error:
            raise RecordingError(
                f'{bag.path}: message {counts[topic]} on {topic} is malformed: {error}'
            ) from error
    for topic, source in wanted.items():
        stamps = source.collector.stamps_ns
        if len(stamps) > 1 and not any(stamps):
            raise RecordingError(
                f'{bag.path}: the header stamps on {topic} are not set (all are 0)'
            )


def _check_topic(bag: OpenBag, topic: str, type_name: str) -> None:
    if topic not in bag.topics:
        there = (
            ', '.join(f'{name} ({info.type_name})' for name, info in sorted(bag.topics.items()))
            or 'none'
        )
        raise RecordingError(f'{bag.path} has no topic {topic}; topics that are there: {there}')
    info = bag.topics[topic]
    if info.type_name != type_name:
        raise RecordingError(
            f'{bag.path}: topic {topic} carries {info.type_name}; it must carry {type_name}'
        )
    try:
        same = is_same_type(type_name, info.definition, info.digest)
    except (TypesysError, RecursionError) as error:
        raise RecordingError(
            f'{bag.path}: the definition of {type_name} in the bag is not readable'
        ) from error
    if not same:
        raise RecordingError(
            f'{bag.path}: {topic} was recorded with another definition of {type_name}'
            ' than the one installed'
        )


def _events(subject: SampledSubject, reference_rate: float) -> NDArray[np.int64]:
    """Return what is written beside the EMG, in order.

    2 * sample stands for a label, 2 * sample + 1 for a reference: sorting keeps both in time
    order.
    """
    changed = (
        np.flatnonzero((np.diff(subject.movement) != 0) | (np.diff(subject.repetition) != 0)) + 1
    )
    labels = np.concatenate(([0], changed))
    samples = len(subject.emg)
    step = min(max(1.0, subject.sampling_rate / reference_rate), float(samples))
    references = np.floor(np.arange(int(np.ceil(samples / step))) * step).astype(np.int64)
    return np.sort(np.concatenate((2 * labels, 2 * references[references < samples] + 1)))


def _write_event(writer: BagWriter, subject: SampledSubject, event: int, stamp_ns: int) -> None:
    sample, is_reference = divmod(event, 2)
    if is_reference:
        writer.write_reference(stamp_ns, JOINT_NAMES, subject.positions[sample])
    else:
        writer.write_label(
            stamp_ns, int(subject.movement[sample]), int(subject.repetition[sample])
        )


def bag_name(path: Path) -> str:
    """Return the short name of a bag: that of its folder, or of its file without the ending."""
    path = path.absolute()
    return path.stem if path.is_file() else path.name
