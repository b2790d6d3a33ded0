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

"""Finds the electrode description (EmgDescription) in a bag."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leconvmn_ros.core.errors import MalformedMessageError
from leconvmn_ros.core.strict_model import LARGEST_MESSAGE
from leconvmn_ros.emg.description import EmgDescription, INFORMATION_KEY, parse_description
from leconvmn_ros.recordings.bag_reader import open_bag, OpenBag
from leconvmn_ros.recordings.bag_types import DESCRIPTION_TOPIC, typestore

_TYPE = 'std_msgs/msg/String'


def read_description(path: str | Path, topic: str = DESCRIPTION_TOPIC) -> EmgDescription | None:
    """Return the last description in a bag, from its topic or its metadata; None if there is none.

    Raises:
        RecordingError: the bag is missing or damaged.
        MalformedMessageError: the description is invalid.
    """
    with open_bag(path) as bag:
        text = _recorded(bag, topic) or _kept(bag.information)
    return parse_description(text) if text else None


def common_description(paths: Sequence[str | Path]) -> EmgDescription | None:
    """Return the description of the first bag if all bags agree about the rings, else None.

    Raises:
        RecordingError: a bag is missing or damaged.
    """
    try:
        found = [read_description(path) for path in paths]
    except MalformedMessageError:  # unusable, but no reason to refuse the recording
        return None
    first = found[0] if found else None
    same = all(
        each is not None and first is not None and each.rings == first.rings for each in found
    )
    return first if same else None


def _recorded(bag: OpenBag, topic: str) -> str:
    if topic not in bag.topics or bag.topics[topic].type_name != _TYPE:
        return ''
    last = None
    for message in bag.messages(topics=[topic]):
        last = message.data
    if last is None:
        return ''
    if len(last) > LARGEST_MESSAGE:
        raise MalformedMessageError(f'{bag.path}: the description on {topic} is too long')
    try:
        said: Any = typestore().deserialize_cdr(last, _TYPE)
        return str(said.data)
    except Exception as error:  # a damaged message can raise anything, as in bag_reader
        raise MalformedMessageError(
            f'{bag.path}: the message on {topic} is not a {_TYPE}'
        ) from error


def _kept(information: Mapping[str, str]) -> str:
    return information.get(INFORMATION_KEY, '')
