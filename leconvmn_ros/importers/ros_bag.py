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

"""Reads bags of ROS 1 and ROS 2 whose EMG is in messages of other types.

A mapping, a YAML file, names the fields, such as

    emg: {topic: /myo/emg, data: emg, rate: 200, unit: uV}
    angles: {topic: /glove, joints: {index_mcp: IndexMCP, index_pip: IndexPIP}, unit: deg}
    labels: {topic: /cue, movement: data}

Without a mapping, fields are found by their usual names.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import NANOSECONDS, Recording
from leconvmn_ros.core.strict_model import first_problem, StrictModel
from leconvmn_ros.core.yaml_file import read_yaml
from leconvmn_ros.emg.message import MOST_CHANNELS
from leconvmn_ros.importers.options import (
    ImportOptions,
    MOST_RATE,
    parse_volts,
    RADIANS,
    VOLTS,
)
from leconvmn_ros.importers.ros_messages import ForeignBag, ForeignMessage, open_foreign_bag
from leconvmn_ros.importers.signals import (
    AngleSignal,
    describe,
    EmgSignal,
    LabelSignal,
    make_recording,
    rate_of,
    samples_to_labels,
)
from leconvmn_ros.recordings.bags import bag_name
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

_USUAL_FIELDS = ('data', 'emg', 'channels', 'samples', 'values', 'emg_data', 'signals')
_MOST_VALUES = 2**28
# In ROS 1, types have the form `sensor_msgs/JointState`; rosbags uses this form for both.
_JOINT_STATE = 'sensor_msgs/msg/JointState'
_EMG_ARRAY = 'leconvmn_ros/msg/EmgArray'

_Text = Annotated[str, Field(min_length=1, max_length=256)]


class EmgMapping(StrictModel):
    """The topic and fields of the EMG.

    Attributes:
        topic: its topic.
        data: field with the amplitudes, as a dotted path; or one field per channel.
        channels: number of channels, if a message holds several samples.
        order: whether the values of one sample or those of one channel are adjacent.
        rate: samples per second (Hz); measured from the stamps if None.
        unit: V, mV, uV, nV, or the volts per unit.
        stamp: field with the time of the first sample; if None, the header's stamp or, without
            one, the log time.
    """

    topic: _Text
    data: _Text | Annotated[list[_Text], Field(min_length=1, max_length=MOST_CHANNELS)] = 'data'
    channels: Annotated[int, Field(ge=1, le=MOST_CHANNELS)] | None = None
    order: Literal['channels', 'samples'] = 'channels'
    rate: Annotated[float, Field(gt=0, le=MOST_RATE)] | None = None
    unit: str | float | None = None
    stamp: _Text | None = None


class AngleMapping(StrictModel):
    """The topic and fields of the angles.

    Attributes:
        topic: their topic.
        data: field with the angles.
        names: field with the names of the joints, if there is one.
        joints: name, or index from 0, of each joint in the messages.
        unit: rad or deg.
    """

    topic: _Text
    data: _Text = 'position'
    names: _Text | None = None
    joints: dict[str, _Text | Annotated[int, Field(ge=0, le=10_000)]] = Field(default_factory=dict)
    unit: Literal['rad', 'deg'] | None = None


class LabelMapping(StrictModel):
    """The topic and fields of the movements.

    Attributes:
        topic: their topic.
        movement: field with the movement, a number or text.
        repetition: field with the repetition, if there is one.
    """

    topic: _Text
    movement: _Text = 'data'
    repetition: _Text | None = None


class BagMapping(StrictModel):
    """The topics and fields of a bag."""

    emg: EmgMapping
    angles: AngleMapping | None = None
    labels: LabelMapping | None = None


class _Collected(NamedTuple):
    emg: list[tuple[float, bool, NDArray[np.float64]]]
    angles: list[tuple[float, Mapping[str, float]]]
    labels: list[tuple[float, str, str]]


def read_ros_bag(path: Path, options: ImportOptions) -> Iterator[Recording]:
    """Read a bag of ROS 1 or ROS 2.

    Raises:
        RecordingError: it is damaged, or a message lacks a field of the mapping.
        ConfigurationError: the mapping is wrong, or the unit must be given.
    """
    with open_foreign_bag(path) as bag:
        mapping = _mapping(path, bag, options)
        volts = _volts(path, mapping.emg, options)
        collected = _collect(path, bag, mapping)
    remarks: list[str] = []
    emg = _emg(path, collected.emg, options.rate or mapping.emg.rate, volts, remarks)
    yield make_recording(
        f'rosbag_{bag_name(path)}',
        emg,
        _angles(collected.angles, mapping.angles, options),
        _labels(collected.labels, mapping.labels),
        describe(options, 'ROS bag', source=path.name, unit=f'{volts:g} V'),
        chunk=options.chunk,
        remarks=remarks,
    )


def _mapping(path: Path, bag: ForeignBag, options: ImportOptions) -> BagMapping:
    """Return the user's mapping, or one with the usual names."""
    if options.mapping is not None:
        try:
            mapping = BagMapping.model_validate(read_yaml(options.mapping))
        except ValidationError as error:
            raise ConfigurationError(f'{options.mapping}: {first_problem(error)}') from error
    else:
        mapping = BagMapping(
            emg=EmgMapping(topic=_emg_topic(path, bag, options), data='*'),
            angles=next(
                (
                    AngleMapping(topic=topic, names='name')
                    for topic, kind in bag.topics.items()
                    if kind == _JOINT_STATE
                ),
                None,
            ),
        )
    for part in (mapping.emg, mapping.angles, mapping.labels):
        if part is not None and part.topic not in bag.topics:
            raise ConfigurationError(
                f'{path} has no topic {part.topic}; there are {_listed(bag.topics)}'
            )
    return mapping


def _emg_topic(path: Path, bag: ForeignBag, options: ImportOptions) -> str:
    if _EMG_ARRAY in bag.topics.values():
        raise ConfigurationError(f'{path} holds {_EMG_ARRAY} already: no conversion is needed')
    found = [topic for topic in bag.topics if 'emg' in topic.lower()]
    if options.stream:
        found = [options.stream]
    if len(found) != 1:
        raise ConfigurationError(
            f'{path}: which topic is the EMG? Give --stream TOPIC, or --mapping FILE.yaml; there '
            f'are {_listed(bag.topics)}'
        )
    return found[0]


def _listed(topics: Mapping[str, str]) -> str:
    return ', '.join(f'{topic} ({kind})' for topic, kind in sorted(topics.items())[:20]) or 'none'


def _volts(path: Path, emg: EmgMapping, options: ImportOptions) -> float:
    if options.volts is not None:
        return options.volts
    if emg.unit is None:
        raise ConfigurationError(
            f'{path}: the unit of the EMG is not known: give --unit {", ".join(VOLTS)}, or unit '
            'in the mapping'
        )
    return parse_volts(str(emg.unit))


def _collect(path: Path, bag: ForeignBag, mapping: BagMapping) -> _Collected:
    collected = _Collected([], [], [])
    values = 0
    parts = (mapping.emg, mapping.angles, mapping.labels)
    for message in bag.messages({part.topic for part in parts if part is not None}):
        if message.topic == mapping.emg.topic:
            found = _amplitudes(path, message, mapping.emg)
            values += found.size
            if values > _MOST_VALUES:
                raise RecordingError(f'{path} holds more than {_MOST_VALUES} values of EMG')
            collected.emg.append((*_time(message, mapping.emg.stamp), found))
        if mapping.angles is not None and message.topic == mapping.angles.topic:
            row = _row(path, message, mapping.angles)
            if row:
                collected.angles.append((_time(message, None)[0], row))
        if mapping.labels is not None and message.topic == mapping.labels.topic:
            labels = mapping.labels
            texts = [
                str(_field(path, message, name)) if name else ''
                for name in (labels.movement, labels.repetition)
            ]
            collected.labels.append((_time(message, None)[0], texts[0], texts[1]))
    return collected


def _field(path: Path, message: ForeignMessage, name: str) -> Any:
    value = message.message
    for part in name.split('.'):
        if part.startswith('_') or not hasattr(value, part):
            there = ', '.join(sorted(known for known in vars(value) if not known.startswith('_')))
            raise ConfigurationError(
                f'{path}: messages on {message.topic} have no field {name}; there are {there}'
            )
        value = getattr(value, part)
    return value


def _time(message: ForeignMessage, field: str | None) -> tuple[float, bool]:
    """Return the time of a message (s), and whether it is a stamp or only the log time."""
    stamp: Any = message.message
    for part in (field or 'header.stamp').split('.'):
        stamp = getattr(stamp, part, None)
    seconds = getattr(stamp, 'sec', 0) + getattr(stamp, 'nanosec', 0) / NANOSECONDS
    if isinstance(stamp, float):
        seconds = stamp
    return (seconds, True) if seconds > 0 else (message.log_ns / NANOSECONDS, False)


def _amplitudes(path: Path, message: ForeignMessage, emg: EmgMapping) -> NDArray[np.float64]:
    """Return the samples of a message, shape (samples, channels)."""
    if isinstance(emg.data, list):
        values = [float(_field(path, message, name)) for name in emg.data]
        return np.array([values])
    name = emg.data
    if name == '*':
        known = vars(message.message)
        name = next((field for field in _USUAL_FIELDS if field in known), 'data')
    try:
        flat = np.asarray(_field(path, message, name), np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f'{path}: field {name} on {message.topic} holds no numbers'
        ) from error
    channels = emg.channels or _channels_of_layout(message.message, len(flat)) or len(flat)
    if channels == 0 or len(flat) % channels:
        raise RecordingError(
            f'{path}: a message on {message.topic} has {len(flat)} values for {channels} channels'
        )
    if emg.order == 'samples':
        return flat.reshape(channels, -1).T
    return flat.reshape(-1, channels)


def _channels_of_layout(message: Any, length: int) -> int | None:
    """Return the number of channels in the layout of a MultiArray, None without one."""
    dimensions = getattr(getattr(message, 'layout', None), 'dim', [])
    if len(dimensions) == 2 and dimensions[0].size * dimensions[1].size == length:
        return int(dimensions[1].size) or None
    return None


def _emg(
    path: Path,
    messages: Sequence[tuple[float, bool, NDArray[np.float64]]],
    rate: float | None,
    volts: float,
    remarks: list[str],
) -> EmgSignal:
    if not messages:
        raise RecordingError(f'{path} holds no message of EMG')
    shapes = [values.shape[1] for _, _, values in messages]
    channels = max(set(shapes), key=shapes.count)
    kept = [each for each in messages if each[2].shape[1] == channels and len(each[2])]
    if others := len(messages) - len(kept):
        remarks.append(
            f'{others} of {len(messages)} messages of EMG left out: they do not have {channels} '
            'channels'
        )
    stamped = all(is_stamp for _, is_stamp, _ in kept)
    times = np.array([time for time, _, _ in kept])
    counts = np.array([len(values) for _, _, values in kept])
    if rate is None:
        # The samples of a message share the time to the next message equally.
        steps = np.diff(times)
        usual = np.median(steps[steps > 0]) if np.any(steps > 0) else 0.0
        if usual <= 0:
            raise ConfigurationError(f'{path}: the rate is not known: give --rate')
        rate = rate_of(np.maximum.accumulate(times), None, str(path)) * float(np.median(counts))
    # A stamp is the time of the first sample; the log time is that of the last.
    first = times if stamped else times - (counts - 1) / rate
    each = np.concatenate(
        [start + np.arange(count) / rate for start, count in zip(first, counts, strict=True)]
    )
    values = np.concatenate([values for _, _, values in kept]) * volts
    return EmgSignal(values.astype(np.float32), rate, np.maximum.accumulate(each))


def _row(path: Path, message: ForeignMessage, angles: AngleMapping) -> dict[str, float]:
    """Return the angles of a message by joint, in the unit of the message."""
    values = _field(path, message, angles.data)
    values = [values] if np.isscalar(values) else list(values)
    wanted = angles.joints or {name: name for name in JOINT_NAMES}
    names_field = angles.names or ('name' if hasattr(message.message, 'name') else None)
    names = list(_field(path, message, names_field)) if names_field else []
    row = {}
    for joint, known in wanted.items():
        if joint not in JOINT_NAMES:
            raise ConfigurationError(
                f'{joint} is not a joint; joints are {", ".join(JOINT_NAMES)}'
            )
        place = known if isinstance(known, int) else _place(names, known)
        if place is not None and place < len(values):
            row[joint] = float(values[place])
    return row


def _place(names: Sequence[str], name: str) -> int | None:
    return names.index(name) if name in names else None


def _angles(
    rows: Sequence[tuple[float, Mapping[str, float]]],
    mapping: AngleMapping | None,
    options: ImportOptions,
) -> AngleSignal | None:
    if mapping is None or not rows:
        return None
    joints = [name for name in JOINT_NAMES if any(name in row for _, row in rows)]
    radians = options.radians or RADIANS[mapping.unit or 'rad']
    values = np.full((len(rows), len(joints)), np.nan)
    latest = np.full(len(joints), np.nan)
    for number, (_, row) in enumerate(rows):
        # A driver may send finger by finger: keep the last angle of each joint.
        for place, joint in enumerate(joints):
            if joint in row:
                latest[place] = row[joint] * radians
        values[number] = latest
    return AngleSignal(np.array([time for time, _ in rows]), joints, values)


def _labels(
    rows: Sequence[tuple[float, str, str]], mapping: LabelMapping | None
) -> LabelSignal | None:
    if mapping is None or not rows:
        return None
    times = np.array([time for time, _, _ in rows])
    repetitions = [text for _, _, text in rows] if mapping.repetition else None
    return samples_to_labels(times, [text for _, text, _ in rows], repetitions)
