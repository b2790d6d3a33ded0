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

"""Converts sampled subjects to rosbag2 bags, and reads bags as recordings.

Bags hold /emg (leconvmn_ros/msg/EmgArray), /joint_states_reference (sensor_msgs/msg/JointState)
and /movement_label (leconvmn_ros/msg/MovementLabel). In bags from elsewhere, only the EMG is
required.
"""

from collections.abc import Callable
from math import isfinite
from pathlib import Path
import re

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS, Recording, SampledSubject
from leconvmn_ros.emg.source_check import checked_source
from leconvmn_ros.recordings.bag_reader import open_bag, OpenBag
from leconvmn_ros.recordings.bag_types import (
    EMG_TOPIC,
    EMG_TYPE,
    is_same_type,
    LABEL_TOPIC,
    REFERENCE_TOPIC,
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

# Stamp of the first sample of a converted subject (ns). It is fixed, so that the same input gives
# the same bag, and not 0, which ROS reads as 'no time yet'.
FIRST_STAMP_NS = NANOSECONDS

_PROGRESS_STEPS = 200
# Share of messages that may be left out. A reference may share its topic with other devices.
MOST_LEFT_OUT = {EmgCollector: 0.5, ReferenceCollector: 1.0, LabelCollector: 0.5}


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

    The bag gets the EMG in chunks, the angles, and a label at each change of movement or
    repetition. Messages are written one by one, in order of log time; the bag appears when it
    is complete.

    Args:
        subject: the subject to write.
        path: bag folder to make.
        chunk_duration: duration of the EMG in one message (s), rounded to samples, at least one.
        reference_rate: JointState messages per second at most (Hz); samples are picked, not
            averaged, and keep their own time.
        overwrite: replace an existing bag once the new one is complete.
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
    reference_topic: str | None = REFERENCE_TOPIC,
    label_topic: str | None = LABEL_TOPIC,
) -> Recording:
    """Read a bag from this package or from `ros2 bag record`, in MCAP or sqlite3.

    Values are not checked here: NaN passes, as it does from a live source.

    Args:
        path: bag folder, or one .mcap or .db3 file.
        emg_topic: topic of EmgArray messages; required.
        reference_topic: topic of JointState messages; only the usual name may be missing from
            the bag. None leaves it unread.
        label_topic: topic of MovementLabel messages; only the usual name may be missing from
            the bag. None leaves it unread.

    Returns:
        The recording; reference and labels are None if the bag has none. Messages that are
        malformed, or of another kind than most on their topic, are left out; `remarks` gives
        their number and the reason.

    Raises:
        RecordingError: the bag is missing or damaged, a topic is missing or of another type, most
            of its messages are unusable, or there is not enough memory.
        ConfigurationError: a topic is requested twice.
    """
    with open_bag(path) as bag:
        wanted = _wanted(bag, emg_topic, reference_topic, label_topic)
        for topic, collector in wanted.items():
            _check_topic(bag, topic, collector.type_name)
        for batch in bag.batches(wanted):
            collector = wanted[batch.topic]
            if batch.type_name != collector.type_name:
                raise RecordingError(
                    f'{bag.path}: {batch.topic} has a {batch.type_name}, '
                    f'not only {collector.type_name}'
                )
            collector.add(batch)
        information = bag.information
    emg, reference, labels = (
        None if topic is None else wanted.get(topic)
        for topic in (emg_topic, reference_topic, label_topic)
    )
    chunks = emg.chunks() if isinstance(emg, EmgCollector) else []
    track = reference.track() if isinstance(reference, ReferenceCollector) else None
    label_track = labels.track() if isinstance(labels, LabelCollector) else None
    for topic, collector in wanted.items():
        _check_kept(Path(path), topic, collector)
    remarks = [remark for topic, item in wanted.items() for remark in item.left_out.remarks(topic)]
    try:
        source = checked_source(chunks)
    except RecordingError as error:
        raise RecordingError(f'{path}: {emg_topic}: {error}') from error
    remarks += [f'{emg_topic}: {remark}' for remark in source.remarks]
    return Recording(
        bag_name(Path(path)), source.chunks, track, label_track, information, tuple(remarks)
    )


def _wanted(
    bag: OpenBag, emg_topic: str, reference_topic: str | None, label_topic: str | None
) -> dict[str, Collector]:
    """Return the collector of each topic; reference and labels may be missing by default."""
    expected = bag.topics[emg_topic].message_count if emg_topic in bag.topics else 0
    wanted: dict[str, Collector] = {emg_topic: EmgCollector(expected)}
    others: tuple[tuple[str | None, str, type[ReferenceCollector | LabelCollector]], ...] = (
        (reference_topic, REFERENCE_TOPIC, ReferenceCollector),
        (label_topic, LABEL_TOPIC, LabelCollector),
    )
    for topic, usual, collector in others:
        if topic is None:
            continue
        if topic in wanted:
            raise ConfigurationError(f'topic {topic} is asked for twice')
        if topic in bag.topics or topic != usual:
            wanted[topic] = collector()
    return wanted


def _check_kept(path: Path, topic: str, collector: Collector) -> None:
    """Refuse a topic with few usable messages, or none.

    Raises:
        RecordingError: with the number left out, and the reason.
    """
    left_out = collector.left_out
    if not left_out.messages:
        if isinstance(collector, EmgCollector):
            raise RecordingError(f'{path} holds no message on {topic}')
        return
    share = left_out.count / left_out.messages
    if share > MOST_LEFT_OUT[type(collector)] or left_out.count == left_out.messages:
        raise RecordingError(f'{path}: {"; ".join(left_out.remarks(topic))}')
    if left_out.messages > 1 and not collector.any_stamp:
        raise RecordingError(f'{path}: the header stamps on {topic} are not set (all are 0)')


def _check_topic(bag: OpenBag, topic: str, type_name: str) -> None:
    if topic not in bag.topics:
        there = (
            ', '.join(f'{name} ({info.type_name})' for name, info in sorted(bag.topics.items()))
            or 'none'
        )
        raise RecordingError(
            f'{bag.path} has no topic {topic}; topics that are there: {there}{_way_in(type_name)}'
        )
    info = bag.topics[topic]
    if info.type_name != type_name:
        raise RecordingError(
            f'{bag.path}: topic {topic} carries {info.type_name}; it must carry {type_name}'
            f'{_way_in(type_name)}'
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


def _way_in(type_name: str) -> str:
    """Return the advice for a bag whose EMG is in messages of another type."""
    if type_name != EMG_TYPE:
        return ''
    return '; `leconvmn_ros convert BAG --output FOLDER` takes EMG from messages of other types'


def _events(subject: SampledSubject, reference_rate: float) -> NDArray[np.int64]:
    """Return the messages to write beside the EMG, in order.

    Sample * 2 stands for a label, sample * 2 + 1 for a reference, so that sorting keeps both in
    time order.
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
    """Return the short name of a bag: that of its folder, or of its file without the ending.

    In a bag folder the file is called FOLDER_0.mcap, as rosbag2 does; its name is FOLDER.
    """
    path = path.absolute()
    if not path.is_file():
        return path.name
    folder = path.parent.name
    return folder if re.fullmatch(re.escape(folder) + r'_\d+', path.stem) else path.stem
